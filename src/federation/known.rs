//! What is known of one relationship: its accepted bundle, what waits, and how its polls went.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::spiffe::authority::AuthorityId;
use crate::spiffe::bundle::{Authorities, Bundle};
use crate::spiffe::document::render::digest;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;
use crate::store::records::{Commit, HeldDocument, Origin, Revision, StoredRelationship};

use super::acceptance::{Accepted, Judgement, Memory, Since};
use super::hold::Hold;
use super::offered::Offered;
use super::parameters::{Parameters, Standing};
use super::past::Past;
use super::relationship::{EndpointProfile, FederationRelationship};
use super::status::{ErrorStatus, IgnoredStatus, RelationshipState, WithheldAuthority};
use super::timestamp::Timestamp;
use super::trust_feed::Trusted;

/// One relationship's state. Its poller owns it; everybody else reads copies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) incarnation: u64,
    pub(crate) last_revision: u64,
    pub(crate) revision: Option<u64>,
    pub(crate) bundle: Option<Arc<Bundle>>,
    pub(crate) held: Vec<HeldDocument>,
    pub(crate) accepted: Accepted,
    pub(crate) progress: Progress,
}

/// What outlives a restart besides the bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// Only where it is written and read; while the service runs it is with what is accepted.
    pub(crate) memory: Memory,
    /// When an authenticated endpoint last served the accepted contents.
    pub(crate) confirmed: Option<Timestamp>,
    pub(crate) last_attempt: Option<Timestamp>,
    pub(crate) last_success: Option<Timestamp>,
    pub(crate) last_error: Option<ErrorStatus>,
    pub(crate) failing_since: Option<Timestamp>,
    /// Fetches that failed in a row.
    pub(crate) failures: u64,
    /// Hint of the latest document in order, in seconds.
    pub(crate) refresh_hint: Option<u64>,
    pub(crate) ignored: Vec<IgnoredStatus>,
    pub(crate) withheld: Vec<WithheldAuthority>,
    /// Start of the present unbroken time with an accepted bundle.
    pub(crate) begun: Option<Timestamp>,
    /// First revision of this incarnation; what an earlier one accepted is kept but not used (REL-07).
    pub(crate) first_revision: u64,
}

impl Progress {
    /// What can be told from the rest, if no progress was written or it can't be read: never a lower
    /// baseline, a younger bundle or a shorter past than there was.
    fn of(stored: &StoredRelationship) -> Self {
        let Some(accepted) = &stored.accepted else {
            return Self { first_revision: stored.last_revision + 1, ..Self::default() };
        };
        let (bundle, at) = (&accepted.bundle, Timestamp::from_secs(accepted.accepted_at));
        let since = |id: &AuthorityId| (id.clone(), Since { at, bootstrap: false });
        let memory = Memory {
            sequence: bundle.sequence(),
            highest: bundle.sequence(),
            contents: Some(bundle.authorities().digest()),
            since: bundle.authorities().ids().map(since).collect(),
            ..Memory::default()
        };
        let refresh_hint = bundle.refresh_hint().map(|hint| hint.as_secs());
        Self { memory, confirmed: Some(at), begun: Some(at), refresh_hint, ..Self::default() }
    }
}

impl Known {
    /// What the store kept. `history` names what was accepted before.
    pub(crate) fn restore(stored: StoredRelationship, history: &[Revision]) -> Self {
        let progress = stored.progress.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let mut progress: Progress = progress.unwrap_or_else(|| Progress::of(&stored));
        let memory = std::mem::take(&mut progress.memory);
        let hint = progress.refresh_hint.map(Duration::from_secs);
        let latest = |bundle: &Bundle| numbered(Arc::new(bundle.clone()), memory.sequence, hint);
        let bundle = stored.accepted.as_ref().map(|revision| latest(&revision.bundle));
        let Ok(came_by) = stored.endpoint.parse::<Parameters>();
        let own = history.iter().rev().filter(|revision| revision.number >= progress.first_revision);
        let mut past = Past::default();
        own.for_each(|revision| past.remember(revision.bundle.authorities()));
        Self {
            accepted: Accepted {
                authorities: bundle.as_ref().map(|bundle| bundle.authorities().clone()),
                memory,
                past: Arc::new(past),
                barred: stored.barred.into_iter().collect(),
                configured: came_by.clone(),
                came_by,
            },
            incarnation: stored.incarnation,
            last_revision: stored.last_revision,
            revision: stored.accepted.map(|revision| revision.number),
            bundle,
            held: stored.held,
            progress,
        }
    }

