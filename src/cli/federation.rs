//! `comity federation`: relationships with foreign trust domains.

use std::time::Duration;

use serde_json::json;

use crate::federation::status::RelationshipStatus;

use super::client::AdminClient;
use super::connection::{Connection, now};
use super::error::CliError;
use super::output::{Format, Page};
use super::relationship_view;
use super::selection::{AnyDomain, OneDomain};
use super::watch;

/// Look at relationships with foreign trust domains, and poll them now
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all relationships: name, profile, endpoint, state
    #[command(after_help = "Example:
  comity federation list")]
    List,
    /// Show everything about one relationship
    #[command(after_help = "Example:
  comity federation show bank-b.example")]
    Show(OneDomain),
    /// Fetch a bundle now, wait for the outcome and say what changed
    #[command(after_help = "Example:
  comity federation refresh bank-b.example

Exits with 1 if the fetch failed; the accepted bundle stays.")]
    Refresh(OneDomain),
    /// Show the state of every relationship in a line, and below it what needs attention
    #[command(after_help = "Examples:
  comity federation status
  comity federation status bank-b.example --watch 5
  comity federation status --output json

LAST OK is the last successful fetch, AGE the time since the peer last served what we accepted.")]
    Status(Status),
}

#[derive(Debug, clap::Args)]
struct Status {
    #[command(flatten)]
    domain: AnyDomain,
    /// Show it again and again until Ctrl-C; after the trust domain, if one is named
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// Columns of the terminal
    #[arg(long, env = "COLUMNS", default_value_t = 120, hide = true)]
    columns: usize,
}

pub(super) async fn run(arguments: &Arguments) -> Result<(), CliError> {
    let client = arguments.connection.client()?;
    let output = arguments.connection.output;
    match &arguments.command {
        Command::List => list(&client, output).await?.print()?,
        Command::Show(domain) => show(&client, domain, output).await?.print()?,
        Command::Refresh(domain) => refresh(&client, domain, output).await?,
        Command::Status(status) => match status.watch {
            None => overview(&client, status, output).await?.print()?,
            Some(seconds) => {
                watch::run(Duration::from_secs(seconds), async || overview(&client, status, output).await).await?;
            }
        },
    }
    Ok(())
}

async fn list(client: &AdminClient, output: Format) -> Result<Page, CliError> {
    let relationships = client.relationships().await?;
    match output {
        Format::Json => Ok(Page::json(&json!({ "relationships": relationships }))?),
        Format::Text => Ok(relationship_view::list(&relationships)),
    }
}

async fn show(client: &AdminClient, domain: &OneDomain, output: Format) -> Result<Page, CliError> {
    let status = client.relationship(domain.name()).await?;
    match output {
        Format::Json => Ok(Page::json(&status)?),
        Format::Text => Ok(relationship_view::full(&status, now())),
    }
}

async fn refresh(client: &AdminClient, domain: &OneDomain, output: Format) -> Result<(), CliError> {
    let before = client.relationship(domain.name()).await?;
    let after = client.refresh(domain.name()).await?;
    match output {
        Format::Json => Page::json(&after)?.print()?,
        Format::Text => relationship_view::outcome(&before, &after, now()).print()?,
    }
    failure(after).map_or(Ok(()), Err)
}

async fn overview(client: &AdminClient, arguments: &Status, output: Format) -> Result<Page, CliError> {
    if let Some(name) = arguments.domain.name() {
        let status = client.relationship(name).await?;
        return match output {
            Format::Json => json_page(&status, arguments),
            Format::Text => Ok(relationship_view::overview(None, &[status], arguments.columns, now())),
        };
    }
    let (service, relationships) = (client.service().await?, client.relationships().await?);
    match output {
        Format::Json => json_page(&json!({ "service": service, "relationships": relationships }), arguments),
        Format::Text => Ok(relationship_view::overview(Some(&service), &relationships, arguments.columns, now())),
    }
}

/// One document; under `--watch` one line, so that a reader can split the stream.
fn json_page(value: &impl serde::Serialize, arguments: &Status) -> Result<Page, CliError> {
    match arguments.watch {
        None => Ok(Page::json(value)?),
        Some(_) => Ok(Page::json_line(value)?),
    }
}

/// The last fetch's error, if it failed.
fn failure(status: RelationshipStatus) -> Option<CliError> {
    let failed = status.consecutive_failures > 0;
    status.last_error.filter(|_| failed).map(|error| CliError::Fetch { code: error.code, detail: error.detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples;

    #[test]
    fn a_refresh_fails_when_its_fetch_did() {
        assert_eq!(failure(samples::failing()).unwrap().code(), "connect-failed");
        assert!(failure(samples::current()).is_none());
        assert!(failure(RelationshipStatus { consecutive_failures: 0, ..samples::failing() }).is_none());
    }
}
