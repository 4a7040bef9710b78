mod model;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::federation::known::Known;
use crate::federation::relationship::{BundleEndpoint, EndpointProfile, PollPolicy};
use crate::federation::status::RelationshipState;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::document::render::{WitAuthorities, render};
use crate::spiffe::fixtures::FIXTURES;
use crate::store::records::StoredRelationship;

const DAY: u64 = 86_400;

/// One relationship's life: documents come in, the accepted keys are told by their letters.
///
/// Small letters are CA certificates, capitals JWT keys.
struct Story {
    relationship: FederationRelationship,
    known: Known,
    owners: KeyOwners,
    now: Timestamp,
}

impl Story {
    fn under(change_control: ChangeControl) -> Self {
        let trust_domain: TrustDomain = "b.example".parse().unwrap();
        let endpoint = BundleEndpoint {
            url: "https://b.example/".parse().unwrap(),
            fallbacks: Vec::new(),
            profile: EndpointProfile::HttpsWeb { roots: None },
            redirects: 5,
            allow_link_local: false,
            proxy: None,
        };
        let stored = StoredRelationship {
            trust_domain: trust_domain.clone(),
            incarnation: 1,
            endpoint: Parameters::of(&endpoint).to_string(),
            last_revision: 0,
            accepted: None,
            held: Vec::new(),
            barred: Vec::new(),
            progress: None,
        };
        let relationship = FederationRelationship {
            trust_domain,
            endpoint,
            bootstrap: None,
            change_control,
            two_routes: false,
            wait: true,
            key_notice: None,
            maximum_staleness: Some(Duration::from_secs(7 * DAY)),
            poll: PollPolicy::default(),
            policy: Arc::default(),
        };
        Self {
            relationship,
            known: Known::begin(stored),
            owners: KeyOwners::default(),
            now: Timestamp::from_secs(1_800_000_000),
        }
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now.after(Duration::from_secs(seconds));
        self
    }

    /// The document arrives; says what became of it and which keys are trusted then.
    fn offer(&mut self, keys: &str, sequence: impl Into<Option<u64>>) -> String {
        let url = self.relationship.endpoint.url.to_string();
        self.offer_at(&url, keys, sequence.into())
    }

    /// The same at one of several URLs.
    fn offer_at(&mut self, url: &str, keys: &str, sequence: Option<u64>) -> String {
        let document = document(keys, sequence);
        let offered = Offered::alone(&document, url);
        if self.known.accepted.is_ahead_of(&offered) {
            self.known = self.known.saw(url, document.bundle());
            return format!("[{}] behind", self.trusted());
        }
        match judge(&self.relationship, &self.known.accepted, &offered, &self.owners, self.now) {
            Ok(judgement) => {
                self.known = self.known.judged(&offered, &judgement, self.now, true);
                let hold = judgement.hold.map(|hold| format!(" {}", hold.code())).unwrap_or_default();
                let age = if self.known.progress.confirmed == Some(self.now) { "" } else { " aged" };
                format!("[{}]{hold}{age}", self.trusted())
            }
            Err(refusal) => format!("[{}] {}", self.trusted(), refusal.code()),
        }
    }

    fn approve(&mut self, keys: &str, sequence: impl Into<Option<u64>>) -> String {
        let digest = digest(document(keys, sequence.into()).bundle());
        let held = self.known.held.iter().find(|held| held.digest == digest).expect("document is held").clone();
        self.known = self.known.approved(&held, held.bundle.authorities().clone(), self.now);
        format!("[{}]", self.trusted())
    }

    fn trusted(&self) -> String {
        let Some(authorities) = &self.known.accepted.authorities else { return "-".into() };
        let mut letters: Vec<_> =
            "abcdeABCDE".chars().filter(|letter| authorities.contains(&key(*letter).id())).collect();
        letters.sort_unstable();
        letters.into_iter().collect()
    }
}

fn key(letter: char) -> Authority {
    let at = usize::try_from(u32::from(letter.to_ascii_lowercase()) - u32::from('a')).unwrap();
    match letter.is_ascii_lowercase() {
        true => FIXTURES[at].x509(),
        false => FIXTURES[at].jwt(&letter.to_string()),
    }
}

fn bundle(keys: &str, sequence: Option<u64>) -> Bundle {
    let hint = Some(Duration::from_secs(300));
    Bundle::new("b.example".parse().unwrap(), keys.chars().map(key).collect(), sequence, hint)
}

