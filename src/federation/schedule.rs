//! When to poll next.

use std::time::Duration;

use crate::spiffe::bundle::Authorities;

use super::relationship::PollPolicy;
use super::timestamp::Timestamp;

/// Why a poll happens when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The peer's hint, within the bounds.
    RefreshHint,
    /// 5 min, for want of a hint, within the bounds.
    DefaultInterval,
    /// A third of the time that the longest-lived authority has left.
    AuthorityExpiry,
    /// No bundle yet: sooner than the interval, doubling up to it.
    Bootstrap,
    /// A document emptied the bundle, and a second one has to agree.
    ConfirmEmpty,
    /// The endpoint waits until there is something new, or is about to.
    Waiting,
}

impl Reason {
    /// Stable identifier in status and logs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::RefreshHint => "refresh-hint",
            Self::DefaultInterval => "default-interval",
            Self::AuthorityExpiry => "authority-expiry",
            Self::Bootstrap => "bootstrap",
            Self::ConfirmEmpty => "confirm-empty",
            Self::Waiting => "waiting",
        }
    }
}

/// What the next poll depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook<'a> {
    pub(crate) policy: PollPolicy,
    pub(crate) refresh_hint: Option<Duration>,
    /// The accepted authorities; `None` while there is no bundle.
    pub(crate) authorities: Option<&'a Authorities>,
    /// Fetches that failed in a row.
    pub(crate) failures: u64,
    /// A document emptied the bundle and waits for a second one.
    pub(crate) confirm_empty: bool,
}

