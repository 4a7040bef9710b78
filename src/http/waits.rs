//! Requests that wait until there is something new (RFC 7240 §4.3), and how many may.

use std::collections::HashMap;
use std::future::pending;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::federation::fetchers::network;
use crate::federation::preference;

/// What clients that wait may take. Beyond it they are answered at once, as those are that don't ask to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitLimits {
    /// The longest wait; whoever asks for more is told.
    pub(crate) longest: Duration,
    /// Waits at a time of one IPv4 address or one IPv6 network of 64 bits.
    pub(crate) per_address: usize,
    /// Waits at a time in all. Each may take a connection, so this is less than there may be of those.
    pub(crate) in_all: usize,
}

impl Default for WaitLimits {
    fn default() -> Self {
        Self { longest: Duration::from_secs(300), per_address: 16, in_all: 512 }
    }
}

/// The requests of a listener that wait. Clones share them.
#[derive(Clone)]
pub(super) struct Waits {
    limits: WaitLimits,
    waiting: Arc<Mutex<Waiting>>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Waiting {
    in_all: usize,
    of: HashMap<IpAddr, usize>,
}

impl Waits {
    /// At the `stop` all of them are answered.
    pub(super) fn new(limits: WaitLimits, stop: CancellationToken) -> Self {
        Self { limits, waiting: Arc::default(), stop }
    }

    /// What `answer` makes of the newest value; where that is 304 and the client would rather wait, what it makes of
    /// the first value of which it is not, or 304 when the time is over. `counted` is kept while it waits.
    pub(super) async fn answer<T, C>(
        &self,
        request: &HttpRequest,
        values: &watch::Receiver<T>,
        answer: impl Fn(&T) -> HttpResponse,
        counted: impl FnOnce() -> C,
    ) -> HttpResponse {
        let at_once = answer(&values.borrow());
        if at_once.status() != StatusCode::NOT_MODIFIED {
            return at_once;
        }
        let Some((wait, _place)) = self.admit(request) else { return at_once };
        drop(at_once);
        let _counted = counted();
        let mut values = values.clone();
        // Something may have come since the answer above.
        values.mark_changed();
        let news = async {
            while values.changed().await.is_ok() {
                let response = answer(&values.borrow_and_update());
                if response.status() != StatusCode::NOT_MODIFIED {
                    return response;
                }
            }
            pending().await
        };
        let over = async {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => {}
            }
        };
        let news = tokio::select! {
            response = news => Some(response),
            () = over => None,
        };
        let mut response = news.unwrap_or_else(|| answer(&values.borrow()));
        if let Ok(applied) = HeaderValue::from_str(&preference::field(wait)) {
            response.headers_mut().insert(PREFERENCE_APPLIED, applied);
        }
        response
    }

    /// For how long this request may wait, with a place to do so.
    fn admit(&self, request: &HttpRequest) -> Option<(Duration, Place)> {
        let fields = request.headers().get_all(PREFER).map(HeaderValue::as_bytes);
        let wait = preference::wanted(fields)?.min(self.limits.longest);
        // Whoever has any document waits for no other one.
        let has_any = request.headers().get(header::IF_NONE_MATCH).is_some_and(|tags| tags == "*");
        if wait.is_zero() || has_any || request.method() != Method::GET {
            return None;
        }
        Some((wait, self.place(network(request.peer_addr()?.ip().to_canonical()))?))
    }

    fn place(&self, of: IpAddr) -> Option<Place> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = waiting.of.get(&of).copied().unwrap_or_default();
        if waiting.in_all >= self.limits.in_all || theirs >= self.limits.per_address {
            return None;
        }
        waiting.in_all += 1;
        waiting.of.insert(of, theirs + 1);
        Some(Place { waiting: self.waiting.clone(), of })
    }
}

/// A wait, counted until it is dropped.
struct Place {
    waiting: Arc<Mutex<Waiting>>,
    of: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.in_all -= 1;
        match waiting.of.get_mut(&self.of) {
            Some(theirs) if *theirs > 1 => *theirs -= 1,
            _ => _ = waiting.of.remove(&self.of),
        }
    }
}

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
