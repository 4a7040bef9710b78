use rcgen::{CertificateParams, DistinguishedName, IsCa};

use super::super::testing::{Ca, Case, Field, bundle, ca_params, element, extension, leaf_params};

const ID: &str = "spiffe://a/x";

fn leaf(change: impl FnOnce(&mut CertificateParams)) -> Case {
    let root = Ca::root("root");
    let mut params = leaf_params(&[ID]);
    change(&mut params);
    Case::new(bundle("a", &[&root]), root.leaf_with(params))
}

/// A leaf under an intermediate with one more extension 2.5.29.`number`.
fn under(number: u64, is_critical: bool, content: &[u8]) -> Case {
    let root = Ca::root("root");
    let mut params = ca_params("intermediate");
    params.custom_extensions = vec![extension(number, is_critical, content)];
    let middle = root.intermediate_with(params);
    Case::new(bundle("a", &[&root]), middle.leaf(ID)).with(&[&middle.der])
}

#[track_caller]
fn has_code(case: &Case, expected: &str, name: &str) {
    let code = case.verdict().map_or_else(|rejection| rejection.code(), |_| "accepted");
    assert_eq!(code, expected, "{name}");
}

const MALFORMED: &str = "malformed-certificate";
const UNSUPPORTED: &str = "unsupported-critical-extension";

#[test]
fn x5_10_names_are_names() {
    let root = Ca::root("root");
    let pair = element(0x30, &[6, 3, 0x55, 4, 3, 0x0c, 1, b'x']);
    for (name, subject, expected) in [
        ("a name", element(0x30, &element(0x31, &pair)), "accepted"),
        ("no name", element(0x30, &[]), "accepted"),
        ("an empty set", element(0x30, &element(0x31, &[])), MALFORMED),
        ("no set", element(0x30, &pair), MALFORMED),
        ("something before the set", element(0x30, &[vec![7, 0], element(0x31, &pair)].concat()), MALFORMED),
    ] {
        let mut params = leaf_params(&[]);
        let san = element(0x30, &element(0x86, ID.as_bytes()));
        params.custom_extensions = vec![extension(17, true, &san)];
        let leaf = root.with_field(&root.leaf_with(params), Field::Subject, &subject);
        has_code(&Case::new(bundle("a", &[&root]), leaf), expected, name);
    }
}

#[test]
fn x5_12_an_issuer_has_a_name_and_so_has_a_ca() {
    let mut params = ca_params("root");
    params.distinguished_name = DistinguishedName::new();
    let nameless = Ca::root_with(params.clone());
    Case::new(bundle("a", &[&nameless]), nameless.leaf(ID)).is_refused(MALFORMED);
    let root = Ca::root("root");
    let middle = root.intermediate_with(params);
    let leaf = middle.leaf(ID);
    Case::new(bundle("a", &[&root]), leaf).with(&[&middle.der]).is_refused(MALFORMED);
}

#[test]
fn x5_12_a_policy_that_is_required_is_not_processed() {
    let require = |number: u8| element(0x30, &[0x80, 1, number]);
    for is_critical in [true, false] {
        for number in [0, 3] {
            has_code(&under(36, is_critical, &require(number)), UNSUPPORTED, "in a CA certificate");
        }
        let constraint = extension(36, is_critical, &require(0));
        leaf(|params| params.custom_extensions = vec![constraint]).is_refused(UNSUPPORTED);
    }
    has_code(&under(36, true, &element(0x30, &[0x81, 1, 0])), "accepted", "only mappings are inhibited");
    has_code(&under(36, true, &element(0x30, &[])), MALFORMED, "nothing in it");
    has_code(&under(36, false, &element(0x30, &[0x80, 0])), MALFORMED, "no number");
}

#[test]
fn x5_12_policies_that_nobody_requires_fail_no_path() {
    let policy =
        |qualifiers: &[u8]| element(0x30, &element(0x30, &[element(6, &[42, 3]), qualifiers.to_vec()].concat()));
    let qualifier = |last: u8| element(0x30, &element(0x30, &[6, 8, 0x2b, 6, 1, 5, 5, 7, 2, last, 0x16, 0]));
    let mapping = |to: &[u8]| element(0x30, &element(0x30, &[element(6, &[42, 3]), element(6, to)].concat()));
    for (name, number, content, critical, lax) in [
        ("policies", 32, policy(&[]), "accepted", "accepted"),
        ("a practice statement", 32, policy(&qualifier(1)), "accepted", "accepted"),
        ("an unknown qualifier", 32, policy(&qualifier(9)), UNSUPPORTED, "accepted"),
        ("no policy", 32, element(0x30, &[]), MALFORMED, MALFORMED),
        ("mappings", 33, mapping(&[42, 4]), "accepted", "accepted"),
        ("a mapping of any policy", 33, mapping(&[0x55, 0x1d, 32, 0]), MALFORMED, MALFORMED),
        ("any policy inhibited", 54, vec![2, 1, 0], "accepted", "accepted"),
        ("no number", 54, vec![2, 0], MALFORMED, MALFORMED),
    ] {
        has_code(&under(number, true, &content), critical, name);
        has_code(&under(number, false, &content), lax, name);
    }
}

