//! What a relationship accepted before, so that a replay is known when it comes.

use std::collections::{HashMap, VecDeque};

use crate::spiffe::authority::AuthorityId;
use crate::spiffe::bundle::Authorities;
use crate::spiffe::public_key::Fingerprint;

/// The accepted bundles of a relationship, as far back as its history goes and no further: a peer that
/// changes its keys at every poll must not fill our memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Contents and authorities, oldest first, what is accepted now last.
    revisions: VecDeque<(Fingerprint, Vec<AuthorityId>)>,
    /// In how many of the revisions each authority is.
    ever: HashMap<AuthorityId, usize>,
    /// Sum of the authorities' identities.
    bytes: usize,
}

impl Past {
    /// Adds what is accepted from now on.
    pub(crate) fn remember(&mut self, authorities: &Authorities) {
        let ids: Vec<_> = authorities.ids().cloned().collect();
        for id in &ids {
            *self.ever.entry(id.clone()).or_default() += 1;
            self.bytes += bytes(id);
        }
        self.revisions.push_back((authorities.digest(), ids));
        while self.revisions.len() > MAX_REVISIONS || (self.bytes > MAX_BYTES && self.revisions.len() > 1) {
            self.forget_oldest();
        }
    }

    /// Whether this authority was ever accepted.
    pub(crate) fn had(&self, id: &AuthorityId) -> bool {
        self.ever.contains_key(id)
    }

    /// Whether exactly these contents were ever accepted.
    pub(crate) fn had_contents(&self, contents: &Fingerprint) -> bool {
        self.revisions.iter().any(|(digest, _)| digest == contents)
    }

    fn forget_oldest(&mut self) {
        let Some((_, ids)) = self.revisions.pop_front() else { return };
        for id in ids {
            self.bytes -= bytes(&id);
            match self.ever.get_mut(&id) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.ever.remove(&id)),
            }
        }
    }
}

fn bytes(id: &AuthorityId) -> usize {
    let key_id = match id {
        AuthorityId::X509(_) => 0,
        AuthorityId::Jwt(_, key_id) | AuthorityId::Wit(_, key_id) => key_id.len(),
    };
    size_of::<AuthorityId>() + key_id
}

/// As many as the store keeps.
pub(crate) const MAX_REVISIONS: usize = 1_000;
const MAX_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::authority::{Authority, JwtAuthority};
    use crate::spiffe::fixtures::FIXTURES;

    fn contents(key_id: &str) -> Authorities {
        [Authority::Jwt(JwtAuthority::new(key_id, FIXTURES[4].ca.key().clone()).unwrap())].into_iter().collect()
    }

    fn knows(past: &Past, key_id: &str) -> (bool, bool) {
        let contents = contents(key_id);
        (contents.ids().all(|id| past.had(id)), past.had_contents(&contents.digest()))
    }

    #[test]
    fn what_was_accepted_is_remembered_for_1000_revisions() {
        let mut past = Past::default();
        assert_eq!(knows(&past, "0"), (false, false));
        for revision in 0..MAX_REVISIONS {
            past.remember(&contents(&revision.to_string()));
        }
        assert_eq!(knows(&past, "0"), (true, true));
        past.remember(&contents("one more"));
        assert_eq!(knows(&past, "0"), (false, false));
        assert_eq!(knows(&past, "1"), (true, true));
        assert_eq!((past.revisions.len(), past.ever.len()), (MAX_REVISIONS, MAX_REVISIONS));
    }

    #[test]
    fn an_authority_of_several_revisions_goes_with_the_last_of_them() {
        let mut past = Past::default();
        for _ in 0..2 * MAX_REVISIONS {
            past.remember(&contents("same"));
        }
        assert_eq!(knows(&past, "same"), (true, true));
        for revision in 0..MAX_REVISIONS {
            past.remember(&contents(&revision.to_string()));
        }
        assert_eq!(knows(&past, "same"), (false, false));
    }

    #[test]
    fn long_key_ids_do_not_fill_the_memory() {
        let mut past = Past::default();
        for revision in 0..40 {
            past.remember(&contents(&revision.to_string().repeat(500_000)));
        }
        assert!(past.bytes <= MAX_BYTES && past.revisions.len() < 40);
        past.remember(&contents(&"k".repeat(MAX_BYTES)));
        assert_eq!(past.revisions.len(), 1, "what is accepted now is never forgotten");
        assert_eq!(knows(&past, &"k".repeat(MAX_BYTES)), (true, true));
    }
}
