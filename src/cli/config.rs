//! `comity config`: a configuration before it runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use serde_json::json;

use crate::config::{Config, ConfigErrors, check_endpoint_files, describe, load, process_environment};

use super::BAD_CONFIGURATION;
use super::output::{Format, printable};

/// Check a configuration
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read a configuration as `comity serve` would, and tell all its mistakes at once
    #[command(after_help = "Example:
  comity config check --config /etc/comity/comity.toml

Exits with 0 if it is valid and with 64 if not. Files of keys and certificates may
come later: what is wrong with them now is told and changes nothing of that.")]
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The configuration: TOML, YAML or JSON
    #[arg(long, value_name = "FILE", env = "COMITY_CONFIG")]
    config: Option<PathBuf>,
    /// Override one key of the configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::serve::key_value)]
    set: Vec<(String, String)>,
    /// How to write the answer
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Command::Check(check) = &arguments.command;
    match checked(check) {
        Ok(config) => {
            match check.output {
                Format::Text => print!("{}", lines(&describe(&config))),
                Format::Json => println!("{}", json!({ "valid": true, "problems": [] })),
            }
            ExitCode::SUCCESS
        }
        Err(errors) => {
            match check.output {
                Format::Text => eprint!("{}", lines(&errors.to_string())),
                Format::Json => println!("{}", problems(&errors)),
            }
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

/// Reads it as `comity serve` would, with the certificates and keys that it would serve.
fn checked(check: &Check) -> Result<Config, ConfigErrors> {
    let config = load(check.config.as_deref(), &process_environment(), &check.set)?;
    let clock: Arc<dyn TimeProvider> = Arc::new(DefaultTimeProvider);
    check_endpoint_files(&config, &clock)?;
    Ok(config)
}

fn problems(errors: &ConfigErrors) -> serde_json::Value {
    let problems: Vec<_> = errors
        .problems()
        .iter()
        .map(|problem| json!({ "key": problem.key, "message": problem.message, "source": problem.source }))
        .collect();
    json!({ "valid": false, "problems": problems })
}

/// Paths and values come from files: nothing of them may steer the terminal.
fn lines(text: &str) -> String {
    text.lines().map(|line| printable(line) + "\n").collect()
}
