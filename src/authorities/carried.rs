//! What to publish, from what all sources say: a source that was not read takes no key away.

use std::collections::BTreeSet;

use crate::spiffe::authority::{Authority, AuthorityId, SvidType};
use crate::spiffe::bundle::Authorities;

use super::joined::Joined;
use super::source::SourceState;
use super::{AuthorityProblem, LoadedAuthorities};

/// Keys that were public before the restart and that nothing which can be read holds.
pub(crate) struct Carried {
    keys: Authorities,
    /// What may hold them, by the type of its keys: files and sources that nobody could read since the start.
    unread: BTreeSet<(SvidType, String)>,
    /// Whether anything was public before.
    continues: bool,
    /// Those of the keys that are public still, and in nothing that can be read.
    unconfirmed: Vec<AuthorityId>,
}

impl Carried {
    /// What is broken at the start must not retire the keys that it held before the restart.
    pub(crate) fn new(before: Option<&Authorities>, files: &LoadedAuthorities, sources: &[SourceState]) -> Self {
        let found = found(files, sources);
        let missing =
            before.into_iter().flat_map(Authorities::iter).filter(|authority| !found.contains(&authority.id()));
        let (keys, unread) = (missing.cloned().collect(), unread(files, sources));
        Self { keys, unread, continues: before.is_some(), unconfirmed: Vec::new() }
    }

    /// What to publish. What a readable file or source has lost is lost, whatever is wrong with others.
    ///
    /// With nothing to carry, as after a lost store, a bundle waits for every source: one that lacks a
    /// source's keys would revoke them at all peers, and none revokes nothing.
    pub(crate) fn joined_by(
        &mut self,
        files: &LoadedAuthorities,
        sources: &[SourceState],
        public: Option<&Authorities>,
    ) -> Joined {
        let now = unread(files, sources);
        self.unread.retain(|one| now.contains(one));
        let found = found(files, sources);
        let awaited = !self.continues && sources.iter().any(|source| source.authorities.is_none());
        if found.is_empty() || awaited {
            return Joined::default();
        }
        self.continues = true;
        let awaited: BTreeSet<_> = self.unread.iter().map(|(svid_type, _)| *svid_type).collect();
        let carried = || self.keys.iter().filter(|authority| awaited.contains(&authority.svid_type()));
        self.unconfirmed = carried().map(Authority::id).filter(|id| !found.contains(id)).collect();
        let sources = sources.iter().filter_map(|source| Some((source.name.as_str(), source.authorities.as_ref()?)));
        let sources = sources.map(|(name, authorities)| (name, authorities.iter().collect()));
        let first =
            [("a file", files.authorities.iter().collect()), ("the bundle before the restart", carried().collect())];
        Joined::of(first.into_iter().chain(sources)).bounded(public)
    }

    /// Says so while keys are public that nothing confirms: somebody may have meant to retire one of them.
    pub(crate) fn unconfirmed(&self) -> Option<String> {
        if self.unconfirmed.is_empty() {
            return None;
        }
        let keys: Vec<_> = self.unconfirmed.iter().take(MAX_SHOWN).map(ToString::to_string).collect();
        let types: BTreeSet<_> = self.unconfirmed.iter().map(AuthorityId::svid_type).collect();
        let unread = self.unread.iter().filter(|(svid_type, _)| types.contains(svid_type));
        let unread: Vec<_> = unread.map(|(_, name)| name.as_str()).collect();
        Some(format!(
            "{} of before the restart stay public until these can be read and have keys: {} ({})",
            self.unconfirmed.len(),
            unread.join(", "),
            keys.join(", ")
        ))
    }
}

/// The files for one type of keys count as one: what an empty folder held may come back as a file half written.
fn unread(files: &LoadedAuthorities, sources: &[SourceState]) -> BTreeSet<(SvidType, String)> {
    let is_of = |svid_type, problem: &AuthorityProblem| problem.svid_type.is_none_or(|of| of == svid_type);
    let files = FILES.iter().filter(|(svid_type, _)| files.problems.iter().any(|problem| is_of(*svid_type, problem)));
    // One that has said nothing but "none" since the start might have said so by mistake, so it confirms nothing.
    let has_none = |source: &SourceState| source.authorities.as_ref().is_none_or(Authorities::is_empty);
    let sources = sources.iter().filter(|source| has_none(source) || !source.is_settled);
    let sources = sources.map(|source| (source.svid_type, source.name.clone()));
    files.map(|(svid_type, key)| (*svid_type, (*key).to_owned())).chain(sources).collect()
}

