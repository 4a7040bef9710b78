//! Wanted relationships against running pollers.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;
use tracing::{error, info, warn};

use crate::spiffe::trust_domain::TrustDomain;
use crate::store::error::StoreError;
use crate::store::records::{Origin, StoredRelationship};

use super::hosts::Hosts;
use super::known::Known;
use super::order::Order;
use super::parameters::Parameters;
use super::poller::{Poller, Progressed, Shared};
use super::relationship::FederationRelationship;

/// All relationships that the configuration wants, by trust domain.
pub(crate) type Relationships = Arc<BTreeMap<TrustDomain, Arc<FederationRelationship>>>;

/// How the rest of the service reaches a poller.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) relationship: Arc<FederationRelationship>,
    /// In boxes, because a channel keeps places for 32 however few may wait.
    pub(crate) orders: mpsc::Sender<Box<Order>>,
    pub(crate) seen: Arc<ArcSwap<Progressed>>,
}

/// The running pollers by trust domain.
#[derive(Clone, Default)]
pub(crate) struct Handles(Arc<RwLock<BTreeMap<TrustDomain, Handle>>>);

impl Handles {
    pub(crate) fn get(&self, domain: &TrustDomain) -> Option<Handle> {
        self.read().get(domain).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Handle> {
        self.read().values().cloned().collect()
    }

    /// Looks at each, while none can come or go.
    pub(crate) fn each(&self, look: impl FnMut(&Handle)) {
        self.read().values().for_each(look);
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<TrustDomain, Handle>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a poll outside the schedule, which the budget for those may refuse. Nobody waits for it.
    pub(crate) fn refresh_early(&self, domain: &TrustDomain) {
        if let Some(handle) = self.get(domain) {
            // A poller with a full queue has enough to do.
            drop(handle.orders.try_send(Order::Early.into()));
        }
    }

    fn insert(&self, domain: &TrustDomain, handle: Handle) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(domain.clone(), handle);
    }

    fn remove(&self, domain: &TrustDomain) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(domain);
    }
}

/// Keeps one poller per wanted relationship: a panic is seen, logged and repaired.
pub(crate) struct Pollers {
    shared: Arc<Shared>,
    handles: Handles,
    running: JoinMap<TrustDomain, ()>,
    stop: CancellationToken,
}

impl Pollers {
    pub(crate) fn new(shared: Arc<Shared>, handles: Handles, stop: CancellationToken) -> Self {
        Self { shared, handles, running: JoinMap::new(), stop }
    }

    /// Takes up what the store has, so that it is trusted before the first poll, and ends what is no longer wanted.
    ///
    /// # Errors
    /// The store can't be read or written.
    pub(crate) async fn resume(
        &mut self,
        stored: Vec<StoredRelationship>,
        wanted: &Relationships,
    ) -> Result<(), StoreError> {
        let mut stored: BTreeMap<_, _> = stored.into_iter().map(|s| (s.trust_domain.clone(), s)).collect();
        for domain in stored.keys().filter(|domain| !wanted.contains_key(*domain)) {
            info!(trust_domain = %domain, "relationship ended: no longer configured");
            self.shared.store.end(domain).await?;
        }
        for relationship in hosts_first(wanted, wanted.values().collect()) {
            self.start(relationship.clone(), stored.remove(&relationship.trust_domain)).await?;
        }
        Ok(())
    }