fn document(keys: &str, sequence: Option<u64>) -> BundleDocument {
    let bundle = bundle(keys, sequence);
    BundleDocument::parse(bundle.trust_domain(), &render(&bundle, WitAuthorities::Include)).unwrap()
}

/// Replays `(wait in seconds, keys, sequence, expected)`.
fn tell(change_control: ChangeControl, steps: &[(u64, &str, Option<u64>, &str)]) -> Story {
    let mut story = Story::under(change_control);
    for (at, (wait, keys, sequence, expected)) in steps.iter().enumerate() {
        assert_eq!(story.wait(*wait).offer(keys, *sequence), *expected, "step {at}: {keys} {sequence:?}");
    }
    story
}

#[test]
fn seq_04_06_a_number_that_goes_back_or_vanishes_is_held() {
    tell(
        ChangeControl::Automatic,
        &[
            (0, "ab", Some(8), "[ab]"),
            (300, "abc", Some(7), "[ab] sequence-rollback aged"),
            (300, "ab", Some(7), "[ab] sequence-rollback aged"),
            (300, "abc", None, "[ab] sequence-rollback aged"),
            (300, "ab", Some(0), "[ab] sequence-rollback aged"),
            (300, "abc", Some(8 + (1 << 48)), "[abc]"),
            (300, "ab", Some(9 + (2 << 48)), "[abc] sequence-jump aged"),
            (300, "ab", Some(u64::MAX), "[abc] sequence-jump aged"),
        ],
    );
}

#[test]
fn seq_02_05_12_the_same_keys_are_no_news_and_unnumbered_bundles_follow_the_latest() {
    let story = tell(
        ChangeControl::Automatic,
        &[
            (0, "ab", None, "[ab]"),
            (300, "ba", None, "[ab]"),
            (300, "abc", None, "[abc]"),
            (300, "bc", Some(0), "[bc]"),
            (300, "cb", Some(5), "[bc]"),
        ],
    );
    assert_eq!(story.known.revision, Some(3), "the same keys under another number are no new revision");
    assert_eq!(story.known.accepted.memory.sequence, Some(5));
}

#[test]
fn seq_06_the_same_number_with_other_keys_is_accepted_and_reported() {
    let mut story = tell(ChangeControl::Automatic, &[(0, "ab", Some(8), "[ab]")]);
    let offered = document("abc", Some(8));
    let offered = Offered::alone(&offered, "https://b.example/");
    let judged = judge(&story.relationship, &story.known.accepted, &offered, &story.owners, story.now).unwrap();
    assert!(judged.sequence_reused && judged.accept.is_some());
    assert_eq!(story.offer("abc", Some(8)), "[abc]");
}

#[test]
fn seq_04_a_replayed_bundle_does_not_bring_back_a_removed_key() {
    tell(
        ChangeControl::Automatic,
        &[
            (0, "a", Some(1), "[a]"),
            (300, "ab", Some(2), "[ab]"),
            (300, "b", Some(3), "[b]"),
            (300, "ab", Some(2), "[b] sequence-rollback aged"),
            (300, "ab", Some(3), "[b] bundle-replayed aged"),
            (300, "abc", Some(3), "[b] bundle-replayed aged"),
            (300, "ab", Some(4), "[ab]"),
        ],
    );
    tell(
        ChangeControl::Automatic,
        &[
            (0, "a", None, "[a]"),
            (300, "b", None, "[b]"),
            (300, "a", None, "[b] bundle-replayed aged"),
            (300, "c", None, "[c]"),
        ],
    );
}

#[test]
fn seq_07_an_operator_accepts_a_reset_by_digest_and_what_it_replaces_is_barred() {
    let mut story =
        tell(ChangeControl::Automatic, &[(0, "a", Some(9), "[a]"), (300, "b", Some(1), "[a] sequence-rollback aged")]);
    assert_eq!(story.approve("b", Some(1)), "[b]");
    assert!(story.known.held.is_empty());
    for (keys, sequence, expected) in
        [("b", 1, "[b]"), ("a", 9, "[b] document-barred"), ("bc", 2, "[bc]"), ("a", 9, "[bc] document-barred")]
    {
        assert_eq!(story.wait(300).offer(keys, sequence), expected, "{keys} {sequence}");
    }
}

