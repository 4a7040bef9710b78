//! A verdict for people.

use crate::cli::advice::{advice, wrapped};
use crate::cli::output::{Facts, Page};
use crate::cli::relationship_view::instant;
use crate::federation::timestamp::Timestamp;
use crate::http::verification::verdict::{Reason, Step, Verdict};

/// Each signer below what it was tried for.
pub(super) fn tree(steps: &[Step], page: &mut Page) {
    page.line(match steps.is_empty() {
        true => "nothing was tried: it could not be read, or no key fits",
        false => "tried, each signer below what it should have signed:",
    });
    for Step { depth, place, subject, outcome, code } in steps {
        let code = code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
        page.line(format!("{}{place} ({subject}): {outcome}{code}", "  ".repeat(*depth)));
    }
    page.line("");
}

/// What was found, and what to do about a no. `now` is for "in 3 h".
pub(super) fn verdict(verdict: &Verdict, now: Timestamp, page: &mut Page) {
    match &verdict.reason {
        None => page.line(format!("accepted: {}", verdict.spiffe_id.as_deref().unwrap_or_default())),
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
    let sequence = verdict.sequence.map_or_else(|| "no sequence".to_owned(), |number| format!("sequence {number}"));
    let revision = verdict.revision.map(|number| format!(", revision {number}")).unwrap_or_default();
    let via = verdict.via.as_ref().map(|via| format!(", via {via}")).unwrap_or_default();
    format!("{sequence}{revision}{via}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(verdict: serde_json::Value) -> String {
        let (verdict, mut page): (Verdict, _) = (serde_json::from_value(verdict).unwrap(), Page::default());
        if let Some(steps) = &verdict.explanation {
            tree(steps, &mut page);
        }
        super::verdict(&verdict, "2027-01-15T08:00:00Z".parse().unwrap(), &mut page);
        page.to_string()
    }

    #[test]
    fn an_accepted_svid_is_shown_with_all_it_rests_on() {
        let authority = format!("x509:{}", "0".repeat(64));
        let shown = shown(json!({
            "verdict": "accepted", "spiffe_id": "spiffe://b.example/web", "trust_domain": "b.example",
            "authority": authority, "path": [0, 2], "sequence": 7, "revision": 3, "via": "hub.example",
            "not_before": "2027-01-15T07:00:00Z", "not_after": "2027-01-15T08:04:10Z", "at": "2027-01-15T08:00:00Z",
            "lapses": ["leaf-key-usage", "san-not-critical"],
        }));
        let expected = format!(
            "\
accepted: spiffe://b.example/web
  authority    {authority}
  path         leaf, intermediate 1, authority
  bundle       sequence 7, revision 3, via hub.example
  holds from   2027-01-15T07:00:00Z (1 h ago)
  holds until  2027-01-15T08:04:10Z (in 4 min 10 s)
  let pass     leaf-key-usage, san-not-critical
  judged at    2027-01-15T08:00:00Z (now)
"
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_rejection_says_what_to_do_below_what_was_tried() {
        let step = |depth, outcome: &str, code: Option<&str>| json!({"depth": depth, "place": "intermediate 0", "subject": "CN=\u{1b}x", "outcome": outcome, "code": code});
        let shown = shown(json!({
            "verdict": "rejected", "spiffe_id": "spiffe://b.example/web", "trust_domain": "b.example",
            "reason": {"code": "bad-signature", "detail": "leaf \u{202e} has", "certificate": 0},
            "at": "2027-01-15T08:00:00Z",
            "explanation": [step(1, "signed it", None), step(2, "is no CA", Some("issuer-not-ca"))],
        }));
        let expected = "\
tried, each signer below what it should have signed:
  intermediate 0 (CN=\\u{1b}x): signed it
    intermediate 0 (CN=\\u{1b}x): is no CA [issuer-not-ca]

rejected: leaf \\u{202e} has [bad-signature]
  claims to be  spiffe://b.example/web
  certificate   leaf
  judged at     2027-01-15T08:00:00Z (now)

The";
        assert!(shown.starts_with(expected), "{shown}");
    }
}
