use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::super::rejection::{Limit, Rejection};
use super::super::testing::{Ca, Case, Field, bundle, ca_params, element, extension, leaf_params};
use super::*;

const ID: &str = "spiffe://td.test/x";

const URI: u8 = 0x86;
const DNS: u8 = 0x82;
const EMAIL: u8 = 0x81;
const IP: u8 = 0x87;
const DIRECTORY: u8 = 0xa4;

fn subtrees(subtrees: &[(u8, &[u8])]) -> Vec<u8> {
    subtrees.iter().flat_map(|(tag, base)| element(0x30, &element(*tag, base))).collect()
}

fn constraints(permitted: &[(u8, &[u8])], excluded: &[(u8, &[u8])]) -> Vec<u8> {
    let list = |tag, list: &[_]| if list.is_empty() { Vec::new() } else { element(tag, &subtrees(list)) };
    element(0x30, &[list(0xa0, permitted), list(0xa1, excluded)].concat())
}

fn constrained(name: &str, content: &[u8]) -> CertificateParams {
    let mut params = ca_params(name);
    params.custom_extensions = vec![extension(30, true, content)];
    params
}

/// A leaf under an intermediate under an authority, both with these constraints, where there are any.
fn under(authority: Option<&[u8]>, intermediate: Option<&[u8]>, leaf: CertificateParams) -> Case {
    let params = |name, content: Option<&[u8]>| content.map_or_else(|| ca_params(name), |it| constrained(name, it));
    let root = Ca::root_with(params("root", authority));
    let middle = root.intermediate_with(params("intermediate", intermediate));
    Case::new(bundle("td.test", &[&root]), middle.leaf_with(leaf)).with(&[&middle.der])
}

fn leaf() -> CertificateParams {
    leaf_params(&[ID])
}

const VIOLATION: &str = "name-constraint-violation";

#[test]
fn x5_16_a_ca_names_only_what_every_ca_above_permits() {
    let permit = |host: &str| constraints(&[(URI, host.as_bytes())], &[]);
    let exclude = |host: &str| constraints(&[], &[(URI, host.as_bytes())]);
    for (name, content, accepted) in [
        ("exact", permit("td.test"), true),
        ("other", permit("other.test"), false),
        ("parent", permit("test"), false),
        ("below the parent", permit(".test"), true),
        ("below itself", permit(".td.test"), false),
        ("all", permit(""), true),
        ("other excluded", exclude("other.test"), true),
        ("excluded", exclude("td.test"), false),
        ("all excluded", exclude(""), false),
        ("excluded wins", constraints(&[(URI, b"td.test")], &[(URI, b".test")]), false),
        ("one of two", constraints(&[(URI, b"x.test"), (URI, b"td.test")], &[]), true),
        ("another form", constraints(&[(DNS, b"other.test")], &[]), true),
    ] {
        for case in [under(Some(&content), None, leaf()), under(None, Some(&content), leaf())] {
            let code = case.verdict().map_or_else(|rejection| rejection.code(), |_| "accepted");
            assert_eq!(code, if accepted { "accepted" } else { VIOLATION }, "{name}");
        }
    }
    under(Some(&permit("td.test")), Some(&permit("other.test")), leaf()).is_refused(VIOLATION);
    under(Some(&permit(".test")), Some(&permit("td.test")), leaf()).is_accepted();
}

#[test]
fn x5_18_every_name_of_leaf_and_intermediates_is_constrained() {
    let also = |name: SanType| {
        let mut params = leaf();
        params.subject_alt_names.push(name);
        params
    };
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let (a_test, ten) =
        (constraints(&[(DNS, b"a.test")], &[]), constraints(&[(IP, &[10, 0, 0, 0, 255, 0, 0, 0])], &[]));
    under(Some(&a_test), None, also(dns("x.a.test"))).is_accepted();
    under(Some(&a_test), None, also(dns("b.test"))).is_refused(VIOLATION);
    under(Some(&ten), None, also(SanType::IpAddress([10, 1, 2, 3].into()))).is_accepted();
    under(Some(&ten), None, also(SanType::IpAddress([11, 1, 2, 3].into()))).is_refused(VIOLATION);
    let mail = constraints(&[(EMAIL, b"a.test")], &[]);
    under(Some(&mail), None, also(SanType::Rfc822Name("x@b.test".try_into().unwrap()))).is_refused(VIOLATION);

    let root = Ca::root_with(constrained("root", &a_test));
    let mut params = ca_params("intermediate");
    params.subject_alt_names = vec![dns("b.test")];
    let middle = root.intermediate_with(params);
    let bundle = bundle("td.test", &[&root]);
    Case::new(bundle, middle.leaf(ID)).with(&[&middle.der]).is_refused(VIOLATION);
}

#[test]
fn x5_18_the_mail_address_of_a_subject_counts_where_no_other_is() {
    let mail = constraints(&[(EMAIL, b"a.test")], &[]);
    let with = |address: &str| {
        let mut params = leaf();
        params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), address);
        params
    };
    under(Some(&mail), None, with("x@a.test")).is_accepted();
    under(Some(&mail), None, with("x@b.test")).is_refused(VIOLATION);
}

