//! The exchange itself: publish our bundle, poll those of others, decide what to trust.

pub(crate) mod acceptance;
pub(crate) mod announce;
pub(crate) mod clock;
pub(crate) mod counters;
pub(crate) mod early_poll;
pub(crate) mod endpoint_client;
pub(crate) mod fetchers;
pub(crate) mod history;
pub(crate) mod hold;
pub(crate) mod hosts;
pub(crate) mod known;
pub(crate) mod log_budget;
pub(crate) mod offered;
pub(crate) mod order;
pub(crate) mod outcome;
pub(crate) mod ownership;
pub(crate) mod parameters;
pub(crate) mod past;
pub(crate) mod patience;
pub(crate) mod places;
pub(crate) mod poller;
pub(crate) mod pollers;
pub(crate) mod preference;
pub(crate) mod probe;
pub(crate) mod proxy;
pub(crate) mod published_bundle;
pub(crate) mod publisher;
pub(crate) mod relationship;
pub(crate) mod rotation;
pub(crate) mod routes;
pub(crate) mod schedule;
pub(crate) mod status;
pub(crate) mod timestamp;
pub(crate) mod trust_feed;
pub(crate) mod view;
pub(crate) mod warnings;

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio::sync::{oneshot, watch};

use crate::spiffe::bundle::Bundle;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;
use crate::store::error::StoreError;
use crate::verify::verifier::Verifier;

use self::counters::Counters;
use self::history::History;
use self::hosts::Hosts;
use self::order::{Order, OrderError};
use self::poller::Shared;
use self::pollers::{Handle, Handles};
use self::publisher::Publisher;
use self::rotation::RotationStatus;
use self::status::{HeldStatus, OwnKeysStatus, RelationshipStatus, ServiceStatus, Warning};
use self::timestamp::Timestamp;

/// Handle on the running exchange, for the admin API and whoever embeds the service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Federation {
    inner: Arc<Inner>,
}

struct Inner {
    trust_domain: TrustDomain,
    started: Timestamp,
    shared: Arc<Shared>,
    handles: Handles,
    publisher: Arc<Publisher>,
    /// Whether we have keys to publish, by configuration.
    publishes: bool,
    own_keys: watch::Receiver<OwnKeysStatus>,
    verifier: Verifier,
}

impl Federation {
    /// `publishes`: whether we have keys to publish, by configuration; `own_keys`: how they are.
    pub(crate) fn new(
        trust_domain: &TrustDomain,
        shared: Arc<Shared>,
        handles: Handles,
        publisher: Arc<Publisher>,
        publishes: bool,
        own_keys: watch::Receiver<OwnKeysStatus>,
    ) -> Self {
        let (trust_domain, started) = (trust_domain.clone(), shared.clock.now());
        let (asked, counting) = (handles.clone(), shared.clone());
        let verifier = Verifier::new(shared.feed.trust())
            .on_unknown_key(move |domain| asked.refresh_early(domain))
            .on_verdict(move |svid_type, verdict| counting.counters.count_verdict(svid_type, verdict));
        let inner = Inner { trust_domain, started, shared, handles, publisher, publishes, own_keys, verifier };
        Self { inner: Arc::new(inner) }
    }

    /// The service as a whole.
    pub(crate) fn service(&self) -> ServiceStatus {
        let inner = &*self.inner;
        let own = inner.publisher.own();
        let now = inner.shared.clock.now();
        let new_keys = own.iter().flat_map(|own| warnings::of_own(own, now));
        let claims = view::claims(&inner.handles).remove(&inner.trust_domain).unwrap_or_default();
        let OwnKeysStatus { warnings, sources } = inner.own_keys.borrow().clone();
        let place = inner.shared.store.check_place().err();
        let place = place.map(|error| Warning { code: error.code().to_owned(), detail: error.to_string() });
        ServiceStatus {
            trust_domain: inner.trust_domain.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: inner.started,
            sequence: own.as_ref().and_then(|own| own.bundle.sequence()),
            snapshot_generation: inner.shared.feed.snapshot().generation(),
            relationships: inner.handles.len(),
            not_ready: self.not_ready().into_iter().map(str::to_owned).collect(),
            sources,
            outputs: Vec::new(),
            warnings: place.into_iter().chain(warnings).chain(new_keys).chain(claims).collect(),
        }
    }

