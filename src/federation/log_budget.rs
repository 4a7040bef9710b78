//! How many refusals are worth a line in the log.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A budget of lines: some at once, then one after each pause. Whoever may be refused must not be able to fill a disk.
#[derive(Debug)]
pub(crate) struct LogBudget {
    at_once: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the budget would be whole again.
    whole: Instant,
    left_out: u64,
}

impl LogBudget {
    pub(crate) fn new(at_once: u32, pause: Duration, now: Instant) -> Self {
        Self { at_once, pause, state: Mutex::new(State { whole: now, left_out: 0 }) }
    }

    /// How many lines were left out since the last one, if there may be one now.
    pub(crate) fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.state();
        let whole = state.whole.max(now) + self.pause;
        if whole.duration_since(now) > self.pause * self.at_once {
            state.left_out += 1;
            return None;
        }
        state.whole = whole;
        Some(std::mem::take(&mut state.left_out))
    }

    /// Whether nothing was taken of it for so long that it is as new.
    pub(crate) fn is_whole(&self, now: Instant) -> bool {
        self.state().whole <= now
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_a_burst_then_a_line_after_each_pause_and_all_are_counted() {
        let start = Instant::now();
        let budget = LogBudget::new(100, Duration::from_millis(100), start);
        let lines = |at: Instant| (0..1000).filter(|_| budget.take(at).is_some()).count();
        assert_eq!(lines(start), 100);
        assert_eq!(budget.take(start + Duration::from_millis(100)), Some(900));
        assert_eq!(lines(start + Duration::from_millis(1100)), 10);
        assert_eq!(budget.take(start + Duration::from_millis(2100)), Some(990));
        assert_eq!(budget.take(start + Duration::from_millis(2100)), Some(0));
        assert!(!budget.is_whole(start + Duration::from_millis(2100)));
        assert!(budget.is_whole(start + Duration::from_secs(3600)));
        assert_eq!(lines(start + Duration::from_secs(3600)), 100);
    }
}
