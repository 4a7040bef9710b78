//! A stream of bundles: the newest message at once, and again whenever it changes.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response, header};

use crate::federation::trust_feed::Generation;
use crate::grpc::feed::{News, Subscription};
use crate::grpc::places::Place;
use crate::outputs::progress::{Progress, Subscriber};
use crate::outputs::view::View;

use super::rendered::Rendered;

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    X509,
    Jwt,
}

/// One stream and how far it is.
pub(super) struct Streamed {
    pub(super) profile: Profile,
    pub(super) subscription: Subscription,
    pub(super) progress: Arc<Progress>,
    /// Counted and bounded until the stream ends.
    pub(super) _held: (Subscriber, Place),
    pub(super) told: Option<Bytes>,
    pub(super) at: Option<Generation>,
    pub(super) end: Option<Status>,
}

impl Streamed {
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::new(StreamBody::new(self.frames())));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }

    /// Messages, and the trailers that end them.
    fn frames(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        stream::unfold(Some(self), async |streamed| {
            let mut streamed = streamed?;
            match streamed.next().await {
                Ok(message) => Some((Ok(Frame::data(message)), Some(streamed))),
                Err(status) => Some((Ok(Frame::trailers(trailers(&status))), None)),
            }
        })
    }

    /// The next message that differs from the last, or why there is none.
    async fn next(&mut self) -> Result<Bytes, Status> {
        if self.told.is_none() {
            let view = self.subscription.view();
            let message = self.tell(&view).unwrap_or_default();
            self.report(view.generation, false);
            return Ok(message);
        }
        if let Some(end) = self.end.take() {
            return Err(end);
        }
        loop {
            let view = match self.subscription.news().await {
                News::View(view) => view,
                News::Stopped => return Err(Status::unavailable("the service stops")),
                News::Denied => return self.farewell(),
            };
            let message = self.tell(&view);
            self.report(view.generation, message.is_some());
            if let Some(message) = message {
                return Ok(message);
            }
        }
    }

    /// Other rules change what is told without a new generation, which was there long before.
    fn report(&mut self, generation: Generation, has_told: bool) {
        let is_new = self.at.replace(generation).is_some_and(|before| before != generation);
        match has_told && is_new {
            true => self.progress.delivered(generation),
            false => self.progress.is_at(generation),
        }
    }

    /// The message of a view, unless it is the one that was told last.
    fn tell(&mut self, view: &Arc<View>) -> Option<Bytes> {
        self.tell_of(&Rendered::of(self.subscription.feed(), view))
    }

    fn tell_of(&mut self, rendered: &Rendered) -> Option<Bytes> {
        let message = match self.profile {
            Profile::X509 => &rendered.x509,
            Profile::Jwt => &rendered.jwt,
        };
        match &self.told {
            Some(told) if is_same(told, message) => None,
            _ => Some(self.told.insert(message.clone()).clone()),
        }
    }

    /// A client that is refused may keep what it has, so first it learns that there is nothing but ours (WL-15).
    fn farewell(&mut self) -> Result<Bytes, Status> {
        let rendered = Rendered::new(&Arc::new(self.subscription.own_alone()));
        let end = Status::permission_denied("the rules that let this process ask are gone");
        match self.tell_of(&rendered) {
            None => Err(end),
            Some(message) => {
                self.end = Some(end);
                Ok(message)
            }
        }
    }
}

/// Most often the very same bytes, of which there may be megabytes for each of a thousand streams.
fn is_same(told: &Bytes, message: &Bytes) -> bool {
    (told.as_ptr(), told.len()) == (message.as_ptr(), message.len()) || told == message
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Our messages fit into a header; without one, clients report an unknown error.
    drop(status.add_header(&mut trailers));
    trailers
}
