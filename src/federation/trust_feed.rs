//! The single writer of the trust snapshot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::snapshot::{DomainTrust, TrustSnapshot};

use super::ownership::KeyOwners;
use super::timestamp::Timestamp;

/// Turns what is accepted into the snapshot that verifiers and outputs read.
///
/// A key that belongs to another domain is left out here as well as in acceptance, because evidence of
/// its owner may come later than the key.
pub(crate) struct TrustFeed {
    state: Mutex<State>,
    snapshot: ArcSwap<TrustSnapshot>,
    changed: watch::Sender<u64>,
}

/// A domain's accepted bundle on its way into the snapshot.
#[derive(Clone)]
pub(crate) struct Trusted {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) revision: u64,
    /// Age beyond which it verifies nothing; `None` for our own and where staleness is off.
    pub(crate) until: Option<Timestamp>,
    /// Since when each authority has been accepted, in the order of the bundle's authorities.
    pub(crate) since: Vec<Timestamp>,
}

#[derive(Default)]
struct State {
    generation: u64,
    own: Option<TrustDomain>,
    trusted: BTreeMap<TrustDomain, Trusted>,
    owners: KeyOwners,
}

impl TrustFeed {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            snapshot: ArcSwap::from_pointee(TrustSnapshot::default()),
            changed: watch::Sender::new(0),
        }
    }

    /// The snapshot of this moment.
    pub(crate) fn snapshot(&self) -> Arc<TrustSnapshot> {
        self.snapshot.load_full()
    }

    /// Wakes at each new generation.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
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
        state.trusted.insert(domain.clone(), Trusted { bundle, revision: 0, until: None, since: Vec::new() });
        self.publish(state, domain, affected);
    }

    /// What a foreign domain is trusted with from now on.
    pub(crate) fn set(&self, domain: &TrustDomain, trusted: Trusted) {
        let mut state = self.lock();
        let dated = trusted.bundle.authorities().iter().zip(trusted.since.iter().copied());
        let affected = state.owners.set_foreign(domain, dated);
        state.trusted.insert(domain.clone(), trusted.clone());
        self.publish(state, domain.clone(), affected);
    }

    /// Ends trust in a domain at once (REL-06).
    pub(crate) fn remove(&self, domain: &TrustDomain) {
        let mut state = self.lock();
        if state.trusted.remove(domain).is_some() {
            let affected = state.owners.set_foreign(domain, std::iter::empty());
            self.publish(state, domain.clone(), affected);
        }
    }

    /// The accepted authorities were served again: they stay trusted until later. No new generation.
    pub(crate) fn extend(&self, domain: &TrustDomain, trusted: Trusted) {
        let mut state = self.lock();
        let Some(known) = state.trusted.get_mut(domain) else { return };
        *known = trusted;
        let entry = effective(&state, domain);
        self.snapshot.store(Arc::new(self.snapshot.load().updated(state.generation, [(domain.clone(), entry)])));
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
        let changes =
            std::iter::once(domain).chain(affected).map(|domain| (domain.clone(), effective(&state, &domain)));
        self.snapshot.store(Arc::new(self.snapshot.load().updated(state.generation, changes)));
        self.changed.send_replace(state.generation);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The domain's entry without the keys that belong to another domain.
fn effective(state: &State, domain: &TrustDomain) -> Option<DomainTrust> {
    let trusted = state.trusted.get(domain)?;
    let foreign = |authority: &_| state.owners.other_owner(domain, authority).is_some();
    let bundle = match trusted.bundle.authorities().iter().any(foreign) {
        true => Arc::new(trusted.bundle.retain(|authority| !foreign(authority))),
        false => trusted.bundle.clone(),
    };
    Some(DomainTrust { bundle, revision: trusted.revision, trusted_until: trusted.until.map(Into::into) })
}
