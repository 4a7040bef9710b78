//! How long to wait after failures.

use std::time::Duration;

/// `first`, doubled with each failure after the first, at most `longest`.
pub(crate) fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest)
}