    /// A relationship without a past of its own.
    pub(crate) fn begin(created: StoredRelationship) -> Self {
        Self::restore(created, &[])
    }

    /// The same without dates after `now`, which only a clock can have left that ran ahead and was reset: they
    /// would keep the bundle young for as long as it was ahead.
    pub(crate) fn capped_at(mut self, now: Timestamp) -> Self {
        let Progress { confirmed, last_attempt, last_success, failing_since, begun, .. } = &mut self.progress;
        let progress = [confirmed, last_attempt, last_success, failing_since, begun].into_iter().flatten();
        let Memory { since, noticed, emptied, .. } = &mut self.accepted.memory;
        let memory = since.iter_mut().map(|(_, since)| &mut since.at).chain(noticed.iter_mut().map(|(_, at)| at));
        let memory = memory.chain(emptied.iter_mut().map(|emptied| &mut emptied.since));
        progress.chain(memory).for_each(|at| *at = now.min(*at));
        for held in &mut self.held {
            held.first_seen = held.first_seen.min(now.as_secs());
            held.last_seen = held.last_seen.min(now.as_secs());
        }
        self
    }

    /// The same under the parameters of now (REL-10).
    pub(crate) fn under(mut self, configured: Parameters) -> Self {
        self.accepted.came_by = self.accepted.came_by.narrowed_to(&configured);
        self.accepted.memory.routes.narrow_to(&configured);
        self.accepted.configured = configured;
        self
    }

    /// After a document in order was judged. `fresh` is false for an answer from a cache.
    pub(crate) fn judged(&self, offered: &Offered<'_>, judgement: &Judgement, now: Timestamp, fresh: bool) -> Self {
        let bundle = offered.document.bundle();
        let mut next = self.succeeded(now);
        next.accepted.memory.routes.served(offered.url, bundle);
        next.progress.ignored = offered.document.ignored().iter().map(IgnoredStatus::from).collect();
        next.progress.withheld = judgement
            .withheld
            .iter()
            .map(|reused| WithheldAuthority {
                id: reused.id.clone(),
                code: reused.code().to_owned(),
                detail: reused.to_string(),
                owner: reused.owner.clone(),
            })
            .collect();
        next.accepted.memory.noticed.clone_from(&judgement.noticed);
        next.accepted.memory.emptied.clone_from(&judgement.emptied);
        if !offered.is_followed {
            next.hold(bundle, judgement.hold.as_ref(), now);
        }
        if let Some(authorities) = &judgement.accept {
            next.accept(bundle, authorities.clone(), now);
            // What one of two routes removed stays so under every number up to its own.
            next.accepted.memory.highest = next.accepted.memory.highest.max(bundle.sequence());
        }
        if judgement.accept.is_some() || (judgement.confirms && judgement.hold.is_none()) {
            let raises = judgement.accept.is_some() || !self.accepted.memory.routes.is_another(offered.url);
            if offered.is_baseline && raises {
                next.number(bundle);
                next.accepted.memory.routes.numbered_by = Some(offered.url.to_owned());
            }
            next.knows(offered.url);
        }
        // What follows is newer: only if that confirms it too, the bundle is as young.
        if judgement.confirms && !offered.is_followed && fresh && next.bundle.is_some() {
            next.progress.confirmed = Some(now);
        }
        next
    }

    /// After an operator accepted a held document, less what belongs to others.
    pub(crate) fn approved(&self, held: &HeldDocument, authorities: Authorities, now: Timestamp) -> Self {
        let mut next = self.clone();
        let servers = self.accepted.memory.routes.servers_of(held.digest);
        if let Some(replaced) = &self.bundle {
            next.accepted.barred.extend(Some(digest(replaced)).filter(|replaced| *replaced != held.digest));
        }
        next.held.clear();
        next.accepted.memory.noticed.clear();
        next.accepted.memory.emptied = None;
        next.accept(&held.bundle, authorities, now);
        next.number(&held.bundle);
        next.accepted.memory.routes.served_by = None;
        next.accepted.memory.routes.numbered_by = servers.first().cloned();
        servers.iter().for_each(|url| next.knows(url));
        next.knows_one();
        next.progress.confirmed = Some(Timestamp::from_secs(held.last_seen));
        next
    }

    /// After an operator rejected it: the same document is refused from now on.
    pub(crate) fn rejected(&self, digest: Fingerprint) -> Self {
        let mut next = self.clone();
        next.held.retain(|held| held.digest != digest);
        next.accepted.barred.insert(digest);
        next
    }

