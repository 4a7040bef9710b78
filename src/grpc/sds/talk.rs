//! A dialogue over its stream, for as long as both sides are there.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{Stream, unfold};
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status, Streaming};

use crate::grpc::feed::{News, Subscription};
use crate::grpc::places::Place;
use crate::grpc::services::denied;
use crate::outputs::progress::Subscriber;
use crate::outputs::selection::Selected;
use crate::outputs::view::View;

use super::client::Client;
use super::dialogue::{Dialogue, Heard};
use super::secrets::{SecretNames, Secrets};

/// The Secrets of the views that are in use, so that many streams share what is made of one.
pub(super) struct Shelf {
    names: SecretNames,
    in_use: Mutex<Vec<Weak<Secrets>>>,
}

impl Shelf {
    pub(super) fn new(names: SecretNames) -> Self {
        Self { names, in_use: Mutex::default() }
    }

    pub(super) fn secrets(&self, view: &Arc<View>) -> Arc<Secrets> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.retain(|secrets| secrets.strong_count() > 0);
        if let Some(known) = in_use.iter().filter_map(Weak::upgrade).find(|secrets| Arc::ptr_eq(&secrets.view, view)) {
            return known;
        }
        let new = Arc::new(Secrets::of(view.clone(), self.names.clone()));
        in_use.push(Arc::downgrade(&new));
        new
    }
}

/// One stream of a client.
pub(super) struct Talk<D: Dialogue> {
    dialogue: D,
    requests: Streaming<D::Request>,
    subscription: Subscription,
    secrets: Arc<Secrets>,
    shelf: Arc<Shelf>,
    client: Client,
    /// When it must have asked for something, until it has.
    asks_until: Option<Instant>,
    /// Whether it ends as soon as the client knows that it may see nothing any more.
    is_denied: bool,
    _subscriber: Subscriber,
    _place: Option<Arc<Place>>,
}

impl<D: Dialogue> Talk<D> {
    pub(super) fn new(
        requests: Streaming<D::Request>,
        mut subscription: Subscription,
        shelf: &Arc<Shelf>,
        client: Client,
        place: Option<Arc<Place>>,
    ) -> Self {
        Self {
            dialogue: D::default(),
            requests,
            secrets: shelf.secrets(&subscription.view()),
            subscription,
            shelf: shelf.clone(),
            asks_until: Some(Instant::now() + FIRST_REQUEST),
            is_denied: false,
            _subscriber: client.progress.subscriber(),
            client,
            _place: place,
        }
    }

    /// Responses, each made when the transport has room for it: a slow client gets the newest, never a queue.
    pub(super) fn responses(self) -> impl Stream<Item = Result<D::Response, Status>> + Send + 'static {
        unfold(Some(self), |talk| async {
            let mut talk = talk?;
            match talk.next().await {
                Ok(response) => Some((Ok(response), Some(talk))),
                Err(End::ByClient) => None,
                Err(End::ByUs(status)) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<D::Response, End> {
        loop {
            if let Some(response) = self.dialogue.say(&self.secrets) {
                return Ok(response);
            }
            if self.is_denied {
                return Err(End::ByUs(denied()));
            }
            tokio::select! {
                biased;
                // Before requests, which may have waited for long: they are answered with what counts now.
                news = self.subscription.news() => match news {
                    News::View(view) => self.look(&view),
                    News::Denied => self.deny(),
                    News::Stopped => return Err(End::ByUs(Status::unavailable("comity stops; ask again later"))),
                },
                request = self.requests.message() => self.hear(request)?,
                () = sleep_until(self.asks_until.unwrap_or_else(Instant::now)), if self.asks_until.is_some() => {
                    return Err(End::ByUs(Status::deadline_exceeded("no request came within 30 s")));
                }
            }
        }
    }

    fn hear(&mut self, request: Result<Option<D::Request>, Status>) -> Result<(), End> {
        let request = match request {
            Ok(Some(request)) => request,
            Ok(None) => return Err(End::ByClient),
            // What can't be decoded, or is too large, is the client's to know of; else it has gone.
            Err(status) if matches!(status.code(), Code::Internal | Code::OutOfRange | Code::ResourceExhausted) => {
                return Err(End::ByUs(status));
            }
            Err(_) => return Err(End::ByClient),
        };
        self.asks_until = None;
        match self.dialogue.hear(request, &self.secrets) {
            Ok(heard) => self.tell(heard),
            Err(refusal) => return Err(End::ByUs(self.client.refuse(&refusal))),
        }
        Ok(())
    }

    fn tell(&self, heard: Heard) {
        match heard {
            Heard::Nothing => {}
            Heard::Accepted { generation, is_news: true } => self.client.progress.delivered(generation),
            Heard::Accepted { generation, is_news: false } => self.client.progress.is_at(generation),
            Heard::Refused { detail } => self.client.refuses(self.secrets.view.generation.number, detail),
        }
    }

    /// Takes over a new view, if it says anything new.
    fn look(&mut self, view: &Arc<View>) {
        let known = &self.secrets.view;
        if !view.shows_the_same(known) || view.selected.lacking != known.selected.lacking {
            self.secrets = self.shelf.secrets(view);
        } else if self.dialogue.exchange().is_settled() {
            self.client.progress.is_at(view.generation);
        }
    }

    /// What the client holds is emptied before it is left alone: at the end of a stream it would go on with that.
    fn deny(&mut self) {
        let View { trust_domain, generation, .. } = &*self.secrets.view;
        let empty = View { trust_domain: trust_domain.clone(), selected: Selected::default(), generation: *generation };
        (self.secrets, self.is_denied) = (self.shelf.secrets(&Arc::new(empty)), true);
    }
}

enum End {
    ByClient,
    ByUs(Status),
}

/// A stream that asks for nothing is of no use.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
