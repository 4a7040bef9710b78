//! Messages of SPIRE's server API (`spire-api-sdk`, `spire.api.server.bundle.v1` and `.trustdomain.v1`), as far as we
//! speak it. Fields that we don't read are left out; new ones are skipped.

use prost::Message;

/// `spire.api.types.Bundle`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bundle {
    #[prost(string, tag = "1")]
    pub(crate) trust_domain: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) x509_authorities: Vec<X509Certificate>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) jwt_authorities: Vec<JwtKey>,
    /// Seconds; 0 is none.
    #[prost(int64, tag = "4")]
    pub(crate) refresh_hint: i64,
    #[prost(uint64, tag = "5")]
    pub(crate) sequence_number: u64,
}

/// `spire.api.types.X509Certificate`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct X509Certificate {
    /// DER.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) asn1: Vec<u8>,
}

/// `spire.api.types.JWTKey`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct JwtKey {
    /// DER of a SubjectPublicKeyInfo.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) public_key: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) key_id: String,
}

/// `spire.api.types.Status`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    /// As in gRPC; 0 is success.
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

/// `GetBundleRequest` without a mask, which asks for all of it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetBundle {}

/// `ListFederatedBundlesRequest` and `ListFederationRelationshipsRequest`, without a mask.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListPage {
    #[prost(int32, tag = "2")]
    pub(crate) page_size: i32,
    #[prost(string, tag = "3")]
    pub(crate) page_token: String,
}

/// `ListFederatedBundlesResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BundlePage {
    #[prost(message, repeated, tag = "1")]
    pub(crate) bundles: Vec<Bundle>,
    #[prost(string, tag = "2")]
    pub(crate) next_page_token: String,
}

/// `ListFederationRelationshipsResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RelationshipPage {
    #[prost(message, repeated, tag = "1")]
    pub(crate) relationships: Vec<Relationship>,
    #[prost(string, tag = "2")]
    pub(crate) next_page_token: String,
}

/// `spire.api.types.FederationRelationship`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Relationship {
    #[prost(string, tag = "1")]
    pub(crate) trust_domain: String,
}

/// `BatchCreateFederatedBundleRequest` and `BatchUpdateFederatedBundleRequest`, without masks: all of the bundle counts.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bundles {
    #[prost(message, repeated, tag = "1")]
    pub(crate) bundle: Vec<Bundle>,
}

/// `BatchDeleteFederatedBundleRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeleteBundles {
    #[prost(string, repeated, tag = "1")]
    pub(crate) trust_domains: Vec<String>,
    #[prost(int32, tag = "2")]
    pub(crate) mode: i32,
}

impl DeleteBundles {
    /// The bundle goes, and registration entries no longer federate with its domain; the entries themselves stay.
    pub(crate) const DISSOCIATE: i32 = 2;
}

/// The answer to a creation or an update: an outcome for each bundle, in their order.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stored {
    #[prost(message, repeated, tag = "1")]
    pub(crate) results: Vec<StoredBundle>,
}

/// One of them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredBundle {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    /// As it is there now, after a success.
    #[prost(message, optional, tag = "2")]
    pub(crate) bundle: Option<Bundle>,
}

/// The answer to a deletion: an outcome for each name, in their order.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Deleted {
    #[prost(message, repeated, tag = "1")]
    pub(crate) results: Vec<DeletedBundle>,
}

/// One of them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeletedBundle {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
}
