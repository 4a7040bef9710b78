//! The single writer of the trust snapshot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::policy::Policy;
use crate::verify::snapshot::{DomainTrust, TrustSnapshot};
use crate::verify::trust::{Trust, TrustWriter};

use super::ownership::KeyOwners;
use super::timestamp::Timestamp;

/// Turns what is accepted into the snapshot that verifiers and outputs read.
///
/// A key that belongs to another domain is left out here as well as in acceptance, because evidence of
/// its owner may come later than the key.
pub(crate) struct TrustFeed {
    state: Mutex<State>,
    snapshot: TrustWriter,
    trust: Trust,
    changed: watch::Sender<Generation>,
}

/// A change of the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// Rises with every change.
    pub(crate) number: u64,
    /// When it came.
    pub(crate) since: Instant,
}

/// A domain's accepted bundle on its way into the snapshot.
#[derive(Clone)]
pub(crate) struct Trusted {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) revision: u64,
    /// The domain whose endpoint spoke for this one (FEC-13).
    pub(crate) via: Option<TrustDomain>,
    /// Age beyond which it verifies nothing; `None` for our own and where staleness is off.
    pub(crate) until: Option<Timestamp>,
    /// Since when each authority has been accepted, in the order of the bundle's authorities.
    pub(crate) since: Vec<Timestamp>,
}

#[derive(Default)]
struct State {
    generation: u64,
    trusted: BTreeMap<TrustDomain, Trusted>,
    /// The terms of each relationship, whether there is a bundle yet or not.
    policies: BTreeMap<TrustDomain, Arc<Policy>>,
    own: Option<TrustDomain>,
    owners: KeyOwners,
}

impl TrustFeed {
    pub(crate) fn new() -> Self {
        let snapshot = TrustWriter::new(TrustSnapshot::default());
        Self {
            state: Mutex::default(),
            trust: snapshot.trust(),
            snapshot,
            changed: watch::Sender::new(Generation { number: 0, since: Instant::now() }),
        }
    }

    /// The snapshot of this moment.
    pub(crate) fn snapshot(&self) -> Arc<TrustSnapshot> {
        self.trust.load()
    }

    /// A reader of the newest snapshot.
    pub(crate) fn trust(&self) -> Trust {
        self.trust.clone()
    }