#[test]
fn x5_12_numbers_are_minimal_and_not_negative() {
    let root = Ca::root("root");
    let with = |serial: &[u8]| {
        let leaf = root.with_field(&root.leaf(ID), Field::Serial, &element(2, serial));
        Case::new(bundle("a", &[&root]), leaf)
    };
    for (name, serial, expected) in [
        ("one", &[1][..], "accepted"),
        ("zero", &[0], "accepted"),
        ("twenty bytes", &[0x7f; 20], "accepted"),
        ("twenty bytes and a sign", &[&[0][..], &[0xff; 20]].concat(), "accepted"),
        ("twenty-one bytes", &[0x7f; 21], MALFORMED),
        ("negative", &[0x80], MALFORMED),
        ("not minimal", &[0, 1], MALFORMED),
        ("none", &[], MALFORMED),
    ] {
        has_code(&with(serial), expected, name);
    }
    let constraints = |number: &[u8]| element(0x30, &[vec![1, 1, 0xff], element(2, number)].concat());
    let limited = |number: &[u8]| {
        let mut params = ca_params("intermediate");
        (params.is_ca, params.custom_extensions) = (IsCa::NoCa, vec![extension(19, true, &constraints(number))]);
        let middle = root.intermediate_with(params);
        Case::new(bundle("a", &[&root]), middle.leaf(ID)).with(&[&middle.der])
    };
    for (number, expected) in [(&[1][..], "accepted"), (&[0, 1], MALFORMED), (&[], MALFORMED), (&[0xff], MALFORMED)] {
        has_code(&limited(number), expected, &format!("pathLenConstraint {number:?}"));
    }
}

#[test]
fn x5_12_extensions_are_der() {
    let usage = |bits: &[u8]| {
        let usage = extension(15, true, bits);
        leaf(|params| (params.key_usages, params.custom_extensions) = (vec![], vec![usage]))
    };
    has_code(&usage(&[3, 2, 7, 0x80]), "accepted", "minimal keyUsage");
    has_code(&usage(&[3, 2, 0, 0x80]), MALFORMED, "keyUsage with zeros at its end");
    has_code(&usage(&[3, 3, 7, 0x80, 0]), MALFORMED, "keyUsage with a byte too many");
    let root = Ca::root("root");
    let silent = |flag: &[u8]| {
        let id = element(6, &[0x55, 0x1d, 99]);
        let content = element(4, &[5, 0]);
        [id, flag.to_vec(), content].concat()
    };
    let leaf = root.leaf_with({
        let mut params = leaf_params(&[ID]);
        params.custom_extensions = vec![extension(99, true, &[5, 0])];
        params
    });
    let patched = root.patch(&leaf, &silent(&[1, 1, 0xff]), &silent(&[1, 1, 0]));
    has_code(&Case::new(bundle("a", &[&root]), patched), MALFORMED, "critical, said to be FALSE");
    let mut params = leaf_params(&[ID]);
    params.custom_extensions = vec![extension(19, false, &element(0x30, &[1, 1, 0]))];
    has_code(&Case::new(bundle("a", &[&root]), root.leaf_with(params)), "accepted", "cA, said to be FALSE");
}

#[test]
fn x5_12_a_list_of_extensions_is_not_empty() {
    let root = Ca::root("root");
    let middle = root.intermediate("intermediate");
    let bare = root.with_field(&middle.der, Field::Extensions, &element(0xa3, &element(0x30, &[])));
    let case = Case::new(bundle("a", &[&root]), middle.leaf(ID)).with(&[&bare]);
    case.is_refused(MALFORMED);
    let silent = root.with_field(&middle.der, Field::Extensions, &[]);
    case.with(&[&silent]).is_refused("issuer-not-ca");
}

#[test]
fn x5_22_numbers_of_rsa_keys_are_minimal_and_not_negative() {
    let key = |modulus: &[u8], exponent: &[u8]| {
        let bytes = element(0x30, &[element(2, modulus), element(2, exponent)].concat());
        let algorithm = [&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1][..], &[5, 0]].concat();
        let key = super::Key { info: (&[][..]).into(), algorithm: algorithm.into(), bytes: bytes.into() };
        super::super::key::strength(&key).map_err(|fault| fault.code())
    };
    let modulus = [vec![0, 0x80], vec![1; 255]].concat();
    assert!(key(&modulus, &[1, 0, 1]).is_ok());
    assert_eq!(key(&modulus[1..], &[1, 0, 1]), Err(MALFORMED));
    assert_eq!(key(&[vec![0], modulus.clone()].concat(), &[1, 0, 1]), Err(MALFORMED));
    assert_eq!(key(&modulus, &[0, 1, 0, 1]), Err(MALFORMED));
    assert_eq!(key(&modulus, &[]), Err(MALFORMED));
}
