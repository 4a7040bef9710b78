//! From fetched to trusted: what an authenticated document changes, and what waits for a person.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use crate::spiffe::authority::{Authority, AuthorityId, SvidType};
use crate::spiffe::bundle::{Authorities, Bundle, BundleDiff};
use crate::spiffe::document::ignored::IgnoreReason;
use crate::spiffe::document::render::digest;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::hold::{Hold, Refusal, Reused};
use super::offered::{Offered, Second};
use super::ownership::KeyOwners;
use super::parameters::{Parameters, Standing};
use super::past::Past;
use super::relationship::{ChangeControl, FederationRelationship};
use super::routes::Routes;
use super::timestamp::Timestamp;

/// What a relationship has accepted so far, as far as acceptance looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The accepted authorities; `None` before the first acceptance.
    pub(crate) authorities: Option<Authorities>,
    /// What is remembered from document to document.
    pub(crate) memory: Memory,
    /// What was ever accepted, this included.
    pub(crate) past: Arc<Past>,
    /// Digests of documents that an operator barred.
    pub(crate) barred: HashSet<Fingerprint>,
    /// The endpoint's parameters under which the accepted bundle came.
    pub(crate) came_by: Parameters,
    /// Those of now.
    pub(crate) configured: Parameters,
}

impl Accepted {
    /// What a configured URL is to the accepted bundle (REL-10).
    pub(crate) fn standing(&self, url: &str) -> Standing {
        match self.authorities {
            Some(_) => self.came_by.standing(&self.configured, url),
            None => Standing::Known,
        }
    }

    /// Whether a document of one of several URLs is an older one that was accepted before: a copy that lags. Contents
    /// that are news under a lower number are none.
    pub(crate) fn is_ahead_of(&self, offered: &Offered<'_>) -> bool {
        let bundle = offered.document.bundle();
        let is_old = self.past.had_contents(&bundle.authorities().digest());
        match (self.memory.sequence, bundle.sequence()) {
            _ if self.authorities.is_none() || self.configured.urls().len() < 2 => false,
            _ if self.standing(offered.url) == Standing::Replaced => false,
            (Some(ours), Some(theirs)) => theirs < ours && is_old && self.memory.routes.lags(offered.url, theirs),
            _ => false,
        }
    }
}

/// What acceptance remembers from document to document, also across a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// Sequence baseline: the number of the latest document that was accepted or confirmed.
    pub(crate) sequence: Option<u64>,
    /// The highest number of a document that changed anything: an operator may have lowered the baseline since, and with
    /// two routes one alone doesn't raise it.
    pub(crate) highest: Option<u64>,
    /// Contents of the document that had that number.
    pub(crate) contents: Option<Fingerprint>,
    /// Since when each authority has been accepted without a gap.
    #[serde(skip_serializing_if = "LiteMap::is_empty")]
    pub(crate) since: LiteMap<AuthorityId, Since>,
    /// New keys, each since when it has been in every document.
    #[serde(skip_serializing_if = "LiteMap::is_empty")]
    pub(crate) noticed: LiteMap<AuthorityId, Timestamp>,
    /// What the latest document emptied, if a second one has to agree.
    pub(crate) emptied: Option<Emptied>,
    /// What each URL served.
    pub(crate) routes: Routes,
}

/// What documents empty, and since when without a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Emptied {
    /// The first of these documents.
    pub(crate) since: Timestamp,
    /// The types that lose their last authority.
    pub(crate) types: Vec<SvidType>,
}

/// Since when an authority has been accepted, and how it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Since {
    /// First acceptance without a gap since.
    pub(crate) at: Timestamp,
    /// It came with the first bundle.
    pub(crate) bootstrap: bool,
}

/// What a document changes. Nothing of it has happened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// The authorities to trust from now on, if they differ from the accepted ones.
    pub(crate) accept: Option<Authorities>,
    /// Why the document, or what it adds, waits.
    pub(crate) hold: Option<Hold>,
    /// Authorities that are not trusted because of whose key they are.
    pub(crate) withheld: Vec<Reused>,
    /// The document served exactly what is accepted after this judgement, held elements left aside:
    /// only then is the accepted bundle as young as the document.
    pub(crate) confirms: bool,
    /// The number was already used for other contents (SEQ-06).
    pub(crate) sequence_reused: bool,
    /// New keys that wait for their notice, each since when.
    pub(crate) noticed: LiteMap<AuthorityId, Timestamp>,
    /// What the document emptied; a second fetch has to agree.
    pub(crate) emptied: Option<Emptied>,
}

