use super::*;
use crate::federation::acceptance::judge;
use crate::federation::ownership::KeyOwners;
use crate::federation::relationship::{BundleEndpoint, ChangeControl, PollPolicy};
use crate::spiffe::authority::Authority;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::document::render::{WitAuthorities, render};
use crate::spiffe::fixtures::FIXTURES;
use crate::verify::policy::Policy;

const NOW: u64 = 1_800_000_000;
const DAY: Duration = Duration::from_secs(86_400);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(NOW + seconds)
}

fn domain() -> TrustDomain {
    "b.example".parse().unwrap()
}

fn relationship(profile: EndpointProfile) -> FederationRelationship {
    FederationRelationship {
        trust_domain: domain(),
        endpoint: BundleEndpoint {
            url: "https://b.example/".parse().unwrap(),
            fallbacks: Vec::new(),
            profile,
            redirects: 5,
            allow_link_local: false,
            proxy: None,
        },
        bootstrap: None,
        change_control: ChangeControl::Automatic,
        two_routes: false,
        wait: true,
        key_notice: None,
        maximum_staleness: Some(DAY),
        poll: PollPolicy::default(),
        policy: Arc::default(),
    }
}

fn web() -> FederationRelationship {
    relationship(EndpointProfile::HttpsWeb { roots: None })
}

fn spiffe() -> FederationRelationship {
    relationship(EndpointProfile::HttpsSpiffe { endpoint_id: "spiffe://b.example/comity".parse().unwrap() })
}

fn until(last: u64) -> FederationRelationship {
    let policy = Policy { not_after: Some(at(last).into()), ..Policy::default() };
    FederationRelationship { policy: Arc::new(policy), ..web() }
}

fn created(last_revision: u64) -> StoredRelationship {
    StoredRelationship {
        trust_domain: domain(),
        incarnation: 1,
        endpoint: Parameters::of(&web().endpoint).to_string(),
        last_revision,
        accepted: None,
        held: Vec::new(),
        barred: Vec::new(),
        progress: None,
    }
}

fn bundle(authorities: impl IntoIterator<Item = Authority>, sequence: u64) -> Bundle {
    Bundle::new(domain(), authorities.into_iter().collect(), Some(sequence), Some(Duration::from_secs(300)))
}

fn served(known: &Known, bundle: &Bundle, now: Timestamp, fresh: bool) -> Known {
    let document = BundleDocument::parse(&domain(), &render(bundle, WitAuthorities::Include)).unwrap();
    let offered = Offered::alone(&document, "https://b.example/");
    let judgement = judge(&web(), &known.accepted, &offered, &KeyOwners::default(), now).unwrap();
    known.judged(&offered, &judgement, now, fresh)
}

/// As the store has it after `known` was written, with another text for its progress.
fn stored(known: &Known, progress: &str) -> (StoredRelationship, Vec<Revision>) {
    let commit = Known::begin(created(0)).commit(known, &domain(), Origin::Fetch, at(0));
    let accepted = commit.accept;
    let stored = StoredRelationship {
        last_revision: known.last_revision,
        accepted: accepted.clone(),
        progress: Some(progress.to_owned()),
        ..created(0)
    };
    (stored, accepted.into_iter().collect())
}

fn error() -> ErrorStatus {
    ErrorStatus { code: "x".into(), detail: "y".into(), at: at(5) }
}

#[test]
fn what_no_fresh_answer_ever_confirmed_is_stale_and_not_trusted_for_ever() {
    let known = served(&Known::begin(created(0)), &bundle([FIXTURES[1].x509()], 1), at(0), false);
    assert_eq!(known.revision, Some(1));
    assert_eq!(known.state(&web(), at(0)).0, RelationshipState::Stale);
    assert!(known.trusted(Some(DAY)).unwrap().until.unwrap() <= at(0));
    let known = served(&known, &bundle([FIXTURES[1].x509()], 1), at(300), true);
    assert_eq!(known.state(&web(), at(300)).0, RelationshipState::Current);
    assert_eq!(known.trusted(None).unwrap().until, None, "written off");
}

