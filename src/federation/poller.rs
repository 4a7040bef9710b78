//! One relationship: wait, poll, obey, store, report.

mod poll;
mod two_routes;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use litemap::LiteMap;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::spiffe::document::render::digest;
use crate::spiffe::public_key::Fingerprint;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::records::Origin;

use super::acceptance::Memory;
use super::announce;
use super::clock::Clock;
use super::counters::Counters;
use super::early_poll::EarlyPolls;
use super::endpoint_client::EndpointClient;
use super::known::Known;
use super::order::{Order, OrderError};
use super::patience::Patience;
use super::places::{Place, Places};
use super::relationship::FederationRelationship;
use super::schedule::{self, Outlook, Reason};
use super::timestamp::Timestamp;
use super::trust_feed::TrustFeed;

use self::poll::EntityTag;
use self::waiting::{Ended, Waiting};

/// What every poller of the service shares.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) feed: Arc<TrustFeed>,
    pub(crate) client: EndpointClient,
    pub(crate) clock: Arc<Clock>,
    pub(crate) counters: Counters,
    pub(crate) early_polls: EarlyPolls,
    pub(crate) places: Places,
}

/// What others see of a poller, replaced as a whole after each step.
#[derive(Clone, Debug)]
pub(crate) struct Progressed {
    pub(crate) known: Arc<Known>,
    /// Of the accepted bundle; rendering it is too dear for each look.
    pub(crate) digest: Option<Fingerprint>,
    pub(crate) next_poll: Option<(Timestamp, &'static str)>,
}

impl Progressed {
    pub(crate) fn first(known: Arc<Known>) -> Self {
        Self { digest: known.bundle.as_ref().map(|bundle| digest(bundle)), known, next_poll: None }
    }

    fn then(&self, known: &Arc<Known>, next_poll: Option<(Timestamp, &'static str)>) -> Self {
        match known.bundle == self.known.bundle {
            true => Self { known: known.clone(), digest: self.digest, next_poll },
            false => Self { next_poll, ..Self::first(known.clone()) },
        }
    }
}

pub(crate) struct Poller {
    pub(crate) relationship: Arc<FederationRelationship>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) seen: Arc<ArcSwap<Progressed>>,
    pub(crate) orders: mpsc::Receiver<Box<Order>>,
    /// Entity tags of the latest documents by their URLs, if all of each is accepted.
    etags: LiteMap<String, EntityTag>,
    /// Shared with those who look at it, until it changes.
    known: Arc<Known>,
    /// The ends of trust that the feed was told of when they came.
    lapsed: Vec<Timestamp>,
    /// The store goes on from another state than ours.
    superseded: bool,
    /// Polls since it runs.
    polls: u64,
    /// The request that the endpoint answers once there is something new.
    waiting: Option<Waiting>,
    /// Of the first URL.
    patience: Patience,
    /// The last poll brought something new.
    is_new: bool,
}

impl Poller {
    pub(crate) fn new(
        relationship: Arc<FederationRelationship>,
        shared: Arc<Shared>,
        seen: Arc<ArcSwap<Progressed>>,
        orders: mpsc::Receiver<Box<Order>>,
    ) -> Self {
        let known = seen.load().known.clone();
        Self {
            relationship,
            shared,
            seen,
            orders,
            etags: LiteMap::default(),
            known,
            lapsed: Vec::new(),
            superseded: false,
            polls: 0,
            waiting: None,
            patience: Patience::default(),
            is_new: false,
        }
    }

    /// Polls until told to stop, or until the store goes on without it: whoever starts the next one takes up
    /// what the store has. It may be dropped at any await: each write is one transaction.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let shared = self.shared.clone();
        let mut due = self.first_poll();
        while !self.superseded {
            let (lapse, over) = (self.lapse(), self.is_over());
            let is_failing = self.known.progress.failures > 0;
            let is_waiting = self.waiting.is_some();
            let turn = async {
                tokio::time::sleep_until(due).await;
                shared.places.take(is_failing).await
            };
            tokio::select! {
                () = stop.cancelled() => return,
                // What ended meanwhile is seen at the next turn.
                place = turn, if !over && !is_waiting => if !self.is_over() {
                    shared.counters.lateness.observe(due.elapsed().as_secs_f64());
                    due = self.take_turn(place).await;
                },
                ended = end(&mut self.waiting) => {
                    self.waiting = None;
                    if !self.is_over() {
                        due = Box::pin(self.conclude(ended)).await;
                    }
                }
                () = tokio::time::sleep_until(lapse.unwrap_or(due)), if lapse.is_some() => self.announce_lapse(),
                order = self.orders.recv() => match order {
                    Some(order) => if let Some(next) = self.obey(*order).await { due = next },
                    None => return,
                },
            }
        }
    }

