//! `comity bundle`: bundles, and decisions about the held ones.

mod convert;
mod history;
pub(crate) mod lint;

use std::collections::BTreeMap;
use std::future::ready;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::federation::status::{HeldStatus, RelationshipStatus};
use crate::spiffe::trust_domain::TrustDomain;

use super::bundle_view;
use super::client::{AdminClient, Decision, FederatedBundle};
use super::connection::{Connection, now};
use super::digest::{DigestError, DigestPrefix};
use super::error::CliError;
use super::finish;
use super::output::{self, Page, printable};
use super::pem::Pem;
use super::relationship_view;
use super::selection::{AnyDomain, OneDomain};

/// Look at bundles, and decide about the ones that are held
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Service(ServiceCommand),
    /// Say what readers will make of a bundle document
    #[command(after_help = lint::HELP)]
    Lint(lint::Arguments),
    /// Spell a bundle as SPIFFE JWKS or as PEM
    #[command(after_help = convert::HELP)]
    Convert(convert::Arguments),
}

/// What the running service is asked.
#[derive(Debug, clap::Subcommand)]
enum ServiceCommand {
    /// Show our own bundle, as our endpoints serve it
    #[command(after_help = "Examples:
  comity bundle show > bank-a.example.jwks.json
  comity bundle show --format pem")]
    Show(Show),
    /// List the accepted bundles of foreign trust domains
    #[command(after_help = "Examples:
  comity bundle list
  comity bundle list bank-b.example --format pem > bank-b.example.pem

PEM has no place for a trust domain's name, so it is given for one at a time.")]
    List(List),
    /// Compare held documents with the accepted bundle
    #[command(after_help = "Example:
  comity bundle diff bank-b.example")]
    Diff(Diff),
    /// Accept exactly one held document, after a look at what it changes
    #[command(after_help = "Example:
  comity bundle accept bank-b.example --digest 3f2a9c01d2e4

Compare the authorities with what your partner tells you by another way than the bundle endpoint.")]
    Accept(Accept),
    /// Reject a held document: it will not be held again
    #[command(after_help = "Example:
  comity bundle reject bank-b.example --digest 3f2a9c01d2e4")]
    Reject(Reject),
    /// Tell what was accepted when, and what it changed
    #[command(after_help = history::HELP)]
    History(history::Arguments),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// How to spell the bundle; PEM leaves out JWT keys
    #[arg(long, value_enum, default_value_t = Spelling::Spiffe)]
    format: Spelling,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    domain: AnyDomain,
    /// Print whole bundles, not summaries; PEM leaves out JWT keys
    #[arg(long, value_enum)]
    format: Option<Spelling>,
}

#[derive(Debug, clap::Args)]
struct Diff {
    #[command(flatten)]
    domain: OneDomain,
    /// Only this held document
    #[arg(long)]
    digest: Option<DigestPrefix>,
}

