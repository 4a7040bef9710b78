//! What is broken, and the code that each place of the path has then: leaf, lower and upper intermediate, authority.

use super::super::super::der::SEQUENCE;
use super::super::super::testing::element;
use super::super::keys::{Digest, Kind, Scheme, key};
use super::super::mint::*;
use super::Minting;

pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) change: fn(&mut Minting),
    pub(super) expected: [&'static str; 4],
}

const OK: &str = "accepted";
const NONE: &str = "no authority";
const MALFORMED: &str = "malformed-certificate";
/// What can't be read is left out of the pool: what it signed is signed by nobody.
const UNKNOWN: &str = "unknown-authority";

const NO_CODE: [&str; 4] = [OK; 4];
/// Read by nobody.
const UNREADABLE: [&str; 4] = [MALFORMED, UNKNOWN, UNKNOWN, NONE];
/// Read as an authority by whoever loads the bundle, and refused by the verifier, which is stricter.
const MISREAD: [&str; 4] = [MALFORMED, UNKNOWN, UNKNOWN, MALFORMED];

const fn everywhere(code: &'static str) -> [&'static str; 4] {
    [code; 4]
}

/// Of the leaf alone.
const fn leaf(code: &'static str) -> [&'static str; 4] {
    [code, OK, OK, OK]
}

/// Of signers alone.
const fn signer(code: &'static str) -> [&'static str; 4] {
    [OK, code, code, code]
}