#[test]
fn seq_07_after_a_reset_what_was_revoked_before_it_does_not_come_back_under_its_old_number() {
    let mut story = tell(
        ChangeControl::Automatic,
        &[
            (0, "a", Some(7), "[a]"),
            (300, "ab", Some(8), "[ab]"),
            (300, "b", Some(9), "[b]"),
            (300, "c", Some(1), "[b] sequence-rollback aged"),
        ],
    );
    assert_eq!(story.approve("c", Some(1)), "[c]");
    for (keys, sequence, expected) in [
        ("ab", 8, "[c] bundle-replayed aged"),
        ("a", 7, "[c] bundle-replayed aged"),
        ("cd", 2, "[cd]"),
        ("c", 3, "[c]"),
        ("ca", 10, "[ac]"),
    ] {
        assert_eq!(story.wait(300).offer(keys, sequence), expected, "{keys} {sequence}");
    }
}

#[test]
fn rel_10_an_endpoint_that_only_moved_is_not_barred_by_its_own_approval() {
    let mut story = tell(ChangeControl::Automatic, &[(0, "a", Some(1), "[a]")]);
    story.relationship.endpoint.url = "https://elsewhere.example/".parse().unwrap();
    story.known = story.known.clone().under(Parameters::of(&story.relationship.endpoint));
    assert_eq!(story.wait(300).offer("a", Some(1)), "[a] endpoint-changed aged");
    assert_eq!(story.approve("a", Some(1)), "[a]");
    assert_eq!(story.wait(300).offer("a", Some(1)), "[a]");
}

/// Replays `(URL, keys, sequence, expected)` at the URLs 1 to 3, of which 1 and 2 are configured from the start.
fn tell_at(steps: &[(&str, &str, Option<u64>, &str)]) {
    let mut story = Story::under(ChangeControl::Automatic);
    let url = |name: &str| format!("https://{name}.example/");
    story.relationship.endpoint.url = url("1").parse().unwrap();
    for added in ["2", "3"] {
        story.relationship.endpoint.fallbacks.push(url(added).parse().unwrap());
        story.known = story.known.clone().under(Parameters::of(&story.relationship.endpoint));
        if added == "2" {
            assert_eq!(story.offer("a", Some(1)), "[a]");
        }
    }
    for (at, (name, keys, sequence, expected)) in steps.iter().enumerate() {
        assert_eq!(story.wait(300).offer_at(&url(name), keys, *sequence), *expected, "step {at}: {keys} {sequence:?}");
    }
}

#[test]
fn rel_10_a_known_url_stands_in_for_another_and_an_added_one_once_it_agrees() {
    tell_at(&[
        ("2", "a", Some(9), "[a]"),
        ("1", "ab", Some(2), "[ab]"),
        ("3", "abc", Some(3), "[ab] endpoint-changed aged"),
        ("3", "ab", Some(3), "[ab]"),
        ("3", "abc", Some(4), "[abc]"),
        ("1", "abc", Some(4), "[abc]"),
    ]);
}

#[test]
fn seq_04_06_urls_that_lag_are_no_alarm_and_urls_that_disagree_are() {
    tell_at(&[
        ("2", "ab", Some(2), "[ab]"),
        ("1", "a", Some(1), "[ab] behind"),
        ("3", "a", Some(1), "[ab] behind"),
        ("2", "a", Some(1), "[ab] sequence-rollback aged"),
        ("2", "a", Some(1), "[ab] sequence-rollback aged"),
        ("1", "ac", Some(1), "[ab] sequence-rollback aged"),
        ("1", "ac", Some(2), "[a] endpoints-disagree aged"),
        ("3", "a", Some(2), "[a] aged"),
        ("2", "abc", Some(2), "[a] bundle-replayed aged"),
        ("1", "ab", Some(2), "[a] bundle-replayed aged"),
        ("1", "abcd", Some(3), "[abcd]"),
        ("2", "abc", Some(3), "[abc] aged"),
    ]);
}

#[test]
fn bnd_04_05_an_empty_bundle_counts_when_a_second_fetch_agrees() {
    let story = tell(ChangeControl::Manual, &[(0, "aA", Some(1), "[-] approval-required aged")]);
    assert_eq!(story.known.state(&story.relationship, story.now).0, RelationshipState::Held);
    for change_control in [ChangeControl::Automatic, ChangeControl::Overlapping] {
        tell(
            change_control,
            &[
                (0, "aA", Some(1), "[Aa]"),
                (300, "", Some(2), "[Aa] aged"),
                (9, "", Some(2), "[Aa] aged"),
                (1, "", Some(2), "[]"),
                (300, "", Some(2), "[]"),
            ],
        );
        tell(
            change_control,
            &[
                (0, "a", Some(1), "[a]"),
                (300, "", Some(2), "[a] aged"),
                (15, "a", Some(3), "[a]"),
                (300, "", Some(4), "[a] aged"),
            ],
        );
    }
    tell(
        ChangeControl::Automatic,
        &[(0, "", Some(1), "[-] aged"), (15, "", Some(1), "[]"), (300, "a", Some(2), "[a]")],
    );
}

