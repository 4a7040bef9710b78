//! `comity completion`: what a shell needs to complete our commands.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::error::CliError;

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  comity completion bash > /usr/share/bash-completion/completions/comity
  comity completion zsh > /usr/share/zsh/vendor-completions/_comity
  comity completion fish > /usr/share/fish/vendor_completions.d/comity.fish")]
pub(super) struct Arguments {
    /// The shell that reads it
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let mut script = Vec::new(); // the generator panics where writing fails
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "comity", &mut script);
    Ok(io::stdout().lock().write_all(&script)?)
}
