use super::super::testing::element;
use super::*;

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const DOMAIN_COMPONENT: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];
const T61_STRING: u8 = 0x14;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;

fn attribute(id: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[element(OID, id), element(tag, value)].concat())
}

/// A name of one attribute in each set.
fn name(attributes: &[(&[u8], u8, &str)]) -> Vec<u8> {
    let set = |(id, tag, value): &(&[u8], u8, &str)| element(SET, &attribute(id, *tag, value.as_bytes()));
    element(SEQUENCE, &attributes.iter().flat_map(set).collect::<Vec<_>>())
}

fn common_name(tag: u8, value: &str) -> Vec<u8> {
    name(&[(COMMON_NAME, tag, value)])
}

#[test]
fn a_name_is_sets_of_attributes_none_of_them_empty() {
    let pair = attribute(COMMON_NAME, UTF8_STRING, b"a");
    let sets = |sets: &[u8]| element(SEQUENCE, sets);
    for (what, der, accepted) in [
        ("empty", sets(&[]), true),
        ("one", sets(&element(SET, &pair)), true),
        ("two in a set", sets(&element(SET, &[pair.clone(), pair.clone()].concat())), true),
        ("empty set", sets(&element(SET, &[])), false),
        ("no set", sets(&pair), false),
        ("no attribute in a set", sets(&element(SET, &[5, 0])), false),
        ("something before the set", sets(&[vec![7, 0], element(SET, &pair)].concat()), false),
        ("no value", sets(&element(SET, &element(SEQUENCE, &element(OID, COMMON_NAME)))), false),
        ("two values", sets(&element(SET, &element(SEQUENCE, &[6, 1, 42, 5, 0, 5, 0]))), false),
        ("no identifier", sets(&element(SET, &element(SEQUENCE, &[5, 0, 5, 0]))), false),
        ("something after it", [sets(&[]), vec![5, 0]].concat(), false),
    ] {
        assert_eq!(Name::read(&der).is_ok(), accepted, "{what}");
    }
}

#[test]
fn text_is_compared_without_case_and_surplus_space_whatever_its_encoding() {
    let base = common_name(UTF8_STRING, "Bank A");
    for (what, other, expected) in [
        ("same", base.clone(), true),
        ("case", common_name(UTF8_STRING, "BANK a"), true),
        ("space", common_name(PRINTABLE_STRING, "  bank   A "), true),
        ("IA5String", common_name(IA5_STRING, "bank a"), true),
        ("VisibleString", common_name(VISIBLE_STRING, "bank a"), true),
        ("other text", common_name(UTF8_STRING, "Bank B"), false),
        ("no space", common_name(UTF8_STRING, "BankA"), false),
        ("BMPString", common_name(BMP_STRING, "Bank A"), false),
        ("another attribute", name(&[(&[0x55, 4, 10], UTF8_STRING, "Bank A")]), false),
        ("one more", name(&[(COMMON_NAME, UTF8_STRING, "Bank A"), (COMMON_NAME, UTF8_STRING, "x")]), false),
    ] {
        assert_eq!(Name::read(&base).unwrap().is(&Name::read(&other).unwrap()), expected, "{what}");
    }
    let domain = |value| name(&[(DOMAIN_COMPONENT, IA5_STRING, value)]);
    assert!(Name::read(&domain("Corp")).unwrap().is(&Name::read(&domain("corp")).unwrap()));
}

#[test]
fn attributes_of_one_set_have_no_order_and_sets_have() {
    let (a, b) = (attribute(COMMON_NAME, UTF8_STRING, b"a"), attribute(&[0x55, 4, 10], UTF8_STRING, b"b"));
    let set =
        |parts: &[&Vec<u8>]| element(SET, &parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<_>>());
    let one = |parts: &[&Vec<u8>]| element(SEQUENCE, &set(parts));
    assert!(Name::read(&one(&[&a, &b])).unwrap().is(&Name::read(&one(&[&b, &a])).unwrap()));
    let two = |first, second| element(SEQUENCE, &[set(&[first]), set(&[second])].concat());
    let (ab, ba, both) = (two(&a, &b), two(&b, &a), one(&[&a, &b]));
    assert!(!Name::read(&ab).unwrap().is(&Name::read(&ba).unwrap()));
    assert!(!Name::read(&ab).unwrap().is(&Name::read(&both).unwrap()));
    assert!(Name::read(&ab).unwrap().starts_with(&Name::read(&element(SEQUENCE, &set(&[&a]))).unwrap()));
    assert!(!Name::read(&both).unwrap().starts_with(&Name::read(&element(SEQUENCE, &set(&[&a]))).unwrap()));
}

#[test]
fn what_can_not_be_compared_may_be_the_same() {
    let may_hold = |base: &[u8], other: &[u8]| Name::read(other).unwrap().may_start_with(&Name::read(base).unwrap());
    let base = common_name(UTF8_STRING, "Corp");
    for (what, other, expected) in [
        ("T61String", common_name(T61_STRING, "x"), true),
        ("UniversalString", common_name(UNIVERSAL_STRING, "x"), true),
        ("not ASCII", common_name(UTF8_STRING, "Co\u{ad}rp"), true),
        ("a control", common_name(UTF8_STRING, "Co\u{1}rp"), true),
        ("another text", common_name(UTF8_STRING, "Inc"), false),
        ("another attribute", name(&[(&[0x55, 4, 10], T61_STRING, "x")]), false),
        ("none", element(SEQUENCE, &[]), false),
    ] {
        assert_eq!(may_hold(&base, &other), expected, "{what}");
    }
    assert!(may_hold(&common_name(UTF8_STRING, "Ｃorp"), &base));
}

#[test]
fn the_text_of_a_name_is_escaped_and_cut() {
    assert_eq!(&*Name::read(&common_name(UTF8_STRING, "a\nb")).unwrap().text(), r"CN=a\nb");
    let long = common_name(UTF8_STRING, &"x".repeat(900));
    assert_eq!(Name::read(&long).unwrap().text().len(), 256);
    let longer = common_name(UTF8_STRING, &"x".repeat(60_000));
    assert!(Name::read(&longer).unwrap().text().len() <= 256);
}
