//! What is run after files have changed.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;

/// A program that is told of changes. Nothing that a peer may choose is among its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AfterChange {
    /// An absolute path.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
}

impl AfterChange {
    /// Runs it for at most a minute, with the path of a JSON file that names the changed files in `COMITY_CHANGES`, and
    /// of our own environment with what is harmless: keys of a storage and parts of the configuration are in there too.
    pub(super) async fn run(&self, changes: &Path) -> Result<(), CommandError> {
        let mut command = Command::new(&self.program);
        let passed_on = PASSED_ON.iter().filter_map(|name| Some((name, env::var_os(name)?)));
        command.args(&self.arguments).env_clear().envs(passed_on).env("COMITY_CHANGES", changes);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let program = || self.program.clone();
        // Loading the program waits for its disk.
        let spawned = tokio::task::spawn_blocking(move || command.spawn()).await.map_err(io::Error::other).flatten();
        let mut child = spawned.map_err(|source| CommandError::NotRun { program: program(), source })?;
        match tokio::time::timeout(LONGEST, child.wait()).await {
            Err(_) => Err(CommandError::TooLong { program: program() }),
            Ok(Err(source)) => Err(CommandError::NotRun { program: program(), source }),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(CommandError::Failed { program: program(), status }),
        }
    }
}

/// Why whoever uses the files may not know of their change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CommandError {
    #[error("{}: {source}", program.display())]
    NotRun { program: PathBuf, source: io::Error },
    #[error("{} did not end within {} s and was killed", program.display(), LONGEST.as_secs())]
    TooLong { program: PathBuf },
    #[error("{} failed: {status}", program.display())]
    Failed { program: PathBuf, status: ExitStatus },
}

impl CommandError {
    /// Stable identifier; see docs/problems.md.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotRun { .. } => "command-not-run",
            Self::TooLong { .. } => "command-too-long",
            Self::Failed { .. } => "command-failed",
        }
    }
}

const LONGEST: Duration = Duration::from_secs(60);
/// How programs find others and their files, and in which language and zone they speak.
pub(super) const PASSED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ"];
