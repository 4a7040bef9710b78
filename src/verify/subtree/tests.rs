use proptest::prelude::*;

use super::super::names::GeneralName;
use super::super::testing::element;
use super::*;

/// Where the one name of a subjectAltName stands.
#[track_caller]
fn compare(form: Form, base: &[u8], name: &[u8]) -> Option<Comparison> {
    let subtree = Subtree::new(form, base)?;
    let names = named(form, name);
    let name = names.first().and_then(ComparableName::of);
    Some(name.map_or(Comparison::Unclear, |name| subtree.compare(&name)))
}

fn named(form: Form, name: &[u8]) -> Vec<GeneralName<'_>> {
    match form {
        Form::Directory => Name::read(name).map(|name| GeneralName::Directory(Box::new(name))).into_iter().collect(),
        _ => vec![GeneralName::Other(form, name.into())],
    }
}

const INSIDE: Option<Comparison> = Some(Comparison::Inside);
const OUTSIDE: Option<Comparison> = Some(Comparison::Outside);
const UNCLEAR: Option<Comparison> = Some(Comparison::Unclear);

#[test]
fn x5_16_uri_constraints_name_a_host_or_those_below_it() {
    for (base, name, expected) in [
        ("td", "spiffe://td/x", INSIDE),
        ("td", "spiffe://x.td/x", OUTSIDE),
        ("td", "spiffe://xtd/x", OUTSIDE),
        ("td", "spiffe://td", INSIDE),
        ("TD", "spiffe://td/x", INSIDE),
        ("my_td", "spiffe://my_td/x", INSIDE),
        (".td", "spiffe://x.td/y", INSIDE),
        (".td", "spiffe://y.x.td/y", INSIDE),
        (".td", "spiffe://td/x", OUTSIDE),
        (".td", "spiffe://xtd/x", OUTSIDE),
        ("", "spiffe://td/x", INSIDE),
        ("td", "https://td:443/x", INSIDE),
        ("td", "https://user@td/x", INSIDE),
        ("td", "https://td?x", INSIDE),
        ("td", "https://td#x", INSIDE),
        ("td", "https://other@td.evil/x", OUTSIDE),
        ("td", "https://td:x/", UNCLEAR),
        ("td", "spiffe://1.2.3.4/x", UNCLEAR),
        ("", "spiffe://1.2.3.4/x", UNCLEAR),
        ("td", "https://[::1]/x", UNCLEAR),
        ("td", "spiffe:///x", UNCLEAR),
        ("td", "urn:td:x", UNCLEAR),
        ("td", "td", UNCLEAR),
        ("td", "spiffe://td./x", UNCLEAR),
        ("td", "spiffe://t%64/x", UNCLEAR),
    ] {
        assert_eq!(compare(Form::Uri, base.as_bytes(), name.as_bytes()), expected, "{name} under {base:?}");
    }
}

#[test]
fn x5_16_a_malformed_uri_constraint_is_none() {
    for base in ["spiffe://td", "td:443", "td.", "..td", ".", "t d", "td/", "u@td", "1.2.3.4", "*.td", "a..b"] {
        assert!(Subtree::new(Form::Uri, base.as_bytes()).is_none(), "{base}");
    }
    assert!(Subtree::new(Form::Uri, "tд".as_bytes()).is_none());
}

#[test]
fn x5_18_dns_constraints_hold_a_name_and_all_below_it() {
    for (base, name, expected) in [
        ("a.test", "a.test", INSIDE),
        ("a.test", "x.a.test", INSIDE),
        ("A.test", "x.a.TEST", INSIDE),
        ("a.test", "xa.test", OUTSIDE),
        ("a.test", "test", OUTSIDE),
        (".a.test", "a.test", OUTSIDE),
        (".a.test", "x.a.test", INSIDE),
        ("", "x", INSIDE),
        ("a.test", "*.a.test", INSIDE),
        ("x.a.test", "*.a.test", INSIDE),
        ("x.a.test", "*.b.test", OUTSIDE),
        ("a.test", "x.*.a.test", UNCLEAR),
        ("a.test", "a.test.", UNCLEAR),
        ("a.test", "", UNCLEAR),
    ] {
        assert_eq!(compare(Form::Dns, base.as_bytes(), name.as_bytes()), expected, "{name} under {base:?}");
    }
}

#[test]
fn x5_18_a_wildcard_is_permitted_only_if_all_its_hosts_are() {
    let covers = |base: &str, name: &str| {
        let name = named(Form::Dns, name.as_bytes());
        Subtree::new(Form::Dns, base.as_bytes()).unwrap().covers(&ComparableName::of(&name[0]).unwrap())
    };
    assert!(covers("a.test", "*.a.test"));
    assert!(covers("a.test", "*.x.a.test"));
    assert!(!covers("x.a.test", "*.a.test"));
}

