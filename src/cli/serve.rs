//! `comity serve`: the service of one trust domain.

mod open_files;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::time_provider::DefaultTimeProvider;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::app::error::StartError;
use crate::config::process_environment;
use crate::config::watch::ConfigSource;
use crate::telemetry;

use super::BAD_CONFIGURATION;
use super::output::printable;

use self::open_files::allow_open_files;

/// Run the service of one trust domain until SIGTERM or Ctrl-C
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  comity serve --config /etc/comity/comity.toml
  comity serve --config comity.toml --ephemeral --set endpoint.https_web.listen=127.0.0.1:8443

Every key of the configuration can also be given as an environment variable: COMITY__ENDPOINT__HTTPS_WEB__LISTEN.
A change of the file, or SIGHUP, reloads relationships and policy.")]
pub(super) struct Arguments {
    /// The configuration: TOML, YAML or JSON
    #[arg(long, value_name = "FILE", env = "COMITY_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Keep everything in memory: a restart begins anew
    #[arg(long)]
    pub(super) ephemeral: bool,
    /// Forget the highest time seen, after a clock that ran ahead was put right
    #[arg(long)]
    pub(super) reset_clock: bool,
    /// Override one key of the configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) set: Vec<(String, String)>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let ephemeral = arguments.ephemeral.then(|| ("store.url".to_owned(), "memory:".to_owned()));
    let flags = arguments.set.iter().cloned().chain(ephemeral).collect();
    let mut source = ConfigSource::new(arguments.config.clone(), process_environment(), flags);
    match source.load() {
        Ok(config) => {
            telemetry::start(config.log);
            allow_open_files(&config);
        }
        Err(errors) => return failed(&StartError::from(errors)),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&StartError::from(error)),
    };
    let served = runtime.block_on(serve(source, arguments.reset_clock));
    // Threads that wait for a disk which hangs would hold up the end for ever.
    runtime.shutdown_timeout(LEFT_BEHIND);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn serve(source: ConfigSource, reset_clock: bool) -> Result<(), StartError> {
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let app = App::start(source, Arc::new(DefaultTimeProvider), reset_clock).await?;
    let told = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    Ok(app.run(told).await?)
}

fn failed(error: &StartError) -> ExitCode {
    let text: Vec<_> = error.to_string().lines().map(printable).collect();
    eprintln!("error: {}: {}", error.code(), text.join("\n"));
    match error {
        StartError::Config(_) => ExitCode::from(BAD_CONFIGURATION),
        _ => ExitCode::FAILURE,
    }
}

/// `key=value`, split at the first `=`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value, as in store.url=memory:".to_owned()),
    }
}

/// For what is being written; with what the rest takes, a stop ends within 5 s.
const LEFT_BEHIND: Duration = Duration::from_millis(100);
