//! What the store remembers of attempts, so that a service that starts again and again asks no more often for it.

use serde::{Deserialize, Serialize};

use crate::federation::timestamp::Timestamp;
use crate::store::Store;
use crate::store::error::StoreError;

use super::AcmeSettings;
use super::schedule::{FIRST_RETRY, LONGEST_ASKED};

/// Those for one certificate until now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempts {
    pub(super) directory: String,
    pub(super) domains: Vec<String>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Certificates in a row that were due as soon as they came.
    pub(super) hurried: u32,
    /// When the last one began.
    pub(super) begun: Timestamp,
    /// When the next one may begin.
    pub(super) soonest: Timestamp,
}

impl Attempts {
    /// Those that the store has, as far as they bind us `now`. What can't be read counts for nothing; what was asked with
    /// other settings, only for the minute that is between any two attempts.
    pub(super) async fn restore(
        settings: &AcmeSettings,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let kept: Self = serde_json::from_slice(&store.secret(ATTEMPT).await?.unwrap_or_default()).unwrap_or_default();
        if kept.directory == settings.directory.to_string() && kept.domains == settings.domains {
            // A clock that ran ahead must not keep us from asking for longer than a server may.
            return Ok(Self { soonest: kept.soonest.min(now.after(LONGEST_ASKED)), ..kept });
        }
        let soonest = kept.begun.min(now).after(FIRST_RETRY);
        Ok(Self { begun: kept.begun, soonest, ..Self::default() })
    }

    /// Puts them into the store, as those with these settings.
    pub(super) async fn keep(&self, settings: &AcmeSettings, store: &dyn Store) -> Result<(), StoreError> {
        let (directory, domains) = (settings.directory.to_string(), settings.domains.clone());
        let record = Self { directory, domains, ..self.clone() };
        let record = serde_json::to_vec(&record).expect("texts, numbers and times have a JSON form");
        store.put_secret(ATTEMPT, &record).await
    }
}

pub(super) const ATTEMPT: &str = "acme-attempt";
