//! Relationships for people: a list, one in full, and the state of all in a line each.

use std::time::Duration;

use serde::Serialize;

use crate::federation::status::{
    ErrorStatus, HeldStatus, RelationshipState, RelationshipStatus, ServiceStatus, UrlStatus, Warning,
    WithheldAuthority,
};
use crate::federation::timestamp::Timestamp;
use crate::spiffe::trust_domain::TrustDomain;

use super::output::{Facts, Page, Row, Table};
use super::relative::{distance, duration, roughly};

/// Where each relationship points.
pub(super) fn list(relationships: &[RelationshipStatus]) -> Page {
    let mut table = Table::new(["TRUST DOMAIN", "PROFILE", "ENDPOINT", "ENDPOINT SPIFFE ID", "STATE"]);
    for status in relationships {
        table.push(Row::new([
            status.trust_domain.as_str(),
            &status.profile,
            &status.endpoint_url,
            status.endpoint_spiffe_id.as_deref().unwrap_or(NONE),
            &name_of(&status.state),
        ]));
    }
    let mut page = Page::default();
    page.line(counted(relationships.len(), "federation relationship"));
    if !relationships.is_empty() {
        page.table(&table);
    }
    page
}

/// Everything about one relationship.
pub(super) fn full(status: &RelationshipStatus, now: Timestamp) -> Page {
    let mut facts = Facts::default();
    facts.add("trust domain", &status.trust_domain);
    facts.add("endpoint", &status.endpoint_url);
    if status.urls.len() > 1 {
        status.urls.iter().skip(1).for_each(|fallback| facts.add("fallback", &fallback.url));
        facts.add("contents from", or_none(status.served_by.as_ref()));
    }
    facts.add("profile", &status.profile);
    facts.add("endpoint SPIFFE ID", or_none(status.endpoint_spiffe_id.as_ref()));
    if !status.via.is_empty() {
        let hosts: Vec<_> = status.via.iter().map(TrustDomain::as_str).collect();
        facts.add("via", hosts.join(", which is via "));
    }
    facts.add("change control", name_of(&status.change_control));
    facts.add("maximum staleness", status.maximum_staleness_seconds.map_or_else(|| "off".to_owned(), span));
    facts.add("state", format!("{} since {}", name_of(&status.state), instant(status.since, now)));
    facts.add("age", or_none(status.age_seconds.map(span)));
    facts.add("sequence", or_none(status.sequence));
    facts.add("revision", or_none(status.revision));
    facts.add("digest", or_none(status.digest));
    facts.add("refresh hint", or_none(status.refresh_hint_seconds.map(span)));
    facts.add("authorities", authorities(status));
    let expiry = status.soonest_authority_expiry.map(|at| instant(at, now));
    facts.add("soonest expiry", or_none(expiry));
    facts.add("last success", or_none(status.last_success.map(|at| instant(at, now))));
    facts.add("last attempt", or_none(status.last_attempt.map(|at| instant(at, now))));
    let error = status.last_error.as_ref().map(|e| format!("{} at {}: {}", e.code, instant(e.at, now), e.detail));
    facts.add("last error", or_none(error));
    facts.add("failures in a row", status.consecutive_failures);
    let reason = status.next_poll_reason.as_deref().unwrap_or("no reason given");
    facts.add("next poll", or_none(status.next_poll.map(|at| format!("{}, {reason}", instant(at, now)))));
    let mut page = Page::default();
    facts.onto(&mut page);
    status.urls.iter().filter(|_| status.urls.len() > 1).for_each(|url| page.line(url_note(url, now)));
    notes(status, now).into_iter().for_each(|note| page.line(note));
    page
}