#[test]
fn the_last_key_of_one_type_goes_when_a_second_fetch_agrees() {
    tell(
        ChangeControl::Automatic,
        &[(0, "aA", Some(1), "[Aa]"), (300, "a", Some(2), "[Aa] aged"), (15, "a", Some(2), "[a]")],
    );
    tell(ChangeControl::Automatic, &[(0, "aAB", Some(1), "[ABa]"), (300, "aB", Some(2), "[Ba]")]);
}

#[test]
fn bnd_05_only_a_document_that_empties_the_same_types_agrees() {
    tell(
        ChangeControl::Automatic,
        &[
            (0, "aA", Some(1), "[Aa]"),
            (300, "a", Some(2), "[Aa] aged"),
            (15, "A", Some(3), "[Aa] aged"),
            (15, "", Some(4), "[Aa] aged"),
            (15, "A", Some(5), "[A]"),
        ],
    );
}

#[test]
fn manual_holds_every_addition_and_no_removal_while_a_key_survives() {
    let mut story = tell(ChangeControl::Manual, &[(0, "ab", Some(1), "[-] approval-required aged")]);
    assert_eq!(story.approve("ab", Some(1)), "[ab]");
    for (keys, sequence, expected) in [
        ("ab", 1, "[ab]"),
        ("abc", 2, "[ab] approval-required"),
        ("bc", 3, "[b] approval-required"),
        ("c", 4, "[b] approval-required aged"),
    ] {
        assert_eq!(story.wait(300).offer(keys, sequence), expected, "{keys} {sequence}");
    }
    assert_eq!(story.approve("c", Some(4)), "[c]");
}

#[test]
fn a_held_replacement_lets_the_old_keys_age_and_lapse() {
    let mut story = tell(ChangeControl::Overlapping, &[(0, "a", Some(1), "[a]")]);
    for day in 1..=7 {
        assert_eq!(story.wait(DAY).offer("b", 1 + day), "[a] no-overlap aged");
    }
    assert_eq!(story.known.state(&story.relationship, story.now).0, RelationshipState::Stale);
}

#[test]
fn overlapping_takes_a_new_key_after_its_notice_beside_one_long_known() {
    tell(
        ChangeControl::Overlapping,
        &[
            (0, "a", Some(1), "[a]"),
            (300, "ab", Some(2), "[a] key-notice"),
            (899, "ab", Some(2), "[a] key-notice"),
            (1, "ab", Some(2), "[ab]"),
            (300, "b", Some(3), "[b]"),
        ],
    );
}

#[test]
fn bypasses_of_overlapping_are_held() {
    let absent = [
        (0, "a", Some(1), "[a]"),
        (300, "ab", Some(2), "[a] key-notice"),
        (600, "a", Some(3), "[a]"),
        (600, "ab", Some(4), "[a] key-notice"),
        (899, "ab", Some(4), "[a] key-notice"),
    ];
    tell(ChangeControl::Overlapping, &absent);
    // A key that came in this way may not vouch for the next one on the same day.
    tell(
        ChangeControl::Overlapping,
        &[
            (0, "a", Some(1), "[a]"),
            (300, "ab", Some(2), "[a] key-notice"),
            (900, "ab", Some(2), "[ab]"),
            (300, "b", Some(3), "[b]"),
            (300, "bc", Some(4), "[b] no-overlap"),
            (900, "bc", Some(4), "[b] no-overlap"),
            (DAY, "bc", Some(4), "[bc]"),
        ],
    );
    // Neither does a key of the other type, nor removing the old key while the new one waits.
    tell(
        ChangeControl::Overlapping,
        &[
            (0, "a", Some(1), "[a]"),
            (300, "ab", Some(2), "[a] key-notice"),
            (300, "b", Some(3), "[a] no-overlap aged"),
            (900, "b", Some(3), "[a] no-overlap aged"),
        ],
    );
}

#[test]
fn rel_10_the_first_document_of_a_changed_endpoint_is_held() {
    let mut story = tell(ChangeControl::Automatic, &[(0, "a", Some(1), "[a]")]);
    story.relationship.endpoint.url = "https://elsewhere.example/".parse().unwrap();
    story.known = story.known.clone().under(Parameters::of(&story.relationship.endpoint));
    assert_eq!(story.wait(300).offer("ab", Some(2)), "[a] endpoint-changed aged");
    assert_eq!(story.wait(300).offer("ab", Some(2)), "[a] endpoint-changed aged");
    assert_eq!(story.approve("ab", Some(2)), "[ab]");
    assert_eq!(story.wait(300).offer("abc", Some(3)), "[abc]");
}