    /// Wakes at each new generation.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Generation> {
        self.changed.subscribe()
    }

    /// Reads the owners of all keys.
    pub(crate) fn with_owners<R>(&self, read: impl FnOnce(&KeyOwners) -> R) -> R {
        read(&self.lock().owners)
    }

    /// Our own bundle, whose keys nobody else can claim.
    pub(crate) fn set_own(&self, bundle: Arc<Bundle>) {
        let mut state = self.lock();
        let domain = bundle.trust_domain().clone();
        let affected = state.owners.set_own(&domain, bundle.authorities());
        state.own = Some(domain.clone());
        state
            .trusted
            .insert(domain.clone(), Trusted { bundle, revision: 0, via: None, until: None, since: Vec::new() });
        self.publish(state, domain, affected);
    }

    /// A relationship's terms, and what is already trusted of its domain.
    pub(crate) fn begin(&self, domain: &TrustDomain, policy: Arc<Policy>, trusted: Option<Trusted>) {
        let mut state = self.lock();
        let mut affected = state.set_policy(domain, policy);
        match trusted {
            Some(trusted) => affected.extend(state.set_trusted(domain, trusted)),
            None => affected.extend(state.end_trust(domain)),
        }
        self.publish(state, domain.clone(), affected);
    }

    /// Other terms for a domain, and at once; false if they are the same.
    pub(crate) fn set_policy(&self, domain: &TrustDomain, policy: Arc<Policy>) -> bool {
        let mut state = self.lock();
        if state.policies.get(domain) == Some(&policy) {
            return false;
        }
        let affected = state.set_policy(domain, policy);
        self.publish(state, domain.clone(), affected);
        true
    }

    /// What a foreign domain is trusted with from now on.
    pub(crate) fn set(&self, domain: &TrustDomain, trusted: Trusted) {
        let mut state = self.lock();
        let affected = state.set_trusted(domain, trusted);
        self.publish(state, domain.clone(), affected);
    }

    /// Ends trust in a domain at once (REL-06).
    pub(crate) fn remove(&self, domain: &TrustDomain) {
        let mut state = self.lock();
        let mut affected = state.set_policy(domain, Arc::default());
        state.policies.remove(domain);
        let was_trusted = state.trusted.contains_key(domain);
        affected.extend(state.end_trust(domain));
        if was_trusted || !affected.is_empty() {
            self.publish(state, domain.clone(), affected);
        }
    }

    /// The accepted authorities were served again: they stay trusted until later. No new generation.
    pub(crate) fn extend(&self, domain: &TrustDomain, trusted: Trusted) {
        let mut state = self.lock();
        let Some(known) = state.trusted.get_mut(domain) else { return };
        *known = trusted;
        let snapshot = self.trust.load();
        let entry = state.effective(domain, &snapshot);
        self.snapshot.store(snapshot.updated(state.generation, [(domain.clone(), entry)]));
    }

    /// Announces a change of state that time alone brought.
    pub(crate) fn lapse(&self, domain: &TrustDomain) {
        let state = self.lock();
        if state.trusted.contains_key(domain) {
            self.publish(state, domain.clone(), Vec::new());
        }
    }

    fn publish(&self, mut state: MutexGuard<'_, State>, domain: TrustDomain, affected: Vec<TrustDomain>) {
        state.generation += 1;
        let snapshot = self.trust.load();
        let entry = |domain: TrustDomain| (domain.clone(), state.effective(&domain, &snapshot));
        let changes = std::iter::once(domain).chain(affected).map(entry);
        self.snapshot.store(snapshot.updated(state.generation, changes));
        self.changed.send_replace(Generation { number: state.generation, since: Instant::now() });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the domains whose entries may be others by that, as all of these do.
    fn set_policy(&mut self, domain: &TrustDomain, policy: Arc<Policy>) -> Vec<TrustDomain> {
        let shared = self.owners.shared_keys();
        let mut affected = self.owners.set_shared(domain, &policy.shared_keys);
        self.policies.insert(domain.clone(), policy);
        if shared != self.owners.shared_keys() {
            affected.extend(self.own.clone());
        }
        affected
    }

    fn set_trusted(&mut self, domain: &TrustDomain, trusted: Trusted) -> Vec<TrustDomain> {
        let dated = trusted.bundle.authorities().iter().zip(trusted.since.iter().copied());
        let affected = self.owners.set_foreign(domain, dated);
        self.trusted.insert(domain.clone(), trusted);
        affected
    }

    fn end_trust(&mut self, domain: &TrustDomain) -> Vec<TrustDomain> {
        self.trusted.remove(domain);
        self.owners.set_foreign(domain, std::iter::empty())
    }

    /// The domain's entry without the keys that belong to another domain. What is in the snapshot already stays,
    /// with all that was read and concluded from it, where only time has passed.
    fn effective(&self, domain: &TrustDomain, snapshot: &TrustSnapshot) -> Option<DomainTrust> {
        let Trusted { bundle, revision, via, until, .. } = self.trusted.get(domain)?;
        let foreign = |authority: &_| self.owners.other_owner(domain, authority).is_some();
        let bundle = match bundle.authorities().iter().any(foreign) {
            true => Arc::new(bundle.retain(|authority| !foreign(authority))),
            false => bundle.clone(),
        };
        let policy = self.policy(domain);
        let is_same = |known: &&Arc<DomainTrust>| {
            let same_terms = *known.policy() == policy && known.via() == via.as_ref();
            known.revision() == *revision && *known.bundle() == bundle && same_terms
        };
        let trust = match snapshot.domain(domain).filter(is_same) {
            Some(known) => DomainTrust::clone(known),
            None => {
                let trust = DomainTrust::new(bundle, *revision).with_policy(policy);
                via.iter().fold(trust, |trust, via| trust.with_via(via.clone()))
            }
        };
        Some(trust.with_trusted_until(until.map(Into::into)))
    }

    /// Our own domain has no relationship: its paths over a key that any of those declares shared must be scoped.
    fn policy(&self, domain: &TrustDomain) -> Arc<Policy> {
        match self.own.as_ref() == Some(domain) {
            true => Arc::new(Policy { shared_keys: self.owners.shared_keys(), ..Policy::default() }),
            false => self.policies.get(domain).cloned().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::authority::{Authority, SvidType};
    use crate::spiffe::fixtures::FIXTURES;

    fn domain(name: &str) -> TrustDomain {
        name.parse().unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn bundle(name: &str, authorities: impl IntoIterator<Item = Authority>) -> Arc<Bundle> {
        Arc::new(Bundle::new(domain(name), authorities.into_iter().collect(), Some(1), None))
    }

    /// Accepted in the second `since`, trusted until the second `until`.
    fn trusted(bundle: Arc<Bundle>, since: u64, until: u64) -> Trusted {
        let since = vec![at(since); bundle.authorities().len()];
        Trusted { bundle, revision: 1, via: None, until: Some(at(until)), since }
    }

    /// Domain and number of its keys in the snapshot, in order.
    fn shown(feed: &TrustFeed) -> Vec<(String, usize)> {
        let snapshot = feed.snapshot();
        let keys = |domain: &TrustDomain| snapshot.domain(domain).unwrap().bundle().authorities().len();
        snapshot.trust_domains().map(|domain| (domain.to_string(), keys(domain))).collect()
    }

    fn keys<const N: usize>(expected: [(&str, usize); N]) -> Vec<(String, usize)> {
        expected.map(|(domain, keys)| (domain.to_owned(), keys)).into()
    }

    #[test]
    fn rel_05_06_a_change_replaces_and_an_end_removes_at_once() {
        let feed = TrustFeed::new();
        let generations = feed.subscribe();
        feed.set(&domain("b"), trusted(bundle("b", [FIXTURES[0].x509(), FIXTURES[1].x509()]), 1, 9));
        assert_eq!(shown(&feed), keys([("b", 2)]));
        feed.set(&domain("b"), trusted(bundle("b", [FIXTURES[1].x509()]), 1, 9));
        assert_eq!(shown(&feed), keys([("b", 1)]));
        feed.remove(&domain("b"));
        assert_eq!(shown(&feed), []);
        assert_eq!((feed.snapshot().generation(), generations.borrow().number), (3, 3));
        feed.remove(&domain("b"));
        feed.lapse(&domain("b"));
        feed.extend(&domain("b"), trusted(bundle("b", [FIXTURES[1].x509()]), 1, 9));
        assert_eq!((shown(&feed), feed.snapshot().generation()), (keys([]), 3), "nothing late brings it back");
    }

    #[test]
    fn rel_08_trust_is_extended_without_a_new_generation_and_lapses_with_one() {
        let feed = TrustFeed::new();
        let bundle = bundle("b", [FIXTURES[1].x509()]);
        let is_stale = |second| feed.snapshot().domain(&domain("b")).unwrap().is_stale(at(second).into());
        feed.set(&domain("b"), trusted(bundle.clone(), 1, 10));
        assert_eq!([9, 10].map(is_stale), [false, true]);
        feed.extend(&domain("b"), trusted(bundle, 1, 20));
        assert_eq!([19, 20].map(is_stale), [false, true]);
        assert_eq!(feed.snapshot().generation(), 1);
        feed.lapse(&domain("b"));
        assert_eq!(feed.snapshot().generation(), 2);
        assert_eq!([19, 20].map(is_stale), [false, true], "an announcement ends nothing by itself");
    }

    #[test]
    fn bnd_20_a_key_is_trusted_for_one_domain_whoever_comes_first() {
        let key = || FIXTURES[1].x509();
        for (name, order, since_a, since_b, expected) in [
            ("the earlier one", ["a", "b"], 1, 2, [("a", 1), ("b", 0)]),
            ("also when it is taken up later", ["b", "a"], 1, 2, [("a", 1), ("b", 0)]),
            ("the other one", ["a", "b"], 2, 1, [("a", 0), ("b", 1)]),
            ("accepted in the same second", ["b", "a"], 1, 1, [("a", 1), ("b", 0)]),
        ] {
            let feed = TrustFeed::new();
            for name in order {
                let since = if name == "a" { since_a } else { since_b };
                feed.set(&domain(name), trusted(bundle(name, [key()]), since, 9));
            }
            assert_eq!(shown(&feed), keys(expected), "{name}");
            for (owner, _) in expected.iter().filter(|(_, keys)| *keys == 1) {
                feed.remove(&domain(owner));
            }
            assert_eq!(shown(&feed).into_iter().map(|(_, keys)| keys).collect::<Vec<_>>(), [1], "{name}, then freed");
        }
    }

    #[test]
    fn bnd_20_our_own_keys_are_never_a_peers_under_whatever_use() {
        let feed = TrustFeed::new();
        feed.set(&domain("b"), trusted(bundle("b", [FIXTURES[1].jwt("k"), FIXTURES[2].x509()]), 1, 9));
        feed.set_own(bundle("own", [FIXTURES[1].x509()]));
        assert_eq!(shown(&feed), keys([("b", 1), ("own", 1)]));
        let left = feed.snapshot().domain(&domain("b")).unwrap().bundle().clone();
        assert_eq!(left.authorities().count(SvidType::JwtSvid), 0);
        feed.extend(&domain("b"), trusted(bundle("b", [FIXTURES[1].jwt("k"), FIXTURES[2].x509()]), 1, 20));
        assert_eq!(shown(&feed), keys([("b", 1), ("own", 1)]), "nor by a confirmation");
        feed.set_own(bundle("own", [FIXTURES[3].x509()]));
        assert_eq!(shown(&feed), keys([("b", 2), ("own", 1)]), "until we drop them");
    }

    fn on(policy: Policy) -> Arc<Policy> {
        Arc::new(policy)
    }

    fn entry(feed: &TrustFeed, name: &str) -> Arc<DomainTrust> {
        feed.snapshot().domain(&domain(name)).unwrap().clone()
    }

    #[test]
    fn what_was_read_from_a_bundle_stays_while_only_time_passes() {
        let feed = TrustFeed::new();
        let policy = on(Policy { scoped_paths: true, ..Policy::default() });
        let ours = bundle("b", [FIXTURES[1].x509(), FIXTURES[2].x509()]);
        feed.set_own(bundle("own", [FIXTURES[1].x509()]));
        feed.begin(&domain("b"), policy.clone(), Some(trusted(ours.clone(), 1, 9)));
        let first = entry(&feed, "b");
        assert_eq!((first.bundle().authorities().len(), **first.policy() == *policy), (1, true));
        for step in ["confirmed", "lapsed", "told the same policy", "set again", "another domain changed"] {
            match step {
                "confirmed" => feed.extend(&domain("b"), trusted(ours.clone(), 1, 20)),
                "lapsed" => feed.lapse(&domain("b")),
                "told the same policy" => assert!(!feed.set_policy(&domain("b"), on(Policy::clone(&policy)))),
                "set again" => feed.set(&domain("b"), trusted(Arc::new(Bundle::clone(&ours)), 1, 30)),
                _ => feed.set(&domain("c"), trusted(bundle("c", [FIXTURES[1].x509()]), 1, 9)),
            }
            assert!(Arc::ptr_eq(entry(&feed, "b").bundle(), first.bundle()), "{step}");
            assert!(Arc::ptr_eq(entry(&feed, "b").policy(), first.policy()), "{step}");
        }
        assert_eq!(entry(&feed, "b").trusted_until(), Some(at(30).into()));
        for step in ["another policy", "another revision", "another bundle"] {
            let before = entry(&feed, "b");
            match step {
                "another policy" => assert!(feed.set_policy(&domain("b"), on(Policy::default()))),
                "another revision" => feed.set(&domain("b"), Trusted { revision: 2, ..trusted(ours.clone(), 1, 30) }),
                _ => feed.set(&domain("b"), trusted(bundle("b", [FIXTURES[2].x509(), FIXTURES[3].x509()]), 1, 30)),
            }
            assert!(!Arc::ptr_eq(entry(&feed, "b").bundle(), before.bundle()), "{step}");
        }
    }

    #[test]
    fn a_policy_outlives_bundles_and_ends_with_the_relationship() {
        let feed = TrustFeed::new();
        let policy = on(Policy { scoped_paths: true, ..Policy::default() });
        feed.begin(&domain("b"), policy.clone(), None);
        feed.set(&domain("b"), trusted(bundle("b", [FIXTURES[1].x509()]), 1, 9));
        assert_eq!(*entry(&feed, "b").policy(), policy);
        let generation = feed.snapshot().generation();
        feed.set_policy(&domain("b"), on(Policy::default()));
        assert_eq!(**entry(&feed, "b").policy(), Policy::default());
        assert_eq!(feed.snapshot().generation(), generation + 1);
        feed.set_policy(&domain("b"), policy);
        feed.remove(&domain("b"));
        feed.set(&domain("b"), trusted(bundle("b", [FIXTURES[1].x509()]), 1, 9));
        assert_eq!(**entry(&feed, "b").policy(), Policy::default());
    }

    #[test]
    fn bnd_20_a_shared_ca_is_trusted_where_it_is_declared_and_our_own_paths_over_it_are_held_to_the_same() {
        let feed = TrustFeed::new();
        let key = FIXTURES[1].x509().key_thumbprint();
        let sharing = || on(Policy { shared_keys: [key].into(), ..Policy::default() });
        let all = || [FIXTURES[1].x509()];
        feed.set_own(bundle("own", all()));
        for name in ["a", "b", "c"] {
            feed.begin(&domain(name), Arc::default(), Some(trusted(bundle(name, all()), 1, 9)));
        }
        assert_eq!(shown(&feed), keys([("a", 0), ("b", 0), ("c", 0), ("own", 1)]));
        assert_eq!(**entry(&feed, "own").policy(), Policy::default());
        feed.set_policy(&domain("a"), sharing());
        assert_eq!(shown(&feed), keys([("a", 1), ("b", 0), ("c", 0), ("own", 1)]));
        assert_eq!(entry(&feed, "own").policy().shared_keys, [key].into());
        feed.set_policy(&domain("b"), sharing());
        assert_eq!(shown(&feed), keys([("a", 1), ("b", 1), ("c", 0), ("own", 1)]));
        feed.remove(&domain("a"));
        feed.set_policy(&domain("b"), Arc::default());
        assert_eq!(shown(&feed), keys([("b", 0), ("c", 0), ("own", 1)]));
        assert_eq!(**entry(&feed, "own").policy(), Policy::default());
    }
}
