//! A poll that is answered only once there is something new, or the wait for it is over.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::federation::endpoint_client::{Body, FetchError, FetchRecord, Proof, Request, Wait, Waited};
use crate::federation::outcome::{PollError, PollOutcome};
use crate::federation::patience::PAUSE;
use crate::federation::places::Place;
use crate::federation::schedule::Reason;
use crate::verify::presented::Then;

use super::poll::{EntityTag, NEXT_URL_UNTIL};
use super::{Poller, spread};

/// A request that waits. Dropped, its connection ends, and whatever it would have been answered counts for nothing.
pub(super) struct Waiting {
    pub(super) answer: JoinSet<Fetched>,
    pub(super) etag: EntityTag,
    pub(super) asked: Duration,
}

/// What came of it.
pub(super) struct Ended {
    pub(super) fetched: Fetched,
    pub(super) etag: EntityTag,
    pub(super) asked: Duration,
}

type Fetched = (FetchRecord, Result<Body, FetchError>);

impl Waiting {
    pub(super) async fn end(&mut self) -> Ended {
        let fetched = match self.answer.join_next().await {
            Some(Ok(fetched)) => fetched,
            // Whoever keeps pollers repairs them.
            Some(Err(panic)) => resume_unwind(panic.into_panic()),
            None => pending().await,
        };
        Ended { fetched, etag: self.etag.clone(), asked: self.asked }
    }

    /// For how long the endpoint was asked to wait.
    pub(super) fn asked(&self) -> Duration {
        self.asked
    }
}

impl Poller {
    /// Begins to wait on the first URL, if that may be asked to: its place among the polls is free again as soon as
    /// nothing is left but to wait.
    pub(super) async fn begin_wait(&mut self, place: Place) -> Option<Place> {
        let Some((proof, etag)) = self.what_it_takes_to_wait() else { return Some(place) };
        let Some(at_most) = self.patience.ask(self.scheduled(0.0).0) else { return Some(place) };
        let Some(place_to_wait) = self.shared.places.to_wait() else {
            self.patience.crowded_out();
            return Some(place);
        };
        self.etags.remove(&self.first_url().to_string());
        self.polls += 1;
        self.record_attempt().await;
        let (relationship, shared) = (self.relationship.clone(), self.shared.clone());
        let (url, tag) = (self.first_url().clone(), etag.tag.clone());
        let mut answer = JoinSet::new();
        answer.spawn(async move {
            let _place_to_wait = place_to_wait;
            let place = Arc::new(Mutex::new(Some(place)));
            let held = place.clone();
            let begins = Then(Arc::new(move || drop(held.lock().unwrap_or_else(PoisonError::into_inner).take())));
            let Proof::Known(authentication) = proof else { unreachable!("asked for before") };
            let request = Request {
                endpoint: &relationship.endpoint,
                url: &url,
                authentication,
                etag: Some(&tag),
                bearer: None,
                wait: Some(Wait { at_most, begins }),
            };
            shared.client.fetch(&request).await
        });
        self.waiting = Some(Waiting { answer, etag, asked: at_most });
        None
    }

    /// What proves the endpoint, and what it is asked about.
    fn what_it_takes_to_wait(&self) -> Option<(Proof, EntityTag)> {
        if !self.may_wait() {
            return None;
        }
        let etag = self.etags.get(&self.first_url().to_string()).filter(|etag| etag.is_usable())?;
        let proof = self.proof().ok().filter(|proof| matches!(proof, Proof::Known(_)))?;
        Some((proof, etag.clone()))
    }

    /// Two routes are compared at one time, so neither is waited on; nor is a URL that was added and is not known yet.
    fn may_wait(&self) -> bool {
        self.relationship.wait && !self.relationship.two_routes && !self.is_added(self.first_url())
    }

    /// When an endpoint that waits is asked again; `None` if it is polled as scheduled. After what it just brought, and
    /// before there is an entity tag to ask about, it is polled once more.
    pub(super) fn next_wait(&self) -> Option<Duration> {
        let has_etag = self.etags.contains_key(&self.first_url().to_string());
        let failures = self.known.progress.failures;
        // A restart ends all waits: without this, all who wait would notice it, and be blind until their next polls.
        let may_restart = failures == 1 && self.patience.waits();
        let goes_on = match self.patience.waits() {
            true => has_etag || self.is_new || may_restart,
            // At a start, all at once would ask once more.
            false => has_etag && self.polls > 1,
        };
        let is_well = (failures == 0 || may_restart) && self.known.accepted.memory.emptied.is_none();
        let pause = self.patience.pause(self.interval()).filter(|_| goes_on && is_well && self.may_wait())?;
        Some(if may_restart { pause.max(RESTART).min(self.interval()) } else { pause })
    }

    /// Judges what was waited for, if the endpoint is still who it was; says when the next turn is. A wait that ended
    /// without an answer of use is no failure, and followed by a plain poll, which may be one.
    pub(super) async fn conclude(&mut self, ended: Ended) -> Instant {
        let Ended { fetched: (record, body), etag, asked } = ended;
        let proof = match self.proof() {
            Ok(proof) => proof,
            Err(error) => return self.settle_and_plan(Err(error)).await,
        };
        let error = match body {
            Ok(body) => match self.still_proven(&record, &proof) {
                Ok(()) => {
                    let outcome = self.heed_waited(&record, body, etag, asked).await;
                    return self.go_on(&proof, outcome).await;
                }
                Err(error) => {
                    self.patience.disturbed();
                    error
                }
            },
            Err(error) => match record.cut_off(&error) {
                Some(held) => {
                    self.patience.cut_off(asked, held);
                    FetchError::WaitCutOff { held, reason: Box::new(error) }
                }
                None => {
                    self.patience.disturbed();
                    let outcome = self.heed(&record, Err(error.into())).await;
                    return self.go_on(&proof, outcome).await;
                }
            },
        };
        self.told(&record, &Err(error.into()));
        // Whatever ended this wait may have ended very many, which then take places among the polls as at any turn.
        self.expect(spread(PAUSE), Reason::Waiting)
    }

    fn still_proven(&self, record: &FetchRecord, proof: &Proof) -> Result<(), FetchError> {
        match proof {
            Proof::Known(authentication) => self.shared.client.still_proven(record, authentication),
            Proof::Pinned(pinned) => Err(FetchError::PinnedAuthorityMissing { pin: pinned.pin }),
        }
    }

    async fn heed_waited(
        &mut self,
        record: &FetchRecord,
        body: Body,
        etag: EntityTag,
        asked: Duration,
    ) -> Result<PollOutcome, PollError> {
        let brought = matches!(body, Body::Document { .. });
        let waited = record.waited.unwrap_or(NOT_WAITED);
        self.patience.answered(asked, &waited, brought);
        let answer = self.read(body, Some(etag));
        self.heed(record, answer).await
    }

    /// Where the first URL failed as it can in any poll, the others are asked.
    async fn go_on(&mut self, proof: &Proof, outcome: Result<PollOutcome, PollError>) -> Instant {
        let outcome = self.ask_others(proof, outcome, Instant::now() + NEXT_URL_UNTIL).await;
        self.settle_and_plan(outcome).await
    }

    async fn settle_and_plan(&mut self, outcome: Result<PollOutcome, PollError>) -> Instant {
        self.settle(outcome).await;
        self.plan()
    }
}

/// Time that an endpoint may need to be there again.
const RESTART: Duration = Duration::from_secs(5);
/// Of an answer without a handshake before it, which there is none.
const NOT_WAITED: Waited = Waited { held: Duration::ZERO, is_applied: false, granted: None };