const fn row(id: &'static str, name: &'static str, change: fn(&mut Minting), expected: [&'static str; 4]) -> Row {
    Row { id, name, change, expected }
}

fn uris(minting: &mut Minting, uris: &[&str]) {
    let uris: Vec<(u8, &[u8])> = uris.iter().map(|uri| (URI, uri.as_bytes())).collect();
    minting.draft.set(SUBJECT_ALT_NAME, false, &names(&uris));
}

fn key_usage(minting: &mut Minting, bits: u8) {
    minting.draft.set(KEY_USAGE, true, &[3, 2, u8::try_from(bits.trailing_zeros()).unwrap(), bits]);
}

fn purposes(minting: &mut Minting, purposes: &[u8]) {
    minting.draft.set(EXTENDED_KEY_USAGE, false, &extended_key_usage(purposes));
}

fn constrain(minting: &mut Minting, permitted: &[(u8, &[u8])], excluded: &[(u8, &[u8])]) {
    minting.draft.set(NAME_CONSTRAINTS, true, &name_constraints(permitted, excluded));
}

/// Constraints that the names of the leaf break, wherever they stand above it.
const VIOLATED: [&str; 4] = signer("name-constraint-violation");
const INVALID: [&str; 4] = signer("invalid-name-constraints");

pub(super) const ROWS: &[Row] = &[
    row("X5-12", "nothing", |_| {}, NO_CODE),
    // The leaf's names
    row(
        "X5-01",
        "two URIs",
        |it| uris(it, &[ID, "spiffe://a.test/y"]),
        ["several-uri-names", "signer-has-path", "signer-has-path", "signer-has-path"],
    ),
    row(
        "X5-01",
        "the same URI twice",
        |it| uris(it, &["spiffe://a.test", "spiffe://a.test"]),
        everywhere("several-uri-names"),
    ),
    row(
        "X5-01",
        "two URIs, none of them spiffe",
        |it| uris(it, &["https://h/", "https://i/"]),
        leaf("several-uri-names"),
    ),
    row("X5-02", "no SAN", |it| it.draft.unset(SUBJECT_ALT_NAME), leaf("no-spiffe-id")),
    row(
        "X5-02",
        "DNS alone",
        |it| it.draft.set(SUBJECT_ALT_NAME, false, &names(&[(DNS, b"a.test")])),
        leaf("no-spiffe-id"),
    ),
    row(
        "X5-03",
        "other names too",
        |it| {
            it.draft.set(
                SUBJECT_ALT_NAME,
                false,
                &names(&[(DNS, b"h"), (URI, b"spiffe://a.test/x"), (IP, &[10, 0, 0, 1]), (EMAIL, b"x@a.test")]),
            )
        },
        [OK, "signer-has-path", "signer-has-path", "signer-has-path"],
    ),
    row("X5-04", "another scheme", |it| uris(it, &["https://a.test/x"]), leaf("invalid-spiffe-id")),
    row(
        "X5-04",
        "scheme in upper case",
        |it| uris(it, &["SPIFFE://a.test/x"]),
        ["invalid-spiffe-id", "foreign-signer", "foreign-signer", "foreign-signer"],
    ),
    row(
        "X5-04",
        "trust domain in upper case",
        |it| uris(it, &["spiffe://A.test/x"]),
        ["invalid-spiffe-id", "foreign-signer", "foreign-signer", "foreign-signer"],
    ),
    row("X5-05", "a root ID", |it| uris(it, &["spiffe://a.test"]), leaf("root-spiffe-id")),
    row(
        "X5-05",
        "a root ID with a slash",
        |it| uris(it, &["spiffe://a.test/"]),
        ["invalid-spiffe-id", "foreign-signer", "foreign-signer", OK],
    ),
    row(
        "X5-15",
        "another domain",
        |it| uris(it, &["spiffe://b.test/x"]),
        ["foreign-trust-domain", "foreign-signer", "foreign-signer", "foreign-signer"],
    ),
    // What a leaf may not
    row("X5-06", "cA", |it| it.draft.set(BASIC_CONSTRAINTS, true, CA), leaf("leaf-is-ca")),
    row("X5-07", "keyCertSign", |it| key_usage(it, 0x84), leaf("leaf-may-sign")),
    row(
        "X5-07",
        "cRLSign without keyCertSign",
        |it| key_usage(it, 0x82),
        ["leaf-may-sign", "issuer-may-not-sign", "issuer-may-not-sign", NONE],
    ),
    row(
        "X5-11",
        "the name and key of the authority",
        |it| {
            (it.draft.subject, it.draft.key) = (common_name("root"), key(it.kind, 3).info.clone());
        },
        ["leaf-is-authority", UNKNOWN, UNKNOWN, OK],
    ),
    // What its issuer owes
    row(
        "X5-08",
        "no keyUsage",
        |it| it.draft.unset(KEY_USAGE),
        ["leaf-key-usage", "issuer-may-not-sign", "issuer-may-not-sign", "issuer-may-not-sign"],
    ),
    row("X5-08", "keyUsage not critical", |it| it.draft.set_critical(KEY_USAGE, &[]), leaf("leaf-key-usage")),
    row(
        "X5-08",
        "keyEncipherment alone",
        |it| key_usage(it, 0x20),
        ["leaf-key-usage", "issuer-may-not-sign", "issuer-may-not-sign", NONE],
    ),
    row("X5-09", "both roles", |it| purposes(it, &[SERVER, CLIENT]), NO_CODE),
    row("X5-09", "any purpose", |it| purposes(it, &[ANY]), NO_CODE),
    row("X5-09", "the other role alone", |it| purposes(it, &[CLIENT]), everywhere("extended-key-usage")),
    row("X5-09", "this role alone", |it| purposes(it, &[SERVER]), leaf("extended-key-usage")),
    row("X5-09", "neither role", |it| purposes(it, &[CODE_SIGNING]), everywhere("extended-key-usage")),
    row("X5-09", "no purpose at all", |it| purposes(it, &[]), MISREAD),
    row(
        "X5-10",
        "an empty subject",
        |it| it.draft.subject = element(SEQUENCE, &[]),
        ["san-not-critical", UNKNOWN, UNKNOWN, MALFORMED],
    ),
    row(
        "X5-10",
        "an empty subject, the SAN critical",
        |it| {
            it.draft.subject = element(SEQUENCE, &[]);
            it.draft.set(SUBJECT_ALT_NAME, true, &names(&[(URI, ID.as_bytes())]));
        },
        [OK, UNKNOWN, UNKNOWN, MALFORMED],
    ),
    // RFC 5280
    row("X5-12", "version 1", |it| it.draft.version = Vec::new(), [MALFORMED, UNKNOWN, UNKNOWN, NONE]),
    row("X5-12", "version 2", |it| it.draft.version = vec![0xa0, 3, 2, 1, 1], [MALFORMED, UNKNOWN, UNKNOWN, NONE]),
    row("X5-12", "version 4", |it| it.draft.version = vec![0xa0, 3, 2, 1, 3], [MALFORMED, UNKNOWN, UNKNOWN, NONE]),
    row("X5-12", "serial zero", |it| it.draft.serial = vec![0], NO_CODE),
    row("X5-12", "serial of 21 bytes", |it| it.draft.serial = vec![1; 21], MISREAD),
    row("X5-12", "negative serial", |it| it.draft.serial = vec![0x80], MISREAD),
    row("X5-12", "serial not minimal", |it| it.draft.serial = vec![0, 1], MISREAD),
    row(
        "X5-12",
        "another algorithm inside",
        |it| it.draft.inner_algorithm = Some(Scheme::Pkcs1(Digest::Sha1).algorithm()),
        MISREAD,
    ),
    row(
        "X5-12",
        "another issuer",
        |it| it.draft.issuer = common_name("nobody"),
        ["issuer-name-mismatch", "issuer-name-mismatch", "issuer-name-mismatch", OK],
    ),
    row("X5-12", "an empty issuer", |it| it.draft.issuer = element(SEQUENCE, &[]), MISREAD),
    row(
        "X5-12",
        "the issuer in other letters",
        |it| {
            it.draft.issuer = common_name(match it.draft.issuer {
                ref issuer if *issuer == common_name("lower") => "  LOWER",
                ref issuer if *issuer == common_name("upper") => "Upper ",
                _ => "rOOt",
            })
        },
        NO_CODE,
    ),
    row("X5-12", "another subject", |it| it.draft.subject = common_name("nobody"), signer("issuer-name-mismatch")),
    row("X5-12", "a name that is none", |it| it.draft.subject = element(SEQUENCE, &element(0x31, &[])), MISREAD),
    row("X5-12", "another key", |it| it.draft.key = it.other_key().info.clone(), signer("bad-signature")),
    row("X5-12", "not yet valid", |it| it.draft.not_before = utc_time("270101000000Z"), everywhere("not-yet-valid")),
    row("X5-19", "expired", |it| it.draft.not_after = utc_time("251231235959Z"), everywhere("expired")),
    row("X5-19", "valid until this second", |it| it.draft.not_after = utc_time("260101000000Z"), NO_CODE),
    row("X5-12", "valid from this second", |it| it.draft.not_before = utc_time("260101000000Z"), NO_CODE),
    row("X5-12", "a time without seconds", |it| it.draft.not_before = utc_time("2401010000Z"), MISREAD),
    row("X5-12", "a time with a zone", |it| it.draft.not_before = utc_time("240101000000+0000"), MISREAD),
    row("X5-12", "a time on the 30th of February", |it| it.draft.not_before = utc_time("240230000000Z"), UNREADABLE),
    row("X5-12", "GeneralizedTime before 2050", |it| it.draft.not_before = element(0x18, b"20240101000000Z"), NO_CODE),
    row(
        "X5-12",
        "unique identifiers",
        |it| it.draft.unique_ids = [element(0x81, &[0, 1]), element(0x82, &[0, 1])].concat(),
        NO_CODE,
    ),
    row(
        "X5-12",
        "an unknown critical extension",
        |it| it.draft.add_other(&[42, 3], true, &[5, 0]),
        everywhere("unsupported-critical-extension"),
    ),
    row("X5-12", "an unknown extension", |it| it.draft.add_other(&[42, 3], false, &[5, 0]), NO_CODE),
    row("X5-12", "an extension twice", |it| it.draft.add(KEY_USAGE, true, DIGITAL_SIGNATURE), UNREADABLE),
    row(
        "X5-12",
        "an unknown extension twice",
        |it| {
            it.draft.add_other(&[42, 3], false, &[5, 0]);
            it.draft.add_other(&[42, 3], false, &[5, 0]);
        },
        MISREAD,
    ),
    row("X5-12", "criticality 1", |it| it.draft.set_critical(KEY_USAGE, &[1, 1, 1]), MISREAD),
    row("X5-12", "no extension", |it| it.draft.extensions.clear(), [MALFORMED, UNKNOWN, UNKNOWN, NONE]),
    row(
        "X5-12",
        "an explicit policy required",
        |it| it.draft.add(36, true, &[0x30, 3, 0x80, 1, 0]),
        everywhere("unsupported-critical-extension"),
    ),
    row("X5-12", "policies", |it| it.draft.add(32, true, &[0x30, 5, 0x30, 3, 6, 1, 42]), NO_CODE),
    // What a signer is
    row(
        "X5-13",
        "no basicConstraints",
        |it| it.draft.unset(BASIC_CONSTRAINTS),
        [OK, "issuer-not-ca", "issuer-not-ca", NONE],
    ),
    row(
        "X5-13",
        "cA false",
        |it| it.draft.set(BASIC_CONSTRAINTS, true, &[0x30, 0]),
        [OK, "issuer-not-ca", "issuer-not-ca", NONE],
    ),
    row(
        "X5-13",
        "digitalSignature alone",
        |it| key_usage(it, 0x80),
        [OK, "issuer-may-not-sign", "issuer-may-not-sign", NONE],
    ),
    row("X5-13", "keyUsage of a byte too many", |it| it.draft.set(KEY_USAGE, true, &[3, 3, 0, 0x84, 0]), MISREAD),
    row("X5-13", "cA, not critical", |it| it.draft.set_critical(BASIC_CONSTRAINTS, &[]), NO_CODE),
    row("X5-12", "one CA below it", |it| it.draft.limit(1), [MALFORMED, OK, OK, "path-length-exceeded"]),
    row(
        "X5-12",
        "no CA below it",
        |it| it.draft.limit(0),
        [MALFORMED, OK, "path-length-exceeded", "path-length-exceeded"],
    ),
    row("X5-12", "two CAs below it", |it| it.draft.limit(2), [MALFORMED, OK, OK, OK]),
    row(
        "X5-14",
        "a URI of our domain",
        |it| uris(it, &["spiffe://a.test/ca"]),
        [OK, "signer-has-path", "signer-has-path", "signer-has-path"],
    ),
    row(
        "X5-14",
        "another domain's root ID",
        |it| uris(it, &["spiffe://b.test"]),
        ["root-spiffe-id", "foreign-signer", "foreign-signer", "foreign-signer"],
    ),
    row("X5-14", "no SPIFFE ID, but a URI", |it| uris(it, &["https://pki.a.test/"]), leaf("invalid-spiffe-id")),
    // What a signer permits
    row("X5-16", "this host", |it| constrain(it, &[(URI, b"a.test")], &[]), NO_CODE),
    row("X5-16", "hosts below this one", |it| constrain(it, &[(URI, b".a.test")], &[]), VIOLATED),
    row("X5-16", "hosts below its parent", |it| constrain(it, &[(URI, b".test")], &[]), NO_CODE),
    row("X5-16", "its parent", |it| constrain(it, &[(URI, b"test")], &[]), VIOLATED),
    row("X5-16", "this host excluded", |it| constrain(it, &[], &[(URI, b"a.test")]), VIOLATED),
    row(
        "X5-16",
        "this host permitted and excluded",
        |it| constrain(it, &[(URI, b"a.test")], &[(URI, b"a.test")]),
        VIOLATED,
    ),
    row("X5-16", "a URL as a host", |it| constrain(it, &[(URI, b"spiffe://a.test")], &[]), INVALID),
    row(
        "X5-17",
        "a form that nobody processes",
        |it| constrain(it, &[(0x88, &[42])], &[]),
        signer("unsupported-name-constraint"),
    ),
    row(
        "X5-17",
        "a minimum",
        |it| {
            let subtree = element(SEQUENCE, &[element(URI, b"a.test"), vec![0x80, 1, 1]].concat());
            it.draft.set(NAME_CONSTRAINTS, true, &element(SEQUENCE, &element(0xa0, &subtree)));
        },
        INVALID,
    ),
    row("X5-17", "no subtree", |it| it.draft.set(NAME_CONSTRAINTS, true, &element(SEQUENCE, &[])), MISREAD),
    row("X5-17", "another directory", |it| constrain(it, &[(DIRECTORY, &common_name("other"))], &[]), VIOLATED),
    row(
        "X5-17",
        "the subject of the leaf excluded",
        |it| constrain(it, &[], &[(DIRECTORY, &common_name("LEAF"))]),
        VIOLATED,
    ),
    row(
        "X5-18",
        "names of other forms",
        |it| constrain(it, &[(DNS, b"b.test"), (EMAIL, b"b.test"), (IP, &[10, 0, 0, 0, 255, 0, 0, 0])], &[]),
        NO_CODE,
    ),
    // Keys and identifiers
    row("X5-22", "RSA of 1024 bits", |it| it.draft.key = key(Kind::Rsa1024, 0).info.clone(), everywhere("weak-key")),
    row(
        "X5-22",
        "another curve",
        |it| it.draft.key = key(Kind::Secp256k1, 0).info.clone(),
        ["unusable-key", "unusable-key", "unusable-key", NONE],
    ),
    row("X5-24", "no authority key identifier", |it| it.draft.unset(AUTHORITY_KEY_ID), NO_CODE),
    row("X5-24", "a wrong authority key identifier", |it| it.draft.set_authority_key_id(&[7; 20]), NO_CODE),
    row("X5-24", "no subject key identifier", |it| it.draft.unset(SUBJECT_KEY_ID), NO_CODE),
    row("X5-24", "a wrong subject key identifier", |it| it.draft.set(SUBJECT_KEY_ID, false, &[4, 1, 7]), NO_CODE),
    row(
        "X5-24",
        "an authority key identifier that is none",
        |it| it.draft.set(AUTHORITY_KEY_ID, false, &[5, 0]),
        NO_CODE,
    ),
];
