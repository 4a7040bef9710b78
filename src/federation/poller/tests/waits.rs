use tokio::task::JoinSet;

use super::*;
use crate::federation::endpoint_client::{Body, FetchError, Waited};

impl Bench {
    /// After polls that brought an entity tag, beside which the endpoint may be known to wait.
    async fn waited_on(is_known: bool) -> Self {
        let mut bench = Self::new().await;
        bench.serve(1, 1).await.unwrap();
        bench.serve(1, 1).await.unwrap();
        bench.poller.polls = 2;
        if is_known {
            bench.poller.patience.answered(WHOLE.held, &WHOLE, false);
        }
        bench
    }
}

#[tokio::test]
async fn a_wait_that_was_cut_off_is_followed_by_a_poll_with_a_place_of_its_own() {
    let mut bench = Bench::waited_on(false).await;
    let etag = bench.poller.etags.remove(FIRST).unwrap();
    let waited = Waited { held: Duration::from_secs(60), is_applied: false, granted: None };
    let record = FetchRecord { waited: Some(waited), ..record() };
    let fetched = (record, Err(FetchError::UnexpectedStatus { status: 504 }));
    let due = bench.poller.conclude(Ended { fetched, etag, asked: Duration::from_secs(300) }).await;
    assert_eq!((bench.poller.polls, bench.poller.etags.len()), (2, 0), "nobody is asked yet, and then plainly");
    assert!(due - Instant::now() <= Duration::from_millis(1_500));
}

#[tokio::test]
async fn an_endpoint_that_waits_and_failed_once_may_be_restarting() {
    let mut bench = Bench::waited_on(false).await;
    let seconds = Duration::from_secs;
    let fail = |poller: &mut Poller, failures| Arc::make_mut(&mut poller.known).progress.failures = failures;
    fail(&mut bench.poller, 1);
    assert_eq!(bench.poller.next_wait(), None, "nobody knows yet whether it waits");
    bench.poller.patience.answered(WHOLE.held, &WHOLE, false);
    bench.poller.etags.clear();
    for (failures, expected) in [(1, Some(5)), (2, None)] {
        fail(&mut bench.poller, failures);
        assert_eq!(bench.poller.next_wait(), expected.map(seconds), "{failures}");
    }
    (0..4).for_each(|_| bench.poller.patience.disturbed());
    fail(&mut bench.poller, 1);
    assert_eq!(bench.poller.next_wait(), Some(seconds(8)), "ever less often, if that goes on");
}

#[tokio::test]
async fn an_endpoint_for_which_no_place_to_wait_is_left_is_polled_as_scheduled() {
    for is_known in [true, false] {
        let mut bench = Bench::waited_on(is_known).await;
        assert!(bench.poller.next_wait().is_some(), "{is_known}");
        let _taken: Vec<_> = std::iter::from_fn(|| bench.shared.places.to_wait()).collect();
        let place = bench.shared.places.take(false).await;
        assert!(bench.poller.begin_wait(place).await.is_some(), "{is_known}");
        assert_eq!(bench.poller.next_wait(), None, "{is_known}");
        assert!(bench.poller.patience.ask(Duration::from_secs(300)).is_some(), "it is tried again: {is_known}");
        assert!(bench.poller.next_wait().is_some(), "{is_known}");
    }
}

#[tokio::test]
async fn an_endpoint_whose_certificates_end_with_every_wait_does_not_make_us_spin() {
    for is_known in [true, false] {
        let mut bench = Bench::waited_on(is_known).await;
        for expected in [1, 2, 4, 8] {
            let etag = bench.poller.etags.get(FIRST).unwrap().clone();
            // Nothing of what was shown is there to be looked at again.
            let fetched = (FetchRecord { waited: Some(WHOLE), ..record() }, Ok(Body::NotModified));
            bench.poller.conclude(Ended { fetched, etag, asked: WHOLE.held }).await;
            bench.serve(1, 1).await.unwrap();
            assert_eq!(bench.poller.next_wait(), Some(Duration::from_secs(expected)), "{is_known}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_lies_about_waiting_is_asked_no_later_than_one_that_is_polled() {
    let mut bench = Bench::waited_on(true).await;
    (0..32).for_each(|_| bench.poller.patience.disturbed());
    for _ in 0..32 {
        assert!(bench.poller.plan() - Instant::now() <= bench.poller.interval());
    }
}

#[tokio::test]
async fn rel_06_nobody_is_waited_on_after_the_end_of_the_relationship() {
    let mut bench = Bench::waited_on(false).await;
    let etag = bench.poller.etags.remove(FIRST).unwrap();
    bench.poller.waiting = Some(Waiting { answer: JoinSet::new(), etag, asked: Duration::from_secs(300) });
    let order = bench.until(NOW + 9);
    bench.poller.obey(order).await;
    bench.poller.announce_lapse();
    assert!(bench.poller.waiting.is_some());
    bench.hand.0.store(NOW + 10, Ordering::Relaxed);
    bench.poller.announce_lapse();
    assert!(bench.poller.waiting.is_none());
}

/// A wait to its end.
const WHOLE: Waited = Waited { held: Duration::from_secs(10), is_applied: true, granted: None };
