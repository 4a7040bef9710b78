//! `docs/conformance.md` has one row for each rule, and each row a test that exists or a reason why there is none.

use std::collections::BTreeMap;
use std::fs;

use crate::sources::root;

/// The families of rules, with the number of rules in each: `ID-01` to `ID-12`, and so on.
const FAMILIES: &[(&str, usize)] = &[
    ("ID", 12),
    ("BND", 31),
    ("SEQ", 12),
    ("FES", 17),
    ("FEC", 30),
    ("REL", 11),
    ("X5", 24),
    ("JW", 17),
    ("WIT", 6),
    ("WL", 19),
    ("SDS", 9),
];

#[test]
fn every_rule_has_one_row_with_a_test_or_a_reason() {
    let rows = rows();
    let mut offences = Vec::new();
    for id in ids() {
        match rows.get(&id).map(Vec::as_slice) {
            None => offences.push(format!("{id} has no row")),
            Some([row]) => offences.extend(wrong_with(row).map(|what| format!("{id}: {what}"))),
            Some(_) => offences.push(format!("{id} has several rows")),
        }
    }
    offences
        .extend(rows.into_keys().filter(|id| !ids().any(|known| known == *id)).map(|id| format!("{id} is no rule")));
    assert!(offences.is_empty(), "docs/conformance.md:\n{}", offences.join("\n"));
}

fn ids() -> impl Iterator<Item = String> {
    FAMILIES.iter().flat_map(|(family, count)| (1..=*count).map(move |number| format!("{family}-{number:02}")))
}

/// What follows the rule in a row: its tests, or the reason.
struct Row {
    rule: String,
    evidence: String,
}

fn rows() -> BTreeMap<String, Vec<Row>> {
    let text = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if let ["", id, rule, evidence, ""] = cells[..]
            && id.split_once('-').is_some_and(|(_, number)| number.parse::<u8>().is_ok())
        {
            rows.entry(id.to_owned()).or_default().push(Row { rule: rule.to_owned(), evidence: evidence.to_owned() });
        }
    }
    rows
}

fn wrong_with(row: &Row) -> Option<String> {
    if row.rule.is_empty() {
        return Some("the rule is not told".to_owned());
    }
    if let Some(reason) = row.evidence.strip_prefix('–') {
        return (reason.trim().len() < 10).then(|| "`–` wants a reason".to_owned());
    }
    let missing: Vec<_> = row.evidence.split(", ").filter(|test| !exists(test.trim_matches('`'))).collect();
    (!missing.is_empty()).then(|| format!("no such test: {}", missing.join(", ")))
}

/// Whether `src/spiffe/document/tests.rs::name` is a function of that file, which may also be a Go file.
fn exists(test: &str) -> bool {
    let Some((file, name)) = test.split_once("::") else { return false };
    let Ok(text) = fs::read_to_string(root().join(file)) else { return false };
    ["fn", "func"].iter().any(|keyword| text.contains(&format!("{keyword} {name}(")))
}