/// The service in a line, then each relationship in a line with what needs attention below it.
///
/// Last errors have a column where all rows then fit into `columns`, else a line of their own.
pub(super) fn overview(
    service: Option<&ServiceStatus>,
    relationships: &[RelationshipStatus],
    columns: usize,
    now: Timestamp,
) -> Page {
    let mut page = Page::default();
    if let Some(service) = service {
        service_line(service, now, &mut page);
        page.line("");
    }
    if relationships.is_empty() {
        page.line("no federation relationships");
        return page;
    }
    let in_row = overview_table(relationships, Errors::InRow, now);
    let has_errors = relationships.iter().any(|status| status.last_error.is_some());
    match has_errors && in_row.width() <= columns {
        true => page.table(&in_row),
        false => page.table(&overview_table(relationships, Errors::Below, now)),
    }
    page
}

/// What a poll on request brought.
pub(super) fn outcome(before: &RelationshipStatus, after: &RelationshipStatus, now: Timestamp) -> Page {
    let what = match () {
        () if after.consecutive_failures > 0 => "the fetch failed, the accepted bundle stays".to_owned(),
        () if after.revision == before.revision => "fetched, nothing new was accepted".to_owned(),
        () => format!(
            "fetched, accepted revision {} (sequence {} -> {})",
            or_none(after.revision),
            or_none(before.sequence),
            or_none(after.sequence)
        ),
    };
    let mut page = Page::default();
    page.line(format!("{}: {what}; {}, {}", after.trust_domain, name_of(&after.state), authorities(after)));
    notes(after, now).into_iter().for_each(|note| page.line(format!("  {note}")));
    page
}

/// A trust domain as an argument for a shell: a name that begins with `-` would be an option.
pub(super) fn argument(trust_domain: &TrustDomain) -> String {
    match trust_domain.as_str() {
        name if name.starts_with('-') => format!("--trust-domain={name}"),
        name => name.to_owned(),
    }
}

/// The word that the API and the configuration use for it.
pub(in crate::cli) fn name_of(value: &impl Serialize) -> String {
    let word = serde_json::to_value(value).ok();
    word.as_ref().and_then(serde_json::Value::as_str).unwrap_or(NONE).to_owned()
}

/// `1 authority`, `2 authorities`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}

