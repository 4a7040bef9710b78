//! Our own bundle, from its authorities to the endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::info;

use crate::spiffe::authority::AuthorityId;
use crate::spiffe::bundle::{Authorities, Bundle, BundleDiff};
use crate::spiffe::document::render::WitAuthorities;
use crate::spiffe::document::render::render;
use crate::spiffe::trust_domain::TrustDomain;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::records::OwnBundle;
use crate::verify::snapshot::DomainTrust;
use crate::verify::x509::Usage;

use super::clock::Clock;
use super::fetchers::Fetchers;
use super::poller::Shared;
use super::published_bundle::PublishedBundle;
use super::status::Warning;
use super::timestamp::Timestamp;
use super::trust_feed::TrustFeed;

/// Turns our authorities into the published bundle; the sequence rises exactly when contents change.
pub(crate) struct Publisher {
    trust_domain: TrustDomain,
    refresh_hint: Duration,
    store: Arc<dyn Store>,
    clock: Arc<Clock>,
    feed: Arc<TrustFeed>,
    own: ArcSwapOption<OwnKeys>,
    published: watch::Sender<Option<Arc<PublishedBundle>>>,
    fetchers: Arc<Fetchers>,
}

/// What we publish, and since when each key has been public.
#[derive(Clone, Debug)]
pub(crate) struct OwnKeys {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) progress: OwnProgress,
    /// The first sequence with each key among those that were served since the start.
    pub(crate) first: BTreeMap<AuthorityId, u64>,
}

/// What the store keeps beside our bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnProgress {
    /// The very first publication, before which nobody could have fetched another key.
    pub(crate) begun: Timestamp,
    pub(crate) since: BTreeMap<AuthorityId, Timestamp>,
}

impl OwnProgress {
    /// Reads what was stored; what can't be read is of unknown age, and so counts as new. A clock that ran ahead and was
    /// reset may have dated the rest later than now.
    fn restore(stored: &str, authorities: &Authorities, now: Timestamp) -> Self {
        let mut progress = serde_json::from_str(stored).unwrap_or_else(|_| Self::of_since_alone(stored));
        for id in authorities.ids() {
            let at = progress.since.entry(id.clone()).or_insert(now);
            *at = (*at).min(now);
        }
        progress.begun = progress.begun.min(now);
        progress
    }

    /// What earlier releases stored.
    fn of_since_alone(stored: &str) -> Self {
        let since: BTreeMap<AuthorityId, Timestamp> = serde_json::from_str(stored).unwrap_or_default();
        Self { begun: since.values().min().copied().unwrap_or_default(), since }
    }

    /// With these authorities from `now` on.
    fn next(&self, authorities: &Authorities, now: Timestamp) -> Self {
        let since = |id: &AuthorityId| (id.clone(), *self.since.get(id).unwrap_or(&now));
        Self { since: authorities.ids().map(since).collect(), ..*self }
    }
}

impl Publisher {
    pub(crate) fn new(trust_domain: &TrustDomain, refresh_hint: Duration, shared: &Shared) -> Self {
        Self {
            trust_domain: trust_domain.clone(),
            refresh_hint,
            store: shared.store.clone(),
            clock: shared.clock.clone(),
            feed: shared.feed.clone(),
            own: ArcSwapOption::empty(),
            published: watch::Sender::new(None),
            fetchers: Arc::new(Fetchers::new(shared.clock.clone())),
        }
    }

    /// What the endpoints serve; `None` while there is no bundle.
    pub(crate) fn published(&self) -> watch::Receiver<Option<Arc<PublishedBundle>>> {
        self.published.subscribe()
    }

    pub(crate) fn own(&self) -> Option<Arc<OwnKeys>> {
        self.own.load_full()
    }

    /// Who fetches what is published, as the endpoints note it.
    pub(crate) fn fetchers(&self) -> &Arc<Fetchers> {
        &self.fetchers
    }

