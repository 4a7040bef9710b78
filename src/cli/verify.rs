//! `comity verify`: whether an SVID proves a SPIFFE ID, and if not, why.

mod batch;
pub(super) mod bundles;
mod chain;
pub(super) mod error;
pub(super) mod input;
mod judge;
mod lines;
mod verdict_view;

use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::builder::NonEmptyStringValueParser;

use crate::federation::timestamp::Timestamp;
use crate::http::verification::question::{JwtQuestion, Role, X509Question};
use crate::http::verification::verdict::Verdict;
use crate::verify::trust::Trust;
use crate::verify::verifier::Verifier;

use self::bundles::BundleFiles;
use self::chain::ChainError;
use self::error::VerifyError;
use self::input::Source;
use self::judge::Judge;
use super::block_on;
use super::connection::{Connection, now};
use super::error::CliError;
use super::output::{Format, Page};

/// Say whether an SVID proves a SPIFFE ID, and if not, why
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Judge a certificate chain
    #[command(after_help = X509_HELP)]
    X509(X509),
    /// Judge a token
    #[command(after_help = JWT_HELP)]
    Jwt(Jwt),
}

#[derive(Debug, clap::Args)]
struct X509 {
    /// The chain, leaf first: PEM or DER one after the other; - is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "batch", conflicts_with = "batch")]
    chain: Option<Source>,
    /// The side of TLS that shows the SVID; it has to do for one of them if not given
    #[arg(long, value_enum)]
    usage: Option<Usage>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Jwt {
    /// The token; - is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "batch", conflicts_with = "batch")]
    token: Option<Source>,
    /// Who we are to the token: it has to be for one of these. May be repeated
    #[arg(long, value_name = "AUD", num_args = 1.., required_unless_present = "batch",
        value_parser = NonEmptyStringValueParser::new())]
    audience: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    bundles: BundleFiles,
    /// A configuration whose relationships say what SVIDs may be; the service has its own
    #[arg(long, value_name = "FILE", requires = "BundleFiles")]
    policy: Option<PathBuf>,
    /// Judge as at this time, RFC 3339; now if not given
    #[arg(long, value_name = "RFC3339")]
    at: Option<Timestamp>,
    /// Show all that was tried, and what ended each attempt
    #[arg(long, conflicts_with = "batch")]
    explain: bool,
    /// Answer questions in JSON, one on each line, with as many verdicts; - is standard input
    #[arg(long, value_name = "FILE")]
    batch: Option<Source>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Usage {
    Server,
    Client,
}

impl From<Usage> for Role {
    fn from(usage: Usage) -> Self {
        match usage {
            Usage::Server => Self::Server,
            Usage::Client => Self::Client,
        }
    }
}

/// Exits with 0 for yes and 1 for no; whatever kept us from an answer is 2, as wrong usage is.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match block_on(answer(arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(REJECTED),
        Err(error) => {
            error.say();
            ExitCode::from(NO_ANSWER)
        }
    }
}

const REJECTED: u8 = 1;

const NO_ANSWER: u8 = 2;

async fn answer(arguments: &Arguments) -> Result<bool, CliError> {
    let Arguments { connection, command } = arguments;
    let verdict = match command {
        Command::X509(asked) => asked.answer(&asked.common.judge(connection)?).await?,
        Command::Jwt(asked) => asked.answer(&asked.common.judge(connection)?).await?,
    };
    // A batch that was answered is a success, whatever the answers are.
    verdict.map_or(Ok(true), |verdict| tell(&verdict, connection.output))
}

impl X509 {
    /// The verdict; none for a batch, whose verdicts are written.
    async fn answer(&self, judge: &Judge) -> Result<Option<Verdict>, CliError> {
        let Common { at, explain, ref batch, .. } = self.common;
        let usage = self.usage.map(Role::from);
        if let Some(source) = batch {
            let complete = |line: &mut X509Question| (line.at, line.usage) = (line.at.or(at), line.usage.or(usage));
            return batch::answer(source, judge, complete).await.map(|()| None);
        }
        let verdict = match certificates(self.chain.as_ref())? {
            Ok(chain) => judge.one(&X509Question { id: None, chain, at, usage, explain }).await?,
            Err(malformed) => Verdict { at: Some(at.unwrap_or_else(now)), ..malformed },
        };
        Ok(Some(verdict))
    }
}

