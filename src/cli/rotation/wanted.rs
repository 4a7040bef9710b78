//! Whether it is safe to sign with the keys that were asked about.

use crate::cli::relationship_view::{counted, instant};
use crate::federation::rotation::{KeyRotation, RotationStatus};

use super::key_name::KeyName;

/// The keys that were named; all that are public if none was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted(pub(super) Vec<KeyName>);

impl Wanted {
    pub(super) fn is_meant(&self, key: &KeyRotation) -> bool {
        self.0.is_empty() || self.0.iter().any(|name| name.names(&key.authority.id))
    }

    /// The named ones that aren't public.
    pub(super) fn not_public<'a>(&'a self, status: &RotationStatus) -> Vec<&'a KeyName> {
        let is_public = |name: &&KeyName| status.keys.iter().any(|key| name.names(&key.authority.id));
        self.0.iter().filter(|name| !is_public(name)).collect()
    }

    /// Why it isn't safe yet to sign with all of them.
    pub(super) fn not_yet(&self, status: &RotationStatus) -> Option<String> {
        if status.keys.is_empty() {
            return Some("no key of ours is public yet".into());
        }
        if let [name, ..] = self.not_public(status)[..] {
            return Some(format!("{name} is not public yet"));
        }
        let young: Vec<_> = status.keys.iter().filter(|key| self.is_meant(key) && !key.is_safe).collect();
        let last = young.iter().max_by_key(|key| key.safe_from)?;
        let (key, when) = (&last.authority.id, instant(last.safe_from, status.now));
        match young.len() - 1 {
            0 => Some(format!("{key} must not sign before {when}")),
            more => Some(format!("{key} and {} must not sign before {when}", counted(more, "other key"))),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::samples::{self, at};
    use crate::federation::fetchers::FetcherStatus;

    pub(in crate::cli::rotation) fn key(subject: &str, safe_in: i64) -> KeyRotation {
        let authority = samples::authority(subject, 90);
        KeyRotation {
            svid_type: authority.id.svid_type(),
            authority,
            public_since: at(safe_in - 900),
            safe_from: at(safe_in),
            is_safe: safe_in <= 0,
            first_sequence: if safe_in <= 0 { 7 } else { 8 },
            fetchers_with: 1,
            fetchers_without: 0,
        }
    }

    pub(in crate::cli::rotation) fn status(keys: Vec<KeyRotation>) -> RotationStatus {
        let fetcher = |address: &str, agent: Option<&str>, sequence, ago: i64| FetcherStatus {
            address: address.parse().unwrap(),
            user_agent: agent.map(str::to_owned),
            sequence,
            last_seen: at(-ago),
        };
        RotationStatus {
            now: at(0),
            sequence: Some(8),
            refresh_hint_seconds: Some(300),
            keys,
            fetchers_since: at(-7200),
            fetchers: vec![
                fetcher("10.0.0.7", Some("comity/0.1.0"), 8, 60),
                fetcher("2001:db8::1", Some("\\u{1b}[2J"), 7, 120),
                fetcher("10.0.0.8", None, 7, 180),
            ],
            fetchers_forgotten: 0,
        }
    }

    fn wanted(names: &[String]) -> Wanted {
        Wanted(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn it_is_safe_when_each_key_that_was_named_is_public_and_old_enough() {
        let (old, new, newer) = (key("CN=old", 0), key("CN=new", 60), key("CN=newer", 120));
        let name = |key: &KeyRotation| key.authority.id.to_string();
        let all = status(vec![old.clone(), new.clone(), newer.clone()]);
        let when = "must not sign before 2026-11-18T11";
        for (what, wanted, status, expected) in [
            ("all are old", wanted(&[]), status(vec![old.clone()]), None),
            ("none is public", wanted(&[]), status(vec![]), Some("no key of ours is public yet".to_owned())),
            ("one is new", wanted(&[]), status(vec![old.clone(), new.clone()]), Some(format!("{} {when}", name(&new)))),
            ("two are new", wanted(&[]), all.clone(), Some(format!("{} and 1 other key {when}", name(&newer)))),
            ("the old one", wanted(&[name(&old)]), all.clone(), None),
            ("the new one", wanted(&[name(&old), name(&new)]), all.clone(), Some(format!("{} {when}", name(&new)))),
            (
                "one to come",
                wanted(&[name(&old), "kid".to_owned()]),
                all.clone(),
                Some("kid is not public yet".to_owned()),
            ),
        ] {
            let told = wanted.not_yet(&status);
            assert_eq!(told.is_some(), expected.is_some(), "{what}: {told:?}");
            assert!(told.unwrap_or_default().starts_with(&expected.unwrap_or_default()), "{what}");
        }
    }
}