    /// Waits on the endpoint or polls it; says when the next turn is, if there is one before that.
    async fn take_turn(&mut self, place: Place) -> Instant {
        let Some(_place) = self.begin_wait(place).await else {
            let asked = self.waiting.as_ref().map_or(Duration::ZERO, Waiting::asked);
            return self.expect(asked, Reason::Waiting);
        };
        self.poll().await;
        self.plan()
    }

    /// Carries out an order; if it was a poll, says when the next one is due.
    async fn obey(&mut self, order: Order) -> Option<Instant> {
        match order {
            Order::Refresh(done) => {
                self.poll().await;
                // Before the answer, so that whoever asked, if still there, reads of the next poll too.
                let due = self.plan();
                let _ = done.send(());
                Some(due)
            }
            Order::Early => {
                let domain = &self.relationship.trust_domain;
                let useful = self.known.progress.failures == 0 && !self.is_over();
                let allowed = useful && self.shared.early_polls.allow(domain, self.interval(), self.shared.clock.now());
                if !allowed {
                    return None;
                }
                let before = self.known.revision;
                self.poll().await;
                self.shared.early_polls.done(&self.relationship.trust_domain, self.known.revision != before);
                Some(self.plan())
            }
            Order::Policy(relationship) => {
                self.relationship = relationship;
                None
            }
            Order::Accept(digest, done) => {
                drop(done.send(self.approve(digest).await));
                self.waiting.take().map(|_| self.plan())
            }
            Order::Reject(digest, done) => {
                drop(done.send(self.reject(digest).await));
                None
            }
        }
    }

    async fn approve(&mut self, digest: Fingerprint) -> Result<(), OrderError> {
        let held = self.known.held.iter().find(|held| held.digest == digest).ok_or(OrderError::UnknownDigest)?.clone();
        let domain = &self.relationship.trust_domain;
        let usable = self
            .shared
            .feed
            .with_owners(|owners| held.bundle.retain(|authority| owners.other_owner(domain, authority).is_none()));
        // To trust nothing any more is what nobody asked for who accepts a document with keys.
        if usable.authorities().is_empty() && !held.bundle.authorities().is_empty() {
            return Err(OrderError::NothingUsable);
        }
        let now = self.shared.clock.now();
        let next = self.known.approved(&held, usable.authorities().clone(), now);
        self.save(next, Origin::Operator, now).await?;
        self.etags.clear();
        Ok(())
    }

    async fn reject(&mut self, digest: Fingerprint) -> Result<(), OrderError> {
        if !self.known.held.iter().any(|held| held.digest == digest) {
            return Err(OrderError::UnknownDigest);
        }
        let now = self.shared.clock.now();
        info!(trust_domain = %self.relationship.trust_domain, %digest, "held document rejected");
        Ok(self.save(self.known.rejected(digest), Origin::Operator, now).await?)
    }

    /// Store first, then the snapshot: what is trusted is never more than what is stored.
    async fn save(&mut self, next: impl Into<Arc<Known>>, origin: Origin, now: Timestamp) -> Result<(), StoreError> {
        let (next, domain) = (next.into(), &self.relationship.trust_domain);
        let written = self.shared.store.commit(&self.known.commit(&next, domain, origin, now)).await;
        self.superseded |= matches!(written, Err(StoreError::Superseded { .. } | StoreError::RevisionNotNext { .. }));
        written?;
        let staleness = self.relationship.maximum_staleness;
        let was_stale = self.known.stale_at(staleness).is_some_and(|at| at <= now);
        match next.trusted(staleness) {
            Some(trusted) if next.revision != self.known.revision => self.shared.feed.set(domain, trusted),
            // It is trusted again, which whoever waits for changes has to hear of.
            Some(trusted) if was_stale && next.progress.confirmed != self.known.progress.confirmed => {
                self.shared.feed.set(domain, trusted);
            }
            Some(trusted) if next.progress.confirmed != self.known.progress.confirmed => {
                self.shared.feed.extend(domain, trusted);
            }
            _ => {}
        }
        announce::changed(domain, &self.known, &next, origin);
        self.show(next);
        Ok(())
    }

