//! SPIFFE federation: trust domains verify each other's workloads and never issue each other's identities.

mod spiffe;
mod verify;

pub use spiffe::authority::{Authority, AuthorityId, JwtAuthority, SvidType, X509Authority, X509AuthorityError};
pub use spiffe::bundle::{Authorities, Bundle, BundleDiff};
pub use spiffe::bundle_map::{BundleMap, BundleMapError};
pub use spiffe::document::ignored::{IgnoreReason, IgnoredElement};
pub use spiffe::document::render::{WitAuthorities, digest as bundle_digest, render as render_bundle};
pub use spiffe::document::{BundleDocument, DocumentError};
pub use spiffe::json::JsonError;
pub use spiffe::public_key::{Curve, Fingerprint, FingerprintError, PublicKey, PublicKeyError};
pub use spiffe::spiffe_id::{SpiffeId, SpiffeIdError};
pub use spiffe::trust_domain::{TrustDomain, TrustDomainError};
pub use verify::rejection::{Fault, Place, Rejection};
pub use verify::rustls::SpiffeServerVerifier;
pub use verify::snapshot::{DomainTrust, TrustSnapshot};
pub use verify::x509::{Usage, check_svid, spiffe_id_of, verify_x509};
pub use verify::{Verified, is_self_signed};

#[cfg(feature = "server")]
mod app;
#[cfg(feature = "server")]
mod authorities;
#[cfg(feature = "server")]
mod cli;
#[cfg(feature = "server")]
mod config;
#[cfg(feature = "server")]
mod federation;
#[cfg(feature = "server")]
mod files;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
mod store;
#[cfg(feature = "server")]
mod telemetry;

#[cfg(feature = "server")]
pub use app::App;
#[cfg(feature = "server")]
pub use app::error::StartError;
#[cfg(feature = "server")]
#[doc(hidden)]
pub use cli::main;

#[cfg(all(test, feature = "server"))]
#[path = "../tests/it/support/mod.rs"]
mod support;
