//! `comity rotation`: when a new key of ours may sign.

mod key_name;
mod view;
mod wait;
mod wanted;

use std::process::ExitCode;
use std::time::Duration;

use crate::authorities::pem::ca_certificates;
use crate::federation::rotation::RotationStatus;

use super::block_on;
use super::client::AdminClient;
use super::connection::Connection;
use super::error::CliError;
use super::output::{Format, Page};
use super::verify::input::Source;

use self::key_name::KeyName;
use self::view::Told;
use self::wait::Waiting;
use self::wanted::Wanted;

/// See when a new key of ours may sign
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show since when our keys are public, when they may sign, and who has fetched them
    #[command(after_help = HELP)]
    Status(Status),
}

#[derive(Debug, clap::Args)]
struct Status {
    /// A key of ours: the first 12 to 64 digits of its fingerprint, or its whole kid; all of them if none is named
    #[arg(value_name = "KEY")]
    keys: Vec<KeyName>,
    /// PEM file with CA certificates of ours, public or about to be; - is standard input
    #[arg(long = "certificate", value_name = "FILE")]
    certificates: Vec<Source>,
    /// Wait until all of them are public and it is safe to sign with them
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, as in 30m; for ever without
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

const HELP: &str = "Examples:
  comity rotation status
  comity rotation status --certificate /etc/comity/ca/next.pem --wait --timeout 1h && start-signing
  comity rotation status 3f2a9c01d2e4 2026-12-jwt --output json

A key is safe to sign with when it has been public for three refresh hints. A pipeline names the key that it has just
written: without a name, --wait is content with the keys that are public already.

Exits with 0 if it is safe to sign with all of them, with 1 if not yet, with 2 if there is no telling (wrong usage, no
answer of the service) and with 64 if the configuration is wrong.";

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Command::Status(status) = &arguments.command;
    match block_on(show(&arguments.connection, status)) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(not_yet)) => {
            not_yet.say();
            ExitCode::FAILURE
        }
        Err(error) => error.report_beside_answers(),
    }
}

/// Tells how it stands; the reason if it isn't safe yet.
async fn show(connection: &Connection, arguments: &Status) -> Result<Option<CliError>, CliError> {
    let client = connection.client()?;
    let wanted = arguments.wanted()?;
    let (status, not_yet) = look(&client, &wanted, arguments).await?;
    let told = Told::new(&wanted, status);
    match connection.output {
        Format::Json => Page::json(&told)?.print()?,
        Format::Text => told.page().print()?,
    }
    Ok(not_yet)
}

async fn look(
    client: &AdminClient,
    wanted: &Wanted,
    arguments: &Status,
) -> Result<(RotationStatus, Option<CliError>), CliError> {
    if arguments.wait {
        return Waiting { client, wanted, timeout: arguments.timeout }.run().await;
    }
    let status = client.rotation().await?;
    let not_yet = wanted.not_yet(&status).map(|reason| CliError::NotSafeYet { reason });
    Ok((status, not_yet))
}

impl Status {
    fn wanted(&self) -> Result<Wanted, CliError> {
        let mut keys = self.keys.clone();
        for file in &self.certificates {
            let unusable =
                |error: &dyn ToString| CliError::UnusableFile { file: file.to_string(), detail: error.to_string() };
            let pem = file.read_whole(MAX_FILE_BYTES)?;
            let certificates = ca_certificates(&pem).map_err(|error| unusable(&error))?;
            keys.extend(certificates.iter().map(|certificate| KeyName::of(certificate.fingerprint())));
        }
        Ok(Wanted(keys))
    }
}

const MAX_FILE_BYTES: usize = 1 << 20;