impl Jwt {
    /// The verdict; none for a batch, whose verdicts are written.
    async fn answer(&self, judge: &Judge) -> Result<Option<Verdict>, CliError> {
        let Common { at, explain, ref batch, .. } = self.common;
        let ours = (!self.audience.is_empty()).then_some(&self.audience);
        if let Some(source) = batch {
            let complete = |line: &mut JwtQuestion| {
                line.at = line.at.or(at);
                line.audience = line.audience.take().or_else(|| ours.cloned());
            };
            return batch::answer(source, judge, complete).await.map(|()| None);
        }
        let token = token(self.token.as_ref())?;
        Ok(Some(judge.one(&JwtQuestion { id: None, token, audience: ours.cloned(), at, explain }).await?))
    }
}

impl Common {
    fn judge(&self, connection: &Connection) -> Result<Judge, CliError> {
        match self.bundles.trust(self.policy.as_deref())? {
            Some(trust) => Ok(Judge::Files(Verifier::new(Trust::fixed(trust)))),
            None => Ok(Judge::Service(connection.client()?)),
        }
    }
}

/// The certificates of a chain's file in base64, or what is wrong with them.
fn certificates(source: Option<&Source>) -> Result<Result<Vec<String>, Verdict>, VerifyError> {
    let source = source.unwrap_or(&Source::StandardInput);
    let Some(bytes) = source.read(MAX_CHAIN_FILE)? else {
        return Ok(Err(Verdict::malformed_chain(format!("more than {MAX_CHAIN_FILE} bytes"), None)));
    };
    match chain::certificates(&bytes) {
        Ok(chain) => Ok(Ok(chain.iter().map(|der| STANDARD.encode(der)).collect())),
        Err(ChainError::Malformed { detail, certificate }) => Ok(Err(Verdict::malformed_chain(detail, certificate))),
        Err(ChainError::PrivateKey(reason)) => Err(VerifyError::PrivateKey { file: source.to_string(), reason }),
    }
}

/// The token of a file. What is no text is left to whoever judges it.
fn token(source: Option<&Source>) -> Result<String, VerifyError> {
    let bytes = source.unwrap_or(&Source::StandardInput).read_whole(MAX_TOKEN_FILE)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Writes a verdict; whether it is a yes.
fn tell(verdict: &Verdict, format: Format) -> Result<bool, CliError> {
    let mut page = Page::default();
    if let Some(steps) = &verdict.explanation {
        verdict_view::tree(steps, &mut page);
    }
    match format {
        Format::Json => page.append(Page::json_line(verdict)?),
        Format::Text => verdict_view::verdict(verdict, now(), &mut page),
    }
    page.print()?;
    Ok(verdict.is_accepted())
}

/// Many times the longest chain, with whatever stands around it in PEM.
const MAX_CHAIN_FILE: usize = 1 << 20;

/// More than the longest token.
const MAX_TOKEN_FILE: usize = 1 << 20;

const X509_HELP: &str = "\
Examples:
  comity verify x509 --chain svid.pem
  comity verify x509 --chain svid.pem --bundle bank-b.example=bank-b.jwks.json --explain
  comity verify x509 --chain - --bundle-map map.json --at 2027-06-30T12:00:00Z --output json
  comity verify x509 --batch questions.jsonl

Without --bundle and --bundle-map the running service answers, from what it trusts now. An unknown key
then asks for an early poll, unless --at makes the question hypothetical.

Exits with 0 if the chain is accepted, with 1 if it is rejected (also if it can't be parsed), and with 2
if there is no answer: wrong usage, a file that can't be read, no service. The last line of --output json
is one object.

A line of --batch: {\"id\": 7, \"chain\": [\"base64 of DER\", ...], \"at\": \"2027-06-30T12:00:00Z\",
\"usage\": \"client\"}, all but the chain optional, with --at and --usage for lines that say nothing.
Each line is answered on a line, in order; one that makes no sense with the code malformed-input. Exits
with 0 when all lines were answered, whatever the answers.";

const JWT_HELP: &str = "\
Examples:
  comity verify jwt --token token.jwt --audience payments
  comity verify jwt --token - --audience payments --bundle bank-b.example=bank-b.jwks.json --explain
  comity verify jwt --batch questions.jsonl --bundle-map map.json

Without --bundle and --bundle-map the running service answers, from what it trusts now.

Exits with 0 if the token is accepted, with 1 if it is rejected (also if it can't be parsed), and with 2
if there is no answer: wrong usage, a file that can't be read, no service. The last line of --output json
is one object.

A line of --batch: {\"id\": 7, \"token\": \"...\", \"audience\": [\"payments\"], \"at\": \"2027-06-30T12:00:00Z\"},
all but the token optional, with --at and --audience for lines that say nothing. Each line is answered on
a line, in order; one that makes no sense with the code malformed-input. Exits with 0 when all lines were
answered, whatever the answers.";
