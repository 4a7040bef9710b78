//! `docs/problems.md` has one paragraph for each stable code of the sources, and none for anything else.

use std::collections::BTreeSet;
use std::fs;

use crate::sources::{root, rust_files};

/// Files in which codes are examples; `tests.rs` and what is in folders named `tests` besides.
const EXAMPLES: &[&str] = &["contract.rs", "fixtures.rs", "samples.rs", "testing.rs"];

/// What stands before a code outside of a function `code`: a field of a log line, a warning, an answer of the API.
const MARKS: &[&str] = &["code = \"", "code: \"", "kind(\""];

#[test]
fn every_code_has_its_paragraph_and_no_paragraph_is_left_over() {
    let codes: BTreeSet<String> = sources().flat_map(|text| codes_in(&text)).collect();
    let paragraphs = paragraphs();
    let headings: BTreeSet<String> = paragraphs.iter().map(|(heading, _)| heading.clone()).collect();
    assert!(codes.len() > 100, "the sources were not read: {codes:?}");
    assert_eq!(codes.difference(&headings).collect::<Vec<_>>(), [""; 0], "codes without a paragraph");
    assert_eq!(headings.difference(&codes).collect::<Vec<_>>(), [""; 0], "paragraphs of no code");
    assert_eq!(headings.len(), paragraphs.len(), "a code has several paragraphs");
}

#[test]
fn a_code_is_kebab_case_and_its_paragraph_says_something() {
    for (code, text) in paragraphs() {
        let kebab = code.split('-').all(|word| !word.is_empty() && word.bytes().all(is_lower_or_digit));
        assert!(kebab, "{code} is not kebab-case");
        assert!(text.trim().len() >= 40, "{code} says nothing: {text}");
    }
}

fn is_lower_or_digit(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9')
}

/// Headings of the third level, each with the text below it.
fn paragraphs() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/problems.md")).unwrap();
    let sections = text.split("\n### ").skip(1).map(|section| section.split("\n## ").next().unwrap());
    sections.map(|section| section.split_once('\n').unwrap()).map(|(code, text)| (code.into(), text.into())).collect()
}

/// The sources without their tests.
fn sources() -> impl Iterator<Item = String> {
    let files = rust_files("src").into_iter().filter(|(file, _)| {
        let name = file.rsplit('/').next().unwrap();
        name != "tests.rs" && !file.contains("/tests/") && !EXAMPLES.contains(&name)
    });
    files.map(|(_, text)| text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned())
}

fn codes_in(text: &str) -> Vec<String> {
    let functions = text.split("fn code(").skip(1).flat_map(|rest| literals(body(rest)));
    let marked = MARKS.iter().flat_map(|mark| text.split(mark).skip(1)).filter_map(|rest| rest.split('"').next());
    functions.chain(marked).map(str::to_owned).collect()
}

/// Up to the first brace that closes a function, free or of an `impl`.
fn body(text: &str) -> &str {
    let ends = ["\n    }\n", "\n}\n"].iter().filter_map(|end| text.find(end));
    &text[..ends.min().unwrap_or(text.len())]
}

fn literals(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}
