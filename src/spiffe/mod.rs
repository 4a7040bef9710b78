//! The nouns of the SPIFFE standards: no I/O, no clock, no configuration.

pub(crate) mod authority;
pub(crate) mod bundle;
pub(crate) mod json;
pub(crate) mod public_key;
pub(crate) mod spiffe_id;
pub(crate) mod trust_domain;
