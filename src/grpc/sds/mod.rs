//! Envoy's secret discovery service (SDS v3): bundles as Envoy's SPIFFE validator reads them.

mod delta;
mod dialogue;
pub(crate) mod secrets;
mod state_of_the_world;
mod talk;

use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server as server;
use futures_util::Stream;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

use super::access::Caller;
use super::feed::{Feeds, Subscription};
use super::places::{Place, Places};
use crate::outputs::progress::Progress;

use self::delta::Delta;
use self::dialogue::Dialogue;
use self::secrets::SecretNames;
use self::state_of_the_world::StateOfTheWorld;
use self::talk::{Shelf, Talk, denied, refused};

/// SDS for all whom the rules of the listener show something.
///
/// What a client says of itself (`node`) is never read: the user of its process decides.
pub(crate) struct SecretDiscovery {
    feeds: Arc<Feeds>,
    shelf: Arc<Shelf>,
    streams: Arc<Places>,
    progress: Arc<Progress>,
}

impl SecretDiscovery {
    pub(crate) fn new(feeds: Arc<Feeds>, names: SecretNames, progress: Arc<Progress>) -> Self {
        let streams = Places::new(STREAMS, STREAMS_PER_USER);
        Self { feeds, shelf: Arc::new(Shelf::new(names)), streams, progress }
    }

    pub(super) fn into_service(self) -> server::SecretDiscoveryServiceServer<Self> {
        server::SecretDiscoveryServiceServer::new(self).max_decoding_message_size(REQUEST_BYTES)
    }

    fn subscription<T>(&self, request: &Request<T>) -> Result<Subscription, Status> {
        self.feeds.subscribe(caller(request)?).ok_or_else(denied)
    }

    fn talk<D: Dialogue>(&self, request: Request<Streaming<D::Request>>) -> Result<Talk<D>, Status> {
        let subscription = self.subscription(&request)?;
        let place = self.place(caller(&request)?)?;
        Ok(Talk::new(request.into_inner(), subscription, &self.shelf, &self.progress, place))
    }

    fn place(&self, caller: Caller) -> Result<Place, Status> {
        self.streams.take(caller.uid).ok_or_else(|| {
            warn!(code = "sds-streams-exhausted", uid = caller.uid, "a stream was refused: too many are open");
            Status::resource_exhausted("too many streams are open; close some, or come back later")
        })
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request.extensions().get::<Caller>().copied().ok_or_else(denied)
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl server::SecretDiscoveryService for SecretDiscovery {
    type StreamSecretsStream = Responses<discovery::DiscoveryResponse>;
    type DeltaSecretsStream = Responses<discovery::DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<discovery::DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        Ok(Response::new(Box::pin(self.talk::<StateOfTheWorld>(request)?.responses())))
    }

    async fn delta_secrets(
        &self,
        request: Request<Streaming<discovery::DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Ok(Response::new(Box::pin(self.talk::<Delta>(request)?.responses())))
    }

    async fn fetch_secrets(
        &self,
        request: Request<discovery::DiscoveryRequest>,
    ) -> Result<Response<discovery::DiscoveryResponse>, Status> {
        let secrets = self.shelf.secrets(&self.subscription(&request)?.view());
        let mut dialogue = StateOfTheWorld::default();
        dialogue.hear(request.into_inner(), &secrets).map_err(|refusal| refused(&refusal))?;
        Ok(Response::new(dialogue.say(&secrets).unwrap_or_default()))
    }
}

/// Open streams, of all users and of one: an Envoy has one for each Secret.
const STREAMS: usize = 4096;
const STREAMS_PER_USER: usize = 1024;
/// An Envoy says a lot about itself, and Istio's more; 1,024 names are 280 KB.
const REQUEST_BYTES: usize = 1 << 20;
