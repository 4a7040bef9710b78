//! The wall clock, which never goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use super::timestamp::Timestamp;

/// Wall time that only rises: the source's time, or the highest seen so far, also before a restart.
///
/// So a clock set back makes nothing valid again.
#[derive(Debug)]
pub(crate) struct Clock {
    source: Arc<dyn TimeProvider>,
    mark: AtomicU64,
}

impl Clock {
    /// `mark` is the highest time that an earlier run stored.
    pub(crate) fn new(source: Arc<dyn TimeProvider>, mark: Option<Timestamp>) -> Self {
        Self { source, mark: AtomicU64::new(mark.unwrap_or_default().as_secs()) }
    }

    /// The time to judge by.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.source_secs();
        Timestamp::from_secs(self.mark.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// How far the source is behind the highest time seen, if that is more than 5 min.
    pub(crate) fn went_back(&self) -> Option<Duration> {
        let behind = Duration::from_secs(self.mark.load(Ordering::Relaxed).saturating_sub(self.source_secs()));
        (behind > TOLERANCE).then_some(behind)
    }

    fn source_secs(&self) -> u64 {
        self.source.current_time().map_or(0, |time| time.as_secs())
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now().into())
    }
}

const TOLERANCE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Hand(AtomicU64);

    impl TimeProvider for Hand {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
        }
    }

    #[test]
    fn a_clock_set_back_makes_nothing_younger() {
        let hand = Arc::new(Hand(AtomicU64::new(1_000)));
        let clock = Clock::new(hand.clone(), None);
        for (shown, now, behind) in
            [(1_000, 1_000, None), (2_000, 2_000, None), (1_900, 2_000, None), (1_000, 2_000, Some(1_000))]
        {
            hand.0.store(shown, Ordering::Relaxed);
            assert_eq!(clock.now(), Timestamp::from_secs(now), "{shown}");
            assert_eq!(clock.went_back(), behind.map(Duration::from_secs), "{shown}");
        }
    }

    #[test]
    fn the_highest_time_of_an_earlier_run_counts() {
        let clock = Clock::new(Arc::new(Hand(AtomicU64::new(1_000))), Some(Timestamp::from_secs(5_000)));
        assert_eq!(clock.now(), Timestamp::from_secs(5_000));
        assert_eq!(clock.went_back(), Some(Duration::from_secs(4_000)));
    }
}
