use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, RsaKeySize};

use super::super::testing::{Ca, Case, Field, NOW, bundle, ca_params, element, extension, leaf_params};
use super::*;

const ID: &str = "spiffe://a/x";

/// Root, one intermediate and a leaf, the CAs changed as told.
fn chain(root: impl FnOnce(&mut CertificateParams), intermediate: impl FnOnce(&mut CertificateParams)) -> Case {
    let mut params = ca_params("root");
    root(&mut params);
    let top = Ca::root_with(params);
    let mut params = ca_params("intermediate");
    intermediate(&mut params);
    let middle = top.intermediate_with(params);
    Case::new(bundle("a", &[&top]), middle.leaf(ID)).with(&[&middle.der])
}

fn leaf(change: impl FnOnce(&mut CertificateParams)) -> Case {
    let root = Ca::root("root");
    let mut params = leaf_params(&[ID]);
    change(&mut params);
    Case::new(bundle("a", &[&root]), root.leaf_with(params))
}

fn same(_: &mut CertificateParams) {}

fn until_2025(params: &mut CertificateParams) {
    params.not_after = rcgen::date_time_ymd(2025, 1, 1);
}

fn from_2027(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2027, 1, 1);
}

#[test]
fn x5_12_every_certificate_is_within_its_dates() {
    chain(same, same).is_accepted();
    leaf(until_2025).is_refused("expired");
    leaf(from_2027).is_refused("not-yet-valid");
    chain(same, until_2025).is_refused("expired");
    chain(same, from_2027).is_refused("not-yet-valid");
    chain(from_2027, same).is_refused("not-yet-valid");
}

#[test]
fn x5_19_bnd_25_an_authority_expires_to_the_second() {
    const END: u64 = 1_735_689_600;
    chain(until_2025, same).at(END).is_accepted();
    chain(until_2025, same).at(END + 1).is_refused("expired");
    let verified = chain(until_2025, same).at(END).verdict().unwrap();
    assert_eq!(verified.not_after.as_secs(), END);
}

#[test]
fn x5_12_signatures_count() {
    let root = Ca::root("root");
    let leaf = root.leaf(ID);
    let mut broken = leaf.clone();
    *broken.last_mut().unwrap() ^= 1;
    Case::new(bundle("a", &[&root]), broken).is_refused("bad-signature");
    let mut renamed = leaf.clone();
    let at = leaf.windows(ID.len()).position(|bytes| bytes == ID.as_bytes()).unwrap();
    renamed[at + ID.len() - 1] = b'y';
    Case::new(bundle("a", &[&root]), renamed).is_refused("bad-signature");
}

#[test]
fn x5_12_names_chain() {
    let (root, other) = (Ca::root("root"), Ca::root("other"));
    let leaf = root.leaf(ID);
    let renamed = root.patch(&leaf, b"\x0c\x04root", b"\x0c\x04toor");
    Case::new(bundle("a", &[&root]), renamed).is_refused("issuer-name-mismatch");
    Case::new(bundle("a", &[&other]), leaf).is_refused("unknown-authority");
}

#[test]
fn x5_12_names_chain_whatever_their_case() {
    let name = |value: &[u8]| {
        let id = element(6, &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25]);
        element(0x30, &element(0x31, &element(0x30, &[id, element(0x16, value)].concat())))
    };
    let root = Ca::root("root");
    let domain = Ca { der: root.with_field(&root.der, Field::Subject, &name(b"Example")), ..root };
    let leaf = |value| domain.with_field(&domain.leaf(ID), Field::Issuer, &name(value));
    for value in [b"Example", b"example"] {
        Case::new(bundle("a", &[&domain]), leaf(value)).is_accepted();
    }
    Case::new(bundle("a", &[&domain]), leaf(b"Exampel")).is_refused("issuer-name-mismatch");
}

#[test]
fn x5_12_an_unknown_critical_extension_is_refused_wherever_it_stands() {
    let unknown = |params: &mut CertificateParams| params.custom_extensions = vec![extension(99, true, &[5, 0])];
    let lax = |params: &mut CertificateParams| params.custom_extensions = vec![extension(99, false, &[5, 0])];
    leaf(unknown).is_refused("unsupported-critical-extension");
    chain(same, unknown).is_refused("unsupported-critical-extension");
    chain(unknown, same).is_refused("unsupported-critical-extension");
    leaf(lax).is_accepted();
    chain(lax, lax).is_accepted();
}

#[test]
fn x5_12_13_signing_certificates_are_cas_that_may_sign() {
    let not_ca = |params: &mut CertificateParams| params.is_ca = IsCa::ExplicitNoCa;
    let silent = |params: &mut CertificateParams| params.is_ca = IsCa::NoCa;
    let no_usage = |params: &mut CertificateParams| params.key_usages.clear();
    let crl_only = |params: &mut CertificateParams| params.key_usages = vec![KeyUsagePurpose::CrlSign];
    chain(same, not_ca).is_refused("issuer-not-ca");
    chain(same, silent).is_refused("issuer-not-ca");
    chain(same, no_usage).is_refused("issuer-may-not-sign");
    chain(same, crl_only).is_refused("issuer-may-not-sign");
    chain(no_usage, same).is_refused("issuer-may-not-sign");
}

