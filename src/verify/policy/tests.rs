use super::super::rejection::Rejection;
use super::super::testing::{Ca, Case, NOW, bundle, ca_params, leaf_params, time};
use super::*;

const ID: &str = "spiffe://a/ns/prod/web";

fn patterns(patterns: &[&str]) -> Option<Vec<PathPattern>> {
    Some(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect())
}

fn case(policy: Policy) -> Case {
    let root = Ca::root("root");
    Case::new(bundle("a", &[&root]), root.leaf(ID)).under(policy)
}

/// `accepted`, or the code of the refusal of a token for these audiences, with 300 s to live.
fn token(policy: &Policy, audiences: &[&str]) -> &'static str {
    token_at(policy, audiences, NOW)
}

fn token_at(policy: &Policy, audiences: &[&str], at: u64) -> &'static str {
    let strength = KeyStrength::Bits128;
    let verdict = policy.check_jwt(&ID.parse().unwrap(), audiences.iter().copied(), NOW + 300, strength, time(at));
    verdict.map_or_else(|breach| breach.code(), |()| "accepted")
}

#[test]
fn the_default_allows_what_the_standards_allow() {
    case(Policy::default()).is_accepted();
    assert_eq!(token(&Policy::default(), &["x"]), "accepted");
    assert_eq!(token(&Policy::default(), &[]), "accepted", "what is missing is the business of the rules for tokens");
}

#[test]
fn svids_of_other_types_are_refused() {
    let only = |svid_type| Policy { svid_types: Some([svid_type].into()), ..Policy::default() };
    case(only(SvidType::X509Svid)).is_accepted();
    case(only(SvidType::JwtSvid)).is_refused("policy-svid-type");
    assert_eq!(token(&only(SvidType::JwtSvid), &["x"]), "accepted");
    assert_eq!(token(&only(SvidType::X509Svid), &["x"]), "policy-svid-type");
    let both = Policy { svid_types: Some([SvidType::X509Svid, SvidType::JwtSvid].into()), ..Policy::default() };
    case(both).is_accepted();
    case(Policy { svid_types: Some([].into()), ..Policy::default() }).is_refused("policy-svid-type");
}

#[test]
fn rel_11_one_pattern_has_to_have_the_path() {
    for (name, accepted, expected) in [
        ("the one", &["/ns/prod/web"][..], true),
        ("one of two", &["/other", "/ns/*/web"], true),
        ("all below", &["/ns/prod/**"], true),
        ("a part of it", &["/ns/prod", "/ns/*"], false),
        ("others", &["/ns/test/**"], false),
        ("none at all", &[], false),
    ] {
        let policy = Policy { paths: patterns(accepted), ..Policy::default() };
        let verdict = case(policy.clone()).verdict();
        let code = verdict.map_or_else(|rejection| rejection.code(), |_| "accepted");
        assert_eq!(code, if expected { "accepted" } else { "policy-spiffe-id" }, "{name}");
        assert_eq!(token(&policy, &["x"]), code, "{name}");
    }
}

#[test]
fn a_relationship_lasts_to_its_last_second() {
    let policy = Policy { not_after: Some(time(NOW)), ..Policy::default() };
    for (at, expected) in [(NOW - 1, "accepted"), (NOW, "accepted"), (NOW + 1, "policy-not-after")] {
        let verdict = case(policy.clone()).at(at).verdict();
        let code = verdict.as_ref().map_or_else(Rejection::code, |_| "accepted");
        assert_eq!((code, token_at(&policy, &["x"], at)), (expected, expected), "{at}");
        assert!(verdict.is_err() || verdict.is_ok_and(|verified| verified.not_after == time(NOW)));
    }
    case(policy.clone()).at(u64::MAX).is_refused("expired");
    let later = Policy { not_after: Some(time(u64::MAX)), ..Policy::default() };
    assert_eq!(case(later).verdict().unwrap().not_after, time(2_019_686_400), "the path ends before");
}

#[test]
fn jw_15_each_audience_of_a_token_must_be_accepted() {
    let policy = Policy { jwt_audiences: Some(["x".into(), "y".into()].into()), ..Policy::default() };
    for (audiences, expected) in [
        (&["x"][..], "accepted"),
        (&["y", "x"], "accepted"),
        (&["x", "z"], "policy-audience"),
        (&["X"], "policy-audience"),
        (&[""], "policy-audience"),
        (&[], "policy-audience"),
    ] {
        assert_eq!(token(&policy, audiences), expected, "{audiences:?}");
    }
    case(policy).is_accepted();
}

