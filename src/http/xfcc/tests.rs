use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn read(line: &str) -> Result<Element, XfccError> {
    Element::read([line.as_bytes()])
}

fn element(hash: Option<&str>, cert: Option<&str>, chain: Option<&str>) -> Element {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Element { hash: hash.map(str::to_owned), cert: cert.map(bytes), chain: chain.map(bytes) }
}

#[test]
fn what_proxies_write_is_read() {
    for (name, line, expected) in [
        (
            "Envoy",
            "By=spiffe://a/proxy;Hash=0a;Cert=\"a%0A%2B%2f%3D\";Chain=\"b\"",
            element(Some("0a"), Some("a\n+/="), Some("b")),
        ),
        (
            "with all details",
            "By=a;By=b;Hash=0a;Cert=\"a\";Subject=\"CN=x\\\\,O=\\\"y\\\";Cert=z\";URI=spiffe://b/x;DNS=b;DNS=c",
            element(Some("0a"), Some("a"), None),
        ),
        (
            "nginx",
            "Cert=\"-----BEGIN%20CERTIFICATE-----%0A\"",
            element(None, Some("-----BEGIN CERTIFICATE-----\n"), None),
        ),
        ("keys in any case and order", "CHAIN=a;hash=0A;cERT=b", element(Some("0A"), Some("b"), Some("a"))),
        ("one certificate is empty", "Hash=0a;Cert=\"\";Chain=a", element(Some("0a"), None, Some("a"))),
    ] {
        assert_eq!(read(line), Ok(expected), "{name}");
    }
}

#[test]
fn sds_08_there_is_one_line_with_one_element_or_nothing() {
    let code = |lines: &[&str]| Element::read(lines.iter().map(|line| line.as_bytes())).unwrap_err().code();
    for (name, lines, expected) in [
        ("no line", &[][..], "xfcc-missing"),
        ("an empty line", &[""], "xfcc-missing"),
        ("no certificate", &["By=a;Hash=0a;URI=spiffe://b/x"], "xfcc-missing"),
        ("an empty certificate", &["Cert=\"\""], "xfcc-missing"),
        ("two lines", &["Cert=a", "Cert=a"], "xfcc-ambiguous"),
        ("two lines, one of them empty", &["", "Cert=a"], "xfcc-ambiguous"),
        ("two elements", &["Hash=0a;Cert=a,Hash=0b;Cert=b"], "xfcc-ambiguous"),
        ("two elements, quoted", &["Cert=\"a\",Cert=\"b\""], "xfcc-ambiguous"),
        ("an empty second element", &["Cert=a,"], "xfcc-ambiguous"),
        ("an empty first element", &[",Cert=a"], "xfcc-ambiguous"),
        ("a comma in a name that is not quoted", &["Cert=a;URI=spiffe://b/x,By=c"], "xfcc-ambiguous"),
        ("a key twice", &["Cert=a;Cert=a"], "xfcc-ambiguous"),
        ("a key twice, in another case", &["Hash=0a;Cert=a;hash=0a"], "xfcc-ambiguous"),
        ("a key twice, from a name that is not quoted", &["Hash=0a;Chain=a;URI=x;Chain=b"], "xfcc-ambiguous"),
        ("two subjects", &["Cert=a;Subject=\"x\";Subject=\"y\""], "xfcc-ambiguous"),
    ] {
        assert_eq!(code(lines), expected, "{name}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for (name, line) in [
        ("no value", "Cert"),
        ("no key", "=a"),
        ("a space in a key", "Cert =a"),
        ("a space before a key", "Hash=a; Cert=a"),
        ("an unknown key", "Cert=a;Certificate=b"),
        ("an empty pair", "Cert=a;;Hash=b"),
        ("a semicolon at the end", "Cert=a;"),
        ("an equals sign in the clear", "Cert=a=b"),
        ("a quote inside", "Cert=a\"b\""),
        ("a quote that is not closed", "Cert=\"a"),
        ("a quote that is escaped, not closed", "Cert=\"a\\\""),
        ("something after the quote", "Cert=\"a\"b"),
        ("a backslash in the clear", "Cert=a\\"),
        ("an escape in a certificate", "Cert=\"a\\a\""),
        ("a plus sign", "Cert=a+b"),
        ("a slash", "Cert=\"a/b\""),
        ("a space", "Cert=\"a b\""),
        ("an escape cut off", "Cert=a%0"),
        ("an escape of other digits", "Cert=a%0g"),
        ("a tab", "Cert=\"a\tb\""),
        ("beyond ASCII", "Cert=\"ä\""),
    ] {
        assert_eq!(read(line).map_err(XfccError::code), Err("xfcc-malformed"), "{name}");
    }
    assert_eq!(Element::read([&b"Cert=\xff"[..]]).map_err(XfccError::code), Err("xfcc-malformed"));
    let long = format!("Cert={}", "a".repeat(MAX_BYTES));
    assert_eq!(read(&long).map_err(XfccError::code), Err("xfcc-malformed"));
    assert!(read(&long[..MAX_BYTES]).is_ok());
}

#[test]
fn each_vector_has_the_outcome_in_its_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/xfcc");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let outcome = Element::read([fs::read(&path).unwrap().as_slice()]).map_or_else(XfccError::code, |_| "read");
        assert!(name.starts_with(outcome), "{name}: {outcome}");
        seen += 1;
    }
    assert!(seen >= 10, "the vectors were not read");
}

proptest! {
    #[test]
    fn nothing_that_a_name_holds_adds_a_certificate(name in "[ -~]{0,40}", quoted: bool) {
        let name = if quoted { name.replace('\\', "\\\\").replace('"', "\\\"") } else { name };
        let quote = if quoted { "\"" } else { "" };
        let line = format!("Hash=0a;Cert=\"a\";Subject={quote}{name}{quote};URI={quote}{name}{quote}");
        let expected = element(Some("0a"), Some("a"), None);
        match read(&line) {
            Ok(found) => prop_assert!(found == expected || !quoted && found.cert == expected.cert && found.hash == expected.hash, "{found:?}"),
            Err(_) => prop_assert!(!quoted, "{line}"),
        }
    }

    #[test]
    fn certificates_are_read_as_they_were_encoded(cert: Vec<u8>, chain: Vec<u8>) {
        prop_assume!(!cert.is_empty() && !chain.is_empty());
        let encoded = |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let found = read(&format!("Hash=0a;Cert=\"{}\";Chain=\"{}\"", encoded(&cert), encoded(&chain)));
        prop_assert_eq!(found, Ok(Element { hash: Some("0a".into()), cert: Some(cert), chain: Some(chain) }));
    }

    #[test]
    fn no_bytes_are_too_odd(line: Vec<u8>) {
        if let Ok(element) = Element::read([line.as_slice()]) {
            prop_assert!(element.cert.is_some() || element.chain.is_some());
        }
    }
}
