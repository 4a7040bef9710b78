//! A workload as a raw gRPC client: it says what a test wants, where a library would do it right.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{AsciiMetadataKey, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::process::within;

/// One connection of a workload.
pub(crate) struct Workload(Grpc<Channel>);

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509Bundles {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) crl: Vec<Vec<u8>>,
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub(crate) bundles: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct JwtBundles {
    #[prost(btree_map = "string, bytes", tag = "1")]
    bundles: BTreeMap<String, Vec<u8>>,
}

impl JwtBundles {
    pub(crate) fn json(&self) -> BTreeMap<&str, Value> {
        self.bundles.iter().map(|(id, keys)| (id.as_str(), serde_json::from_slice(keys).unwrap())).collect()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Question {
    #[prost(string, tag = "1")]
    pub(crate) audience: String,
    #[prost(string, tag = "2")]
    pub(crate) svid: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answer {
    #[prost(string, tag = "1")]
    pub(crate) spiffe_id: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) claims: Option<prost_types::Struct>,
}

/// What a proper client sends with each request.
pub(crate) const HEADER: &[(&str, &str)] = &[("workload.spiffe.io", "true")];

impl Workload {
    pub(crate) async fn connect(socket: &Path) -> Self {
        let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
        Self(Grpc::new(within(endpoint.connect()).await.unwrap()))
    }

    pub(crate) async fn x509_bundles(&mut self) -> Result<Streaming<X509Bundles>, Status> {
        self.stream("FetchX509Bundles", HEADER).await
    }

    pub(crate) async fn jwt_bundles(&mut self) -> Result<Streaming<JwtBundles>, Status> {
        self.stream("FetchJWTBundles", HEADER).await
    }

    pub(crate) async fn validate(&mut self, audience: &str, svid: &str) -> Result<Answer, Status> {
        let question = Question { audience: audience.into(), svid: svid.into() };
        self.ask("ValidateJWTSVID", question, HEADER).await
    }

    /// A method that answers once.
    pub(crate) async fn ask<Q, A>(&mut self, method: &str, question: Q, metadata: &[(&str, &str)]) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        within(self.0.ready()).await.unwrap();
        let call = self.0.unary(request(question, metadata), path(method), ProstCodec::<Q, A>::default());
        Ok(within(call).await?.into_inner())
    }

    /// A method that answers again and again.
    pub(crate) async fn stream<A>(&mut self, method: &str, metadata: &[(&str, &str)]) -> Result<Streaming<A>, Status>
    where
        A: prost::Message + Default + Send + Sync + 'static,
    {
        within(self.0.ready()).await.unwrap();
        let codec = ProstCodec::<Empty, A>::default();
        let call = self.0.server_streaming(request(Empty {}, metadata), path(method), codec);
        Ok(within(call).await?.into_inner())
    }

    /// The code with which a stream is refused.
    pub(crate) async fn refused(&mut self, method: &str, metadata: &[(&str, &str)]) -> Code {
        self.stream::<Empty>(method, metadata).await.expect_err("it is refused").code()
    }
}

/// The next message of a stream; it must not end.
pub(crate) async fn next<A>(stream: &mut Streaming<A>) -> A {
    within(stream.message()).await.unwrap().expect("the stream goes on")
}

fn request<Q>(question: Q, metadata: &[(&str, &str)]) -> Request<Q> {
    let mut request = Request::new(question);
    for (name, value) in metadata {
        let value: MetadataValue<_> = value.parse().unwrap();
        request.metadata_mut().append(name.parse::<AsciiMetadataKey>().unwrap(), value);
    }
    request
}

/// Of this service, unless the method names another.
fn path(method: &str) -> PathAndQuery {
    let path = if method.starts_with('/') { method.to_owned() } else { format!("/SpiffeWorkloadAPI/{method}") };
    path.parse().unwrap()
}
