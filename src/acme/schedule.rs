//! When to ask for a certificate: pure functions of times.

use std::time::Duration;

use crate::authorities::backoff::doubled;
use crate::federation::timestamp::Timestamp;

/// How long a certificate is of use to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// When it became valid, or when we got it if that was later.
    pub(super) begin: Timestamp,
    pub(super) not_after: Timestamp,
}

/// When to renew: after two thirds of the life, or a fiftieth of it earlier with `jitter` 1.0, so that services set up
/// together drift apart.
pub(super) fn renewal(life: Life, jitter: f64) -> Timestamp {
    let whole = life.not_after.since(life.begin);
    let share = 2.0 / 3.0 - jitter.clamp(0.0, 1.0) / 50.0;
    life.begin.after(whole.mul_f64(share))
}

/// When to renew what was obtained `now`: never within a minute. A server whose certificates are due sooner than that,
/// `hurried` of them in a row before this one, is asked as seldom as one that fails. The new count comes along.
pub(super) fn after_success(life: Life, now: Timestamp, hurried: u32, jitter: f64) -> (Timestamp, u32) {
    let due = renewal(life, jitter);
    if due >= now.after(FIRST_RETRY) {
        return (due, 0);
    }
    let hurried = hurried.saturating_add(1);
    (now.after(retry(hurried, None, jitter)), hurried)
}

/// How long to wait after a failure: 1 min, doubling to 6 h with each further one, up to a tenth more with `jitter`
/// 1.0; longer, up to a day, if the server `asked` for that.
pub(super) fn retry(failures: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let spread = doubled(FIRST_RETRY, failures, LAST_RETRY).mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 10.0);
    spread.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

/// Also the least time between attempts, whatever becomes of them.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(60);
const LAST_RETRY: Duration = Duration::from_secs(6 * 3600);
pub(super) const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);

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
        for (name, end, jitter, expected) in [
            ("90 days", days(90), 0.0, days(60)),
            ("90 days, earliest", days(90), 1.0, days(60) - 155_520),
            ("6 days", days(6), 0.0, days(4)),
            ("no life at all", days(0), 0.5, days(0)),
            ("ends before it begins", 5, 0.5, days(0)),
        ] {
            let life = Life { begin: at(days(0)), not_after: at(end) };
            assert_eq!(renewal(life, jitter), at(expected), "{name}");
        }
    }

    #[test]
    fn a_server_whose_certificates_are_always_due_is_asked_ever_less_often() {
        let (now, minute) = (1_000_000, 60);
        for (name, length, hurried, expected) in [
            ("two minutes", 120, 9, (80, 0)),
            ("one minute and a half", 90, 0, (minute, 0)),
            ("due in less than a minute", 80, 0, (minute, 1)),
            ("for the second time", 80, 1, (2 * minute, 2)),
            ("for the tenth time", 80, 9, (360 * minute, 10)),
            ("for ever", 0, u32::MAX, (360 * minute, u32::MAX)),
        ] {
            let life = Life { begin: at(now), not_after: at(now + length) };
            let (due, count) = after_success(life, at(now), hurried, 0.0);
            assert_eq!((due.as_secs() - now, count), expected, "{name}");
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
            start: u32, length: u32, now: u32, hurried: u32, jitter in 0.0..=1.0
        ) {
            let life = Life { begin: at(start.into()), not_after: at(u64::from(start) + u64::from(length)) };
            let (due, count) = after_success(life, at(now.into()), hurried, jitter);
            prop_assert!(due >= at(u64::from(now) + 60));
            let third_is_left = due.since(life.begin) <= Duration::from_secs(length.into()).mul_f64(0.667);
            let is_counted = count > hurried || hurried == u32::MAX;
            prop_assert!((count == 0 && third_is_left) || is_counted);
        }

        #[test]
        fn no_server_is_asked_more_than_twenty_times_a_day(lives in prop::collection::vec(0_u64..60, 40)) {
            let (mut now, mut hurried) = (at(0), 0);
            for length in &lives {
                let life = Life { begin: now, not_after: now.after(Duration::from_secs(*length)) };
                (now, hurried) = after_success(life, now, hurried, 0.0);
            }
            prop_assert!(now >= at(86_400 * 2), "{now}");
        }
    }
}
