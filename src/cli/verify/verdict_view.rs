//! A verdict for people.

use crate::cli::output::{Facts, Page};
use crate::cli::relationship_view::instant;
use crate::federation::timestamp::Timestamp;
use crate::http::verification::verdict::{Reason, Step, Verdict};

/// Each signer below what it was tried for.
pub(super) fn tree(steps: &[Step], page: &mut Page) {
    for Step { depth, place, subject, outcome, code } in steps {
        let code = code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
        page.line(format!("{}{place} ({subject}): {outcome}{code}", "  ".repeat(*depth)));
    }
    if !steps.is_empty() {
        page.line("");
    }
}

/// What was found, and what to do about a no. `now` is for "in 3 h".
pub(super) fn verdict(verdict: &Verdict, now: Timestamp, page: &mut Page) {
    match &verdict.reason {
        None => page.line(format!("accepted: {}", verdict.spiffe_id.as_deref().unwrap_or(NONE))),
        Some(Reason { code, detail, .. }) => page.line(format!("rejected: {detail} [{code}]")),
    }
    facts(verdict, now).onto(page);
    if let Some(Reason { code, .. }) = &verdict.reason
        && let Some(advice) = advice(code)
    {
        page.line("");
        wrapped(advice, page);
    }
}

fn facts(verdict: &Verdict, now: Timestamp) -> Facts {
    let mut facts = Facts::default();
    if let (Some(_), Some(claimed)) = (&verdict.reason, &verdict.spiffe_id) {
        facts.add("  claims to be", claimed);
    }
    if let Some(index) = verdict.reason.as_ref().and_then(|reason| reason.certificate) {
        facts.add("  certificate", place(index));
    }
    if let Some(authority) = &verdict.authority {
        facts.add("  authority", authority);
    }
    if let Some(path) = &verdict.path {
        let path: Vec<_> = path.iter().map(|index| place(*index)).collect();
        facts.add("  path", format!("{}, authority", path.join(", ")));
    }
    if verdict.is_accepted() {
        facts.add("  bundle", bundle(verdict));
    }
    for (label, at) in [("  holds from", verdict.not_before), ("  holds until", verdict.not_after)] {
        if let Some(at) = at {
            facts.add(label, instant(at, now));
        }
    }
    if !verdict.lapses.is_empty() {
        facts.add("  let pass", verdict.lapses.join(", "));
    }
    if let Some(at) = verdict.at {
        facts.add("  judged at", instant(at, now));
    }
    facts
}

fn place(index: usize) -> String {
    match index {
        0 => "leaf".to_owned(),
        index => format!("intermediate {}", index - 1),
    }
}

fn bundle(verdict: &Verdict) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| NONE.to_owned(), |number| number.to_string());
    let via = verdict.via.as_ref().map(|via| format!(", via {via}")).unwrap_or_default();
    format!("sequence {}, revision {}{via}", number(verdict.sequence), number(verdict.revision))
}

const NONE: &str = "none";

/// What docs/problems.md says of a code.
fn advice(code: &str) -> Option<&'static str> {
    let (_, text) = PROBLEMS.split_once(&format!("\n### {code}\n"))?;
    Some(text.split("\n#").next()?.trim())
}

const PROBLEMS: &str = include_str!("../../../docs/problems.md");

fn wrapped(text: &str, page: &mut Page) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if line.len() + word.len() >= WIDTH {
            page.line(std::mem::take(&mut line));
        }
        line.extend((!line.is_empty()).then_some(' '));
        line.push_str(word);
    }
    page.line(line);
}

/// Columns of advice.
const WIDTH: usize = 100;
