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
    if outlook.confirm_empty {
        return (CONFIRM_EMPTY.mul_f64(1.0 + jitter), Reason::ConfirmEmpty);
    }
    let (mut wait, mut reason) = match outlook.refresh_hint {
        Some(hint) => (outlook.policy.interval(Some(hint)), Reason::RefreshHint),
        None => (outlook.policy.interval(None), Reason::DefaultInterval),
    };
    let minimum = outlook.policy.minimum();
    match outlook.authorities {
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

/// A third of the time left to the last expiry among the CA certificates: only the longest-lived has
/// no successor yet.
fn third_of_remaining_life(authorities: &Authorities, now: Timestamp) -> Option<Duration> {
    let last = authorities.x509().map(|authority| authority.not_after()).max()?;
    let last = Timestamp::from_secs(u64::try_from(last).ok()?);
    (last > now).then(|| last.since(now) / 3)
}

/// Between 10 and 60 s after the first document that emptied the bundle, jitter included.
const CONFIRM_EMPTY: Duration = Duration::from_secs(15);