#[test]
fn seq_04_progress_that_can_not_be_read_lowers_no_baseline_and_stops_no_clock() {
    let known = served(&Known::begin(created(0)), &bundle([FIXTURES[1].x509()], 8), at(0), true);
    for progress in ["", "{", "{\"memory\":7}"] {
        let (stored, history) = stored(&known, progress);
        let restored = Known::restore(stored, &history);
        assert_eq!(restored.accepted.memory.sequence, Some(8), "{progress}");
        assert_eq!(restored.accepted.memory.highest, Some(8), "{progress}");
        assert_eq!(restored.stale_at(Some(DAY)), Some(at(86_400)), "{progress}");
        let since = restored.trusted(None).unwrap().since;
        assert_eq!(since, [at(0)], "nobody becomes the earliest holder of a key by it");
        assert_eq!(restored.bundle, known.bundle, "{progress}");
        let replayed = served(&restored, &bundle([FIXTURES[2].x509()], 7), at(300), true);
        assert_eq!(replayed.held.len(), 1, "{progress}");
    }
}

#[test]
fn rel_07_a_relationship_that_was_created_and_no_more_has_no_past_either() {
    let earlier =
        Revision { number: 3, bundle: bundle([FIXTURES[1].x509()], 1), accepted_at: NOW, origin: Origin::Fetch };
    let restored = Known::restore(created(3), &[earlier]);
    assert_eq!(restored.progress.first_revision, 4);
    assert!(!restored.accepted.past.had(&FIXTURES[1].x509().id()));
    assert_eq!(restored, Known::begin(created(3)));
}

#[test]
fn the_state_follows_from_the_age_of_the_data() {
    let new = Known::begin(created(0));
    let living = bundle([FIXTURES[1].x509()], 1);
    let current = served(&new, &living, at(0), true);
    let held = served(&current, &bundle([FIXTURES[2].x509()], 0), at(1), true);
    let waiting = Known { bundle: None, ..held.clone() };
    let revoked = new.bootstrapped(&bundle([], 1), at(0));
    for (name, known, relationship, now, expected) in [
        ("nothing yet", &new, web(), at(0), RelationshipState::Bootstrapping),
        ("nothing yet, fetches fail", &new.failed(error()), web(), at(9), RelationshipState::Bootstrapping),
        ("the first one waits", &waiting, web(), at(9), RelationshipState::Held),
        ("fresh", &current, web(), at(9), RelationshipState::Current),
        ("to the second", &current, web(), at(86_399), RelationshipState::Current),
        ("too old", &current, web(), at(86_400), RelationshipState::Stale),
        ("fetches fail", &current.failed(error()), web(), at(9), RelationshipState::Failing),
        ("fetches fail and a change waits", &held.failed(error()), web(), at(9), RelationshipState::Failing),
        ("fetches fail for too long", &current.failed(error()), web(), at(86_400), RelationshipState::Stale),
        ("a change waits", &held, web(), at(9), RelationshipState::Held),
        ("all revoked", &revoked, web(), at(9), RelationshipState::Current),
        ("all revoked, and the endpoint with it", &revoked, spiffe(), at(9), RelationshipState::NeedsBootstrap),
        ("nothing to authenticate with", &new, spiffe(), at(9), RelationshipState::Bootstrapping),
        ("to its last second", &current, until(9), at(9), RelationshipState::Current),
        ("over", &current, until(9), at(10), RelationshipState::Expired),
        ("over and too old", &current, until(9), at(86_400), RelationshipState::Expired),
        ("over before it began", &new, until(9), at(10), RelationshipState::Expired),
    ] {
        assert_eq!(known.state(&relationship, now).0, expected, "{name}");
    }
}

#[test]
fn fec_14_an_endpoint_whose_authorities_all_ended_needs_a_person() {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2027, 1, 15);
    let certificate = params.self_signed(&FIXTURES[1].key).unwrap();
    let ca = crate::spiffe::authority::X509Authority::from_der(certificate.der()).unwrap();
    let end = Timestamp::from_secs(ca.not_after().try_into().unwrap());
    let known = Known::begin(created(0)).bootstrapped(&bundle([Authority::X509(ca), FIXTURES[2].jwt("k")], 1), end);
    for (relationship, now, expected) in [
        (spiffe(), end, false),
        (spiffe(), end.after(Duration::from_secs(1)), true),
        (web(), end.after(Duration::from_secs(1)), false),
    ] {
        assert_eq!(known.needs_bootstrap(&relationship, now), expected, "{now}");
    }
}