#[test]
fn jw_15_a_token_may_last_as_long_as_policy_says() {
    for (maximum, at, expected) in [
        (300, NOW, "accepted"),
        (299, NOW, "policy-lifetime"),
        (299, NOW + 1, "accepted"),
        (0, NOW + 300, "accepted"),
        (0, NOW + 301, "accepted"),
    ] {
        let policy = Policy { jwt_maximum_lifetime: Some(Duration::from_secs(maximum)), ..Policy::default() };
        assert_eq!(token_at(&policy, &["x"], at), expected, "{maximum} s at {at}");
    }
}

#[test]
fn keys_of_path_and_token_reach_the_floor() {
    let demand = |minimum| Policy { minimum_key_strength: minimum, ..Policy::default() };
    case(demand(KeyStrength::Bits128)).is_accepted();
    case(demand(KeyStrength::Bits192)).is_refused("policy-key-strength");
    assert_eq!(token(&demand(KeyStrength::Bits128), &["x"]), "accepted");
    assert_eq!(token(&demand(KeyStrength::Bits192), &["x"]), "policy-key-strength");
}

#[test]
fn what_a_breach_says_is_short_and_names_its_facts() {
    let trust_domain: TrustDomain = "a".parse().unwrap();
    for (breach, expected) in [
        (
            PolicyBreach::NotAfter { trust_domain: trust_domain.clone(), not_after: 1, at: 2 },
            "the relationship with a lasted until 1, before 2",
        ),
        (
            PolicyBreach::SvidType { svid_type: SvidType::JwtSvid, trust_domain: trust_domain.clone() },
            "SVIDs of type jwt-svid are not accepted from a",
        ),
        (
            PolicyBreach::KeyStrength { place: None, strength: KeyStrength::Bits112, minimum: KeyStrength::Bits128 },
            "the JWT authority has a key of 112 bits of security, less than the 128 bits demanded",
        ),
        (
            PolicyBreach::Lifetime { left: 7200, maximum: 3600 },
            "the token lasts for another 7200 s, longer than the 3600 s that are accepted",
        ),
    ] {
        assert_eq!(breach.to_string(), expected);
    }
    let policy = Policy { jwt_audiences: Some([].into()), ..Policy::default() };
    let long = "\n".repeat(10_000);
    let breach = policy.check_audiences(&trust_domain, [long.as_str()]).unwrap_err();
    assert!(breach.to_string().len() < 400 && !breach.to_string().contains('\n'), "{breach}");
}

#[test]
fn state_comes_before_cryptography_and_that_before_policy() {
    let (root, stranger) = (Ca::root("root"), Ca::root("stranger"));
    let policy = Policy { not_after: Some(time(NOW - 1)), ..Policy::default() };
    Case::new(bundle("a", &[]), root.leaf(ID)).under(policy.clone()).is_refused("domain-revoked");
    Case::new(bundle("a", &[&root]), stranger.leaf(ID)).under(policy.clone()).is_refused("unknown-authority");
    Case::new(bundle("a", &[&root]), root.leaf(ID)).under(policy).is_refused("policy-not-after");
}

#[test]
fn a_path_of_weak_keys_leaves_room_for_another() {
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let strong = Ca { der: Vec::new(), params: ca_params("root"), key: p384 };
    let strong = Ca { der: strong.params.self_signed(&strong.key).unwrap().der().to_vec(), ..strong };
    let weak = Ca::root("weak");
    // One intermediate, signed by both: its own key is strong, and so is the leaf's.
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let middle = Ca { der: strong.sign(&ca_params("middle"), &key), params: ca_params("middle"), key };
    let leaf = middle.sign(&leaf_params(&[ID]), &rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap());
    let by_weak = weak.cross_sign(&middle);
    let demand = Policy { minimum_key_strength: KeyStrength::Bits192, ..Policy::default() };
    let sent: [&[u8]; 2] = [&by_weak, &middle.der];
    Case::new(bundle("a", &[&weak, &strong]), leaf.clone()).with(&sent).under(demand.clone()).is_accepted();
    let breach = Case::new(bundle("a", &[&weak]), leaf.clone()).with(&sent).under(demand.clone()).verdict();
    let expected = PolicyBreach::KeyStrength {
        place: Some(Place::Authority(Fingerprint::of(&weak.der))),
        strength: KeyStrength::Bits128,
        minimum: KeyStrength::Bits192,
    };
    assert_eq!(breach, Err(Rejection::Policy(expected)));
    let weak_leaf = middle.leaf(ID);
    let verdict = Case::new(bundle("a", &[&strong]), weak_leaf).with(&sent).under(demand).verdict();
    assert!(matches!(verdict, Err(Rejection::Policy(PolicyBreach::KeyStrength { place: Some(Place::Leaf), .. }))));
}
