//! Verdicts that needn't be reached again. State comes first: a domain that verifies nothing has none here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA256};
use moka::notification::RemovalCause;
use moka::sync::Cache;
use rustls::pki_types::UnixTime;

use crate::spiffe::trust_domain::TrustDomain;

use super::moment::Window;
use super::rejection::Rejection;
use super::snapshot::{DomainTrust, TrustSnapshot};

/// Verdicts on SVIDs of one type, accepted and rejected ones in bounds of their own, so that whoever sends rubbish
/// can't displace what is good.
#[derive(Debug)]
pub(super) struct VerdictCache<T: Clone + Send + Sync + 'static> {
    accepted: Cache<Key, Arc<Entry<T>>>,
    rejected: Cache<Key, Arc<Entry<Rejection>>>,
    counters: Arc<Counters>,
}

/// SHA-256 of everything that was sent and asked: what is left to compare is what the verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

#[derive(Debug)]
struct Entry<T> {
    verdict: T,
    trust_domain: TrustDomain,
    /// Bundle, revision and policy of its domain.
    basis: u64,
    /// All bundles, for rejections: they may name another domain's authority.
    bundles: Option<u64>,
    window: Window,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

/// How a cache of verdicts did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStatistics {
    /// Verdicts that were there.
    pub hits: u64,
    /// Verdicts that had to be reached.
    pub misses: u64,
    /// Verdicts that made room for others.
    pub evictions: u64,
}

impl Key {
    /// `kind` and all parts, each with its length: no two questions have one key.
    pub(super) fn new<'p>(kind: u8, parts: impl Iterator<Item = &'p [u8]>) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(&[kind]);
        for part in parts {
            hash.update(&part.len().to_be_bytes());
            hash.update(part);
        }
        let mut key = [0; 32];
        key.copy_from_slice(hash.finish().as_ref());
        Self(key)
    }
}

impl<T: Clone + Send + Sync + 'static> VerdictCache<T> {
    pub(super) fn new() -> Self {
        let counters = Arc::new(Counters::default());
        Self { accepted: cache(ACCEPTED, &counters), rejected: cache(REJECTED, &counters), counters }
    }

    /// The verdict under `snapshot` at `at`, with the trust that it rests on.
    pub(super) fn find<'s>(
        &self,
        key: &Key,
        snapshot: &'s TrustSnapshot,
        at: UnixTime,
    ) -> Option<Result<(T, &'s DomainTrust), Rejection>> {
        let accepted =
            self.accepted.get(key).and_then(|entry| Some(Ok((entry.verdict.clone(), entry.trust(snapshot, at)?))));
        let found = accepted.or_else(|| {
            let entry = self.rejected.get(key)?;
            entry.trust(snapshot, at).map(|_| Err(entry.verdict.clone()))
        });
        let counter = if found.is_some() { &self.counters.hits } else { &self.counters.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Remembers a verdict of `domain` under `snapshot`, which is the same throughout `window`. A rejection that is
    /// a matter of the moment is not remembered.
    pub(super) fn insert(
        &self,
        key: Key,
        snapshot: &TrustSnapshot,
        domain: &TrustDomain,
        window: Window,
        verdict: &Result<T, Rejection>,
    ) {
        let Some(basis) = snapshot.domain(domain).map(|trust| trust.basis_number()) else { return };
        let trust_domain = domain.clone();
        match verdict {
            Ok(verdict) => {
                let entry = Entry { verdict: verdict.clone(), trust_domain, basis, bundles: None, window };
                self.accepted.insert(key, Arc::new(entry));
            }
            Err(rejection) if rejection.is_of_the_moment() => {}
            Err(rejection) => {
                let bundles = Some(snapshot.bundles_number());
                let entry = Entry { verdict: rejection.clone(), trust_domain, basis, bundles, window };
                self.rejected.insert(key, Arc::new(entry));
            }
        }
    }

    pub(super) fn statistics(&self) -> CacheStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { hits, misses, evictions } = &*self.counters;
        CacheStatistics { hits: read(hits), misses: read(misses), evictions: read(evictions) }
    }
}

impl<T> Entry<T> {
    /// The trust in its domain, if the verdict still rests on it and holds at `at`.
    fn trust<'s>(&self, snapshot: &'s TrustSnapshot, at: UnixTime) -> Option<&'s DomainTrust> {
        let trust = snapshot.trusted_domain(&self.trust_domain, at).ok()?;
        let is_same = trust.basis_number() == self.basis
            && self.bundles.is_none_or(|bundles| bundles == snapshot.bundles_number());
        (is_same && self.window.contains(at)).then_some(trust)
    }
}

fn cache<V: Clone + Send + Sync + 'static>(capacity: u64, counters: &Arc<Counters>) -> Cache<Key, V> {
    let counters = counters.clone();
    let count = move |_: Arc<Key>, _: V, cause: RemovalCause| {
        if cause == RemovalCause::Size {
            counters.evictions.fetch_add(1, Ordering::Relaxed);
        }
    };
    Cache::builder().max_capacity(capacity).eviction_listener(count).build()
}

const ACCEPTED: u64 = 10_000;
const REJECTED: u64 = 1_000;
