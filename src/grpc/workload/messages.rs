//! Messages of the SPIFFE Workload API that this service reads or writes (WLA §§5-6).
//!
//! By hand: four messages are less than what a generator writes for all of them, and streams share encoded ones.

use std::collections::BTreeMap;

/// Answer of `FetchX509Bundles`; `crl`, field 1, is never there.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct X509BundlesResponse {
    /// Concatenated DER by trust domain ID.
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub(super) bundles: BTreeMap<String, Vec<u8>>,
}

/// Answer of `FetchJWTBundles`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct JwtBundlesResponse {
    /// JWK Sets by trust domain ID.
    #[prost(btree_map = "string, bytes", tag = "1")]
    pub(super) bundles: BTreeMap<String, Vec<u8>>,
}

/// Asks whether a token proves a SPIFFE ID to an audience.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ValidateJwtSvidRequest {
    #[prost(string, tag = "1")]
    pub(super) audience: String,
    #[prost(string, tag = "2")]
    pub(super) svid: String,
}

/// Whose token it is.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ValidateJwtSvidResponse {
    #[prost(string, tag = "1")]
    pub(super) spiffe_id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) claims: Option<prost_types::Struct>,
}
