//! One poll: which URLs are asked, and what comes of their answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::federation::acceptance;
use crate::federation::announce;
use crate::federation::endpoint_client::{
    Authentication, Body, FetchError, FetchRecord, PinnedAuthority, Proof, Request,
};
use crate::federation::offered::Offered;
use crate::federation::outcome::{PollError, PollOutcome};
use crate::federation::parameters::Standing;
use crate::federation::relationship::EndpointUrl;
use crate::federation::status::ErrorStatus;
use crate::federation::timestamp::Timestamp;
use crate::spiffe::document::BundleDocument;
use crate::store::records::Origin;
use crate::verify::snapshot::DomainTrust;

use super::Poller;

/// An entity tag of one URL, never sent to another.
#[derive(Clone, Debug)]
pub(super) struct EntityTag {
    pub(super) tag: String,
    /// Times in a row that its word was taken.
    uses: u32,
}

impl EntityTag {
    /// Whether its word may be taken once more.
    pub(super) fn is_usable(&self) -> bool {
        self.uses < CONDITIONAL_POLLS
    }
}

/// What a URL answered.
pub(super) enum Answer {
    /// The document with this tag, still.
    NotModified(EntityTag),
    Document(BundleDocument, Option<String>),
}

impl Poller {
    /// Asks at once, and waits for no change; a wait that goes on ends unheeded. Its state is as large as all else of a
    /// poller, so it is kept only while it lasts.
    pub(super) async fn poll(&mut self) {
        Box::pin(self.poll_now()).await;
    }

    async fn poll_now(&mut self) {
        self.waiting = None;
        self.polls += 1;
        self.record_attempt().await;
        let outcome = match self.proof().inspect_err(|error| self.count(error.code())) {
            Ok(proof) if self.relationship.two_routes => self.ask_two(&proof).await,
            Ok(proof) => {
                self.memory().routes.one_route = None;
                self.ask_one(&proof).await
            }
            Err(error) => Err(error),
        };
        if matches!(outcome, Ok(PollOutcome::Accepted)) {
            self.patience.disturbed();
        }
        self.settle(outcome).await;
    }

    /// What a poll came to in the end.
    pub(super) async fn settle(&mut self, outcome: Result<PollOutcome, PollError>) {
        self.is_new = matches!(outcome, Ok(PollOutcome::Accepted));
        match outcome {
            Ok(outcome) => self.meet_added(&outcome).await,
            Err(error) => self.fail(error).await,
        }
    }

    /// Asks the URLs in order until one brings a document; those that were added after those that are known.
    async fn ask_one(&mut self, proof: &Proof) -> Result<PollOutcome, PollError> {
        let first = self.first_url().clone();
        let end = Instant::now() + NEXT_URL_UNTIL;
        let outcome = self.ask(&first, proof).await;
        self.ask_others(proof, outcome, end).await
    }

    /// The URL that is asked first.
    pub(super) fn first_url(&self) -> &EndpointUrl {
        let endpoint = &self.relationship.endpoint;
        endpoint.urls().find(|url| !self.is_added(url)).unwrap_or(&endpoint.url)
    }

    /// Asks the URLs after the first, for as long as nothing else came of that than a failed fetch.
    pub(super) async fn ask_others(
        &mut self,
        proof: &Proof,
        mut outcome: Result<PollOutcome, PollError>,
        end: Instant,
    ) -> Result<PollOutcome, PollError> {
        let relationship = self.relationship.clone();
        let (known, added): (Vec<_>, Vec<_>) = relationship.endpoint.urls().partition(|url| !self.is_added(url));
        for url in known.into_iter().chain(added).skip(1) {
            if !outcome.as_ref().is_err_and(PollError::is_failed_fetch) || Instant::now() >= end {
                break;
            }
            // Where all fail, the first URL's reason is the one to tell.
            match self.ask(url, proof).await {
                Err(error) if error.is_failed_fetch() => {}
                answered => outcome = answered,
            }
        }
        outcome
    }

    pub(super) async fn record_attempt(&mut self) {
        let attempt = self.shared.clock.now();
        Arc::make_mut(&mut self.known).progress.last_attempt = Some(attempt);
        let unchanged = self.known.clone();
        if let Err(error) = self.save(unchanged, Origin::Fetch, attempt).await {
            warn!(trust_domain = %self.relationship.trust_domain, code = error.code(), %error, "attempt not recorded");
        }
    }

    /// Fetches from one URL and judges what comes.
    async fn ask(&mut self, url: &EndpointUrl, proof: &Proof) -> Result<PollOutcome, PollError> {
        let etag = self.etags.remove(&url.to_string()).filter(EntityTag::is_usable);
        let (record, answer) = self.fetch(url, proof, etag).await;
        self.heed(&record, answer).await
    }

