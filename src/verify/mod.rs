//! Is this SVID valid, against the bundle of its own trust domain alone, at this time?

#[cfg(feature = "server")]
pub(crate) mod presented;
pub(crate) mod rejection;
pub(crate) mod rustls;
pub(crate) mod snapshot;
pub(crate) mod x509;

mod certificate;
mod der;
mod path;
mod signature;
#[cfg(test)]
mod testing;

use ::rustls::pki_types::UnixTime;

use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::spiffe_id::SpiffeId;

pub use signature::is_self_signed;

/// What a valid SVID proved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Whom it names.
    pub spiffe_id: SpiffeId,
    /// SHA-256 of the authority's DER that the path ended in.
    pub authority: Fingerprint,
    /// Last second in which every certificate of the path is valid.
    pub not_after: UnixTime,
}
