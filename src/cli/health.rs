//! `comity health`: one question and one exit code, for whoever restarts or routes.

use crate::federation::status::ServiceStatus;

use super::connection::Connection;
use super::error::CliError;
use super::output::{Format, Page};
use super::relationship_view::readiness;

/// Ask the running service whether it is ready
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  comity health --config /etc/comity/comity.toml
  comity health --live --socket /var/lib/comity/admin.sock

Exits with 0 if it is and with 1 if it is not, or doesn't answer. A probe that names the
socket goes on while the configuration is being edited.")]
pub(super) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Ask only whether it answers: what makes it unready is no reason to restart it
    #[arg(long)]
    live: bool,
}

pub(super) async fn run(arguments: &Arguments) -> Result<(), CliError> {
    let status = arguments.connection.client()?.service().await?;
    let healthy = arguments.live || status.not_ready.is_empty();
    match arguments.connection.output {
        Format::Json => Page::json(&status)?.print()?,
        Format::Text if healthy => line(&status).print()?,
        Format::Text => {}
    }
    match healthy {
        true => Ok(()),
        false => Err(CliError::NotReady { trust_domain: status.trust_domain, reasons: status.not_ready }),
    }
}

fn line(status: &ServiceStatus) -> Page {
    let mut page = Page::default();
    page.line(format!("{}: {}", status.trust_domain, readiness(status)));
    page
}