    /// Begins with a bundle from the configuration (FEC-06).
    pub(crate) fn bootstrapped(&self, bundle: &Bundle, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.accept(bundle, bundle.authorities().clone(), now);
        next.number(bundle);
        next.progress.confirmed = Some(now);
        next
    }

    /// After a URL brought a document that changes nothing and confirms nothing.
    pub(crate) fn saw(&self, url: &str, document: &Bundle) -> Self {
        let mut next = self.clone();
        next.accepted.memory.routes.served(url, document);
        next
    }

    /// After a URL that was added served what is accepted, which makes it known.
    pub(crate) fn met(&self, url: &str, document: &Bundle) -> Self {
        let mut next = self.saw(url, document);
        next.accepted.came_by = next.accepted.came_by.with(&self.accepted.configured, url);
        next
    }

    /// After the endpoint answered that nothing changed since a document that was accepted whole.
    pub(crate) fn unchanged(&self, url: &str, now: Timestamp, fresh: bool) -> Self {
        let mut next = self.succeeded(now);
        next.accepted.memory.routes.served_by = Some(url.to_owned());
        if fresh {
            next.progress.confirmed = Some(now);
        }
        next
    }

    /// After a fetch, or the document it brought, failed.
    pub(crate) fn failed(&self, error: ErrorStatus) -> Self {
        let mut next = self.clone();
        next.progress.failures += 1;
        next.progress.failing_since.get_or_insert(error.at);
        next.progress.last_error = Some(error);
        next
    }

    /// How to write the difference to `self` in one transaction.
    pub(crate) fn commit(&self, next: &Self, trust_domain: &TrustDomain, origin: Origin, now: Timestamp) -> Commit {
        let progress = Progress { memory: next.accepted.memory.clone(), ..next.progress.clone() };
        let accept = next.bundle.as_ref().filter(|_| next.revision != self.revision).zip(next.revision);
        Commit {
            trust_domain: trust_domain.clone(),
            incarnation: next.incarnation,
            endpoint: next.accepted.came_by.to_string(),
            progress: serde_json::to_string(&progress).expect("plain data always serialises"),
            accept: accept.map(|(bundle, number)| Revision {
                number,
                bundle: Bundle::clone(bundle),
                accepted_at: now.as_secs(),
                origin,
            }),
            held: next.held.clone(),
            bar: next.accepted.barred.difference(&self.accepted.barred).copied().collect(),
        }
    }

    /// What the snapshot says of this domain; `None` while there is no bundle.
    pub(crate) fn trusted(&self, maximum_staleness: Option<Duration>) -> Option<Trusted> {
        let bundle = self.bundle.clone()?;
        let since = |id| self.accepted.memory.since.get(id).map_or_else(Timestamp::default, |since| since.at);
        let since = bundle.authorities().ids().map(since).collect();
        // Whose endpoint the accepted bundle came from, whatever is configured since.
        let via = self.accepted.came_by.endpoint_domain().filter(|host| host != bundle.trust_domain());
        Some(Trusted { since, bundle, revision: self.revision?, via, until: self.stale_at(maximum_staleness) })
    }

    /// When the bundle lapses, unless it is confirmed before.
    pub(crate) fn stale_at(&self, maximum_staleness: Option<Duration>) -> Option<Timestamp> {
        self.bundle.as_ref()?;
        // What came from a cache and was never confirmed since is of unknown age.
        Some(self.progress.confirmed.unwrap_or_default().after(maximum_staleness?))
    }

    /// Only an operator can reopen this relationship: nothing can authenticate its endpoint (FEC-14).
    pub(crate) fn needs_bootstrap(&self, relationship: &FederationRelationship, now: Timestamp) -> bool {
        let alive = |not_after: i64| u64::try_from(not_after).is_ok_and(|end| end >= now.as_secs());
        let begins_by_pin = self.bundle.is_none() && relationship.pinned_authority().is_some();
        matches!(relationship.endpoint.profile, EndpointProfile::HttpsSpiffe { .. })
            && relationship.via().is_none()
            && !begins_by_pin
            && !self.bundle.iter().flat_map(|bundle| bundle.authorities().x509()).any(|ca| alive(ca.not_after()))
    }

