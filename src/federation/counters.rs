//! How often each thing happened, for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::spiffe::trust_domain::TrustDomain;

/// What polling counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Outcomes of polls.
    pub(crate) polls: Tally,
    /// Elements of documents that were ignored, each time again (OUT-03).
    pub(crate) elements: Tally,
}

/// Counts by trust domain and code.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<(TrustDomain, &'static str), u64>>);

impl Tally {
    pub(crate) fn count(&self, domain: &TrustDomain, code: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((domain.clone(), code)).or_default() += 1;
    }

    /// All counts, by name and code.
    pub(crate) fn counts(&self) -> Vec<(TrustDomain, &'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((domain, code), count)| (domain.clone(), *code, *count)).collect()
    }
}