#[derive(Debug, clap::Args)]
struct Accept {
    #[command(flatten)]
    domain: OneDomain,
    /// Its digest: all 64 digits, or at least the first 12
    #[arg(long)]
    digest: DigestPrefix,
    /// Do not ask; needs the whole digest
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct Reject {
    #[command(flatten)]
    domain: OneDomain,
    /// Its digest: all 64 digits, or at least the first 12
    #[arg(long)]
    digest: DigestPrefix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Spelling {
    /// The SPIFFE bundle document, a JWK Set
    Spiffe,
    /// The CA certificates alone
    Pem,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Arguments { connection, command } = arguments;
    match command {
        Command::Service(command) => finish(ask(connection, command)),
        Command::Lint(lint) => lint::run(lint, connection.output),
        Command::Convert(convert) => finish(ready(convert::run(convert))),
    }
}

async fn ask(connection: &Connection, command: &ServiceCommand) -> Result<(), CliError> {
    let client = connection.client()?;
    let output = connection.output;
    match command {
        ServiceCommand::Show(show) => print_document(&client.own_bundle().await?, show.format, output),
        ServiceCommand::List(list) => match list.domain.name() {
            Some(name) => list_one(&client, name, list.format, output).await,
            None => list_all(&client, list.format, output).await,
        },
        ServiceCommand::Diff(arguments) => diff(&client, arguments, output).await,
        ServiceCommand::Accept(arguments) => accept(&client, arguments, output).await,
        ServiceCommand::Reject(arguments) => reject(&client, arguments, output).await,
        ServiceCommand::History(arguments) => history::run(&client, arguments, output).await,
    }
}

fn print_document(document: &Value, spelling: Spelling, output: output::Format) -> Result<(), CliError> {
    if output == output::Format::Json || spelling == Spelling::Spiffe {
        return Ok(Page::json(document)?.print()?);
    }
    let pem = Pem::of(document)?;
    if pem.left_out > 0 {
        eprintln!("{} left out: only --format spiffe has them", relationship_view::counted(pem.left_out, "key"));
    }
    Ok(pem.page.print()?)
}

/// A whole bundle goes to standard output alone, so that it can be piped; its heading goes to standard error.
async fn list_one(
    client: &AdminClient,
    name: &TrustDomain,
    spelling: Option<Spelling>,
    output: output::Format,
) -> Result<(), CliError> {
    let bundle = client.bundle(name).await?;
    if output == output::Format::Json {
        return Ok(Page::json(&bundle)?.print()?);
    }
    let age = client.relationship(name).await?.age_seconds;
    match spelling {
        None => summaries(&[bundle], &BTreeMap::from([(name.clone(), age)])).print()?,
        Some(spelling) => {
            eprintln!("{}", printable(&bundle_view::heading(&bundle, age)));
            print_document(&bundle.document, spelling, output)?;
        }
    }
    Ok(())
}

async fn list_all(client: &AdminClient, spelling: Option<Spelling>, output: output::Format) -> Result<(), CliError> {
    // Certificates of two domains in one PEM file would be a pooled trust store (Federation §4.2).
    if spelling == Some(Spelling::Pem) {
        return Err(CliError::PooledPem);
    }
    let bundles = client.bundles().await?;
    if output == output::Format::Json {
        return Ok(Page::json(&json!({ "bundles": bundles }))?.print()?);
    }
    let relationships = client.relationships().await?;
    let ages = relationships.into_iter().map(|status| (status.trust_domain, status.age_seconds)).collect();
    match spelling {
        None => summaries(&bundles, &ages).print()?,
        Some(_) => documents(&bundles, &ages)?.print()?,
    }
    Ok(())
}

fn summaries(bundles: &[FederatedBundle], ages: &Ages) -> Page {
    let mut page = Page::default();
    for bundle in bundles {
        bundle_view::summary(bundle, age_of(bundle, ages), now(), &mut page);
    }
    if bundles.is_empty() {
        page.line("no foreign bundle is accepted yet");
    }
    page
}

fn documents(bundles: &[FederatedBundle], ages: &Ages) -> Result<Page, CliError> {
    let mut page = Page::default();
    for bundle in bundles {
        page.line(format!("# {}", bundle_view::heading(bundle, age_of(bundle, ages))));
        page.append(Page::json(&bundle.document)?);
    }
    Ok(page)
}

type Ages = BTreeMap<TrustDomain, Option<u64>>;

fn age_of(bundle: &FederatedBundle, ages: &Ages) -> Option<u64> {
    ages.get(&bundle.trust_domain).copied().flatten()
}

async fn diff(client: &AdminClient, arguments: &Diff, output: output::Format) -> Result<(), CliError> {
    let status = client.relationship(arguments.domain.name()).await?;
    let held: Vec<&HeldStatus> = match &arguments.digest {
        Some(digest) => vec![digest.find(&status.held)?],
        None => status.held.iter().collect(),
    };
    if output == output::Format::Json {
        return Ok(Page::json(&diff_json(&status, &held))?.print()?);
    }
    let mut page = bundle_view::diff(&status, &held, now());
    held.iter().for_each(|document| bundle_view::decisions(&status, document, &mut page));
    Ok(page.print()?)
}

fn diff_json(status: &RelationshipStatus, held: &[&HeldStatus]) -> Value {
    let accepted = json!({ "sequence": status.sequence, "revision": status.revision, "digest": status.digest });
    json!({ "trust_domain": status.trust_domain, "accepted": accepted, "held": held })
}

async fn accept(client: &AdminClient, arguments: &Accept, output: output::Format) -> Result<(), CliError> {
    let name = arguments.domain.name();
    if arguments.yes && !arguments.digest.is_whole() {
        return Err(DigestError::Shortened.into());
    }
    let status = client.relationship(name).await?;
    let held = arguments.digest.find(&status.held)?;
    eprint!("{}", bundle_view::diff(&status, &[held], now()));
    if !arguments.yes {
        confirm(name)?;
    }
    decide(client, name, Decision::Accept, held, output).await
}

async fn reject(client: &AdminClient, arguments: &Reject, output: output::Format) -> Result<(), CliError> {
    let name = arguments.domain.name();
    let status = client.relationship(name).await?;
    decide(client, name, Decision::Reject, arguments.digest.find(&status.held)?, output).await
}

async fn decide(
    client: &AdminClient,
    name: &TrustDomain,
    decision: Decision,
    held: &HeldStatus,
    output: output::Format,
) -> Result<(), CliError> {
    let after = client.decide(name, decision, held.digest).await?;
    match output {
        output::Format::Json => Page::json(&after)?.print()?,
        output::Format::Text => bundle_view::decided(&after, decision, held).print()?,
    }
    Ok(())
}

/// Asks the person at the terminal; there must be one.
fn confirm(name: &TrustDomain) -> Result<(), CliError> {
    let input = io::stdin();
    if !input.is_terminal() {
        return Err(CliError::NoTerminal);
    }
    eprint!("{}", printable(&format!("Trust exactly this bundle of {name} from now on? Type yes: ")));
    io::stderr().flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    (answer.trim() == "yes").then_some(()).ok_or(CliError::NotConfirmed)
}

#[cfg(test)]
mod tests;