/// Time from one poll to the next, and why.
///
/// Follows the hint within the bounds (SEQ-09), also after a failure (Federation §6.2); `jitter` in
/// `0.0..=1.0` makes it up to a tenth shorter.
pub(crate) fn next_poll(outlook: &Outlook<'_>, now: Timestamp, jitter: f64) -> (Duration, Reason) {
    if outlook.confirm_empty && outlook.failures == 0 {
        return (CONFIRM_EMPTY.mul_f64(1.0 + jitter), Reason::ConfirmEmpty);
    }
    let (mut wait, mut reason) = match outlook.refresh_hint {
        Some(hint) => (outlook.policy.interval(Some(hint)), Reason::RefreshHint),
        None => (outlook.policy.interval(None), Reason::DefaultInterval),
    };
    let minimum = outlook.policy.minimum();
    match outlook.authorities {
        // A first document that waits for a person is no failure.
        None if outlook.failures == 0 => {}
        None => {
            let doublings = u32::try_from(outlook.failures.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
            let retry = minimum.saturating_mul(1 << doublings);
            if retry < wait {
                (wait, reason) = (retry, Reason::Bootstrap);
            }
        }
        Some(authorities) => {
            if let Some(third) = third_of_remaining_life(authorities, now).filter(|third| *third < wait) {
                (wait, reason) = (third.max(minimum), Reason::AuthorityExpiry);
            }
        }
    }
    (wait.mul_f64(1.0 - 0.1 * jitter), reason)
}

/// The first wait after the first poll, shortened by a `phase` in `0.0..=1.0` to no less than `minimum`: relationships
/// that all began at one moment, as at a start, go on spread over the whole interval.
pub(crate) fn first_wait(wait: Duration, minimum: Duration, phase: f64) -> Duration {
    wait.min(minimum) + wait.saturating_sub(minimum).mul_f64(phase)
}

/// A third of the time left to the last expiry among the CA certificates: only the longest-lived has
/// no successor yet.
fn third_of_remaining_life(authorities: &Authorities, now: Timestamp) -> Option<Duration> {
    let last = authorities.x509().map(|authority| authority.not_after()).max()?;
    let last = Timestamp::from_secs(u64::try_from(last).ok()?);
    (last > now).then(|| last.since(now) / 3)
}

/// Between 10 and 60 s after the first document that emptied the bundle, jitter included.
const CONFIRM_EMPTY: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spiffe::authority::{Authority, X509Authority};
    use crate::spiffe::fixtures::FIXTURES;

    const NOW: u64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_secs(NOW)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn outlook(authorities: Option<&Authorities>) -> Outlook<'_> {
        let policy = PollPolicy::default();
        Outlook { policy, refresh_hint: None, authorities, failures: 0, confirm_empty: false }
    }

    /// CA certificates that end so many seconds from now.
    fn ending(ends: &[i64]) -> Authorities {
        let ca = |(fixture, end): (usize, &i64)| {
            let end = i64::try_from(NOW).unwrap() + end;
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(end.try_into().unwrap());
            let certificate = params.self_signed(&FIXTURES[fixture].key).unwrap();
            Authority::X509(X509Authority::from_der(certificate.der()).unwrap())
        };
        ends.iter().enumerate().map(ca).collect()
    }

    #[test]
    fn seq_09_10_the_hint_is_followed_within_bounds() {
        let keys = Authorities::new();
        for (hint, expected, reason) in [
            (None, 300, Reason::DefaultInterval),
            (Some(0), 60, Reason::RefreshHint),
            (Some(1), 60, Reason::RefreshHint),
            (Some(600), 600, Reason::RefreshHint),
            (Some(3_601), 3_600, Reason::RefreshHint),
            (Some(9_223_372_037), 3_600, Reason::RefreshHint),
            (Some(u64::MAX), 3_600, Reason::RefreshHint),
        ] {
            let outlook = Outlook { refresh_hint: hint.map(seconds), ..outlook(Some(&keys)) };
            assert_eq!(next_poll(&outlook, now(), 0.0), (seconds(expected), reason), "{hint:?}");
        }
    }

    #[test]
    fn fec_20_a_failure_waits_for_the_next_interval_unless_there_is_no_bundle_yet() {
        let keys = Authorities::new();
        for failures in [1, 2, 100, u64::MAX] {
            let failing = Outlook { failures, refresh_hint: Some(seconds(600)), ..outlook(Some(&keys)) };
            assert_eq!(next_poll(&failing, now(), 0.0), (seconds(600), Reason::RefreshHint), "{failures}");
        }
        for (failures, expected) in [(0, 300), (1, 60), (2, 120), (3, 240), (4, 300), (40, 300), (u64::MAX, 300)] {
            let (wait, _) = next_poll(&Outlook { failures, ..outlook(None) }, now(), 0.0);
            assert_eq!(wait, seconds(expected), "{failures}");
        }
    }

    #[test]
    fn fec_20_a_peer_that_fails_after_it_emptied_its_bundle_is_not_hammered() {
        let keys = Authorities::new();
        let emptied = Outlook { confirm_empty: true, ..outlook(Some(&keys)) };
        for (jitter, expected) in [(0.0, 15), (1.0, 30)] {
            assert_eq!(next_poll(&emptied, now(), jitter), (seconds(expected), Reason::ConfirmEmpty));
        }
        let failing = Outlook { failures: 1, ..emptied };
        assert_eq!(next_poll(&failing, now(), 0.0), (seconds(300), Reason::DefaultInterval));
    }

    #[test]
    fn an_authority_without_a_successor_is_polled_for_in_a_third_of_its_time() {
        for (name, ends, expected, reason) in [
            ("far away", &[86_400][..], 300, Reason::DefaultInterval),
            ("soon", &[600], 200, Reason::AuthorityExpiry),
            ("very soon: the floor counts", &[100], 60, Reason::AuthorityExpiry),
            ("it has a successor", &[600, 86_400], 300, Reason::DefaultInterval),
            ("past", &[0], 300, Reason::DefaultInterval),
            ("long past", &[-86_400], 300, Reason::DefaultInterval),
            ("none", &[], 300, Reason::DefaultInterval),
        ] {
            let authorities = ending(ends);
            assert_eq!(next_poll(&outlook(Some(&authorities)), now(), 0.0), (seconds(expected), reason), "{name}");
        }
    }

    #[test]
    fn the_first_wait_lies_between_the_minimum_and_the_interval() {
        for (wait, phase, expected) in [(300, 0.0, 60), (300, 0.5, 180), (300, 1.0, 300), (60, 0.0, 60), (20, 0.5, 20)]
        {
            assert_eq!(first_wait(seconds(wait), seconds(60), phase), seconds(expected), "{wait} at {phase}");
        }
    }

    proptest! {
        /// Whatever a peer serves and whatever the clock shows.
        #[test]
        fn seq_10_no_peer_makes_us_poll_faster_or_slower_than_the_bounds(
            hint in prop::option::of(any::<u64>()), failures: u64, time: u64, jitter in 0.0..=1.0,
            (minimum, more) in (1u64..=3_600, 0u64..=82_800), has_bundle: bool, confirm_empty: bool,
        ) {
            let authorities = FIXTURES.iter().map(|fixture| fixture.x509()).collect();
            let policy = PollPolicy::new(seconds(minimum), seconds(minimum + more)).unwrap();
            let refresh_hint = hint.map(seconds);
            let authorities = has_bundle.then_some(&authorities);
            let outlook = Outlook { policy, refresh_hint, authorities, failures, confirm_empty };
            let (wait, reason) = next_poll(&outlook, Timestamp::from_secs(time), jitter);
            if reason == Reason::ConfirmEmpty {
                prop_assert!((seconds(10)..=seconds(60)).contains(&wait));
            } else {
                prop_assert!(wait >= policy.minimum().mul_f64(0.9) && wait <= policy.maximum());
            }
        }
    }
}