#[test]
fn x5_18_the_mail_address_of_a_subject_counts_beside_others() {
    let with = |address: &str| {
        let mut params = leaf();
        params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), address);
        params.subject_alt_names.push(SanType::Rfc822Name("y@a.test".try_into().unwrap()));
        params
    };
    let excluded = constraints(&[], &[(EMAIL, b"x@a.test")]);
    under(Some(&excluded), None, with("x@a.test")).is_refused(VIOLATION);
    under(Some(&excluded), None, with("z@a.test")).is_accepted();
}

/// A leaf under an authority with these constraints whose subject has one attribute.
fn with_attribute(constraints: &[u8], id: &[u8], tag: u8, value: &[u8]) -> Case {
    let root = Ca::root_with(constrained("root", constraints));
    let subject = directory(id, tag, value);
    Case::new(bundle("td.test", &[&root]), root.with_field(&root.leaf(ID), Field::Subject, &subject))
}

fn directory(id: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    element(0x30, &element(0x31, &element(0x30, &[element(6, id), element(tag, value)].concat())))
}

const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
const DOMAIN_COMPONENT: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];

#[test]
fn x5_18_a_mail_address_that_can_not_be_read_is_refused() {
    let mail = constraints(&[(EMAIL, b"a.test")], &[]);
    let excluded = constraints(&[], &[(EMAIL, b"b.test")]);
    let wide: Vec<u8> = "x@b.test".chars().flat_map(|letter| u32::from(letter).to_be_bytes()).collect();
    for (name, tag, value, accepted) in [
        ("IA5String", 0x16, &b"x@a.test"[..], true),
        ("UTF8String", 0x0c, b"x@a.test", true),
        ("another host", 0x16, b"x@b.test", false),
        ("UniversalString", 0x1c, &wide, false),
        ("BMPString", 0x1e, b"\0x", false),
        ("two hosts", 0x16, b"x@b.test@a.test", false),
        ("no address", 0x16, b"a.test", false),
    ] {
        for constraints in [&mail, &excluded] {
            let code = with_attribute(constraints, EMAIL_ADDRESS, tag, value).verdict().map(drop);
            let code = code.map_err(|rejection| rejection.code());
            assert_eq!(code, if accepted { Ok(()) } else { Err(VIOLATION) }, "{name}");
        }
    }
}

#[test]
fn x5_17_an_excluded_directory_is_not_evaded_by_its_spelling() {
    let ia5 = 0x16;
    let exclude = |name: &[u8]| constraints(&[], &[(DIRECTORY, name)]);
    let corp = exclude(&directory(DOMAIN_COMPONENT, ia5, b"corp"));
    for (name, tag, value, accepted) in [
        ("same", ia5, &b"corp"[..], false),
        ("case", ia5, b"CORP", false),
        ("UTF8String", 0x0c, b"Corp", false),
        ("T61String", 0x14, b"corp", false),
        ("BMPString", 0x1e, b"\0c\0o\0r\0p", false),
        ("a soft hyphen", 0x0c, "co\u{ad}rp".as_bytes(), false),
        ("wide letters", 0x0c, "ｃorp".as_bytes(), false),
        ("another", ia5, b"example", true),
    ] {
        let code = with_attribute(&corp, DOMAIN_COMPONENT, tag, value).verdict().map(drop);
        assert_eq!(
            code.map_err(|rejection| rejection.code()),
            if accepted { Ok(()) } else { Err(VIOLATION) },
            "{name}"
        );
    }
    with_attribute(&corp, &[0x55, 4, 3], 0x14, b"corp").is_accepted();
    let permit = constraints(&[(DIRECTORY, &directory(DOMAIN_COMPONENT, ia5, b"corp"))], &[]);
    with_attribute(&permit, DOMAIN_COMPONENT, ia5, b"CORP").is_accepted();
    with_attribute(&permit, DOMAIN_COMPONENT, 0x14, b"corp").is_refused(VIOLATION);
}

#[test]
fn x5_17_directory_constraints_apply_to_subjects() {
    let name = |value: &str| {
        let pair = [element(6, &[0x55, 4, 3]), element(0x0c, value.as_bytes())].concat();
        element(0x30, &element(0x31, &element(0x30, &pair)))
    };
    let permit = |value: &str| constraints(&[(DIRECTORY, &name(value))], &[]);
    under(None, Some(&permit("workload")), leaf()).is_accepted();
    under(None, Some(&permit("other")), leaf()).is_refused(VIOLATION);
    under(Some(&permit("workload")), None, leaf()).is_refused(VIOLATION);
}

