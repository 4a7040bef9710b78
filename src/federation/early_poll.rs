//! The budget for polls that an unknown key asks for, so that nobody can use us as a hammer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::spiffe::trust_domain::TrustDomain;

use super::timestamp::Timestamp;

/// Allows one unplanned poll per domain in 30 s, more rarely after fruitless ones, and so many in all.
///
/// Fair because nobody gets a second one before the pause of its own is over.
#[derive(Debug, Default)]
pub(crate) struct EarlyPolls(Mutex<Budget>);

#[derive(Debug, Default)]
struct Budget {
    domains: HashMap<TrustDomain, Spent>,
    /// Unplanned polls of all domains in the current window.
    window: (Timestamp, u32),
}

#[derive(Clone, Copy, Debug)]
struct Spent {
    last: Timestamp,
    pause: Duration,
}

impl EarlyPolls {
    /// Whether `domain` may be polled now outside its schedule; `interval` bounds the pause between two.
    pub(crate) fn allow(&self, domain: &TrustDomain, interval: Duration, now: Timestamp) -> bool {
        let mut budget = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = match budget.domains.get(domain) {
            Some(spent) if now.since(spent.last) < spent.pause.min(interval) => return false,
            Some(spent) => spent.pause,
            None => PAUSE,
        };
        if now.since(budget.window.0) >= WINDOW {
            budget.window = (now, 0);
        }
        if budget.window.1 >= PER_WINDOW {
            return false;
        }
        budget.window.1 += 1;
        budget.domains.insert(domain.clone(), Spent { last: now, pause });
        true
    }

    /// Says what an allowed poll brought; a fruitless one doubles the pause.
    pub(crate) fn done(&self, domain: &TrustDomain, fruitful: bool) {
        let mut budget = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spent) = budget.domains.get_mut(domain) {
            spent.pause = if fruitful { PAUSE } else { spent.pause.saturating_mul(2) };
        }
    }
}

const PAUSE: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(10);
const PER_WINDOW: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn one_early_poll_per_domain_in_30_s_doubling_while_fruitless() {
        let (polls, domain) = (EarlyPolls::default(), "b.example".parse().unwrap());
        let interval = Duration::from_secs(100);
        for (name, second, allowed, fruitful) in [
            ("first", 0, true, true),
            ("too soon", 29, false, false),
            ("after the pause", 30, true, false),
            ("pause has doubled", 89, false, false),
            ("after the doubled pause", 90, true, false),
            ("the pause never exceeds the interval", 190, true, true),
            ("a fruitful one resets it", 220, true, true),
        ] {
            assert_eq!(polls.allow(&domain, interval, at(second)), allowed, "{name}");
            if allowed {
                polls.done(&domain, fruitful);
            }
        }
    }

    #[test]
    fn all_domains_together_have_a_budget() {
        let polls = EarlyPolls::default();
        let asks =
            |second| (0..100).filter(|n| polls.allow(&format!("d{n}").parse().unwrap(), PAUSE, at(second))).count();
        assert_eq!(
            (asks(0), asks(5), asks(10)),
            (50, 0, 50),
            "those who came late are served first in the next window"
        );
    }
}