    /// Judges what a URL answered.
    pub(super) async fn heed(
        &mut self,
        record: &FetchRecord,
        answer: Result<Answer, PollError>,
    ) -> Result<PollOutcome, PollError> {
        let outcome = match answer {
            Ok(Answer::NotModified(etag)) => self.confirm(record, etag).await,
            Ok(Answer::Document(document, tag)) => {
                self.consider(record, &Offered::alone(&document, &record.url), tag).await
            }
            Err(error) => Err(error),
        };
        self.told(record, &outcome);
        outcome
    }

    /// One request, conditional with an entity tag.
    pub(super) async fn fetch(
        &self,
        url: &EndpointUrl,
        proof: &Proof,
        etag: Option<EntityTag>,
    ) -> (FetchRecord, Result<Answer, PollError>) {
        let tag = etag.as_ref().map(|etag| etag.tag.as_str());
        let authentication = match proof {
            Proof::Known(authentication) => authentication.clone(),
            Proof::Pinned(pinned) => match self.find(url, pinned).await {
                Ok(authentication) => authentication,
                Err((record, error)) => return (*record, Err(error.into())),
            },
        };
        let request =
            Request { endpoint: &self.relationship.endpoint, url, authentication, etag: tag, bearer: None, wait: None };
        let (record, body) = self.shared.client.fetch(&request).await;
        let answer = body.map_err(PollError::from).and_then(|body| self.read(body, etag));
        (record, answer)
    }

    pub(super) fn read(&self, body: Body, etag: Option<EntityTag>) -> Result<Answer, PollError> {
        match (body, etag) {
            (Body::Document { bytes, etag }, _) => {
                Ok(Answer::Document(BundleDocument::parse(&self.relationship.trust_domain, &bytes)?, etag))
            }
            (Body::NotModified, Some(etag)) => Ok(Answer::NotModified(etag)),
            (Body::NotModified, None) => Err(FetchError::NotModifiedUnasked.into()),
        }
    }

    /// Logs, counts and remembers how a fetch ended.
    pub(super) fn told(&mut self, record: &FetchRecord, outcome: &Result<PollOutcome, PollError>) {
        let now = self.shared.clock.now();
        announce::fetched(&self.relationship.trust_domain, record, outcome.as_ref().map(PollOutcome::code));
        self.count(outcome.as_ref().map_or_else(PollError::code, PollOutcome::code));
        let error = outcome.as_ref().err().map(|error| error_status(error, now));
        self.memory().routes.asked(&record.url, error, now);
    }

    /// The URL answered that nothing changed.
    async fn confirm(&mut self, record: &FetchRecord, etag: EntityTag) -> Result<PollOutcome, PollError> {
        let now = self.shared.clock.now();
        let fresh = self.is_fresh(record);
        let next = self.known.unchanged(&record.url, now, fresh);
        self.save(next, Origin::Fetch, now).await?;
        self.etags.insert(record.url.clone(), EntityTag { uses: etag.uses + 1, ..etag });
        Ok(PollOutcome::unchanged(fresh))
    }

    /// The URL served a document.
    pub(super) async fn consider(
        &mut self,
        record: &FetchRecord,
        offered: &Offered<'_>,
        tag: Option<String>,
    ) -> Result<PollOutcome, PollError> {
        let now = self.shared.clock.now();
        let document = offered.document;
        let judgement = match self.judge(offered, now) {
            Ok(judgement) => judgement,
            Err(error) => {
                self.known = self.known.saw(&record.url, document.bundle()).into();
                self.etags.clear();
                return Err(error);
            }
        };
        let fresh = self.is_fresh(record);
        let next = self.known.judged(offered, &judgement, now, fresh);
        let whole = judgement.hold.is_none() && judgement.confirms && judgement.withheld.is_empty();
        self.save(next, Origin::Fetch, now).await?;
        match tag.filter(|_| whole && judgement.accept.is_none()) {
            Some(tag) => _ = self.etags.insert(record.url.clone(), EntityTag { tag, uses: 0 }),
            // What other URLs served before says nothing of what is accepted or waits now.
            None => self.etags.clear(),
        }
        for element in document.ignored() {
            self.shared.counters.elements.count(&self.relationship.trust_domain, element.reason.code());
        }
        if judgement.sequence_reused {
            self.count("sequence-reused");
            warn!(trust_domain = %self.relationship.trust_domain, code = "sequence-reused", "the peer changed its bundle under the same sequence");
        }
        Ok(PollOutcome::of(&judgement, fresh))
    }

    fn judge(&self, offered: &Offered<'_>, now: Timestamp) -> Result<acceptance::Judgement, PollError> {
        let accepted = &self.known.accepted;
        if accepted.is_ahead_of(offered) {
            let number = |sequence: Option<u64>| sequence.unwrap_or_default();
            let (accepted, offered) = (accepted.memory.sequence, offered.document.bundle().sequence());
            return Err(PollError::Behind { accepted: number(accepted), offered: number(offered) });
        }
        let judge = |owners: &_| acceptance::judge(&self.relationship, accepted, offered, owners, now);
        Ok(self.shared.feed.with_owners(judge)?)
    }

