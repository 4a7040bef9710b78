//! When to ask for a certificate: pure functions of times.

use std::time::Duration;

use crate::federation::timestamp::Timestamp;

/// The validity of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// When to renew: after two thirds of the life, or a fiftieth of it earlier with `jitter` 1.0, so that services set up
/// together drift apart. Never within 10 s of `now`, however short a life the server grants.
pub(super) fn renewal(life: Life, now: Timestamp, jitter: f64) -> Timestamp {
    let whole = life.not_after.since(life.not_before);
    let share = 2.0 / 3.0 - jitter.clamp(0.0, 1.0) / 50.0;
    life.not_before.after(whole.mul_f64(share)).max(now.after(SOONEST))
}

/// How long to wait after a failure: 1 min, doubling to 6 h with each further one, up to a tenth more with `jitter`
/// 1.0; longer, up to a day, if the server `asked` for that.
pub(super) fn retry(failures: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    let spread = doubled.min(LAST_RETRY).mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 10.0);
    spread.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

const SOONEST: Duration = Duration::from_secs(10);
/// Also the least time between attempts that a restart leaves.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(60);
const LAST_RETRY: Duration = Duration::from_secs(6 * 3600);
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
        let days = |count: u64| 1_000_000 + count * 86_400;
        for (name, end, now, jitter, expected) in [
            ("90 days", days(90), days(1), 0.0, days(60)),
            ("90 days, earliest", days(90), days(1), 1.0, days(60) - 155_520),
            ("6 days", days(6), days(1), 0.0, days(4)),
            ("overdue", days(90), days(80), 0.0, days(80) + 10),
            ("ended", days(90), days(100), 0.0, days(100) + 10),
            ("no life at all", days(0), days(0), 0.5, days(0) + 10),
            ("ends before it begins", 5, days(0), 0.5, days(0) + 10),
        ] {
            let life = Life { not_before: at(days(0)), not_after: at(end) };
            assert_eq!(renewal(life, at(now), jitter), at(expected), "{name}");
        }
    }

    #[test]
    fn failures_wait_twice_as_long_each_time_and_heed_the_server() {
        let (minute, hour) = (60, 3600);
        for (failures, asked, jitter, expected) in [
            (0, None, 0.0, minute),
            (1, None, 0.0, minute),
            (1, None, 1.0, minute + 6),
            (2, None, 0.0, 2 * minute),
            (7, None, 0.0, 64 * minute),
            (9, None, 0.0, 256 * minute),
            (10, None, 0.0, 6 * hour),
            (u32::MAX, None, 0.0, 6 * hour),
            (1, Some(30), 0.0, minute),
            (1, Some(3 * hour), 1.0, 3 * hour),
            (1, Some(u64::MAX), 0.0, 24 * hour),
        ] {
            let wait = retry(failures, asked.map(Duration::from_secs), jitter);
            assert_eq!(wait, Duration::from_secs(expected), "{failures} {asked:?}");
        }
    }

    proptest! {
        #[test]
        fn a_renewal_is_never_at_once_and_leaves_a_third_of_the_life(
            start: u32, length: u32, now: u32, jitter in 0.0..=1.0
        ) {
            let life = Life { not_before: at(start.into()), not_after: at(u64::from(start) + u64::from(length)) };
            let due = renewal(life, at(now.into()), jitter);
            let soonest = at(u64::from(now) + 10);
            prop_assert!(due >= soonest);
            prop_assert!(due == soonest || due.since(life.not_before) <= Duration::from_secs(length.into()).mul_f64(0.667));
        }
    }
}
