//! Who hears of bundles on this machine: a proxy by SDS and a workload by the Workload API.

use std::collections::BTreeMap;
use std::path::Path;

use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use super::Result;

/// What they have of each domain, by its SPIFFE ID: it is another value once they heard of a change.
#[derive(Clone)]
pub(crate) struct Consumers {
    pub(crate) sds: watch::Receiver<Held>,
    pub(crate) workload: watch::Receiver<Held>,
}

pub(crate) type Held = BTreeMap<String, Vec<u8>>;

impl Consumers {
    /// Both, connected; they listen for as long as the tasks run.
    pub(crate) async fn connect(socket: &Path, names: Vec<String>, tasks: &mut JoinSet<Result<()>>) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))?;
        let (sds_heard, sds) = watch::channel(Held::new());
        let (workload_heard, workload) = watch::channel(Held::new());
        tasks.spawn(follow_sds(endpoint.connect().await?, names, sds_heard));
        tasks.spawn(follow_workload_api(endpoint.connect().await?, workload_heard));
        Ok(Self { sds, workload })
    }
}

async fn follow_sds(channel: Channel, names: Vec<String>, heard: watch::Sender<Held>) -> Result<()> {
    let (asking, mut asked) = mpsc::unbounded_channel();
    let first = DiscoveryRequest { resource_names: names.clone(), ..DiscoveryRequest::default() };
    asking.send(first).map_err(|_| "the stream is gone")?;
    let requests = futures_util::stream::poll_fn(move |context| asked.poll_recv(context));
    let mut answers = SecretDiscoveryServiceClient::new(channel).stream_secrets(requests).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        let acknowledged = DiscoveryRequest {
            resource_names: names.clone(),
            version_info: answer.version_info,
            response_nonce: answer.nonce,
            ..DiscoveryRequest::default()
        };
        asking.send(acknowledged).map_err(|_| "the stream is gone")?;
        heard.send_modify(|held| {
            for secret in answer.resources {
                let of = names.iter().find(|name| contains(&secret.value, name.as_bytes()));
                held.extend(of.map(|name| (name.clone(), secret.value.clone())));
            }
        });
    }
    Ok(())
}

async fn follow_workload_api(channel: Channel, heard: watch::Sender<Held>) -> Result<()> {
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let mut request = Request::new(Empty {});
    request.metadata_mut().insert("workload.spiffe.io", "true".parse()?);
    let path = PathAndQuery::from_static("/SpiffeWorkloadAPI/FetchX509Bundles");
    let codec = ProstCodec::<Empty, X509Bundles>::default();
    let mut answers: Streaming<X509Bundles> = client.server_streaming(request, path, codec).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        heard.send_replace(answer.bundles);
    }
    Ok(())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
struct X509Bundles {
    #[prost(btree_map = "string, bytes", tag = "2")]
    bundles: Held,
}