#[test]
fn x5_18_addresses_are_compared_under_their_mask() {
    let v4 = |base: [u8; 8], name: &[u8]| compare(Form::Ip, &base, name);
    assert_eq!(v4([10, 0, 0, 0, 255, 0, 0, 0], &[10, 1, 2, 3]), INSIDE);
    assert_eq!(v4([10, 0, 0, 0, 255, 0, 0, 0], &[11, 1, 2, 3]), OUTSIDE);
    assert_eq!(v4([10, 0, 0, 0, 255, 240, 0, 0], &[10, 15, 2, 3]), INSIDE);
    assert_eq!(v4([10, 0, 0, 0, 255, 240, 0, 0], &[10, 16, 2, 3]), OUTSIDE);
    assert_eq!(v4([10, 0, 0, 0, 255, 0, 0, 0], &[10; 16]), OUTSIDE);
    assert_eq!(v4([10, 0, 0, 0, 255, 0, 255, 0], &[10; 4]), None);
    assert_eq!(v4([10, 0, 0, 0, 253, 0, 0, 0], &[10; 4]), None);
    assert_eq!(compare(Form::Ip, &[0; 9], &[10; 4]), None);
    assert_eq!(compare(Form::Ip, &[0; 32], &[10; 16]), INSIDE);
}

#[test]
fn x5_18_mail_constraints_hold_a_mailbox_a_host_or_those_below_it() {
    for (base, name, expected) in [
        ("ann@a.test", "ann@a.test", INSIDE),
        ("ann@a.test", "ann@A.test", INSIDE),
        ("ann@a.test", "Ann@a.test", OUTSIDE),
        ("a.test", "ann@a.test", INSIDE),
        ("a.test", "ann@x.a.test", OUTSIDE),
        (".a.test", "ann@x.a.test", INSIDE),
        (".a.test", "ann@a.test", OUTSIDE),
        ("a.test", "ann", UNCLEAR),
        ("a.test", "@a.test", UNCLEAR),
        ("a.test", "ann@b@a.test", UNCLEAR),
        ("ann@a.test", "\"ann\"@a.test", UNCLEAR),
        ("b.test", "\"ann@a.test\"@b.test", UNCLEAR),
        ("", "ann@a.test", INSIDE),
        ("@a.test", "ann@a.test", None),
    ] {
        assert_eq!(compare(Form::Email, base.as_bytes(), name.as_bytes()), expected, "{name} under {base:?}");
    }
}

#[test]
fn x5_17_directory_constraints_hold_the_names_that_begin_with_them() {
    let name = |parts: &[(u8, &str)]| {
        let attribute = |(tag, value): &(u8, &str)| {
            let pair = [element(6, &[0x55, 4, 10]), element(*tag, value.as_bytes())].concat();
            element(0x31, &element(0x30, &pair))
        };
        element(0x30, &parts.iter().flat_map(attribute).collect::<Vec<_>>())
    };
    let (utf8, printable) = (0x0c, 0x13);
    let base = name(&[(utf8, "Bank A")]);
    let under = |other: &[u8]| compare(Form::Directory, &base, other);
    assert_eq!(under(&name(&[(utf8, "Bank A")])), INSIDE);
    assert_eq!(under(&name(&[(printable, " bank  a "), (utf8, "web")])), INSIDE);
    assert_eq!(under(&name(&[(utf8, "Bank B")])), OUTSIDE);
    assert_eq!(under(&name(&[(utf8, "web"), (utf8, "Bank A")])), OUTSIDE);
    assert_eq!(under(&name(&[])), OUTSIDE);
    assert_eq!(compare(Form::Directory, &name(&[]), &name(&[(utf8, "x")])), INSIDE);
    assert_eq!(compare(Form::Directory, b"no name", &base), None);
}

proptest! {
    #[test]
    fn an_exact_host_holds_itself_alone(host in "[a-z_-]{1,3}(\\.[a-z]{1,3}){0,2}", other in "[a-z_-]{1,3}(\\.[a-z]{1,3}){0,2}") {
        let found = compare(Form::Uri, host.as_bytes(), format!("spiffe://{other}/x").as_bytes());
        prop_assert_eq!(found == INSIDE, host == other);
    }

    #[test]
    fn arbitrary_bases_and_names_never_panic(base: Vec<u8>, name: Vec<u8>) {
        for form in [Form::Email, Form::Dns, Form::Directory, Form::Uri, Form::Ip, Form::Other] {
            compare(form, &base, &name);
        }
    }
}
