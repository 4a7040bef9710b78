//! `comity demo`: two trust domains on this machine. The demo plays their CAs; the services never hold a CA key.

mod certificates;
mod domain;
mod narrator;
mod story;

use std::process::ExitCode;

use crate::app::error::StartError;

use self::narrator::Narrator;

/// See two trust domains federate on this machine, step by step
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  comity demo
  comity demo --once")]
pub(super) struct Arguments {
    /// Stop after the last step; exit with 1 if one went otherwise than told
    #[arg(long)]
    pub(super) once: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut narrator = Narrator::new();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(story::tell(&mut narrator, !arguments.once)) {
        Ok(()) if narrator.all_as_expected() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

fn failed(error: &DemoError) -> ExitCode {
    eprintln!("error: {}: {error}", error.code());
    ExitCode::FAILURE
}

/// What keeps the story from going on.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("making a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("starting {domain}: {source}")]
    Start { domain: String, source: StartError },
    #[error("{0}")]
    Federation(#[from] crate::federation::FederationError),
    #[error("TLS: {0}")]
    Tls(#[from] crate::http::tls::TlsFileError),
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("waited 20 s for {0}")]
    Waited(&'static str),
}

impl DemoError {
    /// Stable identifier; see docs/problems.md.
    fn code(&self) -> &'static str {
        "demo-failed"
    }
}