/// An instant in full with its distance, as in `2026-11-24T02:43:48Z (3 min ago)`.
pub(super) fn instant(at: Timestamp, now: Timestamp) -> String {
    format!("{at} ({})", distance(at, now))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Errors {
    InRow,
    Below,
}

const NONE: &str = "-";
const OVERVIEW: &[&str] =
    &["TRUST DOMAIN", "STATE", "AGE", "SEQUENCE", "REV", "LAST OK", "NEXT POLL", "EXPIRES", "AUTHORITIES"];
const ERROR_COLUMN: usize = 6;

fn overview_table(relationships: &[RelationshipStatus], errors: Errors, now: Timestamp) -> Table {
    let mut heading = OVERVIEW.to_vec();
    if errors == Errors::InRow {
        heading.insert(ERROR_COLUMN, "LAST ERROR");
    }
    let mut table = Table::new(heading);
    relationships.iter().for_each(|status| table.push(overview_row(status, errors, now)));
    table
}

fn overview_row(status: &RelationshipStatus, errors: Errors, now: Timestamp) -> Row {
    let ago = |at: Timestamp| format!("{} ago", roughly(now.since(at)));
    let next = status.next_poll.map(|at| {
        let reason = status.next_poll_reason.as_deref().unwrap_or_default();
        format!("{} {reason}", distance(at, now))
    });
    let mut cells = vec![
        status.trust_domain.to_string(),
        format!("{} {}", name_of(&status.state), roughly(now.since(status.since))),
        or_none(status.age_seconds.map(|seconds| roughly(Duration::from_secs(seconds)))),
        or_none(status.sequence),
        or_none(status.revision),
        or_none(status.last_success.map(ago)),
        or_none(next),
        or_none(status.soonest_authority_expiry.map(|at| expiry(at, now))),
        authorities(status),
    ];
    if errors == Errors::InRow {
        let error = status.last_error.as_ref().map(|error| format!("{} {}", error.code, ago(error.at)));
        cells.insert(ERROR_COLUMN, or_none(error));
    }
    let told_below = |_: &&ErrorStatus| errors == Errors::Below || status.consecutive_failures > 0;
    let error = status.last_error.as_ref().filter(told_below).map(|error| error_note(status, error, now));
    Row::new(cells).with_notes(error.into_iter().chain(notes(status, now)).collect())
}

/// `ready`, or why not.
pub(super) fn readiness(service: &ServiceStatus) -> String {
    match service.not_ready.is_empty() {
        true => "ready".to_owned(),
        false => format!("NOT READY ({})", service.not_ready.join(", ")),
    }
}

fn service_line(service: &ServiceStatus, now: Timestamp, page: &mut Page) {
    page.line(format!(
        "{}: {}, sequence {}, snapshot {}, {}, comity {} up {}",
        service.trust_domain,
        readiness(service),
        or_none(service.sequence),
        service.snapshot_generation,
        counted(service.relationships, "relationship"),
        service.version,
        duration(now.since(service.started)),
    ));
    service.warnings.iter().map(warning_note).for_each(|note| page.line(format!("  {note}")));
}

/// What needs attention, with the command to run next.
fn notes(status: &RelationshipStatus, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    if status.state == RelationshipState::NeedsBootstrap {
        notes.push(
            "bootstrap  no accepted authority can authenticate the endpoint any more: ask the peer for its".into(),
        );
        notes.push("           bundle by another way and set it as this relationship's bootstrap_bundle".into());
    }
    status.held.iter().for_each(|held| notes.extend(held_notes(&status.trust_domain, held, now)));
    notes.extend(status.withheld.iter().map(withheld_note));
    notes.extend(status.ignored.iter().map(|i| format!("ignored    keys[{}] {}: {}", i.index, i.code, i.detail)));
    notes.extend(status.warnings.iter().map(warning_note));
    notes
}

/// What one of several URLs last came to.
fn url_note(status: &UrlStatus, now: Timestamp) -> String {
    let asked =
        status.last_asked.map_or_else(|| "not asked yet".to_owned(), |at| format!("asked {}", distance(at, now)));
    let new = if status.known { "" } else { ", new here" };
    let outcome = match &status.last_error {
        Some(error) => format!("{}: {}", error.code, error.detail),
        None => format!("sequence {}", or_none(status.sequence)),
    };
    format!("url        {} {asked}{new}, {outcome}", status.url)
}

fn error_note(status: &RelationshipStatus, error: &ErrorStatus, now: Timestamp) -> String {
    let row = match status.consecutive_failures {
        0 => "recovered since".to_owned(),
        failures => format!("{} in a row", counted(usize::try_from(failures).unwrap_or(usize::MAX), "failure")),
    };
    format!("error      {} {}, {row}: {}", error.code, distance(error.at, now), error.detail)
}

fn held_notes(trust_domain: &TrustDomain, held: &HeldStatus, now: Timestamp) -> [String; 3] {
    let name = argument(trust_domain);
    let change = format!("+{} -{}", held.added.len(), held.removed.len());
    let seen = distance(held.last_seen, now);
    [
        format!(
            "held       {}, sequence {}, {change}, seen {seen}: {}",
            held.code,
            or_none(held.sequence),
            held.detail
        ),
        format!("           see it:    comity bundle diff {name}"),
        format!("           accept it: comity bundle accept {name} --digest {}", held.digest),
    ]
}

fn withheld_note(withheld: &WithheldAuthority) -> String {
    format!("withheld   {} {}: {}", withheld.id, withheld.code, withheld.detail)
}

fn warning_note(warning: &Warning) -> String {
    format!("warning    {}: {}", warning.code, warning.detail)
}

fn authorities(status: &RelationshipStatus) -> String {
    format!("{} x509 {} jwt", status.x509_authorities, status.jwt_authorities)
}

fn expiry(at: Timestamp, now: Timestamp) -> String {
    match at > now {
        true => format!("in {}", roughly(at.since(now))),
        false => distance(at, now),
    }
}

fn span(seconds: u64) -> String {
    duration(Duration::from_secs(seconds))
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests;
