use std::sync::Mutex;

use tokio::time::Instant;

use super::*;
use crate::federation::clock::Clock;
use crate::federation::trust_feed::Generation;
use crate::outputs::progress::Outputs;
use crate::outputs::selection::{Lack, Selected};
use crate::spiffe::authority::Authority;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::fixtures::FIXTURES;

/// Keeps the generations that it was given, and fails as often as it is told to.
#[derive(Clone, Default)]
struct Place {
    failures: Arc<Mutex<u32>>,
    seen: Arc<Mutex<Vec<u64>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct Full;

impl Coded for Full {
    fn code(&self) -> &'static str {
        "disk-full"
    }
}

impl Sink for Place {
    type Error = Full;

    async fn deliver(&mut self, view: &View) -> Result<(), Full> {
        self.seen.lock().unwrap().push(view.generation.number);
        let mut failures = self.failures.lock().unwrap();
        let fails = *failures > 0;
        *failures = failures.saturating_sub(1);
        if fails { Err(Full) } else { Ok(()) }
    }
}

/// Ends a delivery when it is told to.
struct Hanging {
    ends: watch::Receiver<bool>,
    place: Place,
}

impl Sink for Hanging {
    type Error = Full;

    async fn deliver(&mut self, view: &View) -> Result<(), Full> {
        self.ends.wait_for(|ends| *ends).await.unwrap();
        self.place.deliver(view).await
    }
}

/// Panics once.
struct Stumbling {
    stumbles: bool,
    place: Place,
}

impl Sink for Stumbling {
    type Error = Full;

    async fn deliver(&mut self, view: &View) -> Result<(), Full> {
        assert!(!std::mem::take(&mut self.stumbles), "as asked");
        self.place.deliver(view).await
    }
}

fn progress() -> Arc<Progress> {
    let clock = Arc::new(Clock::new(Arc::new(rustls::time_provider::DefaultTimeProvider), None));
    Outputs::new(clock).add("files", "/x".into())
}

fn view(number: u64, keys: impl IntoIterator<Item = Authority>) -> Arc<View> {
    let bundle = Bundle::new("b".parse().unwrap(), keys.into_iter().collect(), Some(1), None);
    let bundles = [("b".parse().unwrap(), Arc::new(bundle))].into();
    let generation = Generation { number, since: Instant::now() };
    Arc::new(View {
        trust_domain: "a".parse().unwrap(),
        selected: Selected { bundles, ..Selected::default() },
        generation,
    })
}

#[tokio::test(start_paused = true)]
async fn each_change_is_delivered_once_and_a_failure_tried_again() {
    let (place, progress) = (Place::default(), progress());
    let (views, view_now) = watch::channel(view(1, []));
    let stop = CancellationToken::new();
    let end = export(place.clone(), view_now, progress.clone(), stop.clone());
    let seen = || std::mem::take(&mut *place.seen.lock().unwrap());
    let a_while = || tokio::time::sleep(Duration::from_millis(1_500));
    let script = async {
        tokio::task::yield_now().await;
        assert_eq!((seen(), progress.status().pushes), (vec![1], 1));
        views.send_replace(view(2, []));
        a_while().await;
        let status = progress.status();
        assert_eq!((seen(), status.pushes, status.generation), (vec![], 1, Some(2)), "nothing new for it");
        *place.failures.lock().unwrap() = 2;
        views.send_replace(view(3, [FIXTURES[1].x509()]));
        a_while().await;
        let status = progress.status();
        assert_eq!((status.generation, status.failures), (Some(2), 2), "at once and after a second");
        assert_eq!(status.last_error.map(|error| error.code).as_deref(), Some("disk-full"));
        views.send_replace(view(4, [FIXTURES[2].x509()]));
        a_while().await;
        let status = progress.status();
        assert_eq!((seen(), status.generation, status.pushes), (vec![3, 3, 4], Some(4), 2), "the newest counts");
        assert_eq!((status.last_error, status.failures), (None, 2));
        tokio::time::sleep(MENDED_AFTER).await;
        assert_eq!((seen(), progress.status().pushes), (vec![4], 2), "what others changed is mended");
        stop.cancel();
    };
    tokio::join!(end, script);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_not_hurried_by_changes_that_are_none_of_its_own() {
    let (place, progress) = (Place::default(), progress());
    let (views, view_now) = watch::channel(view(1, []));
    let stop = CancellationToken::new();
    *place.failures.lock().unwrap() = u32::MAX;
    let end = export(place.clone(), view_now, progress.clone(), stop.clone());
    let script = async {
        for number in 2..100 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            views.send_replace(view(number, []));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!((place.seen.lock().unwrap().len(), progress.status().failures), (1, 1), "within a second");
        tokio::time::sleep(FIRST_RETRY).await;
        assert_eq!(*place.seen.lock().unwrap(), [1, 99], "the newest, when it is time");
        stop.cancel();
    };
    tokio::join!(end, script);
}

#[tokio::test(start_paused = true)]
async fn why_a_domain_is_missing_is_delivered_too() {
    let (place, progress) = (Place::default(), progress());
    let (views, view_now) = watch::channel(view(1, []));
    let stop = CancellationToken::new();
    let end = export(place.clone(), view_now, progress, stop.clone());
    let script = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut lacking = View::clone(&view(2, []));
        lacking.selected.lacking = [("c".parse().unwrap(), Lack::Revoked)].into();
        views.send_replace(lacking.into());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(*place.seen.lock().unwrap(), [1, 2]);
        stop.cancel();
    };
    tokio::join!(end, script);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_is_tried_again_as_one_that_fails() {
    let (place, progress) = (Place::default(), progress());
    let (_views, view_now) = watch::channel(view(1, []));
    let stop = CancellationToken::new();
    let end = export(Stumbling { stumbles: true, place: place.clone() }, view_now, progress.clone(), stop.clone());
    let script = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(progress.status().last_error.map(|error| error.code).as_deref(), Some("output-panicked"));
        tokio::time::sleep(FIRST_RETRY).await;
        assert_eq!((&*place.seen.lock().unwrap(), progress.status().last_error), (&vec![1], None));
        stop.cancel();
    };
    tokio::join!(end, script);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_hangs_is_told_until_it_ends_and_holds_up_no_stop() {
    let (place, progress) = (Place::default(), progress());
    let (views, view_now) = watch::channel(view(1, []));
    let (end, ends) = watch::channel(true);
    let stop = CancellationToken::new();
    let exporting = export(Hanging { ends, place: place.clone() }, view_now, progress.clone(), stop.clone());
    let code = || progress.status().last_error.map(|error| error.code);
    let script = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        end.send_replace(false);
        views.send_replace(view(2, [FIXTURES[1].x509()]));
        tokio::time::sleep(LONG - Duration::from_millis(1)).await;
        assert_eq!(code(), None);
        views.send_replace(view(3, [FIXTURES[2].x509()]));
        tokio::time::sleep(LONG * 100).await;
        let status = progress.status();
        assert_eq!((code().as_deref(), status.failures, status.generation), (Some("output-hangs"), 1, Some(1)));
        end.send_replace(true);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!((code(), &*place.seen.lock().unwrap()), (None, &vec![1, 2, 3]), "one after the other");
        end.send_replace(false);
        tokio::time::sleep(MENDED_AFTER + LONG * 2).await;
        assert_eq!(code().as_deref(), Some("output-hangs"), "also where there is nothing new");
        end.send_replace(true);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(code(), None);
        end.send_replace(false);
        views.send_replace(view(4, []));
        tokio::time::sleep(Duration::from_millis(1)).await;
        stop.cancel();
    };
    tokio::join!(exporting, script);
}
