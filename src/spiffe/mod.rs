//! The nouns of the SPIFFE standards: no I/O, no clock, no configuration.

pub(crate) mod authority;
pub(crate) mod bundle;
pub(crate) mod bundle_map;
pub(crate) mod document;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "fixtures are test code outside of test functions")]
pub(crate) mod fixtures;
pub(crate) mod json;
pub(crate) mod public_key;
pub(crate) mod spiffe_id;
pub(crate) mod trust_domain;