    /// Why the service is not ready, in codes; empty when it is. A peer in trouble never makes it unready.
    pub(crate) fn not_ready(&self) -> Vec<&'static str> {
        let nothing_published = self.inner.publisher.own().is_none() && self.inner.publishes;
        let clock = self.inner.shared.clock.went_back().is_some();
        let place = self.inner.shared.store.check_place().err().map(|error| error.code());
        let reasons = [(nothing_published, "no-bundle"), (clock, "clock-went-back")];
        reasons.into_iter().filter_map(|(wrong, code)| wrong.then_some(code)).chain(place).collect()
    }

    /// Says so if the chain that an `https_spiffe` endpoint shows does not lead to our own authorities.
    pub(crate) fn foreign_svid(&self, chain: &[CertificateDer<'_>]) -> Option<Warning> {
        self.inner.publisher.foreign_svid(chain)
    }

    /// Our own bundle; `None` while there is none.
    pub(crate) fn own_bundle(&self) -> Option<Arc<Bundle>> {
        self.inner.publisher.own().map(|own| own.bundle.clone())
    }

    /// Since when our own keys are public, from when they may sign, and who has fetched them.
    pub(crate) fn rotation(&self) -> RotationStatus {
        let publisher = &self.inner.publisher;
        let noted = publisher.fetchers().noted();
        RotationStatus::of(publisher.own().as_deref(), noted, self.inner.shared.clock.now())
    }

    /// All relationships, by name.
    pub(crate) fn relationships(&self) -> Vec<RelationshipStatus> {
        self.statuses(&self.inner.handles.all())
    }

    pub(crate) fn relationship(&self, domain: &TrustDomain) -> Result<RelationshipStatus, FederationError> {
        let mut one = self.statuses(&[self.handle(domain)?]);
        Ok(one.remove(0))
    }

    fn statuses(&self, handles: &[Handle]) -> Vec<RelationshipStatus> {
        let now = self.inner.shared.clock.now();
        let snapshot = self.inner.shared.feed.snapshot();
        let claims = view::claims(&self.inner.handles);
        let mut chained = Vec::new();
        self.inner
            .handles
            .each(|handle| chained.extend(handle.relationship.via().map(|_| handle.relationship.clone())));
        let hosts = Hosts::of(chained.iter().map(|relationship| &**relationship));
        let status = |handle: &Handle| {
            let domain = &handle.relationship.trust_domain;
            let trusted = snapshot.domain(domain).map(|trust| &**trust.bundle());
            let mut status = view::status(&handle.relationship, &handle.seen.load(), trusted, now);
            status.via = hosts.chain(domain);
            status.warnings.extend(claims.get(domain).into_iter().flatten().cloned());
            status
        };
        handles.iter().map(status).collect()
    }

    /// The accepted bundle, less the keys that turned out to be another domain's.
    pub(crate) fn bundle(&self, domain: &TrustDomain) -> Result<Arc<Bundle>, FederationError> {
        self.handle(domain)?;
        let snapshot = self.inner.shared.feed.snapshot();
        let trust = snapshot.domain(domain).ok_or_else(|| FederationError::NoBundle(domain.clone()))?;
        Ok(trust.bundle().clone())
    }

    /// Documents that wait for a decision, newest last.
    pub(crate) fn held(&self, domain: &TrustDomain) -> Result<Vec<HeldStatus>, FederationError> {
        Ok(self.relationship(domain)?.held)
    }

    /// What was accepted of the domain before revision `before`, also by a relationship that has ended.
    pub(crate) async fn history(
        &self,
        domain: &TrustDomain,
        before: Option<u64>,
        limit: u8,
    ) -> Result<History, FederationError> {
        let kept = self.inner.shared.store.history(domain, before, u32::from(limit) + 1).await;
        let kept = kept.map_err(FederationError::Unread)?;
        if kept.is_empty() {
            self.handle(domain)?;
        }
        Ok(History::page(&kept, usize::from(limit)))
    }

    /// The time to judge by, which never goes back.
    pub(crate) fn now(&self) -> Timestamp {
        self.inner.shared.clock.now()
    }

    /// What happened since the start.
    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.shared.counters
    }

    /// Polls now and waits for the outcome, which the status tells.
    pub(crate) async fn refresh(&self, domain: &TrustDomain) -> Result<RelationshipStatus, FederationError> {
        let (done, answer) = oneshot::channel();
        self.order(domain, Order::Refresh(done)).await?;
        answer.await.map_err(|_| FederationError::Interrupted)?;
        self.relationship(domain)
    }

    /// The verifier of whoever enforces its verdicts: an unknown key asks for an early poll.
    pub(crate) fn verifier(&self) -> &Verifier {
        &self.inner.verifier
    }

    /// Accepts exactly the held document with this digest.
    pub(crate) async fn accept(
        &self,
        domain: &TrustDomain,
        digest: Fingerprint,
    ) -> Result<RelationshipStatus, FederationError> {
        let (done, answer) = oneshot::channel();
        self.decide(domain, Order::Accept(digest, done), answer, digest).await
    }

    /// Rejects it: the same document is refused from now on.
    pub(crate) async fn reject(
        &self,
        domain: &TrustDomain,
        digest: Fingerprint,
    ) -> Result<RelationshipStatus, FederationError> {
        let (done, answer) = oneshot::channel();
        self.decide(domain, Order::Reject(digest, done), answer, digest).await
    }

    async fn decide(
        &self,
        domain: &TrustDomain,
        order: Order,
        answer: oneshot::Receiver<Result<(), OrderError>>,
        digest: Fingerprint,
    ) -> Result<RelationshipStatus, FederationError> {
        self.order(domain, order).await?;
        match answer.await.map_err(|_| FederationError::Interrupted)? {
            Ok(()) => self.relationship(domain),
            Err(OrderError::UnknownDigest) => {
                Err(FederationError::UnknownDigest { trust_domain: domain.clone(), digest })
            }
            Err(OrderError::NothingUsable) => {
                Err(FederationError::NothingUsable { trust_domain: domain.clone(), digest })
            }
            Err(OrderError::Store(error)) => Err(error.into()),
        }
    }

    async fn order(&self, domain: &TrustDomain, order: Order) -> Result<(), FederationError> {
        self.handle(domain)?.orders.send(order.into()).await.map_err(|_| FederationError::Interrupted)
    }

    fn handle(&self, domain: &TrustDomain) -> Result<Handle, FederationError> {
        self.inner.handles.get(domain).ok_or_else(|| FederationError::UnknownTrustDomain(domain.clone()))
    }
}

/// What an order to the exchange can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FederationError {
    #[error("no relationship with trust domain {0}; `comity federation list` names those there are")]
    UnknownTrustDomain(TrustDomain),
    #[error("trust domain {0} has no accepted bundle yet")]
    NoBundle(TrustDomain),
    #[error(
        "no held document of {trust_domain} has digest {digest}; `comity federation show {trust_domain}` names those there are"
    )]
    UnknownDigest { trust_domain: TrustDomain, digest: Fingerprint },
    #[error("document {digest} of {trust_domain} holds only keys of other domains; accepting it would revoke all")]
    NothingUsable { trust_domain: TrustDomain, digest: Fingerprint },
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked for can't be read from the store.
    #[error(transparent)]
    Unread(StoreError),
    #[error("the relationship changed or the service is stopping; ask again")]
    Interrupted,
}

impl FederationError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::UnknownTrustDomain(_) => "unknown-trust-domain",
            Self::NoBundle(_) => "no-bundle",
            Self::UnknownDigest { .. } => "unknown-digest",
            Self::NothingUsable { .. } => "nothing-usable",
            Self::Store(error) | Self::Unread(error) => error.code(),
            Self::Interrupted => "interrupted",
        }
    }
}
