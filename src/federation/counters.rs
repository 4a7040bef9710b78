//! How often each thing happened, for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::spiffe::authority::SvidType;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::rejection::Rejection;
use crate::verify::verified::Verified;

/// What polling and verifying count.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Outcomes of polls.
    pub(crate) polls: Tally<TrustDomain>,
    /// Elements of documents that were ignored, each time again (OUT-03).
    pub(crate) elements: Tally<TrustDomain>,
    /// Seconds from when a poll was due to when it began.
    pub(crate) lateness: Histogram,
    /// Verdicts: `accepted`, or why not.
    pub(crate) verdicts: Tally<SvidType>,
    /// What issuers must and did not, in SVIDs that were accepted all the same.
    pub(crate) lapses: Tally<TrustDomain>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            polls: Tally::default(),
            elements: Tally::default(),
            lateness: Histogram::new(exponential_buckets(SHORTEST_LATENESS, 2.0, 16)),
            verdicts: Tally::default(),
            lapses: Tally::default(),
        }
    }
}

impl Counters {
    pub(crate) fn count_verdict(&self, svid_type: SvidType, verdict: Result<&Verified, &Rejection>) {
        self.verdicts.count(&svid_type, verdict.map_or_else(Rejection::code, |_| "accepted"));
        let Ok(verified) = verdict else { return };
        for lapse in &verified.lapses {
            self.lapses.count(verified.spiffe_id.trust_domain(), lapse.code());
        }
    }
}

/// Counts by a name and a code.
#[derive(Debug)]
pub(crate) struct Tally<N>(Mutex<BTreeMap<(N, &'static str), u64>>);

impl<N> Default for Tally<N> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<N: Clone + Ord> Tally<N> {
    pub(crate) fn count(&self, name: &N, code: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((name.clone(), code)).or_default() += 1;
    }

    /// All counts, in order.
    pub(crate) fn counts(&self) -> Vec<(N, &'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((name, code), count)| (name.clone(), *code, *count)).collect()
    }
}

/// Seconds; each bucket is twice as long, the last bounded one 32 times 1.024 s.
const SHORTEST_LATENESS: f64 = 0.001;
