//! What was accepted of a trust domain, and when.

use serde::{Deserialize, Serialize};

use crate::spiffe::bundle::{Authorities, BundleDiff};
use crate::spiffe::document::render::digest;
use crate::spiffe::public_key::Fingerprint;
use crate::store::records::Revision;

use super::status::AuthoritySummary;
use super::timestamp::Timestamp;

/// A page of it, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    pub(crate) revisions: Vec<RevisionSummary>,
    /// The page that follows holds revisions before this one; none after the last.
    pub(crate) next_before: Option<u64>,
}

/// One bundle that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevisionSummary {
    pub(crate) revision: u64,
    /// Of the document as it was accepted; later ones with the same contents may have raised it.
    pub(crate) sequence: Option<u64>,
    pub(crate) accepted_at: Timestamp,
    /// `fetch`, `bootstrap` or `operator`.
    pub(crate) origin: String,
    pub(crate) digest: Fingerprint,
    /// How many.
    pub(crate) authorities: usize,
    /// Against the revision before; none if that is no longer kept.
    pub(crate) changes: Option<Changes>,
}

/// What a revision changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) added: Vec<AuthoritySummary>,
    pub(crate) removed: Vec<AuthoritySummary>,
}

impl History {
    /// The first `limit` of these. One more tells what the last of them changed, and that there is more.
    pub(crate) fn page(newest_first: &[Revision], limit: usize) -> Self {
        let shown = newest_first.iter().take(limit).enumerate();
        let revisions: Vec<_> = shown.map(|(at, one)| summary(one, newest_first.get(at + 1))).collect();
        let last = revisions.last().filter(|_| newest_first.len() > limit);
        Self { next_before: last.map(|last| last.revision), revisions }
    }
}

fn summary(revision: &Revision, before: Option<&Revision>) -> RevisionSummary {
    let bundle = &revision.bundle;
    let none = Authorities::new();
    let before = match (before, revision.number) {
        (Some(before), _) => Some(before.bundle.authorities()),
        (None, 1) => Some(&none),
        (None, _) => None,
    };
    RevisionSummary {
        revision: revision.number,
        sequence: bundle.sequence(),
        accepted_at: Timestamp::from_secs(revision.accepted_at),
        origin: revision.origin.as_str().to_owned(),
        digest: digest(bundle),
        authorities: bundle.authorities().len(),
        changes: before.map(|before| Changes::of(&BundleDiff::between(before, bundle.authorities()))),
    }
}

impl Changes {
    fn of(diff: &BundleDiff) -> Self {
        Self {
            added: diff.added.iter().map(Into::into).collect(),
            removed: diff.removed.iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::bundle::Bundle;
    use crate::spiffe::fixtures::FIXTURES;
    use crate::store::records::Origin;

    /// A revision with the keys of these fixtures.
    fn revision(number: u64, keys: &[usize]) -> Revision {
        let authorities = keys.iter().map(|key| FIXTURES[*key].jwt("k")).collect();
        let bundle = Bundle::new("b.example".parse().unwrap(), authorities, Some(10 * number), None);
        Revision { number, bundle, accepted_at: number, origin: Origin::Fetch }
    }

    fn counts(history: &History) -> Vec<(u64, Option<(usize, usize)>)> {
        let changes = |one: &RevisionSummary| one.changes.as_ref().map(|it| (it.added.len(), it.removed.len()));
        history.revisions.iter().map(|one| (one.revision, changes(one))).collect()
    }

    #[test]
    fn each_revision_is_compared_with_the_one_before() {
        let all = [revision(3, &[2]), revision(2, &[1, 2]), revision(1, &[1])];
        let whole = History::page(&all, 3);
        assert_eq!(counts(&whole), [(3, Some((0, 1))), (2, Some((1, 0))), (1, Some((1, 0)))]);
        assert_eq!((whole.next_before, whole.revisions[0].authorities), (None, 1));
        let first = History::page(&all, 2);
        assert_eq!((counts(&first).len(), first.next_before), (2, Some(2)));
        assert_eq!(History::page(&[], 2), History { revisions: vec![], next_before: None });
    }

    #[test]
    fn what_the_oldest_one_kept_changed_is_not_known() {
        let kept = [revision(8, &[1, 2]), revision(7, &[1])];
        assert_eq!(counts(&History::page(&kept, 5)), [(8, Some((1, 0))), (7, None)]);
    }
}
