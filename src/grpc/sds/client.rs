//! What clients do wrong: counted each time, and logged as far as that is worth a line.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::Status;
use tracing::warn;

use crate::federation::log_budget::LogBudget;
use crate::outputs::progress::Progress;

use super::dialogue::Refusal;

/// Lines that are left for each user and kind of fault.
#[derive(Default)]
pub(super) struct Lines(Mutex<HashMap<(u32, &'static str), LogBudget>>);

impl Lines {
    /// How many lines of this kind were left out since the last one, if this user may have one now.
    fn take(&self, uid: u32, code: &'static str, now: Instant) -> Option<u64> {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.retain(|_, budget| !budget.is_whole(now));
        budgets.entry((uid, code)).or_insert_with(|| LogBudget::new(AT_ONCE, PAUSE, now)).take(now)
    }
}

/// The user of a client.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) uid: u32,
    pub(super) lines: Arc<Lines>,
    pub(super) progress: Arc<Progress>,
}

impl Client {
    /// Tells the client, and the log, why its request is refused.
    pub(super) fn refuse(&self, refusal: &Refusal) -> Status {
        self.progress.refused_request();
        if let Some(left_out) = self.lines.take(self.uid, refusal.code(), Instant::now()) {
            let error = refusal.to_string();
            warn!(code = refusal.code(), uid = self.uid, left_out, ?error, "a request for Secrets was refused");
        }
        Status::invalid_argument(refusal.to_string())
    }

    /// Takes note that the client refuses what it was sent.
    pub(super) fn refuses(&self, generation: u64, detail: String) {
        if let Some(left_out) = self.lines.take(self.uid, "secret-refused", Instant::now()) {
            warn!(
                code = "secret-refused",
                uid = self.uid,
                generation,
                left_out,
                ?detail,
                "a client refuses the Secrets that it was sent, and keeps those before"
            );
        }
        self.progress.refused("secret-refused", detail);
    }
}

/// Enough for an Envoy whose every Secret has a wrong name.
const AT_ONCE: u32 = 10;
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_and_kind_has_lines_of_its_own_and_who_is_quiet_is_forgotten() {
        let (lines, start) = (Lines::default(), Instant::now());
        let taken = |uid, code, at| (0..100).filter(|_| lines.take(uid, code, at).is_some()).count();
        for (uid, code) in [(1, "unknown-secret"), (2, "unknown-secret"), (1, "secret-refused")] {
            assert_eq!(taken(uid, code, start), 10, "{code} of {uid}");
        }
        assert_eq!(lines.take(1, "unknown-secret", start + PAUSE), Some(90));
        assert_eq!(taken(3, "unknown-secret", start + PAUSE * 100), 10);
        assert_eq!(lines.0.lock().unwrap().len(), 1);
    }
}
