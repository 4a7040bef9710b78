//! Envoy's secret discovery service (SDS v3): bundles as Envoy's SPIFFE validator reads them.

mod client;
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
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming};
use tracing::debug;

use super::access::Caller;
use super::feed::{Feeds, Subscription};
use super::places::{Place, Places};
use super::services::{caller, denied};
use crate::outputs::progress::Progress;

use self::client::{Client, Lines};
use self::delta::Delta;
use self::dialogue::Dialogue;
use self::secrets::SecretNames;
use self::state_of_the_world::StateOfTheWorld;
use self::talk::{Shelf, Talk};

/// SDS for all whom the rules of the listener show something.
///
/// What a client says of itself (`node`) is never read: the user of its process decides.
pub(crate) struct SecretDiscovery {
    feeds: Arc<Feeds>,
    shelf: Arc<Shelf>,
    streams: Arc<Places>,
    lines: Arc<Lines>,
    progress: Arc<Progress>,
}

impl SecretDiscovery {
    pub(crate) fn new(feeds: Arc<Feeds>, names: SecretNames, progress: Arc<Progress>) -> Self {
        let streams = Places::new(STREAMS, STREAMS_PER_USER);
        Self { feeds, shelf: Arc::new(Shelf::new(names)), streams, lines: Arc::default(), progress }
    }

    /// Who asks, and whether there is room, is judged before anything of a request is read.
    pub(super) fn into_service(self) -> InterceptedService<Server, impl Interceptor + Clone> {
        let (feeds, streams) = (self.feeds.clone(), self.streams.clone());
        let server = Server::new(self).max_decoding_message_size(REQUEST_BYTES);
        InterceptedService::new(server, move |mut request: Request<()>| {
            let caller = caller(&request)?;
            if !feeds.knows(caller) {
                return Err(denied());
            }
            request.extensions_mut().insert(Arc::new(place(&streams, caller)?));
            Ok(request)
        })
    }

    fn subscription<T>(&self, request: &Request<T>) -> Result<Subscription, Status> {
        self.feeds.subscribe(caller(request)?).ok_or_else(denied)
    }

    fn talk<D: Dialogue>(&self, request: Request<Streaming<D::Request>>) -> Result<Talk<D>, Status> {
        let subscription = self.subscription(&request)?;
        let (client, place) = (self.client(&request)?, request.extensions().get::<Arc<Place>>().cloned());
        Ok(Talk::new(request.into_inner(), subscription, &self.shelf, client, place))
    }

    fn client<T>(&self, request: &Request<T>) -> Result<Client, Status> {
        Ok(Client { uid: caller(request)?.uid, lines: self.lines.clone(), progress: self.progress.clone() })
    }
}

type Server = server::SecretDiscoveryServiceServer<SecretDiscovery>;

fn place(streams: &Arc<Places>, caller: Caller) -> Result<Place, Status> {
    streams.take(caller.uid).ok_or_else(|| {
        debug!(code = "sds-streams-exhausted", uid = caller.uid, "a request was refused: too many are open");
        Status::resource_exhausted("too many streams are open; close some, or come back later")
    })
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
        let (client, secrets) = (self.client(&request)?, self.shelf.secrets(&self.subscription(&request)?.view()));
        let mut dialogue = StateOfTheWorld::default();
        dialogue.hear(request.into_inner(), &secrets).map_err(|refusal| client.refuse(&refusal))?;
        Ok(Response::new(dialogue.say(&secrets).unwrap_or_default()))
    }
}

/// Open streams and requests, of all users and of one: an Envoy has one for each Secret.
const STREAMS: usize = 4096;
const STREAMS_PER_USER: usize = 1024;
/// Each stream may hold that much of a request that is still coming. An Envoy says a lot about itself, and Istio's more;
/// 1,024 names of 100 bytes are 100 KB.
const REQUEST_BYTES: usize = 256 << 10;