#[test]
fn x5_12_a_leaf_signs_nothing() {
    let root = Ca::root("root");
    let other = root.intermediate_with(leaf_params(&["spiffe://a/other"]));
    Case::new(bundle("a", &[&root]), other.leaf(ID)).with(&[&other.der]).is_refused("issuer-not-ca");
}

#[test]
fn x5_12_path_lengths_bind_authorities_too() {
    let limit =
        |limit: u8| move |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(limit));
    chain(limit(1), limit(0)).is_accepted();
    chain(limit(0), same).is_refused("path-length-exceeded");
    let root = Ca::root("root");
    let mut params = ca_params("upper");
    limit(0)(&mut params);
    let upper = root.intermediate_with(params);
    let lower = upper.intermediate("lower");
    Case::new(bundle("a", &[&root]), lower.leaf(ID)).with(&[&lower.der, &upper.der]).is_refused("path-length-exceeded");
}

#[test]
fn self_issued_certificates_do_not_count_towards_path_lengths() {
    let mut params = ca_params("root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let root = Ca::root_with(params);
    let renewed = root.intermediate("root");
    Case::new(bundle("a", &[&root]), renewed.leaf(ID)).with(&[&renewed.der]).is_accepted();
}

#[test]
fn malformed_certificates_are_refused() {
    let root = Ca::root("root");
    let (leaf, bundle) = (root.leaf(ID), bundle("a", &[&root]));
    let refused = |leaf: Vec<u8>| Case::new(bundle.clone(), leaf).is_refused("malformed-certificate");
    refused([leaf.clone(), vec![0]].concat());
    refused(leaf[..leaf.len() - 1].to_vec());
    refused(vec![]);
    refused(root.patch(&leaf, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]));
    refused(root.patch(&leaf, b"240101000000Z", b"240101000000X"));
    refused(root.patch(&leaf, b"240101000000Z", b"2401010000+0Z"));
    refused(root.patch(&leaf, &[1, 1, 0xff, 4, 4, 3, 2], &[1, 1, 0x01, 4, 4, 3, 2]));
    let twice = vec![extension(99, false, &[5, 0]), extension(99, false, &[5, 0])];
    let mut params = leaf_params(&[ID]);
    params.custom_extensions = twice;
    refused(root.leaf_with(params));
    // Only the algorithm outside of what is signed: from ECDSA with SHA-256 to one with SHA-384.
    let mut outer = leaf.clone();
    let at = leaf.windows(8).rposition(|bytes| bytes == [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]).unwrap();
    outer[at + 7] = 3;
    refused(outer);
}

#[test]
fn x5_12_a_ca_certificate_of_another_version_leads_nowhere() {
    let root = Ca::root("root");
    let middle = root.intermediate("intermediate");
    let old = root.patch(&middle.der, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]);
    let case = Case::new(bundle("a", &[&root]), middle.leaf(ID));
    case.clone().with(&[&old]).is_refused("malformed-certificate");
    case.with(&[&old, &middle.der]).is_accepted();
}

#[test]
fn x5_21_order_duplicates_and_strangers_do_not_matter() {
    let root = Ca::root("root");
    let upper = root.intermediate("upper");
    let lower = upper.intermediate("lower");
    let case = Case::new(bundle("a", &[&root]), lower.leaf(ID));
    let stranger = Ca::root("stranger");
    for sent in [
        vec![&lower.der, &upper.der],
        vec![&upper.der, &lower.der],
        vec![&root.der, &upper.der, &lower.der, &upper.der, &root.der],
        vec![&stranger.der, &upper.der, &case.leaf, &lower.der],
    ] {
        case.clone().with(&sent.into_iter().map(Vec::as_slice).collect::<Vec<_>>()).is_accepted();
    }
    case.clone().with(&[&upper.der]).is_refused("unknown-authority");
    case.with(&[&lower.der]).is_refused("unknown-authority");
}

#[test]
fn x5_24_rotated_authorities_may_share_their_name() {
    let roots = [Ca::root("root"), Ca::root("root"), Ca::root("root")];
    let two = bundle("a", &[&roots[0], &roots[1]]);
    for with_key_id in [true, false] {
        let leaf = |root: &Ca| {
            let mut params = leaf_params(&[ID]);
            params.use_authority_key_identifier_extension = with_key_id;
            root.leaf_with(params)
        };
        Case::new(two.clone(), leaf(&roots[0])).is_accepted();
        Case::new(two.clone(), leaf(&roots[1])).is_accepted();
        Case::new(two.clone(), leaf(&roots[2])).is_refused("unknown-authority");
    }
}

