//! Is this SVID valid, against the bundle of its own trust domain alone, at this time?

pub(crate) mod rejection;

mod certificate;
mod der;
mod signature;

pub use signature::is_self_signed;
