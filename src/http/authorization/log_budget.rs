//! How many refusals are worth a line in the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A budget of lines: a hundred at once, then ten a second. Whoever may be refused must not be able to fill a disk.
#[derive(Debug)]
pub(super) struct LogBudget(Mutex<State>);

#[derive(Debug)]
struct State {
    /// When the budget would be whole again.
    whole: Instant,
    left_out: u64,
}

impl LogBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { whole: now, left_out: 0 }))
    }

    /// How many lines were left out since the last one, if there may be one now.
    pub(super) fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = state.whole.max(now) + PER_LINE;
        if whole.duration_since(now) > PER_LINE * BURST {
            state.left_out += 1;
            return None;
        }
        state.whole = whole;
        Some(std::mem::take(&mut state.left_out))
    }
}

const PER_LINE: Duration = Duration::from_millis(100);
const BURST: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_a_burst_then_ten_lines_a_second_and_all_are_counted() {
        let start = Instant::now();
        let budget = LogBudget::new(start);
        let lines = |at: Instant| (0..1000).filter(|_| budget.take(at).is_some()).count();
        assert_eq!(lines(start), 100);
        assert_eq!(budget.take(start + Duration::from_millis(100)), Some(900));
        assert_eq!(lines(start + Duration::from_millis(1100)), 10);
        assert_eq!(budget.take(start + Duration::from_millis(2100)), Some(990));
        assert_eq!(budget.take(start + Duration::from_millis(2100)), Some(0));
        assert_eq!(lines(start + Duration::from_secs(3600)), 100);
    }
}