    /// Follows the wanted relationships until stopped.
    pub(crate) async fn run(mut self, mut wanted: watch::Receiver<Relationships>) {
        loop {
            let relationships = wanted.borrow_and_update().clone();
            let failed = self.reconcile(&relationships).await;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                changed = wanted.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(RETRY), if failed => {}
                Some((domain, exit)) = self.running.join_next() => if !exit.is_err_and(|error| error.is_cancelled()) {
                    error!(trust_domain = %domain, code = "poller-ended", "restarting poller");
                    // One that dies at once must not spin.
                    self.stop.run_until_cancelled(tokio::time::sleep(RESTART)).await;
                },
            }
        }
        self.running.shutdown().await;
    }

    /// Starts and stops what differs; true if the store did not let it finish.
    async fn reconcile(&mut self, wanted: &Relationships) -> bool {
        let mut failed = false;
        for handle in self.handles.all() {
            let domain = &handle.relationship.trust_domain;
            match wanted.get(domain) {
                Some(relationship) if *relationship == handle.relationship => {}
                Some(relationship) if self.change_policy(&handle, relationship) => {}
                Some(_) => self.halt(domain).await,
                None => failed |= self.end(domain).await.is_err(),
            }
        }
        let missing: Vec<_> = wanted.values().filter(|one| !self.running.contains_key(&one.trust_domain)).collect();
        let missing = hosts_first(wanted, missing);
        if missing.is_empty() || self.stop.is_cancelled() {
            return failed;
        }
        match self.shared.store.load().await {
            Ok(state) => failed | self.start_all(&missing, state.relationships).await,
            Err(error) => {
                warn!(code = error.code(), %error, "relationships not taken up yet");
                true
            }
        }
    }

    /// True if the store did not take up all of them.
    async fn start_all(&mut self, missing: &[&Arc<FederationRelationship>], stored: Vec<StoredRelationship>) -> bool {
        let mut failed = false;
        for relationship in missing {
            let domain = &relationship.trust_domain;
            let known = stored.iter().find(|stored| stored.trust_domain == *domain).cloned();
            if let Err(error) = self.start((*relationship).clone(), known).await {
                warn!(trust_domain = %domain, code = error.code(), %error, "relationship not taken up yet");
                failed = true;
            }
        }
        failed
    }

    /// Puts another policy in force at once, whether the store answers or not; false if the poller has to be started
    /// anew, because something else differs too.
    fn change_policy(&self, handle: &Handle, relationship: &Arc<FederationRelationship>) -> bool {
        let domain = &relationship.trust_domain;
        if self.shared.feed.set_policy(domain, relationship.policy.clone()) {
            info!(trust_domain = %domain, "policy changed");
        }
        let told = relationship.differs_in_policy_only(&handle.relationship)
            && handle.orders.try_send(Order::Policy(relationship.clone()).into()).is_ok();
        if told {
            self.handles.insert(domain, Handle { relationship: relationship.clone(), ..handle.clone() });
        }
        told
    }

    /// Ends a relationship and trust in it together: readers first, then the store (REL-06).
    async fn end(&mut self, domain: &TrustDomain) -> Result<(), StoreError> {
        self.halt(domain).await;
        self.shared.feed.remove(domain);
        let ended = self.shared.store.end(domain).await;
        match &ended {
            Ok(()) => {
                self.handles.remove(domain);
                info!(trust_domain = %domain, "relationship ended");
            }
            Err(error) => {
                warn!(trust_domain = %domain, code = error.code(), %error, "relationship's end not recorded yet")
            }
        }
        ended
    }

    /// Stops the poller; what it was doing is either stored as a whole or not at all.
    async fn halt(&mut self, domain: &TrustDomain) {
        if self.running.abort(domain) {
            while let Some((ended, _)) = self.running.join_next().await {
                if ended == *domain {
                    break;
                }
            }
        }
    }

    async fn start(
        &mut self,
        relationship: Arc<FederationRelationship>,
        stored: Option<StoredRelationship>,
    ) -> Result<(), StoreError> {
        let domain = &relationship.trust_domain;
        let known = self.known(&relationship, stored).await?;
        let trusted = known.trusted(relationship.maximum_staleness);
        self.shared.feed.begin(domain, relationship.policy.clone(), trusted);
        let seen = Arc::new(ArcSwap::from_pointee(Progressed::first(known.into())));
        let (sender, orders) = mpsc::channel(ORDERS);
        let handle = Handle { relationship: relationship.clone(), orders: sender, seen: seen.clone() };
        self.handles.insert(domain, handle);
        let poller = Poller::new(relationship.clone(), self.shared.clone(), seen, orders);
        self.running.spawn(domain.clone(), poller.run(self.stop.clone()));
        Ok(())
    }

    /// What the store knows of a relationship, or its beginning.
    async fn known(
        &self,
        relationship: &FederationRelationship,
        stored: Option<StoredRelationship>,
    ) -> Result<Known, StoreError> {
        let domain = &relationship.trust_domain;
        let parameters = Parameters::of(&relationship.endpoint);
        let (known, now) = match stored {
            Some(stored) => {
                let history = self.shared.store.history(domain, None, HISTORY).await?;
                let now = self.shared.clock.now();
                (Known::restore(stored, &history).capped_at(now), now)
            }
            None => {
                let created = self.shared.store.create(domain, &parameters.to_string()).await?;
                info!(trust_domain = %domain, url = %relationship.endpoint.url, profile = relationship.endpoint.profile.as_str(), "relationship begins");
                (Known::begin(created), self.shared.clock.now())
            }
        };
        let known = known.under(parameters);
        let Some(bootstrap) = relationship.bootstrap_bundle().filter(|_| known.bundle.is_none()) else {
            return Ok(known);
        };
        let next = known.bootstrapped(bootstrap, now);
        self.shared.store.commit(&known.commit(&next, domain, Origin::Bootstrap, now)).await?;
        info!(trust_domain = %domain, revision = next.revision, "bootstrap bundle accepted");
        Ok(next)
    }
}

/// Whoever depends on another domain comes after it, so that its first poll finds that domain's bundle.
fn hosts_first<'a>(
    wanted: &Relationships,
    mut some: Vec<&'a Arc<FederationRelationship>>,
) -> Vec<&'a Arc<FederationRelationship>> {
    let hosts = Hosts::of(wanted.values().map(|one| &**one));
    some.sort_by_key(|one| hosts.chain(&one.trust_domain).len());
    some
}

/// Revisions that are looked at for what was accepted before.
const HISTORY: u32 = 1_000;
const ORDERS: usize = 16;
const RETRY: Duration = Duration::from_secs(5);
const RESTART: Duration = Duration::from_secs(1);
