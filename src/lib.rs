//! SPIFFE federation: independent trust domains verify each other's workloads, and never issue each
//! other's identities.
//!
//! A domain's keys verify only that domain's names: bundles of several domains are never merged, and
//! nothing here yields the authorities of two domains together. The binary `comity` publishes one
//! domain's bundle, polls those of its peers, and decides what may be trusted. This library is what it
//! rests on; its three journeys on one page:
//!
//! ```
//! use std::{error::Error, sync::Arc, time::Duration};
//!
//! use comity::{
//!     Authority, Bundle, BundleDocument, DomainTrust, TrustDomain, TrustSnapshot, Usage, WitAuthorities, X509Authority,
//!     render_bundle,
//! };
//! use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
//! use rustls::pki_types::UnixTime;
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! // Bank B's CA, and what it issues to a workload.
//! let (ca_key, leaf_key) = (KeyPair::generate()?, KeyPair::generate()?);
//! let mut ca = CertificateParams::default();
//! ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
//! ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
//! let root = X509Authority::from_der(ca.self_signed(&ca_key)?.der())?;
//! let mint = |id: &str| -> Result<Vec<u8>, rcgen::Error> {
//!     let mut leaf = CertificateParams::default();
//!     leaf.subject_alt_names = vec![SanType::URI(id.try_into()?)];
//!     leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
//!     Ok(leaf.signed_by(&leaf_key, &Issuer::from_params(&ca, &ca_key))?.der().to_vec())
//! };
//!
//! // PUBLISH: bank B renders its bundle as the document that its endpoint serves.
//! let domain: TrustDomain = "bank-b.example".parse()?;
//! let authorities = [Authority::X509(root)].into_iter().collect();
//! let bundle = Bundle::new(domain.clone(), authorities, Some(1), Some(Duration::from_secs(300)));
//! let document = render_bundle(&bundle, WitAuthorities::Omit);
//!
//! // POLL: bank A reads it as a bundle of that domain and no other, and takes it into its snapshot.
//! let bundle = Arc::new(BundleDocument::parse(&domain, &document)?.into_bundle());
//! let trust = TrustSnapshot::new(1, [DomainTrust::new(bundle, 1)]);
//!
//! // VERIFY: the SPIFFE ID in the leaf says which bundle counts.
//! let now = UnixTime::now();
//! let verified = trust.verify_x509(&mint("spiffe://bank-b.example/web")?, &[], Usage::Client, now)?;
//! assert_eq!(verified.spiffe_id.to_string(), "spiffe://bank-b.example/web");
//! let impostor = trust.verify_x509(&mint("spiffe://bank-a.example/web")?, &[], Usage::Client, now);
//! assert_eq!(impostor.unwrap_err().code(), "unknown-trust-domain");
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | brings | default |
//! | --- | --- | --- |
//! | – | names, keys, bundles, documents, the verifier and its rustls adapter; no runtime, no I/O | always |
//! | `server` | the service `App` and the binary `comity`: endpoints, polling, store, admin API, CLI | yes |
//!
//! Each error has a `code()`, which is stable; `docs/problems.md` has a paragraph for each.

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
pub use verify::authorizer::Authorizer;
pub use verify::cache::CacheStatistics;
pub use verify::explain::{ExplainedStep, Explanation};
pub use verify::jwt::fault::TokenFault;
pub use verify::jwt::{Audiences, VerifiedJwt};
pub use verify::key_strength::KeyStrength;
pub use verify::path_pattern::{PathPattern, PathPatternError};
pub use verify::policy::{Lapse, Policy, PolicyBreach, SvidChecks};
pub use verify::rejection::{Breach, Fault, Limit, Place, Rejection};
pub use verify::rustls::{SpiffeClientVerifier, SpiffeServerVerifier};
pub use verify::snapshot::{DomainTrust, TrustSnapshot};
pub use verify::trust::{Trust, TrustWriter};
pub use verify::verified::Verified;
pub use verify::verifier::Verifier;
pub use verify::x509::{Usage, spiffe_id_of};

#[cfg(feature = "server")]
mod acme;
#[cfg(feature = "server")]
mod app;
#[cfg(feature = "server")]
mod authorities;
#[cfg(feature = "server")]
mod cli;
#[cfg(feature = "server")]
mod config;
#[cfg(feature = "server")]
mod export;
#[cfg(feature = "server")]
mod federation;
#[cfg(feature = "server")]
mod files;
#[cfg(feature = "server")]
mod grpc;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
mod outputs;
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