#[test]
fn bnd_20_a_key_of_another_domain_is_held_alone_and_removals_still_apply() {
    let mut story = tell(ChangeControl::Automatic, &[(0, "ab", Some(1), "[ab]")]);
    let other: TrustDomain = "a.example".parse().unwrap();
    let theirs: Authorities = [key('c'), key('D')].into_iter().collect();
    story.owners.set_foreign(&other, theirs.iter().map(|authority| (authority, story.now)));
    assert_eq!(story.wait(300).offer("bce", Some(2)), "[be]");
    assert_eq!(story.known.progress.withheld.len(), 1);
    assert_eq!(story.known.progress.withheld[0].code, "authority-reused");
    assert_eq!(story.wait(300).offer("bcd", Some(3)), "[b]");
    assert_eq!(story.known.progress.withheld.len(), 2, "the same key under another use is the same key");
    assert_eq!(story.wait(300).offer("c", Some(4)), "[b] all-refused aged");
    story.owners.set_foreign(&other, std::iter::empty());
    assert_eq!(story.wait(300).offer("c", Some(4)), "[c]");
}

#[test]
fn bnd_20_somebody_elses_claim_on_our_next_key_does_not_freeze_revocation_of_the_other_type() {
    let mut story = tell(ChangeControl::Automatic, &[(0, "abA", Some(1), "[Aab]")]);
    let hostile: TrustDomain = "a.example".parse().unwrap();
    let claimed: Authorities = [key('D')].into_iter().collect();
    story.owners.set_foreign(&hostile, claimed.iter().map(|authority| (authority, story.now)));
    assert_eq!(story.wait(300).offer("bD", Some(2)), "[Ab] all-refused aged");
    assert_eq!(story.wait(300).offer("bD", Some(2)), "[Ab] all-refused aged", "no second fetch confirms a refusal");
    assert_eq!(story.wait(300).offer("bcAD", Some(3)), "[Abc]");
}

#[test]
fn bnd_26_a_certificate_of_another_domain_refuses_the_document() {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    for (uri, refused) in [
        ("spiffe://b.example", false),
        ("spiffe://b.example/", false),
        ("spiffe://a.example", true),
        ("SPIFFE://b.example", true),
        ("spiffe://b.example/ca", true),
        ("https://b.example/", false),
    ] {
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName("x".try_into().unwrap()), rcgen::SanType::URI(uri.try_into().unwrap())];
        let certificate = params.self_signed(&FIXTURES[1].key).unwrap();
        let ca = Authority::X509(crate::spiffe::authority::X509Authority::from_der(certificate.der()).unwrap());
        let bundle = Bundle::new("b.example".parse().unwrap(), [ca].into_iter().collect(), None, None);
        let document = BundleDocument::parse(bundle.trust_domain(), &render(&bundle, WitAuthorities::Omit)).unwrap();
        let story = Story::under(ChangeControl::Automatic);
        let offered = Offered::alone(&document, "https://b.example/");
        let judged = judge(&story.relationship, &story.known.accepted, &offered, &story.owners, story.now);
        assert_eq!(judged.err().map(|refusal| refusal.code()), refused.then_some("mis-wired"), "{uri}");
    }
}

proptest! {
    /// Whatever a peer serves: no key is trusted that it never served, nothing survives its removal beside
    /// a survivor of its type, and under `manual` nothing is trusted without approval.
    #[test]
    fn no_document_adds_what_it_does_not_serve(
        steps in prop::collection::vec(("[abcAB]{0,4}", prop::option::of(0u64..6), 0u64..2_000), 1..12),
        control in prop::sample::select(vec![ChangeControl::Automatic, ChangeControl::Overlapping, ChangeControl::Manual]),
    ) {
        let mut story = Story::under(control);
        for (keys, sequence, wait) in steps {
            let before = story.known.accepted.authorities.clone().unwrap_or_default();
            story.wait(wait).offer(&keys, sequence);
            let after = story.known.accepted.authorities.clone().unwrap_or_default();
            let served: Authorities = keys.chars().map(key).collect();
            for id in after.ids() {
                prop_assert!(before.contains(id) || (served.contains(id) && control != ChangeControl::Manual));
            }
        }
    }
}
