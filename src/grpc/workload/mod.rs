//! The SPIFFE Workload API, as far as bundles go: streams of them, and verdicts on tokens.
//!
//! It issues nothing, so whoever asks for an SVID is told that there is none.

mod messages;
pub(super) mod rendered;
mod streamed;
mod validate;

use std::convert::Infallible;
use std::sync::Arc;

use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Context, Poll, Service};
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::federation::clock::Clock;
use crate::outputs::progress::Progress;
use crate::verify::verifier::Verifier;

use self::streamed::{Profile, Streamed};
use self::validate::Validation;
use super::access::Caller;
use super::feed::Feeds;
use super::places::{Place, Places};

/// The service `SpiffeWorkloadAPI`, which has no package (WL-17). Clones share everything.
#[derive(Clone)]
pub(crate) struct WorkloadApi(Arc<Inner>);

struct Inner {
    feeds: Arc<Feeds>,
    verifier: Verifier,
    clock: Arc<Clock>,
    progress: Arc<Progress>,
    places: Arc<Places>,
}

impl WorkloadApi {
    pub(crate) fn new(feeds: Arc<Feeds>, verifier: Verifier, clock: Arc<Clock>, progress: Arc<Progress>) -> Self {
        let places = Places::new(STREAMS, STREAMS_PER_USER);
        Self(Arc::new(Inner { feeds, verifier, clock, progress, places }))
    }
}

impl NamedService for WorkloadApi {
    const NAME: &'static str = "SpiffeWorkloadAPI";
}

impl Service<Request<Body>> for WorkloadApi {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move { Ok(inner.answer(request).await.unwrap_or_else(Status::into_http)) })
    }
}

impl Inner {
    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        check_header(request.headers())?;
        let caller = *request.extensions().get::<Caller>().ok_or_else(|| Status::internal("nobody asks"))?;
        match request.uri().path().rsplit('/').next() {
            Some("FetchX509Bundles") => self.stream(Profile::X509, caller),
            Some("FetchJWTBundles") => self.stream(Profile::Jwt, caller),
            Some("ValidateJWTSVID") => self.validate(request, caller).await,
            Some("FetchX509SVID" | "FetchJWTSVID") => Err(Status::permission_denied("no identity issued")),
            _ => Err(Status::new(Code::Unimplemented, "not offered")),
        }
    }

    /// The request is an empty message, so nobody waits for it.
    fn stream(&self, profile: Profile, caller: Caller) -> Result<Response<Body>, Status> {
        let subscription = self.feeds.subscribe(caller).ok_or_else(|| denied(caller))?;
        let place = self.place(caller)?;
        let (progress, held) = (self.progress.clone(), (self.progress.subscriber(), place));
        let streamed = Streamed { profile, subscription, progress, _held: held, told: None, at: None, end: None };
        Ok(streamed.into_response())
    }

    fn place(&self, caller: Caller) -> Result<Place, Status> {
        self.places.take(caller.uid).ok_or_else(|| Status::unavailable("too many streams are open"))
    }

    async fn validate(&self, request: Request<Body>, caller: Caller) -> Result<Response<Body>, Status> {
        let selection = self.feeds.selection(caller).ok_or_else(|| denied(caller))?;
        let _place = self.place(caller)?;
        let validation = Validation { verifier: self.verifier.clone(), clock: self.clock.clone(), selection };
        let codec = ProstCodec::default();
        let mut grpc = Grpc::new(codec).apply_max_message_size_config(Some(REQUEST_BYTES), None);
        Ok(grpc.unary(validation, request).await)
    }
}

/// The metadata that a browser tricked into asking can't send (WL-01), before all else.
fn check_header(headers: &HeaderMap) -> Result<(), Status> {
    let mut values = headers.get_all(HEADER).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value == "true" => Ok(()),
        _ => Err(Status::invalid_argument("the metadata workload.spiffe.io must be true, once")),
    }
}

fn denied(caller: Caller) -> Status {
    let Caller { uid, gid } = caller;
    Status::permission_denied(format!("no rule under outputs.grpc.allow fits uid {uid}, gid {gid}"))
}

const HEADER: &str = "workload.spiffe.io";
/// A token of 16 KiB, and its audience.
const REQUEST_BYTES: usize = 32 << 10;
/// What the interface is, for server reflection; workload.proto says how it is made.
pub(crate) const DESCRIPTOR: &[u8] = include_bytes!("workload.bin");
/// Open streams and questions, of all users and of one.
const STREAMS: usize = 4096;
const STREAMS_PER_USER: usize = 1024;
