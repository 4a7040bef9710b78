//! Our keys and their fetchers for people and scripts.

use std::time::Duration;

use serde::Serialize;

use crate::cli::bundle_view::number;
use crate::cli::output::{Page, Row, Table};
use crate::cli::relationship_view::{counted, instant};
use crate::cli::relative::{distance, duration};
use crate::federation::fetchers::FetcherStatus;
use crate::federation::rotation::{KeyRotation, RotationStatus};
use crate::federation::timestamp::Timestamp;

use super::wanted::Wanted;

/// How it stands with the keys that were asked about.
#[derive(Serialize)]
pub(super) struct Told {
    is_safe: bool,
    /// Keys that were named and aren't public.
    not_public: Vec<String>,
    #[serde(flatten)]
    status: RotationStatus,
}

impl Told {
    pub(super) fn new(wanted: &Wanted, mut status: RotationStatus) -> Self {
        let is_safe = wanted.not_yet(&status).is_none();
        let not_public = wanted.not_public(&status).iter().map(ToString::to_string).collect();
        status.keys.retain(|key| wanted.is_meant(key));
        Self { is_safe, not_public, status }
    }

    pub(super) fn page(&self) -> Page {
        let status = &self.status;
        let mut page = Page::default();
        page.line(heading(status));
        page.line("");
        if status.keys.is_empty() && self.not_public.is_empty() {
            page.line("no key of ours is public yet");
        }
        if !status.keys.is_empty() {
            page.table(&keys(status));
        }
        self.not_public.iter().for_each(|name| page.line(format!("no    {name} is not public yet")));
        page.line("");
        match status.fetchers.is_empty() {
            true => page.line(format!("nobody has fetched them since {}", instant(status.fetchers_since, status.now))),
            false => fetchers(status, &mut page),
        }
        page
    }
}

fn heading(status: &RotationStatus) -> String {
    let hint = status.refresh_hint_seconds.map(|seconds| duration(Duration::from_secs(seconds)));
    format!("sequence {}, refresh hint {}", number(status.sequence), hint.unwrap_or_else(|| "none".to_owned()))
}

fn keys(status: &RotationStatus) -> Table {
    let mut table = Table::new(["SAFE", "TYPE", "PUBLIC SINCE", "SAFE FROM", "FETCHED BY", "KEY"]);
    for key in &status.keys {
        let KeyRotation { authority, fetchers_with, fetchers_without, .. } = key;
        let subject = authority.subject.as_ref().map(|subject| format!(", {subject}")).unwrap_or_default();
        let row = Row::new([
            if key.is_safe { "yes" } else { "no" }.to_owned(),
            key.svid_type.as_str().to_owned(),
            instant(key.public_since, status.now),
            instant(key.safe_from, status.now),
            format!("{fetchers_with} of {}", fetchers_with + fetchers_without),
            format!("{}{subject}", authority.kind),
        ]);
        let without = status.fetchers.iter().filter(|fetcher| !key.is_with(fetcher));
        let mut notes = vec![authority.id.to_string()];
        notes.extend(without.take(SHOWN).map(|fetcher| format!("last seen without it: {}", who(fetcher, status.now))));
        let unshown = fetchers_without.saturating_sub(SHOWN);
        notes.extend((unshown > 0).then(|| format!("last seen without it: {}", more(unshown))));
        table.push(row.with_notes(notes));
    }
    table
}

fn fetchers(status: &RotationStatus, page: &mut Page) {
    let since = instant(status.fetchers_since, status.now);
    page.line(format!("{} since {since}", counted(status.fetchers.len(), "fetcher")));
    let mut table = Table::new(["ADDRESS", "USER AGENT", "HAS SEQUENCE", "LAST SEEN"]);
    for fetcher in status.fetchers.iter().take(SHOWN) {
        let agent = fetcher.user_agent.as_deref().unwrap_or("-");
        let seen = distance(fetcher.last_seen, status.now);
        table.push(Row::new([fetcher.address.to_string(), agent.into(), fetcher.sequence.to_string(), seen]));
    }
    page.table(&table);
    if let Some(unshown) = status.fetchers.len().checked_sub(SHOWN).filter(|unshown| *unshown > 0) {
        page.line(more(unshown));
    }
    if status.fetchers_forgotten > 0 {
        page.line(format!("{} more made room for others and are forgotten", status.fetchers_forgotten));
    }
}

fn who(fetcher: &FetcherStatus, now: Timestamp) -> String {
    let agent = fetcher.user_agent.as_deref().unwrap_or("-");
    format!("{} {agent}, {}", fetcher.address, distance(fetcher.last_seen, now))
}

fn more(count: usize) -> String {
    format!("{count} more, which --output json shows")
}

/// Fetchers in a list for people.
const SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::super::wanted::tests::{key, status};
    use super::*;

    #[test]
    fn each_key_says_from_when_it_may_sign_and_who_lacks_it() {
        let (mut new, old) = (key("CN=new", 60), key("CN=old", 0));
        (new.fetchers_with, new.fetchers_without) = (1, 2);
        let ids = [&new, &old].map(|key| key.authority.id.to_string());
        let told = Told::new(&Wanted(vec![]), status(vec![new, old]));
        let page = told.page();
        let lines: Vec<_> = page.as_str().lines().collect();
        assert_eq!(lines[0], "sequence 8, refresh hint 5 min");
        assert!(lines[3].starts_with("no    x509-svid  2026-11-18T10:52:40Z (14 min ago)"), "{page}");
        assert!(lines[3].ends_with("(in 1 min)  1 of 3      P-256, CN=new"), "{page}");
        assert_eq!(lines[4], format!("  {}", ids[0]));
        assert_eq!(lines[5], "  last seen without it: 2001:db8::1 \\u{1b}[2J, 2 min ago");
        assert_eq!(lines[6], "  last seen without it: 10.0.0.8 -, 3 min ago");
        assert!(lines[7].starts_with("yes "), "{page}");
        assert_eq!(lines[8], format!("  {}", ids[1]));
        assert_eq!(lines[10], "3 fetchers since 2026-11-18T09:06:40Z (2 h ago)");
        let json = serde_json::to_value(&told).unwrap();
        assert_eq!((&json["is_safe"], &json["keys"][1]["is_safe"]), (&false.into(), &true.into()));
    }

    #[test]
    fn a_key_that_is_asked_about_and_not_public_is_told() {
        let wanted = Wanted(vec!["next\x1b-kid".parse().unwrap()]);
        let told = Told::new(&wanted, status(vec![key("CN=old", 0)]));
        assert!(told.page().as_str().contains("\nno    next\\u{1b}-kid is not public yet\n"));
        assert_eq!(serde_json::to_value(&told).unwrap()["not_public"][0], "next\x1b-kid");
        let nobody = RotationStatus { fetchers: vec![], ..status(vec![]) };
        let page = Told::new(&Wanted(vec![]), nobody).page();
        assert!(page.as_str().contains("no key of ours is public yet"), "{page}");
        assert!(page.as_str().contains("nobody has fetched them since"), "{page}");
    }

    #[test]
    fn a_long_list_is_cut_for_people() {
        let mut status = status(vec![KeyRotation { fetchers_without: 25, ..key("CN=new", 60) }]);
        status.fetchers = vec![status.fetchers[1].clone(); 25];
        status.fetchers_forgotten = 4;
        let page = Told::new(&Wanted(vec![]), status).page();
        assert_eq!(page.as_str().matches("5 more, which --output json shows").count(), 2, "{page}");
        assert!(page.as_str().contains("4 more made room for others"), "{page}");
    }
}