fn found(files: &LoadedAuthorities, sources: &[SourceState]) -> Authorities {
    let sources = sources.iter().filter_map(|source| source.authorities.as_ref());
    std::iter::once(&files.authorities).chain(sources).flat_map(Authorities::iter).cloned().collect()
}

/// The keys of the configuration under which files are.
const FILES: [(SvidType, &str); 3] = [
    (SvidType::X509Svid, "authorities.x509"),
    (SvidType::JwtSvid, "authorities.jwt"),
    (SvidType::WitSvid, "authorities.wit"),
];
/// Identities in one warning.
const MAX_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::authorities::joined::Unpublished;
    use crate::spiffe::fixtures::FIXTURES;

    fn keys(of: &[usize]) -> Authorities {
        of.iter().map(|fixture| FIXTURES[*fixture].x509()).collect()
    }

    fn files(of: &[usize], broken: &[&str]) -> LoadedAuthorities {
        let problem = |file: &&str| AuthorityProblem {
            file: PathBuf::from(file),
            svid_type: Some(SvidType::X509Svid),
            code: "x",
            detail: String::new(),
        };
        LoadedAuthorities {
            authorities: keys(of),
            problems: broken.iter().map(problem).collect(),
            ..LoadedAuthorities::default()
        }
    }

    fn source(of: Option<&[usize]>) -> SourceState {
        let unread = SourceState::unread("https://a.example/".into(), SvidType::X509Svid);
        SourceState { authorities: of.map(keys), is_settled: of.is_some(), ..unread }
    }

    fn issuer(of: Option<Authorities>) -> SourceState {
        let unread = SourceState::unread("https://issuer.example".into(), SvidType::JwtSvid);
        SourceState { is_settled: of.is_some(), authorities: of, ..unread }
    }

    /// What is published in turn; `-` where nothing changes.
    fn published(
        before: Option<&[usize]>,
        looks: &[(LoadedAuthorities, Vec<SourceState>)],
    ) -> Vec<Option<Authorities>> {
        let before = before.map(keys);
        let (files, sources) = &looks[0];
        let mut carried = Carried::new(before.as_ref(), files, sources);
        looks.iter().map(|(files, sources)| carried.joined_by(files, sources, None).authorities).collect()
    }

    #[test]
    fn a_source_that_is_down_at_the_start_keeps_the_keys_it_had_before() {
        let looks = [
            (files(&[1], &[]), vec![source(None)]),
            (files(&[1, 4], &[]), vec![source(None)]),
            (files(&[4], &[]), vec![source(None)]),
            (files(&[4], &[]), vec![source(Some(&[3]))]),
        ];
        let expected = [&[1, 2][..], &[1, 2, 4], &[2, 4], &[3, 4]].map(|of| Some(keys(of)));
        assert_eq!(published(Some(&[1, 2]), &looks), expected);
    }

    #[test]
    fn what_nothing_confirms_is_told_while_it_is_public() {
        let files = files(&[1], &[]);
        let before = keys(&[1, 2]);
        let mut carried = Carried::new(Some(&before), &files, &[source(None)]);
        carried.joined_by(&files, &[source(None)], None);
        let (told, id) = (carried.unconfirmed().unwrap(), FIXTURES[2].x509().id().to_string());
        assert!(told.starts_with("1 of before") && told.contains("https://a.example/") && told.contains(&id), "{told}");
        carried.joined_by(&files, &[source(Some(&[3]))], None);
        assert_eq!(carried.unconfirmed(), None);
    }

    #[test]
    fn a_first_bundle_waits_for_every_source_and_files_are_no_reason_to_wait() {
        let looks = [
            (files(&[1], &["broken"]), vec![source(Some(&[2])), source(None)]),
            (files(&[1], &["broken"]), vec![source(Some(&[2])), source(Some(&[3]))]),
            (files(&[], &["broken"]), vec![source(Some(&[2])), source(Some(&[3]))]),
        ];
        assert_eq!(published(None, &looks), [None, Some(keys(&[1, 2, 3])), Some(keys(&[2, 3]))]);
        assert_eq!(published(None, &[(files(&[1], &[]), vec![])]), [Some(keys(&[1]))]);
        assert_eq!(published(None, &[(files(&[], &["broken"]), vec![])]), [None]);
    }

    #[test]
    fn a_source_taken_out_of_the_configuration_takes_its_keys_with_it() {
        assert_eq!(published(Some(&[1, 2]), &[(files(&[1], &[]), vec![])]), [Some(keys(&[1]))]);
    }

    #[test]
    fn a_source_that_says_it_has_none_confirms_nothing_until_it_has_some() {
        let jwt = |key_id: &str| FIXTURES[2].jwt(key_id);
        let (before, none): (Authorities, _) =
            ([jwt("one"), jwt("two")].into_iter().collect(), Some(Authorities::new()));
        let (files, next) = (files(&[1], &[]), Some([jwt("two")].into_iter().collect::<Authorities>()));
        let mut carried = Carried::new(Some(&before), &files, &[issuer(None)]);
        for (source, expected) in [(None, 2), (none.clone(), 2), (next, 1), (none, 0)] {
            let joined = carried.joined_by(&files, &[issuer(source)], None).authorities.unwrap();
            assert_eq!(joined.count(SvidType::JwtSvid), expected);
        }
    }

    #[test]
    fn a_first_answer_takes_no_key_away() {
        let files = files(&[1], &[]);
        let first = SourceState { is_settled: false, ..source(Some(&[3])) };
        let looks = [(files.clone(), vec![first]), (files, vec![source(Some(&[3]))])];
        assert_eq!(published(Some(&[1, 2]), &looks), [&[1, 2, 3][..], &[1, 3]].map(|of| Some(keys(of))));
    }

    #[test]
    fn files_are_unread_until_nothing_is_wrong_with_any_of_them() {
        let looks = [
            (files(&[1], &["/etc/ca"]), vec![]),
            (files(&[1], &["/etc/ca/half-written.pem"]), vec![]),
            (files(&[1, 3], &[]), vec![]),
            (files(&[1, 3], &["/etc/ca"]), vec![]),
        ];
        let expected = [&[1, 2][..], &[1, 2], &[1, 3], &[1, 3]].map(|of| Some(keys(of)));
        assert_eq!(published(Some(&[1, 2]), &looks), expected);
    }

    #[test]
    fn what_cannot_hold_a_key_does_not_keep_it() {
        let jwt = || FIXTURES[2].jwt("one");
        let before: Authorities = keys(&[1, 2]).iter().cloned().chain([jwt()]).collect();
        let (one, none) = (files(&[1], &[]), files(&[1], &["/etc/ca"]));
        let of = |of: &[usize], more: Option<Authority>| keys(of).iter().cloned().chain(more).collect::<Authorities>();
        for (name, files, source, expected) in [
            ("the issuer is down", &one, issuer(None), of(&[1], Some(jwt()))),
            ("a server with certificates is down", &one, source(None), keys(&[1, 2])),
            ("a file with certificates is broken", &none, source(Some(&[1])), keys(&[1, 2])),
        ] {
            let sources = [source];
            let joined = Carried::new(Some(&before), files, &sources).joined_by(files, &sources, None);
            assert_eq!(joined.authorities, Some(expected), "{name}");
        }
    }

    #[test]
    fn all_together_are_as_many_as_peers_read() {
        let jwt = |count: usize| (0..count).map(|n| FIXTURES[1].jwt(&n.to_string())).collect::<Authorities>();
        for (count, expected) in [(255, (Some(256), vec![])), (256, (None, vec![Unpublished::TooMany]))] {
            let files = files(&[1], &[]);
            let mut carried = Carried::new(None, &files, &[]);
            let joined = carried.joined_by(&files, &[issuer(Some(jwt(count)))], None);
            assert_eq!((joined.authorities.map(|joined| joined.len()), joined.unpublished), expected);
        }
    }
}
