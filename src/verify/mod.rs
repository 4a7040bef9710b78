//! Is this SVID valid, against the bundle of its own trust domain alone, at this time?

pub(crate) mod authorizer;
pub(crate) mod cache;
pub(crate) mod explain;
pub(crate) mod jwt;
pub(crate) mod key_strength;
pub(crate) mod path_pattern;
pub(crate) mod policy;
#[cfg(feature = "server")]
pub(crate) mod presented;
pub(crate) mod rejection;
pub(crate) mod rustls;
pub(crate) mod snapshot;
pub(crate) mod trust;
pub(crate) mod verified;
pub(crate) mod verifier;
pub(crate) mod x509;

mod budget;
mod certificate;
mod comparable;
mod connection;
mod der;
mod distinguished_name;
mod extensions;
mod failures;
mod foreign;
mod hosts;
mod key;
mod leaf;
mod memo;
mod moment;
mod name_constraints;
mod names;
mod path;
mod path_policy;
mod policies;
mod pool;
mod ranking;
#[cfg(feature = "server")]
mod readable;
mod signature;
mod signer;
mod subtree;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod text;

#[cfg(feature = "server")]
pub(crate) use signature::is_self_signed;
