//! When an own key may sign: how long it has been public, and who has fetched it.

use serde::{Deserialize, Serialize};

use crate::spiffe::authority::{Authority, SvidType};

use super::fetchers::{FetcherStatus, Noted};
use super::publisher::OwnKeys;
use super::status::AuthoritySummary;
use super::timestamp::Timestamp;
use super::warnings::NOTICE;

/// Our own keys on their way to the peers, as `comity rotation status` and `GET /v1/rotation` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RotationStatus {
    pub(crate) now: Timestamp,
    /// Of the published bundle; none before the first.
    pub(crate) sequence: Option<u64>,
    pub(crate) refresh_hint_seconds: Option<u64>,
    pub(crate) keys: Vec<KeyRotation>,
    /// Fetchers are known since then: the start of the service.
    pub(crate) fetchers_since: Timestamp,
    /// The latest first.
    pub(crate) fetchers: Vec<FetcherStatus>,
    /// How many fetchers made room for others.
    pub(crate) fetchers_forgotten: u64,
}

/// One published key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRotation {
    pub(crate) authority: AuthoritySummary,
    pub(crate) svid_type: SvidType,
    pub(crate) public_since: Timestamp,
    /// Three refresh hints later (Federation §4.1).
    pub(crate) safe_from: Timestamp,
    pub(crate) is_safe: bool,
    /// Whichever fetcher has this sequence or a higher one has the key.
    pub(crate) first_sequence: u64,
    pub(crate) fetchers_with: usize,
    /// Those that last fetched a bundle without it.
    pub(crate) fetchers_without: usize,
}

impl KeyRotation {
    /// Whether this fetcher was last seen with the key.
    pub(crate) fn is_with(&self, fetcher: &FetcherStatus) -> bool {
        fetcher.sequence >= self.first_sequence
    }
}

impl RotationStatus {
    /// The first keys ever count as new too: after a loss of the store, all keys look like that.
    pub(crate) fn of(own: Option<&OwnKeys>, noted: Noted, now: Timestamp) -> Self {
        let keys = own.iter().flat_map(|own| own.bundle.authorities().iter().map(|key| of_key(key, own, &noted, now)));
        Self {
            now,
            sequence: own.and_then(|own| own.bundle.sequence()),
            refresh_hint_seconds: own.and_then(|own| own.bundle.refresh_hint()).map(|hint| hint.as_secs()),
            keys: keys.collect(),
            fetchers_since: noted.since,
            fetchers: noted.fetchers,
            fetchers_forgotten: noted.forgotten,
        }
    }
}

fn of_key(key: &Authority, own: &OwnKeys, noted: &Noted, now: Timestamp) -> KeyRotation {
    let id = key.id();
    let public_since = own.progress.since.get(&id).copied().unwrap_or(now);
    let safe_from = public_since.after(own.bundle.refresh_hint().unwrap_or_default() * NOTICE);
    let first_sequence = own.first.get(&id).copied().or_else(|| own.bundle.sequence()).unwrap_or_default();
    let rotation = KeyRotation {
        authority: key.into(),
        svid_type: id.svid_type(),
        public_since,
        safe_from,
        is_safe: now >= safe_from,
        first_sequence,
        fetchers_with: 0,
        fetchers_without: 0,
    };
    let fetchers_with = noted.fetchers.iter().filter(|fetcher| rotation.is_with(fetcher)).count();
    KeyRotation { fetchers_with, fetchers_without: noted.fetchers.len() - fetchers_with, ..rotation }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::federation::publisher::OwnProgress;
    use crate::spiffe::bundle::{Authorities, Bundle};
    use crate::spiffe::fixtures::FIXTURES;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn fes_11_a_key_is_safe_three_hints_after_it_became_public() {
        let keys: Authorities = [FIXTURES[1].x509(), FIXTURES[2].jwt("k")].into_iter().collect();
        let since = keys.ids().cloned().zip([at(1_000), at(2_000)]).collect();
        let first = keys.ids().cloned().zip([7, 9]).collect();
        let hint = Some(Duration::from_secs(300));
        let bundle = Arc::new(Bundle::new("a.example".parse().unwrap(), keys, Some(9), hint));
        let own = OwnKeys { bundle, progress: OwnProgress { begun: at(1_000), since }, first };
        let fetcher = |sequence| FetcherStatus {
            address: "10.0.0.1".parse().unwrap(),
            user_agent: None,
            sequence,
            last_seen: at(2_000),
        };
        let noted = Noted { since: at(500), fetchers: [9, 8, 7, 10].map(fetcher).to_vec(), forgotten: 3 };
        for (now, safe) in [(1_899, [false, false]), (1_900, [true, false]), (2_899, [true, false]), (2_900, [true; 2])]
        {
            let status = RotationStatus::of(Some(&own), noted.clone(), at(now));
            let of_keys: Vec<_> = status
                .keys
                .iter()
                .map(|key| (key.svid_type, key.public_since, key.safe_from, key.fetchers_with, key.fetchers_without))
                .collect();
            assert_eq!(
                of_keys,
                [(SvidType::X509Svid, at(1_000), at(1_900), 4, 0), (SvidType::JwtSvid, at(2_000), at(2_900), 2, 2),]
            );
            assert_eq!(status.keys.iter().map(|key| key.is_safe).collect::<Vec<_>>(), safe, "{now}");
            assert_eq!((status.sequence, status.fetchers_since, status.fetchers_forgotten), (Some(9), at(500), 3));
        }
        let none = RotationStatus::of(None, noted, at(1_900));
        assert_eq!((none.sequence, none.keys.len(), none.fetchers.len()), (None, 0, 4));
    }
}
