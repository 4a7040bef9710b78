//! Keys of several origins as one bundle: no more than peers read, and each `kid` of one origin only.

use std::collections::BTreeMap;

use crate::spiffe::authority::{Authority, SvidType};
use crate::spiffe::bundle::Authorities;
use crate::spiffe::document::BundleDocument;
use crate::verify::text::shown;

/// What to publish, and why not more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Joined {
    /// `None` leaves what is public as it is.
    pub(crate) authorities: Option<Authorities>,
    /// What was left out.
    pub(crate) unpublished: Vec<Unpublished>,
}

impl Joined {
    /// Of origins in the order of their rank: a key under the `kid` of another's would shadow that at peers who look
    /// keys up by it.
    pub(super) fn of<'a>(origins: impl IntoIterator<Item = (&'a str, Vec<&'a Authority>)>) -> Self {
        let mut owners = BTreeMap::new();
        let (mut joined, mut unpublished) = (BTreeMap::new(), Vec::new());
        for (origin, authorities) in origins {
            for authority in authorities {
                let owner = named(authority).map_or(origin, |name| *owners.entry(name).or_insert(origin));
                if owner == origin {
                    joined.insert(authority.id(), authority.clone());
                } else if !joined.contains_key(&authority.id()) {
                    unpublished.push(Unpublished::key_id_taken(authority, origin, owner));
                }
            }
        }
        Self { authorities: Some(joined.into_values().collect()), unpublished }
    }

    /// All of it, if that is not more than peers read; else what is `public` and still there: a leaked key must go.
    pub(super) fn bounded(mut self, public: Option<&Authorities>) -> Self {
        if let Some(joined) = self.authorities.take_if(|joined| joined.len() > BundleDocument::MAX_KEYS) {
            self.authorities = public.map(|public| remaining(public, &joined)).filter(|left| !left.is_empty());
            self.unpublished.push(Unpublished::TooMany);
        }
        self
    }
}

/// What of `public` is in `joined`. If of one type that were nothing, all SVIDs of that type would be revoked: then
/// it stays, unless that type is gone altogether.
fn remaining(public: &Authorities, joined: &Authorities) -> Authorities {
    let kept: Authorities = public.iter().filter(|authority| joined.contains(&authority.id())).cloned().collect();
    let is_replaced = |svid_type| kept.count(svid_type) == 0 && joined.count(svid_type) > 0;
    let replaced = public.iter().filter(|authority| is_replaced(authority.svid_type()));
    kept.iter().chain(replaced).cloned().collect()
}

fn named(authority: &Authority) -> Option<(SvidType, &str)> {
    match authority {
        Authority::X509(_) => None,
        Authority::Jwt(key) => Some((SvidType::JwtSvid, key.key_id())),
        Authority::Wit(key) => Some((SvidType::WitSvid, key.key_id())),
    }
}

/// Why keys that files or servers hold are not public.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unpublished {
    /// Together it is too much.
    #[error(
        "files and servers of [authorities] hold more than {} keys together, which is more than peers read; no new key is published",
        BundleDocument::MAX_KEYS
    )]
    TooMany,
    /// Others have a key of that name.
    #[error("{origin}: its key with kid \"{key_id}\" is not published, because {owner} has another key with that kid")]
    KeyIdTaken {
        /// The name, escaped and cut.
        key_id: String,
        /// Whose key is left out.
        origin: String,
        /// Whose key is published.
        owner: String,
    },
}

impl Unpublished {
    fn key_id_taken(authority: &Authority, origin: &str, owner: &str) -> Self {
        let key_id = named(authority).map_or_else(String::new, |(_, key_id)| shown(key_id.as_bytes()));
        Self::KeyIdTaken { key_id, origin: origin.to_owned(), owner: owner.to_owned() }
    }

    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::TooMany => "too-many-authorities",
            Self::KeyIdTaken { .. } => "key-id-of-another-source",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::fixtures::FIXTURES;

    #[test]
    fn where_there_is_too_much_keys_go_and_none_comes() {
        let jwt: Vec<_> = (0..256).map(|number| FIXTURES[1].jwt(&number.to_string())).collect();
        let (one, two, three) = (FIXTURES[1].x509(), FIXTURES[2].x509(), FIXTURES[3].x509());
        let wit = FIXTURES[1].wit("k");
        for (name, public, more, expected) in [
            ("nothing public yet", None, vec![&one], None),
            ("added", Some(vec![&one, &two]), vec![&one, &two, &three], Some(vec![&one, &two])),
            ("leaked", Some(vec![&one, &two]), vec![&one, &three], Some(vec![&one])),
            ("replaced", Some(vec![&one, &two]), vec![&three], Some(vec![&one, &two])),
            ("a type gone", Some(vec![&one, &wit]), vec![&one], Some(vec![&one])),
            ("nothing left", Some(vec![&wit]), vec![&one], None),
        ] {
            let public = public.map(|public| public.into_iter().cloned().collect());
            let joined = Joined::of([("files", more), ("issuer", jwt.iter().collect())]).bounded(public.as_ref());
            let expected = expected.map(|expected| expected.into_iter().cloned().collect());
            assert_eq!((joined.authorities, joined.unpublished), (expected, vec![Unpublished::TooMany]), "{name}");
        }
    }

    #[test]
    fn a_kid_belongs_to_the_first_origin_that_has_it() {
        let (ours, theirs) = (FIXTURES[1].jwt("k"), FIXTURES[2].jwt("k"));
        let (other, again) = (FIXTURES[2].jwt("other"), FIXTURES[3].jwt("k"));
        let wit = FIXTURES[3].wit("k");
        for (name, origins, published, left_out) in [
            ("another key", vec![vec![&ours], vec![&theirs, &other]], vec![&ours, &other], 1),
            ("the same key", vec![vec![&ours], vec![&ours]], vec![&ours], 0),
            ("twice in one origin", vec![vec![&ours, &theirs], vec![&again]], vec![&ours, &theirs], 1),
            ("the same and another", vec![vec![&ours], vec![&ours, &again], vec![&again]], vec![&ours], 2),
            ("for another SVID", vec![vec![&ours], vec![&wit]], vec![&ours, &wit], 0),
        ] {
            let joined = Joined::of(["files", "a", "b"].into_iter().zip(origins));
            let expected = published.into_iter().cloned().collect();
            assert_eq!((joined.authorities, joined.unpublished.len()), (Some(expected), left_out), "{name}");
        }
        let joined = Joined::of([("files", vec![&ours]), ("https://b.example/", vec![&theirs])]);
        let told = joined.unpublished[0].to_string();
        assert_eq!(
            told,
            "https://b.example/: its key with kid \"k\" is not published, because files has another key with that kid"
        );
    }
}
