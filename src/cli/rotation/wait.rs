//! Holding up a pipeline until it is safe.

use std::future::pending;
use std::time::Duration;

use crate::cli::client::{AdminClient, ClientError};
use crate::cli::error::CliError;
use crate::cli::output::printable;
use crate::federation::rotation::RotationStatus;

use super::wanted::Wanted;

pub(super) struct Waiting<'a> {
    pub(super) client: &'a AdminClient,
    pub(super) wanted: &'a Wanted,
    pub(super) timeout: Option<Duration>,
}

impl Waiting<'_> {
    /// Until it is safe, the time is over, or Ctrl-C: with the reason if it isn't safe by then.
    ///
    /// A service that doesn't answer at first is an error; one that is restarted meanwhile is waited for.
    pub(super) async fn run(&self) -> Result<(RotationStatus, Option<CliError>), CliError> {
        let mut status = self.client.rotation().await?;
        let mut told = String::new();
        let until = async {
            while let Some(reason) = self.wanted.not_yet(&status) {
                tell(&format!("waiting: {reason}"), &mut told);
                tokio::time::sleep(INTERVAL).await;
                match self.client.rotation().await {
                    Ok(now) => status = now,
                    Err(error) => tell(&lost(&error), &mut told),
                }
            }
        };
        let ended = tokio::select! {
            // First, so that the signal is heard as soon as we say that we wait.
            biased;
            _ = tokio::signal::ctrl_c() => Some("interrupted"),
            () = until => None,
            () = over(self.timeout) => Some("the time to wait is over"),
        };
        let not_yet = ended.map(|why| {
            let reason = self.wanted.not_yet(&status).map(|reason| format!("{why}: {reason}"));
            CliError::NotSafeYet { reason: reason.unwrap_or_else(|| why.to_owned()) }
        });
        Ok((status, not_yet))
    }
}

async fn over(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => pending().await,
    }
}

fn lost(error: &ClientError) -> String {
    format!("error: {}: {error}; trying again", error.code())
}

/// Once, not at each look.
fn tell(what: &str, told: &mut String) {
    if what != told.as_str() {
        eprintln!("{}", printable(what));
        what.clone_into(told);
    }
}

/// As often as `--watch` looks; when it is safe is known, but the service may be given other keys meanwhile.
const INTERVAL: Duration = Duration::from_secs(2);
