//! How far each output has come, for status and metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::federation::clock::Clock;
use crate::federation::status::{ErrorStatus, OutputStatus};
use crate::federation::timestamp::Timestamp;
use crate::federation::trust_feed::Generation;

/// All outputs of the service. Clones share them.
#[derive(Clone)]
pub(crate) struct Outputs {
    clock: Arc<Clock>,
    all: Arc<Mutex<Vec<Arc<Progress>>>>,
}

/// One output: what it has delivered, to how many, and what went wrong.
pub(crate) struct Progress {
    /// `files`, `sds`, ...
    pub(crate) kind: &'static str,
    /// Its folder, socket or URL, without credentials.
    pub(crate) target: String,
    /// From the generation to its delivery, in seconds.
    pub(crate) lag: Histogram,
    clock: Arc<Clock>,
    subscribers: AtomicU64,
    pushes: AtomicU64,
    failures: AtomicU64,
    nacks: AtomicU64,
    refused_requests: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    delivered: Option<(u64, Timestamp)>,
    error: Option<ErrorStatus>,
}

impl State {
    /// False for what is older than what was delivered already: subscribers don't answer in turn.
    fn reach(&mut self, generation: u64, now: Timestamp) -> bool {
        let is_news = self.delivered.is_none_or(|(before, _)| generation >= before);
        if is_news {
            self.delivered = Some((generation, now));
        }
        is_news
    }
}

impl Outputs {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Self { clock, all: Arc::default() }
    }

    /// One more, of which nothing is delivered yet.
    pub(crate) fn add(&self, kind: &'static str, target: String) -> Arc<Progress> {
        let progress = Arc::new(Progress {
            kind,
            target,
            lag: Histogram::new(exponential_buckets(SHORTEST_LAG, 2.0, 18)),
            clock: self.clock.clone(),
            subscribers: AtomicU64::new(0),
            pushes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            nacks: AtomicU64::new(0),
            refused_requests: AtomicU64::new(0),
            state: Mutex::default(),
        });
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(progress.clone());
        progress
    }

    /// All of them, in the order in which they began.
    pub(crate) fn all(&self) -> Vec<Arc<Progress>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Progress {
    /// This generation changes nothing for it.
    pub(crate) fn is_at(&self, generation: Generation) {
        self.state().reach(generation.number, self.clock.now());
    }

    /// What this generation changed has reached whom it concerns; with several subscribers, one of them.
    pub(crate) fn delivered(&self, generation: Generation) {
        self.pushes.fetch_add(1, Ordering::Relaxed);
        self.lag.observe(generation.since.elapsed().as_secs_f64());
        let mut state = self.state();
        if state.reach(generation.number, self.clock.now()) {
            state.error = None;
        }
    }

    /// It could not be delivered; it will be tried again.
    pub(crate) fn failed(&self, code: &str, detail: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.state().error = Some(ErrorStatus { code: code.to_owned(), detail, at: self.clock.now() });
    }

    /// A subscriber said that it can't use what it was sent.
    pub(crate) fn refused(&self, code: &str, detail: String) {
        self.nacks.fetch_add(1, Ordering::Relaxed);
        self.state().error = Some(ErrorStatus { code: code.to_owned(), detail, at: self.clock.now() });
    }

    /// A subscriber asked for what it can't have.
    pub(crate) fn refused_request(&self) {
        self.refused_requests.fetch_add(1, Ordering::Relaxed);
    }

    /// One more subscriber, until the value is dropped.
    pub(crate) fn subscriber(self: &Arc<Self>) -> Subscriber {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
        Subscriber(self.clone())
    }

    pub(crate) fn status(&self) -> OutputStatus {
        let state = self.state();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OutputStatus {
            kind: self.kind.to_owned(),
            target: self.target.clone(),
            generation: state.delivered.map(|(generation, _)| generation),
            delivered: state.delivered.map(|(_, at)| at),
            subscribers: count(&self.subscribers),
            pushes: count(&self.pushes),
            failures: count(&self.failures),
            nacks: count(&self.nacks),
            refused_requests: count(&self.refused_requests),
            last_error: state.error.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counted until it is dropped.
pub(crate) struct Subscriber(Arc<Progress>);

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.0.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Seconds of the first bucket; the last ends at about two minutes.
const SHORTEST_LAG: f64 = 0.001;

#[cfg(test)]
mod tests {
    use rustls::time_provider::DefaultTimeProvider;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_subscriber_that_lags_takes_no_output_back() {
        let generation = |number| Generation { number, since: Instant::now() };
        let clock = Arc::new(Clock::new(Arc::new(DefaultTimeProvider), None));
        let progress = Outputs::new(clock).add("sds", "/x".into());
        progress.delivered(generation(5));
        progress.refused("secret-refused", "no".into());
        progress.delivered(generation(4));
        progress.is_at(generation(3));
        let status = progress.status();
        assert_eq!((status.generation, status.pushes), (Some(5), 2));
        assert!(status.last_error.is_some(), "what generation 4 was good for says nothing of 5");
        progress.delivered(generation(6));
        assert_eq!((progress.status().generation, progress.status().last_error), (Some(6), None));
    }
}