    /// Asks one of the URLs that were added since, if there is one, so that it is known when it is needed. What it
    /// serves is compared, and changes nothing.
    async fn meet_added(&mut self, outcome: &PollOutcome) {
        if !matches!(outcome, PollOutcome::Accepted | PollOutcome::Unchanged | PollOutcome::Cached) {
            return;
        }
        let relationship = self.relationship.clone();
        let Some(url) = relationship.endpoint.urls().find(|url| self.is_added(url)) else { return };
        let Ok(proof) = self.proof() else { return };
        let (record, answer) = self.fetch(url, &proof, None).await;
        let outcome = match answer {
            Ok(Answer::Document(document, _)) => self.meet(&record, &document).await,
            Ok(Answer::NotModified(_)) => return,
            Err(error) => Err(error),
        };
        self.told(&record, &outcome);
    }

    pub(super) fn is_added(&self, url: &EndpointUrl) -> bool {
        self.known.accepted.standing(&url.to_string()) == Standing::Added
    }

    async fn meet(&mut self, record: &FetchRecord, document: &BundleDocument) -> Result<PollOutcome, PollError> {
        let bundle = document.bundle();
        let domain = &self.relationship.trust_domain;
        let usable = self.shared.feed.with_owners(|owners| bundle.retain(|one| owners.reused(domain, one).is_none()));
        let next = match self.known.accepted.authorities.as_ref() == Some(usable.authorities()) {
            true => self.known.met(&record.url, bundle),
            false => self.known.saw(&record.url, bundle),
        };
        self.save(next, Origin::Fetch, self.shared.clock.now()).await?;
        Ok(PollOutcome::Compared)
    }

    async fn fail(&mut self, error: PollError) {
        let now = self.shared.clock.now();
        let failed = Arc::new(self.known.failed(error_status(&error, now)));
        if let Err(error) = self.save(failed.clone(), Origin::Fetch, now).await {
            tracing::error!(trust_domain = %self.relationship.trust_domain, code = error.code(), %error, "failed poll not recorded");
            self.show(failed);
        }
    }

    /// The fetch that finds a pinned authority is logged as any other.
    async fn find(
        &self,
        url: &EndpointUrl,
        pinned: &PinnedAuthority,
    ) -> Result<Authentication, (Box<FetchRecord>, FetchError)> {
        let (record, found) = self.shared.client.find(&self.relationship.endpoint, url, pinned).await;
        let authentication = found.map_err(|error| (Box::new(record.clone()), error))?;
        announce::fetched(&self.relationship.trust_domain, &record, Ok(PollOutcome::PinFound.code()));
        Ok(authentication)
    }

    /// What the endpoint has to prove: only the latest accepted bundle counts, never what is configured for the
    /// beginning (FEC-11).
    pub(super) fn proof(&self) -> Result<Proof, PollError> {
        let (relationship, now) = (&self.relationship, self.shared.clock.now());
        if self.known.needs_bootstrap(relationship, now) {
            return Err(PollError::NeedsBootstrap);
        }
        if let Some(pin) = relationship.pinned_authority().filter(|_| self.known.bundle.is_none()) {
            return Ok(Proof::Pinned(PinnedAuthority { pin, policy: relationship.policy.clone() }));
        }
        let snapshot = self.shared.feed.snapshot();
        let host = relationship.via().unwrap_or(&relationship.trust_domain);
        let trust = snapshot.domain(host).map(|trust| &**trust);
        if let Some(state) = trust.filter(|_| relationship.via().is_some()).and_then(|trust| lapsed(trust, now)) {
            return Err(FetchError::HostNotTrusted { trust_domain: host.clone(), state }.into());
        }
        Ok(Proof::Known(self.shared.client.authentication(&relationship.endpoint.profile, trust)?))
    }

    /// An answer that a cache kept for longer than the hint says nothing about now.
    fn is_fresh(&self, record: &FetchRecord) -> bool {
        record.age.is_none_or(|age| age <= self.interval())
    }

    fn count(&self, code: &'static str) {
        self.shared.counters.polls.count(&self.relationship.trust_domain, code);
    }
}

/// Why a domain proves nothing at this time: a relationship with its own endpoint lives through that, one that rests
/// on it does not.
fn lapsed(host: &DomainTrust, now: Timestamp) -> Option<&'static str> {
    match host.policy().not_after {
        _ if host.is_stale(now.into()) => Some("bundle-stale"),
        Some(last) if Timestamp::from(last) < now => Some("policy-not-after"),
        _ => None,
    }
}

fn error_status(error: &PollError, at: Timestamp) -> ErrorStatus {
    ErrorStatus { code: error.code().to_owned(), detail: error.to_string(), at }
}

/// Since the beginning of a poll; after it no further URL is asked, so that a poll ends within 3 min however long each of
/// them hangs.
pub(super) const NEXT_URL_UNTIL: Duration = Duration::from_secs(90);
/// Conditional polls of a URL in a row before one that takes no entity tag's word for anything.
const CONDITIONAL_POLLS: u32 = 7;