/// Judges an authenticated document by steps 3 to 6 of acceptance; decoding was steps 1 and 2.
///
/// # Errors
/// A refusal concerns the whole document and can't be approved: the relationship or the peer is wrong.
pub(crate) fn judge(
    relationship: &FederationRelationship,
    accepted: &Accepted,
    offered: &Offered<'_>,
    owners: &KeyOwners,
    now: Timestamp,
) -> Result<Judgement, Refusal> {
    let bundle = offered.document.bundle();
    refuse(&relationship.trust_domain, accepted, bundle)?;
    let withheld = reused(&relationship.trust_domain, bundle, owners);
    let is_withheld = |id: &AuthorityId| withheld.iter().any(|reused| reused.id == *id);
    let usable: Authorities = bundle.authorities().iter().filter(|a| !is_withheld(&a.id())).cloned().collect();

    let waiting = |hold| Judgement {
        accept: None,
        hold: Some(hold),
        withheld: withheld.clone(),
        confirms: false,
        sequence_reused: false,
        noticed: accepted.memory.noticed.clone(),
        emptied: None,
    };
    match order(accepted, bundle.sequence(), &usable) {
        // One of two routes alone can use up numbers, which must not stand in the way of what the other removes.
        Some(Hold::BundleReplayed { .. }) if offered.has_news_of_two(accepted.memory.sequence) => {}
        Some(hold) => return Ok(waiting(hold)),
        None => {}
    }
    let by_us = |reason: &IgnoreReason| !reason.is_kept() && !reason.is_ordered_by_standard();
    let refused_by_us = !withheld.is_empty() || offered.document.ignored().iter().any(|element| by_us(&element.reason));
    if refused_by_us && usable.is_empty() {
        return Ok(waiting(Hold::AllRefused));
    }
    let agrees = accepted.authorities.as_ref() == Some(&usable);
    match accepted.standing(offered.url) {
        Standing::Known => {}
        Standing::Added if agrees => {}
        Standing::Added | Standing::Replaced => {
            return Ok(waiting(Hold::EndpointChanged { url: offered.url.to_owned() }));
        }
    }
    let reused_number = bundle.sequence().is_some() && bundle.sequence() == accepted.memory.sequence;
    let other_contents = accepted.memory.contents.is_some_and(|contents| contents != bundle.authorities().digest());
    let offer = Offer {
        relationship,
        accepted,
        offered,
        usable: &usable,
        withheld: &withheld,
        refused_by_us,
        disagreement: disagrees(accepted, offered),
        hint: bundle.refresh_hint(),
        now,
    };
    let sequence_reused = reused_number && other_contents && offer.disagreement.is_none();
    Ok(Judgement { sequence_reused, withheld: withheld.clone(), ..offer.judge() })
}

/// The part of step 3 that concerns the whole document, and what an operator barred.
pub(crate) fn refuse(trust_domain: &TrustDomain, accepted: &Accepted, bundle: &Bundle) -> Result<(), Refusal> {
    for authority in bundle.authorities().x509() {
        if let Some(uri) = authority.foreign_spiffe_uri(trust_domain) {
            return Err(Refusal::MisWired {
                fingerprint: authority.fingerprint(),
                uri: uri.escape_debug().to_string(),
            });
        }
    }
    let digest = digest(bundle);
    if accepted.barred.contains(&digest) {
        return Err(Refusal::Barred { digest });
    }
    Ok(())
}

/// The part of step 3 that concerns single keys.
fn reused(trust_domain: &TrustDomain, bundle: &Bundle, owners: &KeyOwners) -> Vec<Reused> {
    bundle.authorities().iter().filter_map(|authority| owners.reused(trust_domain, authority)).collect()
}

