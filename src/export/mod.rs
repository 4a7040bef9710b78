//! Outputs that push: each takes what its selection shows to one place, on its own and again until it is there.

pub(crate) mod files;
pub(crate) mod object_storage;
pub(crate) mod spire_server;

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::authorities::backoff::doubled;
use crate::outputs::progress::Progress;
use crate::outputs::view::View;

/// A place that bundles are taken to.
pub(crate) trait Sink: Send {
    /// Why nothing could be delivered, or not all.
    type Error: Error + Coded + Send;

    /// Makes the place hold what the view shows, and nothing else that is ours. Said again with what was delivered
    /// already, it mends what somebody else changed there.
    fn deliver(&mut self, view: &View) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// An error with a stable identifier; see docs/problems.md.
pub(crate) trait Coded {
    fn code(&self) -> &'static str;
}

/// Delivering ended in a panic, which is a mistake of ours.
#[derive(Debug, thiserror::Error)]
#[error("delivering made Comity stumble; please report it")]
struct Panicked;

impl Coded for Panicked {
    fn code(&self) -> &'static str {
        "output-panicked"
    }
}

/// A delivery goes on and on.
#[derive(Debug, thiserror::Error)]
#[error(
    "the delivery of generation {generation} has not ended for {} s; it is waited for, and nothing newer goes before it",
    LONG.as_secs()
)]
struct Hangs {
    generation: u64,
}

impl Coded for Hangs {
    fn code(&self) -> &'static str {
        "output-hangs"
    }
}

/// Delivers each new view, and the same one again every few minutes, until `stop`. One that fails is tried again, later
/// each time; by then only the newest counts. One that hangs is told and waited for: a thread that waits for a disk
/// can't be ended, and would only be joined by others.
pub(crate) async fn export(
    mut sink: impl Sink,
    mut views: watch::Receiver<Arc<View>>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) {
    let (kind, target) = (progress.kind, &progress.target);
    let mut there: Option<Arc<View>> = None;
    let mut failures = 0;
    loop {
        let view = views.borrow_and_update().clone();
        // A mistake in one output must not take the service with it.
        let delivery = AssertUnwindSafe(sink.deliver(&view)).catch_unwind();
        let Some((outcome, has_hung)) = stop.run_until_cancelled(watched(delivery, &view, &progress)).await else {
            return;
        };
        let problem = match outcome {
            Ok(outcome) => outcome.err().map(|error| (error.code(), error.to_string())),
            Err(_) => Some((Panicked.code(), Panicked.to_string())),
        };
        let wait = match problem {
            None => {
                if !there.is_some_and(|there| there.tells_the_same(&view)) || failures > 0 || has_hung {
                    info!(output = kind, target, generation = view.generation.number, "bundles delivered");
                    progress.delivered(view.generation);
                }
                (there, failures) = (Some(view.clone()), 0);
                MENDED_AFTER
            }
            Some((code, error)) => {
                failures += 1;
                warn!(output = kind, target, code, error, "bundles not delivered, or not all");
                progress.failed(code, error);
                doubled(FIRST_RETRY, failures, LAST_RETRY)
            }
        };
        if !until_news(&mut views, &view, (failures == 0).then_some(&progress), wait, &stop).await {
            return;
        }
    }
}

/// The outcome, and whether it took so long that this was told.
async fn watched<T>(delivery: impl Future<Output = T>, view: &View, progress: &Progress) -> (T, bool) {
    let mut delivery = pin!(delivery);
    if let Ok(outcome) = timeout(LONG, &mut delivery).await {
        return (outcome, false);
    }
    let hangs = Hangs { generation: view.generation.number };
    let (output, target, code) = (progress.kind, &progress.target, hangs.code());
    warn!(output, target, code, error = %hangs, "bundles not delivered yet");
    progress.failed(hangs.code(), hangs.to_string());
    (delivery.await, true)
}

/// Waits for a view that tells something else than the one that was tried, at most this long; false at the end.
async fn until_news(
    views: &mut watch::Receiver<Arc<View>>,
    tried: &View,
    progress: Option<&Arc<Progress>>,
    wait: Duration,
    stop: &CancellationToken,
) -> bool {
    let timer = tokio::time::sleep(wait);
    tokio::pin!(timer);
    loop {
        tokio::select! {
            () = stop.cancelled() => return false,
            () = &mut timer => return true,
            changed = views.changed() => if changed.is_err() { return false },
        }
        let view = views.borrow_and_update();
        if !tried.tells_the_same(&view) {
            return true;
        }
        progress.iter().for_each(|progress| progress.is_at(view.generation));
    }
}

/// How long what somebody else did to the place may last.
const MENDED_AFTER: Duration = Duration::from_secs(300);
/// What a delivery takes at most without a word about it.
const LONG: Duration = Duration::from_secs(30);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
