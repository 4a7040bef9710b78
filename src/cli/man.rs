//! `comity man`: the manual, made from what `--help` says.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::CommandFactory as _;

use super::error::CliError;

/// Print the manual page of comity, or write one for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  comity man | man -l -
  comity man --dir /usr/local/share/man/man1")]
pub(super) struct Arguments {
    /// Write a page for each command into this folder, which is made if need be
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let command = super::Arguments::command().disable_help_subcommand(true);
    match &arguments.dir {
        None => clap_mangen::Man::new(command).render(&mut io::stdout().lock())?,
        Some(folder) => {
            fs::create_dir_all(folder)?;
            clap_mangen::generate_to(command, folder)?;
        }
    }
    Ok(())
}