    /// Says so if the chain that an `https_spiffe` endpoint shows does not lead to our own authorities:
    /// then no peer can authenticate it (FES-08).
    pub(crate) fn foreign_svid(&self, chain: &[CertificateDer<'_>]) -> Option<Warning> {
        let own = self.own()?;
        let (leaf, intermediates) = chain.split_first()?;
        let intermediates: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        let error = DomainTrust::new(own.bundle.clone(), 0)
            .verify_x509(leaf, &intermediates, Usage::Server, self.clock.now().into())
            .err()?;
        Some(Warning {
            code: "endpoint-svid-untrusted".into(),
            detail: format!("the endpoint's SVID does not verify under our own bundle: {error}"),
        })
    }

    /// Serves what the store has, before anything else is looked at.
    pub(crate) fn restore(&self, own: OwnBundle) {
        let progress = OwnProgress::restore(&own.progress, own.bundle.authorities(), self.clock.now());
        self.serve(own.bundle, progress);
    }

    /// Publishes these authorities; false if they are public already, under the same refresh hint.
    ///
    /// The number is the stored one plus 1, or the time if that is more: so a lost store doesn't lock our
    /// peers out.
    ///
    /// # Errors
    /// The store did not take the new number: then nothing changes at the endpoint.
    pub(crate) async fn publish(&self, authorities: Authorities) -> Result<bool, StoreError> {
        let current = self.own();
        let old = current.as_ref().map(|current| &current.bundle);
        let unchanged =
            |old: &Arc<Bundle>| *old.authorities() == authorities && old.refresh_hint() == Some(self.refresh_hint);
        if old.is_some_and(unchanged) {
            return Ok(false);
        }
        let now = self.clock.now();
        let after = old.and_then(|old| old.sequence()).map_or(1, |stored| stored.saturating_add(1));
        let sequence = after.max(now.as_secs());
        let beginning = OwnProgress { begun: now, since: BTreeMap::new() };
        let progress = current.as_ref().map_or(&beginning, |current| &current.progress).next(&authorities, now);
        let bundle = Bundle::new(self.trust_domain.clone(), authorities, Some(sequence), Some(self.refresh_hint));
        let stored = serde_json::to_string(&progress).expect("identities and times always serialise");
        self.store.put_own(&bundle, &stored).await?;
        let diff = BundleDiff::between(old.map_or(&Authorities::new(), |old| old.authorities()), bundle.authorities());
        info!(sequence, added = diff.added.len(), removed = diff.removed.len(), "own bundle published");
        self.serve(bundle, progress);
        Ok(true)
    }

    fn serve(&self, bundle: Bundle, progress: OwnProgress) {
        let sequence = bundle.sequence().unwrap_or_default();
        let published = PublishedBundle::new(render(&bundle, WitAuthorities::Include), sequence)
            .expect("writing to memory does not fail");
        let before = self.own().map(|own| own.first.clone()).unwrap_or_default();
        let ids = bundle.authorities().ids();
        let first = ids.map(|id| (id.clone(), *before.get(id).unwrap_or(&sequence))).collect();
        let bundle = Arc::new(bundle);
        self.feed.set_own(bundle.clone());
        self.own.store(Some(Arc::new(OwnKeys { bundle, progress, first })));
        self.published.send_replace(Some(Arc::new(published)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustls::RootCertStore;
    use rustls::pki_types::UnixTime;
    use rustls::time_provider::TimeProvider;

    use super::*;
    use crate::federation::counters::Counters;
    use crate::federation::early_poll::EarlyPolls;
    use crate::federation::endpoint_client::{ClientLimits, EndpointClient};
    use crate::federation::places::Places;
    use crate::spiffe::authority::Authority;
    use crate::spiffe::document::BundleDocument;
    use crate::spiffe::fixtures::FIXTURES;
    use crate::store;

    const NOW: u64 = 1_800_000_000;
    const HINT: Duration = Duration::from_secs(300);

    #[derive(Debug)]
    struct Hand(AtomicU64);

    impl TimeProvider for Hand {
        fn current_time(&self) -> Option<UnixTime> {
            Some(Timestamp::from_secs(self.0.load(Ordering::Relaxed)).into())
        }
    }

    fn own() -> TrustDomain {
        "a.example".parse().unwrap()
    }

    fn keys(authorities: impl IntoIterator<Item = Authority>) -> Authorities {
        authorities.into_iter().collect()
    }

    async fn shared(seconds: u64) -> (Arc<Hand>, Shared) {
        let hand = Arc::new(Hand(AtomicU64::new(seconds)));
        let clock = Arc::new(Clock::new(hand.clone(), None));
        let shared = Shared {
            client: EndpointClient::new(ClientLimits::default(), Arc::new(RootCertStore::empty()), clock.clone()),
            store: store::open("memory:", &own()).await.unwrap(),
            feed: Arc::new(TrustFeed::new()),
            clock,
            counters: Counters::default(),
            early_polls: EarlyPolls::default(),
            places: Places::default(),
        };
        (hand, shared)
    }

    fn sequence(publisher: &Publisher) -> u64 {
        publisher.own().unwrap().bundle.sequence().unwrap()
    }

    #[tokio::test]
    async fn seq_02_the_number_rises_exactly_when_contents_change() {
        let (hand, shared) = shared(NOW).await;
        let publisher = Publisher::new(&own(), HINT, &shared);
        let (first, both) =
            (keys([FIXTURES[1].x509()]), keys([FIXTURES[1].x509(), FIXTURES[2].jwt("k"), FIXTURES[3].wit("w")]));
        assert_eq!(publisher.own().is_none(), publisher.published().borrow().is_none());
        for (name, time, authorities, is_new, expected) in [
            ("the first is numbered by time", NOW, &first, true, NOW),
            ("the same", NOW + 9, &first, false, NOW),
            ("another key", NOW + 10, &both, true, NOW + 10),
            ("in the same second", NOW + 10, &first, true, NOW + 11),
            ("under a clock set back", 5, &both, true, NOW + 12),
        ] {
            hand.0.store(time, Ordering::Relaxed);
            assert_eq!(publisher.publish(authorities.clone()).await.unwrap(), is_new, "{name}");
            assert_eq!(sequence(&publisher), expected, "{name}");
            let published = publisher.published().borrow().clone().unwrap();
            let served = BundleDocument::parse(&own(), &published.document.identity.bytes).unwrap().into_bundle();
            assert_eq!(served, *publisher.own().unwrap().bundle, "{name}");
            assert_eq!(shared.feed.snapshot().domain(&own()).unwrap().bundle(), &publisher.own().unwrap().bundle);
        }
        let patient = Publisher::new(&own(), 2 * HINT, &shared);
        patient.restore(shared.store.load().await.unwrap().own.unwrap());
        assert!(patient.publish(both).await.unwrap(), "the hint is part of the contents");
        assert_eq!(sequence(&patient), NOW + 13);
    }

    #[tokio::test]
    async fn seq_02_a_restart_changes_neither_the_number_nor_the_age_of_keys() {
        let (hand, shared) = shared(NOW).await;
        let publisher = Publisher::new(&own(), HINT, &shared);
        publisher.publish(keys([FIXTURES[1].x509()])).await.unwrap();
        hand.0.store(NOW + 100, Ordering::Relaxed);
        publisher.publish(keys([FIXTURES[1].x509(), FIXTURES[2].x509()])).await.unwrap();
        let restarted = Publisher::new(&own(), HINT, &shared);
        restarted.restore(shared.store.load().await.unwrap().own.unwrap());
        assert!(!restarted.publish(keys([FIXTURES[2].x509(), FIXTURES[1].x509()])).await.unwrap());
        let (before, after) = (publisher.own().unwrap(), restarted.own().unwrap());
        assert_eq!((&before.bundle, &before.progress), (&after.bundle, &after.progress));
        let ages = [1, 2].map(|fixture: usize| after.progress.since[&FIXTURES[fixture].x509().id()].as_secs());
        assert_eq!(ages, [NOW, NOW + 100]);
    }

    #[tokio::test]
    async fn fes_11_a_key_of_unknown_age_and_one_that_comes_back_are_new() {
        let (hand, shared) = shared(NOW).await;
        let publisher = Publisher::new(&own(), HINT, &shared);
        let [a, b] = [1, 2].map(|fixture: usize| FIXTURES[fixture].x509());
        let of = |key: &Authority| {
            let own = publisher.own().unwrap();
            (own.progress.since[&key.id()].as_secs() - NOW, own.first[&key.id()] - NOW)
        };
        let stored = Bundle::new(own(), keys([a.clone()]), Some(NOW), Some(HINT));
        let earlier = format!("{{\"{}\":\"2027-01-15T07:59:00Z\"}}", a.id());
        publisher.restore(OwnBundle { bundle: stored.clone(), progress: earlier });
        let progress = publisher.own().unwrap().progress.clone();
        assert_eq!((progress.begun, progress.since[&a.id()]), (Timestamp::from_secs(NOW - 60), progress.begun));
        publisher.restore(OwnBundle { bundle: stored, progress: "damaged".into() });
        assert_eq!(of(&a), (0, 0));
        for (time, keys, expected) in [
            (100, keys([a.clone(), b.clone()]), vec![(&a, (0, 0)), (&b, (100, 100))]),
            (200, keys([a.clone()]), vec![(&a, (0, 0))]),
            (300, keys([a.clone(), b.clone()]), vec![(&a, (0, 0)), (&b, (300, 300))]),
        ] {
            hand.0.store(NOW + time, Ordering::Relaxed);
            publisher.publish(keys).await.unwrap();
            for (key, expected) in expected {
                assert_eq!(of(key), expected, "at {time}");
            }
        }
    }

    #[tokio::test]
    async fn what_the_store_does_not_take_is_not_published() {
        let (_, shared) = shared(NOW).await;
        let publisher = Publisher::new(&own(), HINT, &shared);
        publisher.publish(keys([FIXTURES[1].x509()])).await.unwrap();
        let ahead = Bundle::new(own(), keys([FIXTURES[3].x509()]), Some(NOW + 50), Some(HINT));
        shared.store.put_own(&ahead, "{}").await.unwrap();
        let refusal = publisher.publish(keys([FIXTURES[2].x509()])).await.unwrap_err();
        assert_eq!((refusal.code(), sequence(&publisher)), ("store-sequence-not-higher", NOW));
        let published = publisher.published().borrow().clone().unwrap();
        assert_eq!(
            BundleDocument::parse(&own(), &published.document.identity.bytes).unwrap().bundle().sequence(),
            Some(NOW)
        );
    }
}
