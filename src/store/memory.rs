//! A store that lasts as long as the process.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::spiffe::bundle::Bundle;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::Store;
use super::codec;
use super::error::StoreError;
use super::records::{
    Commit, HeldDocument, Limits, OwnBundle, Revision, StoredRelationship, StoredState, check_owner, check_sequence,
};

/// Nothing of it survives: for tests and trials.
pub(super) struct MemoryStore {
    trust_domain: TrustDomain,
    limits: Limits,
    state: Mutex<State>,
}

impl MemoryStore {
    pub(super) fn new(trust_domain: &TrustDomain, limits: Limits) -> Self {
        Self { trust_domain: trust_domain.clone(), limits, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self) -> Result<StoredState, StoreError> {
        let state = self.state();
        let relationships = state.domains.iter().filter_map(|(name, domain)| domain.relationship(name)).collect();
        Ok(StoredState { own: state.own.clone(), relationships, clock_mark: state.clock_mark })
    }

    async fn put_own(&self, bundle: &Bundle, progress: &str) -> Result<(), StoreError> {
        check_owner(&self.trust_domain, bundle)?;
        codec::encode(bundle)?;
        let mut state = self.state();
        check_sequence(state.own.as_ref(), bundle)?;
        state.own = Some(OwnBundle { bundle: bundle.clone(), progress: progress.into() });
        Ok(())
    }

    async fn create(&self, trust_domain: &TrustDomain, endpoint: &str) -> Result<StoredRelationship, StoreError> {
        let mut state = self.state();
        let domain = state.domains.entry(trust_domain.clone()).or_default();
        domain.last_incarnation += 1;
        domain.living = Some(Living { endpoint: endpoint.into(), ..Living::default() });
        Ok(domain.relationship(trust_domain).expect("it was made in the line above"))
    }

    async fn end(&self, trust_domain: &TrustDomain) -> Result<(), StoreError> {
        if let Some(domain) = self.state().domains.get_mut(trust_domain) {
            domain.living = None;
        }
        Ok(())
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        commit.check_bundles()?;
        let accept = commit.accept.as_ref().map(|revision| Measured::of(revision, &revision.bundle)).transpose()?;
        let held = commit.distinct_held().map(|held| Measured::of(held, &held.bundle)).collect::<Result<_, _>>()?;
        let mut state = self.state();
        let domain = state.domains.get_mut(&commit.trust_domain).ok_or_else(|| commit.superseded())?;
        domain.commit(commit, accept, keep_newest(held, self.limits), self.limits)
    }

    async fn history(
        &self,
        trust_domain: &TrustDomain,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Revision>, StoreError> {
        let state = self.state();
        let newest_first = state.domains.get(trust_domain).into_iter().flat_map(|domain| domain.history.iter().rev());
        let records = newest_first.map(|measured| &measured.record);
        let earlier = records.filter(|revision| before.is_none_or(|before| revision.number < before));
        Ok(earlier.take(whole(limit)).cloned().collect())
    }

    async fn put_clock_mark(&self, seconds: u64) -> Result<(), StoreError> {
        self.state().clock_mark = Some(seconds);
        Ok(())
    }

    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().secrets.get(name).cloned())
    }

    async fn put_secret(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.state().secrets.insert(name.to_owned(), value.to_owned());
        Ok(())
    }
}

#[derive(Default)]
struct State {
    own: Option<OwnBundle>,
    clock_mark: Option<u64>,
    domains: BTreeMap<TrustDomain, Domain>,
    secrets: BTreeMap<String, Vec<u8>>,
}

/// What outlives a relationship, and the relationship while there is one.
#[derive(Default)]
struct Domain {
    last_incarnation: u64,
    last_revision: u64,
    /// Oldest first.
    history: Vec<Measured<Revision>>,
    barred: BTreeSet<Fingerprint>,
    living: Option<Living>,
}

#[derive(Default)]
struct Living {
    endpoint: String,
    progress: Option<String>,
    accepted: Option<Revision>,
    held: Vec<HeldDocument>,
}

impl Domain {
    fn relationship(&self, name: &TrustDomain) -> Option<StoredRelationship> {
        let living = self.living.as_ref()?;
        Some(StoredRelationship {
            trust_domain: name.clone(),
            incarnation: self.last_incarnation,
            endpoint: living.endpoint.clone(),
            last_revision: self.last_revision,
            accepted: living.accepted.clone(),
            held: living.held.clone(),
            barred: self.barred.iter().copied().collect(),
            progress: living.progress.clone(),
        })
    }

    fn commit(
        &mut self,
        commit: &Commit,
        accept: Option<Measured<Revision>>,
        held: Vec<HeldDocument>,
        limits: Limits,
    ) -> Result<(), StoreError> {
        let incarnation = self.last_incarnation;
        let living = self.living.as_mut().filter(|_| incarnation == commit.incarnation);
        let living = living.ok_or_else(|| commit.superseded())?;
        if let Some(accept) = accept {
            commit.check_number(accept.record.number, self.last_revision)?;
            self.last_revision = accept.record.number;
            living.accepted = Some(accept.record.clone());
            self.history.push(accept);
            let newest_first = self.history.iter().rev().map(|measured| measured.bytes);
            let kept = fitting(newest_first, limits.revisions, limits.history_bytes).max(1);
            self.history.drain(..self.history.len() - kept);
        }
        living.endpoint.clone_from(&commit.endpoint);
        living.progress = Some(commit.progress.clone());
        living.held = held;
        self.barred.extend(&commit.bar);
        Ok(())
    }
}

/// A record with the size of its document in bytes.
struct Measured<T> {
    bytes: usize,
    record: T,
}

impl<T: Clone> Measured<T> {
    fn of(record: &T, bundle: &Bundle) -> Result<Self, StoreError> {
        Ok(Self { bytes: codec::encode(bundle)?.len(), record: record.clone() })
    }
}

/// Those seen last, as far as the limits go, in the order they came in.
fn keep_newest(held: Vec<Measured<HeldDocument>>, limits: Limits) -> Vec<HeldDocument> {
    let mut places: Vec<usize> = (0..held.len()).collect();
    places.sort_by_key(|at| Reverse((held[*at].record.last_seen, *at)));
    places.truncate(fitting(places.iter().map(|at| held[*at].bytes), limits.held, limits.held_bytes));
    places.sort_unstable();
    places.into_iter().map(|at| held[at].record.clone()).collect()
}

/// How many of the first documents are within both limits.
fn fitting(sizes: impl Iterator<Item = usize>, count: u32, bytes: u32) -> usize {
    let sums = sizes.scan(0_usize, |sum, size| {
        *sum = sum.saturating_add(size);
        Some(*sum)
    });
    sums.take(whole(count)).take_while(|sum| *sum <= whole(bytes)).count()
}

fn whole(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