/// Other keys under the accepted number are a publisher's fault where they come from one URL (SEQ-06), and an alarm
/// where another URL serves them: then nothing they add counts. With two routes the second one has its say.
fn disagrees(accepted: &Accepted, offered: &Offered<'_>) -> Option<Hold> {
    if !matches!(offered.second, Second::NotNeeded) {
        return None;
    }
    let Memory { sequence, contents, routes, .. } = &accepted.memory;
    let bundle = offered.document.bundle();
    let other_keys = *contents != Some(bundle.authorities().digest());
    let sequence = bundle.sequence().filter(|offered| *sequence == Some(*offered) && other_keys)?;
    let other = routes.numbered_by.clone().filter(|_| routes.is_another(offered.url))?;
    Some(Hold::EndpointsDisagree { sequence, url: offered.url.to_owned(), other })
}

/// Step 4: orders a document against what was accepted (Federation §4.2, SEQ-04 to SEQ-06).
fn order(accepted: &Accepted, offered: Option<u64>, usable: &Authorities) -> Option<Hold> {
    let current = accepted.authorities.as_ref()?;
    match (accepted.memory.sequence, offered) {
        (Some(accepted), None) => return Some(Hold::SequenceGone { accepted }),
        (Some(accepted), Some(offered)) if offered < accepted => {
            return Some(Hold::SequenceRollback { accepted, offered });
        }
        (Some(accepted), Some(offered)) if offered - accepted > MAX_JUMP => {
            return Some(Hold::SequenceJump { accepted, offered });
        }
        (_, offered) if offered > accepted.memory.highest => return None,
        _ => {}
    }
    // After an operator lowered the baseline, numbers above it are news and old documents alike: what
    // was removed stays so, anything else counts.
    let is_above = offered > accepted.memory.sequence;
    let returns = usable.ids().find(|id| comes_back(accepted, offered, id));
    let superseded = !is_above && usable != current && accepted.past.had_contents(&usable.digest());
    (superseded || returns.is_some()).then(|| Hold::BundleReplayed { returns: returns.cloned() })
}

/// Whether an authority was removed under this number or a higher one.
fn comes_back(accepted: &Accepted, offered: Option<u64>, id: &AuthorityId) -> bool {
    let is_news = accepted.authorities.as_ref().is_some_and(|current| !current.contains(id));
    is_news && offered <= accepted.memory.highest && accepted.past.had(id)
}

/// Steps 5 and 6: what is usable of a document that is in order, against what is accepted.
struct Offer<'a> {
    relationship: &'a FederationRelationship,
    accepted: &'a Accepted,
    offered: &'a Offered<'a>,
    usable: &'a Authorities,
    withheld: &'a [Reused],
    /// We refused some of the document's keys: a type that has none left has not been revoked by its owner.
    refused_by_us: bool,
    /// Another URL has other keys under the same number. Removals count all the same: a leaked key must go.
    disagreement: Option<Hold>,
    hint: Option<Duration>,
    now: Timestamp,
}

