//! `comity bundle history`: what was accepted when.

use crate::cli::bundle_view::{authority, number};
use crate::cli::client::AdminClient;
use crate::cli::connection::now;
use crate::cli::error::CliError;
use crate::cli::output::{Format, Page};
use crate::cli::relationship_view::{argument, counted, instant};
use crate::cli::selection::OneDomain;
use crate::federation::history::{History, RevisionSummary};
use crate::federation::timestamp::Timestamp;
use crate::spiffe::trust_domain::TrustDomain;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    domain: OneDomain,
    /// Only what was accepted before this revision
    #[arg(long, value_name = "REVISION")]
    before: Option<u64>,
    /// How many revisions at most, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,
}

pub(super) async fn run(client: &AdminClient, arguments: &Arguments, output: Format) -> Result<(), CliError> {
    let name = arguments.domain.name();
    let history = client.history(name, arguments.before, arguments.limit).await?;
    match output {
        Format::Json => Page::json(&history)?.print()?,
        Format::Text => page(name, &history, now()).print()?,
    }
    Ok(())
}

fn page(name: &TrustDomain, history: &History, now: Timestamp) -> Page {
    let mut page = Page::default();
    if history.revisions.is_empty() {
        page.line(format!("{name}: nothing was accepted, or it is no longer kept"));
    }
    history.revisions.iter().for_each(|one| revision(one, now, &mut page));
    if let Some(before) = history.next_before {
        page.line(format!("older ones: comity bundle history {} --before {before}", argument(name)));
    }
    page
}

fn revision(one: &RevisionSummary, now: Timestamp, page: &mut Page) {
    let RevisionSummary { revision, authorities, .. } = *one;
    let (sequence, accepted) = (number(one.sequence), instant(one.accepted_at, now));
    page.line(format!(
        "revision {revision}, sequence {sequence}, accepted {accepted} {}: {}",
        by(&one.origin),
        counted(authorities, "authority")
    ));
    page.line(format!("  digest {}", one.digest));
    match &one.changes {
        None => page.line("  what it changed is not known: the revision before is no longer kept"),
        Some(changes) if changes.added.is_empty() && changes.removed.is_empty() => page.line("  the same authorities"),
        Some(changes) => {
            changes.added.iter().for_each(|one| authority("+", one, now, page));
            changes.removed.iter().for_each(|one| authority("-", one, now, page));
        }
    }
}

fn by(origin: &str) -> &str {
    match origin {
        "fetch" => "automatically",
        "bootstrap" => "as bootstrap bundle",
        "operator" => "by an operator",
        other => other,
    }
}

pub(super) const HELP: &str = "\
Examples:
  comity bundle history bank-b.example
  comity bundle history bank-b.example --before 12 --limit 100 --output json

Newest first, with what each revision changed against the one before. It outlives the relationship; of each
trust domain up to 1,000 revisions and 16 MiB are kept.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{self, NOW};
    use crate::federation::history::Changes;
    use crate::spiffe::public_key::Fingerprint;

    #[test]
    fn a_revision_says_when_by_whom_and_what_it_changed() {
        let held = samples::held();
        let changes = Changes { added: held.added[..1].to_vec(), removed: held.removed[..1].to_vec() };
        let summary = |revision, origin: &str, changes| RevisionSummary {
            revision,
            sequence: Some(7),
            accepted_at: samples::at(-60),
            origin: origin.into(),
            digest: Fingerprint::of(b"x"),
            authorities: 1,
            changes,
        };
        let none = Changes { added: vec![], removed: vec![] };
        let revisions =
            vec![summary(9, "operator", Some(changes)), summary(8, "fetch", Some(none)), summary(7, "bootstrap", None)];
        let history = History { revisions, next_before: Some(7) };
        let text = page(&"-b.example".parse().unwrap(), &history, Timestamp::from_secs(NOW)).to_string();
        let told: Vec<_> = text.lines().filter(|line| !line.contains("   ") && !line.contains("digest")).collect();
        assert_eq!(
            told,
            [
                "revision 9, sequence 7, accepted 2026-11-18T11:05:40Z (1 min ago) by an operator: 1 authority",
                "+ X.509 authority P-256, CN=new, expires 2027-02-16T11:06:40Z (in 90 d)",
                "- X.509 authority P-256, CN=old, expires 2026-11-30T11:06:40Z (in 12 d)",
                "revision 8, sequence 7, accepted 2026-11-18T11:05:40Z (1 min ago) automatically: 1 authority",
                "  the same authorities",
                "revision 7, sequence 7, accepted 2026-11-18T11:05:40Z (1 min ago) as bootstrap bundle: 1 authority",
                "  what it changed is not known: the revision before is no longer kept",
                "older ones: comity bundle history --trust-domain=-b.example --before 7",
            ]
        );
    }
}