    /// What it remembers, its own to change.
    fn memory(&mut self) -> &mut Memory {
        &mut Arc::make_mut(&mut self.known).accepted.memory
    }

    fn show(&mut self, known: Arc<Known>) {
        self.known = known;
        let seen = self.seen.load();
        self.seen.store(Arc::new(seen.then(&self.known, seen.next_poll)));
    }

    fn interval(&self) -> Duration {
        self.relationship.poll.interval(self.hint())
    }

    fn hint(&self) -> Option<Duration> {
        self.known.progress.refresh_hint.map(Duration::from_secs)
    }

    /// A restart goes on where the last run stopped, so a crash loop can't hammer a peer.
    fn first_poll(&mut self) -> Instant {
        match self.known.progress.last_attempt {
            Some(_) => self.plan(),
            None => Instant::now(),
        }
    }

    /// Time from one poll to the next, and why; `jitter` in `0.0..=1.0` makes it shorter.
    fn scheduled(&self, jitter: f64) -> (Duration, Reason) {
        let outlook = Outlook {
            policy: self.relationship.poll,
            refresh_hint: self.hint(),
            authorities: self.known.bundle.as_ref().map(|bundle| bundle.authorities()),
            failures: self.known.progress.failures,
            confirm_empty: self.known.accepted.memory.emptied.is_some(),
        };
        schedule::next_poll(&outlook, self.shared.clock.now(), jitter)
    }

    /// When to poll next, counted from the last attempt; sooner where the endpoint waits.
    fn plan(&mut self) -> Instant {
        let (mut wait, reason) = self.scheduled(fastrand::f64());
        if self.polls == 1 {
            wait = schedule::first_wait(wait, self.relationship.poll.minimum(), fastrand::f64());
        }
        let now = self.shared.clock.now();
        let passed = self.known.progress.last_attempt.map_or(Duration::ZERO, |attempt| now.since(attempt));
        match self.next_wait() {
            Some(pause) => self.expect(spread(pause).min(wait), Reason::Waiting),
            None => self.expect(wait.saturating_sub(passed), reason),
        }
    }

    /// Tells when the next poll, or the end of a wait, is to be expected.
    fn expect(&self, wait: Duration, reason: Reason) -> Instant {
        let next_poll = Some((self.shared.clock.now().after(wait), reason.code()));
        self.seen.store(Arc::new(self.seen.load().then(&self.known, next_poll)));
        Instant::now() + wait
    }

    /// When trust ends by time alone, if the feed was not told yet: at once if a poll took longer.
    fn lapse(&self) -> Option<Instant> {
        let at = self.ends().filter(|at| !self.lapsed.contains(at)).min()?;
        Some(Instant::now() + at.since(self.shared.clock.now()).min(LONGEST_SLEEP))
    }

    fn announce_lapse(&mut self) {
        let now = self.shared.clock.now();
        let past: Vec<_> = self.ends().filter(|at| *at <= now).collect();
        if past.iter().any(|at| !self.lapsed.contains(at)) {
            self.lapsed = past;
            self.shared.feed.lapse(&self.relationship.trust_domain);
        }
        if self.is_over() {
            self.waiting = None;
        }
    }

    /// Its last day has passed, so nothing is fetched unless a person asks.
    fn is_over(&self) -> bool {
        self.relationship.expires_at().is_some_and(|at| at <= self.shared.clock.now())
    }

    /// When the bundle is too old, and when the relationship is over.
    fn ends(&self) -> impl Iterator<Item = Timestamp> {
        let stale_at = self.known.stale_at(self.relationship.maximum_staleness);
        stale_at.into_iter().chain(self.relationship.expires_at())
    }
}

/// Up to half as long again: after a change, all who wait come again; not all at once.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + 0.5 * fastrand::f64())
}

/// The end of a wait, if there is one.
async fn end(waiting: &mut Option<Waiting>) -> Ended {
    match waiting {
        Some(waiting) => waiting.end().await,
        None => std::future::pending().await,
    }
}

/// Longer sleeps are cut in two.
const LONGEST_SLEEP: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests;
