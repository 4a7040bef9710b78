use rcgen::{CertificateParams, KeyIdMethod, KeyPair, RsaKeySize};

use super::super::rejection::Place;
use super::super::testing::{Ca, Case, RsaKey, bundle, ca_params, element, extension, leaf_params};
use super::*;

const ID: &str = "spiffe://a/x";

fn until_2025(params: &mut CertificateParams) {
    params.not_after = rcgen::date_time_ymd(2025, 1, 1);
}

fn expired(name: &str) -> Ca {
    let mut params = ca_params(name);
    until_2025(&mut params);
    Ca::root_with(params)
}

fn without_key_id() -> CertificateParams {
    let mut params = leaf_params(&[ID]);
    params.use_authority_key_identifier_extension = false;
    params
}

#[test]
fn x5_22_a_new_key_of_another_type_is_unknown_not_unsupported() {
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let new = Ca::root("root");
    for old in [rsa, KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()] {
        let bundle = bundle("a", &[&Ca::root_of(ca_params("root"), old)]);
        Case::new(bundle.clone(), new.leaf(ID)).is_refused("unknown-authority");
        Case::new(bundle.clone(), new.leaf_with(without_key_id())).is_refused("unknown-authority");
        let middle = new.intermediate("intermediate");
        Case::new(bundle, middle.leaf(ID)).with(&[&middle.der]).is_refused("unknown-authority");
    }
}

#[test]
fn x5_22_a_signers_key_that_can_not_be_used_is_named() {
    let mut params = ca_params("root");
    params.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
    let (signing, top, namesake) = (Ca::root_with(params), Ca::root("top"), Ca::root("root"));
    let weak = |ca: &Ca| ca.sign(&signing.params, &RsaKey::of_bits(1024));
    let anchor = Ca { params: signing.params.clone(), key: KeyPair::generate().unwrap(), der: weak(&signing) };
    let (alone, two) = (bundle("a", &[&anchor]), bundle("a", &[&anchor, &namesake]));
    Case::new(alone.clone(), signing.leaf(ID)).is_refused("weak-key");
    Case::new(two.clone(), signing.leaf(ID)).is_refused("weak-key");
    Case::new(alone.clone(), signing.leaf_with(without_key_id())).is_refused("weak-key");
    Case::new(two, signing.leaf_with(without_key_id())).is_refused("unknown-authority");
    Case::new(alone, namesake.leaf(ID)).is_refused("unknown-authority");

    let unusable = top.sign(&signing.params, &KeyPair::generate_for(&rcgen::PKCS_ML_DSA_44).unwrap());
    for (der, code) in [(weak(&top), "weak-key"), (unusable, "unusable-key")] {
        Case::new(bundle("a", &[&top]), signing.leaf(ID)).with(&[&der]).is_refused(code);
    }
}

#[test]
fn an_attempt_that_reached_an_authority_was_nearer_than_a_longer_one() {
    let root = expired("root");
    let middle = root.intermediate("intermediate");
    let (stranger, other) = (Ca::root("stranger"), Ca::root("other"));
    let crossed = stranger.sign(&ca_params("root"), &root.key);
    let above = other.cross_sign(&stranger);
    let case = Case::new(bundle("a", &[&root]), middle.leaf(ID));
    case.clone().with(&[&middle.der]).is_refused("expired");
    case.with(&[&middle.der, &crossed, &above]).is_refused("expired");
}

#[test]
fn a_complete_path_that_breaks_a_constraint_was_the_nearest() {
    let excluded = element(0x30, &element(0xa1, &element(0x30, &element(0x86, b"a"))));
    let mut params = ca_params("root");
    params.custom_extensions = vec![extension(30, true, &excluded)];
    let root = Ca::root_with(params);
    let stranger = Ca::root("stranger");
    let mut params = ca_params("root");
    until_2025(&mut params);
    let crossed = stranger.sign(&params, &root.key);
    let valid = stranger.sign(&ca_params("root"), &root.key);
    let case = Case::new(bundle("a", &[&root]), root.leaf(ID));
    case.clone().is_refused("name-constraint-violation");
    case.with(&[&crossed, &valid, &stranger.der]).is_refused("name-constraint-violation");
}

#[test]
fn x5_20_only_a_signer_makes_a_path_too_long() {
    let (root, unknown) = (Ca::root("root"), Ca::root("ca 0"));
    let mut cas = vec![unknown.intermediate("ca 1")];
    for n in 2..=7 {
        cas.push(cas[n - 2].intermediate(&format!("ca {n}")));
    }
    let namesake = Ca::root("ca 0");
    let sent: Vec<&[u8]> = cas.iter().chain([&namesake]).map(|ca| ca.der.as_slice()).collect();
    let case = Case::new(bundle("a", &[&root]), cas[6].leaf(ID));
    case.clone().with(&sent).is_refused("unknown-authority");
    let sent: Vec<&[u8]> = cas.iter().chain([&unknown]).map(|ca| ca.der.as_slice()).collect();
    case.with(&sent).is_refused("path-budget-exhausted");
}

#[test]
fn what_can_not_be_read_is_the_reason_only_if_nothing_else_was_sent() {
    let (root, stranger) = (Ca::root("root"), Ca::root("stranger"));
    let middle = stranger.intermediate("intermediate");
    let case = Case::new(bundle("a", &[&root]), middle.leaf(ID));
    let (one, two) = (&[1_u8][..], &[2_u8][..]);
    case.clone().with(&[one]).is_refused("malformed-certificate");
    case.clone().with(&[&root.der, one]).is_refused("malformed-certificate");
    case.clone().with(&[&middle.der, one]).is_refused("unknown-authority");
    case.clone().with(&[one, &stranger.der]).is_refused("unknown-authority");
    for (sent, index) in [(&[one, two], 0), (&[two, one], 1)] {
        let Err(Rejection::Certificate { place, .. }) = case.clone().with(sent).verdict() else { panic!("refused") };
        assert_eq!(place, Place::Intermediate(index));
    }
}

#[test]
fn x5_20_the_search_for_a_reason_exhausts_no_budget() {
    let mut roots: Vec<Ca> = (0..60).map(|_| Ca::root("root")).collect();
    roots.extend((0..60).map(|_| expired("root")));
    let bundle = bundle("a", &roots.iter().collect::<Vec<_>>());
    let leaf = Ca::root("root").leaf_with(without_key_id());
    let (verdict, (_, checks, _)) = Case::new(bundle, leaf).work();
    assert_eq!(verdict.unwrap_err().code(), "unknown-authority");
    assert_eq!(checks, 100);
}

#[test]
fn of_refusals_only_those_are_kept_that_may_be_the_reason() {
    let root = Ca::root("root");
    let leaf = Certificate::parse(&root.der).unwrap();
    let step = Step { certificate: &leaf, signer: None, place: Place::Leaf };
    let middle = root.intermediate("intermediate");
    let sent = super::super::pool::Intermediates::new(&[&middle.der]);
    let candidate = sent.candidates().next().unwrap();
    let mut failures = Failures::new(step);
    failures.note(Progress::nowhere(3), Obstacle::NoSigner(step));
    failures.refuse(2, step, candidate, Obstacle::TooLong);
    assert_eq!(failures.refused.len(), 0);
    failures.refuse(3, step, candidate, Obstacle::TooLong);
    assert_eq!(failures.refused.len(), 1);
}
