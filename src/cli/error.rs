//! Why a command failed, and with which exit code.

use std::io;
use std::process::ExitCode;

use crate::spiffe::trust_domain::TrustDomain;

use super::BAD_CONFIGURATION;
use super::client::ClientError;
use super::digest::DigestError;
use super::output::printable;
use super::verify::error::VerifyError;

/// Exit code for an answer that could not be given, as for wrong usage.
const NO_ANSWER: u8 = 2;

/// What a command can fail with, clap's own usage errors left aside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum CliError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("{detail}")]
    Fetch { code: String, detail: String },
    #[error("{file}: {detail}")]
    UnusableFile { file: String, detail: String },
    #[error("{trust_domain} is not ready: {}", .reasons.join(", "))]
    NotReady { trust_domain: TrustDomain, reasons: Vec<String> },
    #[error("{reason}")]
    NotSafeYet { reason: String },
    #[error("nothing was done: the answer was not \"yes\"")]
    NotConfirmed,
    #[error("nobody is there to ask: look at `comity bundle diff` and add --yes")]
    NoTerminal,
    #[error("PEM can't say whose certificates these are, so it is given for one trust domain at a time: name it")]
    PooledPem,
    #[error("the service's bundle document has no `keys` array of JWKs")]
    NotABundle,
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("writing the answer failed: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// Stable identifier, before the message and in scripts.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Client(error) => error.code(),
            Self::Digest(error) => error.code(),
            Self::Verify(error) => error.code(),
            Self::Fetch { code, .. } => code,
            Self::UnusableFile { .. } => "unusable-file",
            Self::NotReady { .. } => "not-ready",
            Self::NotSafeYet { .. } => "not-safe-yet",
            Self::NotConfirmed => "not-confirmed",
            Self::NoTerminal => "no-terminal",
            Self::PooledPem => "pooled-pem",
            Self::NotABundle => "no-keys",
            Self::Json(_) => "malformed-json",
            Self::Output(_) => "output-failed",
        }
    }

    /// Says it, for a command whose own answer takes the exit codes 0 and 1: 64 for a wrong configuration, else 2.
    pub(super) fn report_beside_answers(&self) -> ExitCode {
        self.say();
        ExitCode::from(match self {
            Self::Client(ClientError::Config(_)) => BAD_CONFIGURATION,
            _ => NO_ANSWER,
        })
    }

    /// Says it on standard error, unless the reader of our output has simply gone away.
    pub(super) fn say(&self) {
        if !matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            eprintln!("{}", self.text());
        }
    }

    /// Says it; the exit code of it.
    pub(super) fn report(&self) -> ExitCode {
        self.say();
        match self {
            Self::Client(ClientError::Config(_)) => ExitCode::from(BAD_CONFIGURATION),
            _ => ExitCode::FAILURE,
        }
    }

    /// One line, but for the list of a configuration's mistakes.
    fn text(&self) -> String {
        let text = format!("error: {}: {self}", self.code());
        match self {
            Self::Client(ClientError::Config(_)) | Self::Verify(VerifyError::Policy(_)) => {
                text.lines().map(printable).collect::<Vec<_>>().join("\n")
            }
            _ => printable(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_that_begins_with_its_code() {
        let error = CliError::Fetch { code: "connect-failed".into(), detail: "no\nroute\x1b[2J".into() };
        assert_eq!(error.text(), "error: connect-failed: no\\nroute\\u{1b}[2J");
    }
}
