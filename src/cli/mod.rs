//! The command line.

mod advice;
pub(crate) mod bundle;
mod bundle_view;
mod client;
mod completion;
mod config;
mod connection;
mod demo;
mod digest;
mod doctor;
mod error;
mod federation;
mod health;
mod man;
mod output;
mod pem;
mod probe;
mod relationship_view;
mod relative;
mod rotation;
#[cfg(test)]
mod samples;
mod selection;
mod serve;
mod verify;
mod watch;

use std::future::{self, Future};
use std::process::ExitCode;

use clap::Parser;

use self::error::CliError;

/// Runs the command line of this process.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 64 wrong configuration; `verify`, `probe`, `doctor` and `rotation` have
/// their own.
pub fn main() -> ExitCode {
    // Already installed is as good: somebody embeds us.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Federation(arguments) => finish(federation::run(&arguments)),
        Command::Bundle(arguments) => bundle::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Rotation(arguments) => rotation::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Health(arguments) => finish(health::run(&arguments)),
        Command::Completion(arguments) => finish(future::ready(completion::run(&arguments))),
        Command::Man(arguments) => finish(future::ready(man::run(&arguments))),
    }
}

/// SPIFFE federation: publish your trust domain's bundle, follow those of others, verify their workloads.
#[derive(Debug, Parser)]
#[command(name = "comity", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  comity demo --once
  comity serve --config /etc/comity/comity.toml
  comity federation status --watch")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the service of one trust domain
    Serve(serve::Arguments),
    /// See two trust domains federate on this machine
    Demo(demo::Arguments),
    /// Look at relationships with foreign trust domains, and poll them now
    Federation(federation::Arguments),
    /// Look at bundles, and decide about the ones that are held
    Bundle(bundle::Arguments),
    /// Look at a bundle endpoint before there is a relationship with it
    Probe(probe::Arguments),
    /// Look for what is wrong with our own service, or soon will be
    Doctor(doctor::Arguments),
    /// See when a new key of ours may sign
    Rotation(rotation::Arguments),
    /// Say whether an SVID proves a SPIFFE ID, and if not, why
    Verify(verify::Arguments),
    /// Check a configuration
    Config(config::Arguments),
    /// Ask the running service whether it is ready
    Health(health::Arguments),
    /// Print the completion script of a shell
    Completion(completion::Arguments),
    /// Print the manual page of comity, or write one for each command
    Man(man::Arguments),
}

fn finish(work: impl Future<Output = Result<(), CliError>>) -> ExitCode {
    block_on(work).map_or_else(|error| error.report(), |()| ExitCode::SUCCESS)
}

fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Exit code for a configuration that the service would refuse.
const BAD_CONFIGURATION: u8 = 64;

#[cfg(test)]
mod tests;