    /// State and since when, from the age of the data.
    pub(crate) fn state(
        &self,
        relationship: &FederationRelationship,
        now: Timestamp,
    ) -> (RelationshipState, Timestamp) {
        let waiting = self.held.iter().map(|held| Timestamp::from_secs(held.first_seen)).min();
        let stale_at = self.stale_at(relationship.maximum_staleness);
        let begun = self.progress.begun.unwrap_or(now);
        if let Some(expired_at) = relationship.expires_at().filter(|at| *at <= now) {
            return (RelationshipState::Expired, expired_at);
        }
        match () {
            () if self.bundle.is_none() => match waiting {
                Some(since) => (RelationshipState::Held, since),
                None => (RelationshipState::Bootstrapping, begun),
            },
            () if self.needs_bootstrap(relationship, now) => (RelationshipState::NeedsBootstrap, begun),
            () if stale_at.is_some_and(|at| at <= now) => (RelationshipState::Stale, stale_at.unwrap_or(now)),
            () => match (self.progress.failing_since, waiting) {
                (Some(since), _) => (RelationshipState::Failing, since),
                (None, Some(since)) => (RelationshipState::Held, since),
                (None, None) => (RelationshipState::Current, begun),
            },
        }
    }

    fn succeeded(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.progress.last_success = Some(now);
        if next.progress.failing_since.take().is_some() {
            next.progress.begun = Some(now);
        }
        next.progress.failures = 0;
        next
    }

    /// A hold keeps the document for a decision; a document without one supersedes what waits.
    fn hold(&mut self, bundle: &Bundle, hold: Option<&Hold>, now: Timestamp) {
        let Some(hold) = hold else { return self.held.clear() };
        let digest = digest(bundle);
        let seen = self.held.iter().position(|held| held.digest == digest).map(|at| self.held.remove(at).first_seen);
        let (code, detail) = (hold.code().to_owned(), hold.to_string());
        let (first_seen, last_seen) = (seen.unwrap_or_else(|| now.as_secs()), now.as_secs());
        self.held.push(HeldDocument { digest, bundle: bundle.clone(), code, detail, first_seen, last_seen });
        let excess = self.held.len().saturating_sub(MAX_HELD);
        self.held.drain(..excess);
    }

    fn accept(&mut self, document: &Bundle, authorities: Authorities, now: Timestamp) {
        let bootstrap = self.bundle.is_none();
        if bootstrap {
            self.accepted.came_by = self.accepted.configured.clone();
        }
        let old = std::mem::take(&mut self.accepted.memory.since);
        let since = |id| old.get(id).copied().unwrap_or(Since { at: now, bootstrap });
        self.accepted.memory.since = authorities.ids().map(|id| (id.clone(), since(id))).collect();
        Arc::make_mut(&mut self.accepted.past).remember(&authorities);
        self.accepted.authorities = Some(authorities.clone());
        self.last_revision += 1;
        self.revision = Some(self.last_revision);
        let (sequence, hint) = (document.sequence(), document.refresh_hint());
        self.bundle = Some(Arc::new(Bundle::new(document.trust_domain().clone(), authorities, sequence, hint)));
        self.progress.begun.get_or_insert(now);
    }

    /// The URL served what is accepted now.
    fn knows(&mut self, url: &str) {
        let Accepted { came_by, configured, memory, .. } = &mut self.accepted;
        *came_by = std::mem::take(came_by).with(configured, url);
        memory.routes.served_by = Some(url.to_owned());
    }

    /// After an approval something is known: the first URL, if what served the document can't be told any more.
    fn knows_one(&mut self) {
        let Accepted { came_by, configured, .. } = &mut self.accepted;
        if let Some(first) = configured.urls().first()
            && came_by.standing(configured, first) == Standing::Replaced
        {
            *came_by = std::mem::take(came_by).with(configured, first);
        }
    }

    /// Makes a document the one whose number the next has to follow.
    fn number(&mut self, document: &Bundle) {
        self.bundle = self.bundle.take().map(|bundle| numbered(bundle, document.sequence(), document.refresh_hint()));
        self.accepted.memory.sequence = document.sequence();
        self.accepted.memory.highest = self.accepted.memory.highest.max(document.sequence());
        self.accepted.memory.contents = Some(document.authorities().digest());
        self.progress.refresh_hint = document.refresh_hint().map(|hint| hint.as_secs());
    }
}

/// The same authorities under the number and hint of a later document.
fn numbered(bundle: Arc<Bundle>, sequence: Option<u64>, hint: Option<Duration>) -> Arc<Bundle> {
    if (bundle.sequence(), bundle.refresh_hint()) == (sequence, hint) {
        return bundle;
    }
    let (domain, authorities) = (bundle.trust_domain().clone(), bundle.authorities().clone());
    Arc::new(Bundle::new(domain, authorities, sequence, hint))
}

/// Documents that wait at the same time; the oldest gives way.
const MAX_HELD: usize = 16;

#[cfg(test)]
mod tests;