#[test]
fn x5_17_what_cannot_be_processed_is_refused() {
    let registered_id = constraints(&[(0x88, &[42])], &[]);
    under(Some(&registered_id), None, leaf()).is_refused("unsupported-name-constraint");
    let other_name = constraints(&[], &[(0xa0, &[6, 1, 42])]);
    under(None, Some(&other_name), leaf()).is_refused("unsupported-name-constraint");
    let base = element(URI, b"td.test");
    for (name, rest) in [("minimum", vec![0x80, 1, 1]), ("maximum", vec![0x81, 1, 9])] {
        let content = element(0x30, &element(0xa0, &element(0x30, &[base.clone(), rest].concat())));
        let code = under(Some(&content), None, leaf()).verdict().unwrap_err().code();
        assert_eq!(code, "invalid-name-constraints", "{name}");
    }
    let minimum_zero = element(0x30, &element(0xa0, &element(0x30, &[base, vec![0x80, 1, 0]].concat())));
    under(Some(&minimum_zero), None, leaf()).is_accepted();
    for base in [&b"spiffe://td.test"[..], b"td.test:443", b"td.test.", "tд".as_bytes()] {
        under(Some(&constraints(&[(URI, base)], &[])), None, leaf()).is_refused("invalid-name-constraints");
    }
    let unread_after = constraints(&[(URI, b"td.test"), (0x99, b"x")], &[]);
    under(Some(&unread_after), None, leaf()).is_refused("invalid-name-constraints");
    under(Some(&element(0x30, &[])), None, leaf()).is_refused("malformed-certificate");
    under(None, Some(&element(0x30, &element(0xa0, &[]))), leaf()).is_refused("malformed-certificate");
}

#[test]
fn self_issued_intermediates_are_exempt_and_the_leaf_is_not() {
    let name = |value: &str| {
        let pair = [element(6, &[0x55, 4, 3]), element(0x0c, value.as_bytes())].concat();
        element(0x30, &element(0x31, &element(0x30, &pair)))
    };
    let excluded = constraints(&[], &[(DIRECTORY, &name("root"))]);
    let root = Ca::root_with(constrained("root", &excluded));
    let renewed = root.intermediate_with(ca_params("root"));
    let bundle = bundle("td.test", &[&root]);
    Case::new(bundle.clone(), renewed.leaf(ID)).with(&[&renewed.der]).is_accepted();
    let mut params = leaf();
    params.distinguished_name.push(DnType::CommonName, "root");
    Case::new(bundle, root.leaf_with(params)).is_refused(VIOLATION);
}

#[test]
fn x5_20_comparisons_are_counted() {
    let many: Vec<_> = (0..120_u8).map(|i| vec![b'a', i % 26 + b'a']).collect();
    let bases: Vec<(u8, &[u8])> = many.iter().map(|base| (DNS, base.as_slice())).collect();
    let mut params = leaf();
    let dns = |i: usize| SanType::DnsName(format!("h{i}.aa").try_into().unwrap());
    params.subject_alt_names.extend((0..50).map(dns));
    under(Some(&constraints(&bases, &[])), None, params.clone()).is_accepted();
    params.subject_alt_names.extend((50..100).map(dns));
    let verdict = under(Some(&constraints(&bases, &[])), None, params).verdict();
    assert_eq!(verdict, Err(Rejection::BudgetExhausted(Limit::NameComparisons)));
}

#[test]
fn a_path_is_scoped_if_its_permitted_uris_are_the_domain_alone() {
    let scoped = |contents: &[Vec<u8>]| {
        let parsed: Vec<_> = contents.iter().map(|content| NameConstraints::parse(content).unwrap()).collect();
        is_scoped_to(parsed.iter(), &"td.test".parse().unwrap())
    };
    let permit = |hosts: &[&str]| {
        let hosts: Vec<(u8, &[u8])> = hosts.iter().map(|host| (URI, host.as_bytes())).collect();
        constraints(&hosts, &[])
    };
    assert!(scoped(&[permit(&["td.test"])]));
    assert!(scoped(&[permit(&["TD.test"])]));
    assert!(scoped(&[permit(&[".test"]), permit(&["td.test", "td.other"])]));
    assert!(scoped(&[permit(&["td.test", "a.test"]), permit(&["td.test", "b.test"])]));
    assert!(!scoped(&[]));
    assert!(!scoped(&[permit(&[""])]));
    assert!(!scoped(&[permit(&[".test"])]));
    assert!(!scoped(&[permit(&["td.test", "a.test"])]));
    assert!(!scoped(&[permit(&["a.test"]), permit(&["td.test"])]));
    assert!(!scoped(&[constraints(&[(DNS, b"td.test")], &[])]));
    assert!(!scoped(&[constraints(&[], &[(URI, b"other.test")])]));
}

#[test]
fn constraints_of_a_leaf_constrain_nothing() {
    let mut params = leaf();
    params.custom_extensions = vec![extension(30, true, &constraints(&[(URI, b"other.test")], &[]))];
    let root = Ca::root("root");
    let leaf = root.sign(&params, &KeyPair::generate().unwrap());
    Case::new(bundle("td.test", &[&root]), leaf).is_accepted();
}