impl Offer<'_> {
    fn judge(&self) -> Judgement {
        let current = self.accepted.authorities.as_ref();
        let diff = BundleDiff::between(current.unwrap_or(&NOTHING), self.usable);
        let first_seen =
            |authority: &Authority| *self.accepted.memory.noticed.get(&authority.id()).unwrap_or(&self.now);
        let (mut ready, mut pending) = (Vec::new(), Vec::new());
        for authority in &diff.added {
            let lacks = || self.offered.lacks(authority);
            let held = self.disagreement.clone().or_else(lacks).or_else(|| self.replays(authority));
            match held.or_else(|| self.waits(first_seen(authority))) {
                None => ready.push(authority),
                Some(hold) => pending.push((authority, hold)),
            }
        }

        let emptied = self.emptied_types(&ready, &pending);
        let all_refused = self.refused_by_us && !emptied.is_empty();
        let undecided = !emptied.is_empty() || (self.usable.is_empty() && current.is_none_or(|now| !now.is_empty()));
        let agrees = |first: &&Emptied| emptied.iter().all(|svid_type| first.types.contains(svid_type));
        let since = self.accepted.memory.emptied.as_ref().filter(agrees).map_or(self.now, |first| first.since);
        let confirmed = self.now.since(since) >= EMPTY_CONFIRMATION && !all_refused;
        let waits = |svid_type| !confirmed && emptied.contains(&svid_type);
        let replaced = |svid_type| {
            pending.iter().any(|(new, _)| new.svid_type() == svid_type) && !self.survives(svid_type, &ready)
        };
        let moved = |authority: &Authority| self.withheld.iter().any(|reused| reused.id == authority.id());
        let stays = |old: &&Authority| (waits(old.svid_type()) || replaced(old.svid_type())) && !moved(old);
        let kept: Vec<_> = diff.removed.iter().filter(stays).collect();

        let served = current.unwrap_or(&NOTHING).iter().filter(|old| self.usable.contains(&old.id()));
        let next: Authorities = served.chain(kept.iter().copied()).chain(ready).cloned().collect();
        let nothing_yet = current.is_none() && next.is_empty() && !(undecided && confirmed);
        Judgement {
            confirms: kept.is_empty() && !nothing_yet && self.disagreement.is_none(),
            accept: (current != Some(&next) && !nothing_yet).then_some(next),
            noticed: diff.added.iter().map(|new| (new.id(), first_seen(new))).collect(),
            hold: pending.into_iter().next().map(|(_, hold)| hold).or_else(|| all_refused.then_some(Hold::AllRefused)),
            emptied: (undecided && !confirmed && !all_refused).then(|| Emptied { since, types: emptied.clone() }),
            withheld: Vec::new(),
            sequence_reused: false,
        }
    }

    /// Why an authority that was removed can't be trusted again by this document.
    fn replays(&self, authority: &Authority) -> Option<Hold> {
        let (id, offered) = (authority.id(), self.offered.document.bundle().sequence());
        comes_back(self.accepted, offered, &id).then(|| Hold::BundleReplayed { returns: Some(id.clone()) })
    }

    /// Why a new authority, in every document since `first_seen`, can't be trusted yet.
    fn waits(&self, first_seen: Timestamp) -> Option<Hold> {
        match (self.relationship.change_control, &self.accepted.authorities) {
            (ChangeControl::Automatic, _) | (ChangeControl::Overlapping, None) => None,
            (ChangeControl::Manual, _) => Some(Hold::ApprovalRequired),
            (ChangeControl::Overlapping, Some(current)) => {
                let long_known = |id: &&AuthorityId| {
                    let since = self.accepted.memory.since.get(id);
                    since.is_some_and(|since| since.bootstrap || self.now.since(since.at) >= OVERLAP_AGE)
                };
                if !current.ids().filter(|id| self.usable.contains(id)).any(|id| long_known(&id)) {
                    return Some(Hold::NoOverlap);
                }
                let until = first_seen.after(self.relationship.key_notice(self.hint));
                (self.now < until).then_some(Hold::KeyNotice { until })
            }
        }
    }

    /// Types that lose their last authority with nothing in its place.
    fn emptied_types(&self, ready: &[&Authority], pending: &[(&Authority, Hold)]) -> Vec<SvidType> {
        let current = self.accepted.authorities.as_ref().unwrap_or(&NOTHING);
        let replaced = |svid_type| pending.iter().any(|(new, _)| new.svid_type() == svid_type);
        let emptied = |svid_type: &SvidType| {
            current.count(*svid_type) > 0 && !self.survives(*svid_type, ready) && !replaced(*svid_type)
        };
        VERIFIED_TYPES.into_iter().filter(emptied).collect()
    }

    fn survives(&self, svid_type: SvidType, ready: &[&Authority]) -> bool {
        let current = self.accepted.authorities.as_ref().unwrap_or(&NOTHING);
        let stays = |id: &AuthorityId| id.svid_type() == svid_type && self.usable.contains(id);
        current.ids().any(stays) || ready.iter().any(|new| new.svid_type() == svid_type)
    }
}

static NOTHING: Authorities = Authorities::new();
const VERIFIED_TYPES: [SvidType; 2] = [SvidType::X509Svid, SvidType::JwtSvid];
/// Further ahead than any peer that counts, or numbers by time, gets between two polls.
const MAX_JUMP: u64 = 1 << 48;
/// How long ago an authority must have been accepted to vouch for new ones beside it.
const OVERLAP_AGE: Duration = Duration::from_secs(24 * 3600);
/// Least time between the two documents that empty a domain.
pub(crate) const EMPTY_CONFIRMATION: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
