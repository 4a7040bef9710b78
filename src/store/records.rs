//! What the store keeps.

use std::str::FromStr;

use crate::spiffe::bundle::Bundle;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::error::StoreError;

/// Everything that a start needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredState {
    /// The bundle that we published last.
    pub(crate) own: Option<OwnBundle>,
    /// The living relationships, by name.
    pub(crate) relationships: Vec<StoredRelationship>,
    /// The highest wall-clock time seen, in Unix seconds.
    pub(crate) clock_mark: Option<u64>,
}

/// The bundle that we published last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnBundle {
    pub(crate) bundle: Bundle,
    /// Opaque to the store.
    pub(crate) progress: String,
}

/// One living relationship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRelationship {
    pub(crate) trust_domain: TrustDomain,
    /// Rises with every creation for this domain; a write that names an older one is refused.
    pub(crate) incarnation: u64,
    /// Opaque to the store.
    pub(crate) endpoint: String,
    /// Highest number ever used for this domain; 0 if none was.
    pub(crate) last_revision: u64,
    /// What is trusted; none until this incarnation has accepted something.
    pub(crate) accepted: Option<Revision>,
    /// In the order in which they were committed.
    pub(crate) held: Vec<HeldDocument>,
    /// Documents that are never to be accepted again, in ascending order.
    pub(crate) barred: Vec<Fingerprint>,
    /// Opaque to the store; none until the first commit of this incarnation.
    pub(crate) progress: Option<String>,
}

/// A bundle that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// Our own count per trust domain, from 1, never used twice.
    pub(crate) number: u64,
    pub(crate) bundle: Bundle,
    /// Unix seconds.
    pub(crate) accepted_at: u64,
    pub(crate) origin: Origin,
}

/// Where an accepted bundle came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The bundle endpoint.
    Fetch,
    /// The configured first bundle.
    Bootstrap,
    /// A person who accepted it by its digest or brought it.
    Operator,
}

impl Origin {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Bootstrap => "bootstrap",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Origin {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let known = [Self::Fetch, Self::Bootstrap, Self::Operator];
        let origin = known.into_iter().find(|origin| origin.as_str() == text);
        origin.ok_or_else(|| StoreError::corrupt(format!("unknown origin {text:?} of a revision")))
    }
}

/// A document that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldDocument {
    pub(crate) digest: Fingerprint,
    pub(crate) bundle: Bundle,
    /// Why it waits.
    pub(crate) code: String,
    pub(crate) detail: String,
    /// Unix seconds.
    pub(crate) first_seen: u64,
    /// Unix seconds.
    pub(crate) last_seen: u64,
}

/// The outcome of one poll or order, written as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) incarnation: u64,
    pub(crate) endpoint: String,
    pub(crate) progress: String,
    /// Becomes the accepted bundle; its number is the domain's last one plus 1.
    pub(crate) accept: Option<Revision>,
    /// All that is held from now on; of two with one digest the later counts.
    pub(crate) held: Vec<HeldDocument>,
    /// Added to what is barred.
    pub(crate) bar: Vec<Fingerprint>,
}

impl Commit {
    pub(super) fn superseded(&self) -> StoreError {
        StoreError::Superseded { trust_domain: self.trust_domain.clone(), incarnation: self.incarnation }
    }

    pub(super) fn check_number(&self, offered: u64, last: u64) -> Result<(), StoreError> {
        if last.checked_add(1) == Some(offered) {
            return Ok(());
        }
        Err(StoreError::RevisionNotNext { trust_domain: self.trust_domain.clone(), last, offered })
    }

    /// Refuses bundles of any other domain than the relationship's.
    pub(super) fn check_bundles(&self) -> Result<(), StoreError> {
        let accepted = self.accept.iter().map(|revision| &revision.bundle);
        let mut bundles = accepted.chain(self.held.iter().map(|held| &held.bundle));
        bundles.try_for_each(|bundle| check_owner(&self.trust_domain, bundle))
    }

    /// The held documents without those that a later one with the same digest replaces.
    pub(super) fn distinct_held(&self) -> impl Iterator<Item = &HeldDocument> {
        let replaced = |at: usize, digest| self.held[at + 1..].iter().any(|later| later.digest == digest);
        self.held.iter().enumerate().filter(move |(at, held)| !replaced(*at, held.digest)).map(|(_, held)| held)
    }
}

pub(super) fn check_owner(expected: &TrustDomain, bundle: &Bundle) -> Result<(), StoreError> {
    let found = bundle.trust_domain();
    if found == expected {
        return Ok(());
    }
    Err(StoreError::ForeignBundle { expected: expected.clone(), found: found.clone() })
}

/// Refuses an own bundle that isn't newer than the stored one; one without a sequence never is.
pub(super) fn check_sequence(stored: Option<&OwnBundle>, offered: &Bundle) -> Result<(), StoreError> {
    let (stored, offered) = (stored.and_then(|own| own.bundle.sequence()), offered.sequence());
    if offered > stored {
        return Ok(());
    }
    Err(StoreError::SequenceNotHigher { stored, offered })
}

/// How much is kept per relationship; the oldest goes first, the accepted bundle never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Accepted bundles.
    pub(super) revisions: u32,
    /// Sum of their documents, in bytes.
    pub(super) history_bytes: u32,
    /// Held documents; those seen longest ago go first.
    pub(super) held: u32,
    /// Sum of their documents, in bytes.
    pub(super) held_bytes: u32,
}

impl Limits {
    /// What we promise.
    pub(super) const PROMISED: Self =
        Self { revisions: 1_000, history_bytes: 16 << 20, held: 16, held_bytes: 16 << 20 };
}