#[test]
fn x5_24_a_renewed_authority_counts_beside_its_expired_self() {
    let old = {
        let mut params = ca_params("root");
        until_2025(&mut params);
        Ca::root_with(params)
    };
    let params = ca_params("root");
    let der = params.self_signed(&old.key).unwrap().der().to_vec();
    let renewed = Ca { params, key: KeyPair::try_from(old.key.serialize_der()).unwrap(), der };
    Case::new(bundle("a", &[&old, &renewed]), old.leaf(ID)).is_accepted();
    Case::new(bundle("a", &[&old]), renewed.leaf(ID)).is_refused("expired");
    Case::new(bundle("a", &[&old]), renewed.leaf(ID)).with(&[&renewed.der]).is_refused("expired");
}

#[test]
fn x5_24_a_wrong_key_identifier_is_only_a_hint() {
    let root = Ca::root("root");
    let mut params = leaf_params(&[ID]);
    params.use_authority_key_identifier_extension = false;
    params.custom_extensions = vec![extension(35, false, &element(0x30, &element(0x80, b"somebody else")))];
    Case::new(bundle("a", &[&root]), root.leaf_with(params)).is_accepted();
}

#[test]
fn x5_24_ninety_nine_wrong_authorities_do_not_hide_the_right_one() {
    let roots: Vec<Ca> = (0..100).map(|_| Ca::root("root")).collect();
    let bundle = bundle("a", &roots.iter().collect::<Vec<_>>());
    let middle = roots[42].intermediate("intermediate");
    Case::new(bundle.clone(), middle.leaf(ID)).with(&[&middle.der]).is_accepted();
    let mut params = leaf_params(&[ID]);
    params.use_authority_key_identifier_extension = false;
    Case::new(bundle, roots[42].leaf_with(params)).is_accepted();
}

#[test]
fn x5_20_mutual_cross_signing_ends_within_the_budget() {
    let root = Ca::root("root");
    let mut cas: Vec<Ca> = (0..8).map(|_| Ca::root("maze")).collect();
    for ca in &mut cas {
        ca.params.use_authority_key_identifier_extension = false;
    }
    let crossed: Vec<Vec<u8>> = (0..50).map(|n| cas[n % 8].cross_sign(&cas[(n + 1 + n / 8) % 8])).collect();
    let sent: Vec<&[u8]> = crossed.iter().map(Vec::as_slice).collect();
    let mut params = leaf_params(&[ID]);
    params.use_authority_key_identifier_extension = false;
    let case = Case::new(bundle("a", &[&root]), cas[0].leaf_with(params));
    case.clone().with(&sent).is_refused("path-budget-exhausted");
    case.with(&sent[..31]).is_refused("path-budget-exhausted");
}

#[test]
fn x5_20_a_path_has_at_most_eight_certificates() {
    let root = Ca::root("ca 0");
    let mut cas = vec![root.intermediate("ca 1")];
    for n in 2..=7 {
        cas.push(cas[n - 2].intermediate(&format!("ca {n}")));
    }
    let sent: Vec<&[u8]> = cas.iter().map(|ca| ca.der.as_slice()).collect();
    let under = |ca: &Ca| Case::new(bundle("a", &[&root]), ca.leaf(ID)).with(&sent);
    under(&cas[5]).is_accepted();
    under(&cas[6]).is_refused("path-budget-exhausted");
}

#[test]
fn the_reason_is_that_of_the_path_which_got_furthest() {
    let root = Ca::root("root");
    let mut params = ca_params("intermediate");
    until_2025(&mut params);
    let expired = root.intermediate_with(params);
    let namesake = Ca::root("intermediate");
    let case = Case::new(bundle("a", &[&root]), expired.leaf(ID));
    let verdict = case.with(&[&namesake.der, &expired.der]).verdict();
    let fault = Fault::Expired { not_after: 1_735_689_600, at: i64::try_from(NOW).unwrap() };
    let subject = "CN=intermediate".into();
    assert_eq!(verdict, Err(Rejection::Certificate { place: Place::Intermediate(1), subject, fault }));
}

#[test]
fn x5_22_algorithms_of_the_profiles_are_accepted_and_sha_1_is_not() {
    let under = |key: KeyPair| {
        let params = ca_params("root");
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Ca { params, key, der }
    };
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
    ] {
        let root = under(KeyPair::generate_for(algorithm).unwrap());
        Case::new(bundle("a", &[&root]), root.leaf(ID)).is_accepted();
    }
    let rsa = under(KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap());
    let leaf = rsa.sign(&leaf_params(&[ID]), &rsa.key);
    let with = |last: u8| {
        let algorithm = |last| [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last];
        Case::new(bundle("a", &[&rsa]), rsa.patch(&leaf, &algorithm(11), &algorithm(last)))
    };
    with(11).is_accepted();
    with(5).is_refused("unsupported-algorithm");
    with(4).is_refused("unsupported-algorithm");
}

#[test]
fn only_a_self_signed_authority_is_called_so() {
    let root = Ca::root("root");
    let middle = root.intermediate("intermediate");
    let namesake = root.intermediate("root");
    for (name, ca, expected) in [("root", &root, true), ("other name", &middle, false), ("other key", &namesake, false)]
    {
        let authority = crate::spiffe::authority::X509Authority::from_der(&ca.der).unwrap();
        assert_eq!(signature::is_self_signed(&authority), expected, "{name}");
    }
}
