//! Sources of our own keys that are asked again and again: servers with a CA's certificates, and OIDC issuers.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use rustls::RootCertStore;
use tokio_util::sync::CancellationToken;

use crate::spiffe::authority::SvidType;
use crate::spiffe::trust_domain::TrustDomain;

use super::answers::Answers;
use super::backoff::doubled;
use super::ca_answer::{self, CaAnswerError};
use super::get::{Get, NotGot, Token, TokenError, Wanted};
use super::issuer::{Issuer, IssuerError};
use super::root_certificates::read_roots;
use super::source::{Found, Panicked, Reporter};

/// A server that is asked for our public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolledSource {
    /// Where its keys are.
    pub(crate) origin: Origin,
    /// CA certificates that replace the system's roots; PEM, read before each request.
    pub(crate) root_certificates: Option<PathBuf>,
    /// A bearer token for that server alone, read before each request, since Kubernetes replaces it.
    pub(crate) bearer_token: Option<PathBuf>,
    /// Time between two requests.
    pub(crate) interval: Duration,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// CA certificates at this `https` URL: PEM, or the JSON of Consul or Vault.
    Certificates(String),
    /// The signature keys of this OIDC issuer.
    Issuer(String),
    /// The signature keys in the JWKS at this `https` URL.
    Jwks(String),
}

impl PolledSource {
    /// Whom it asks.
    pub(crate) fn url(&self) -> &str {
        match &self.origin {
            Origin::Certificates(url) | Origin::Issuer(url) | Origin::Jwks(url) => url,
        }
    }

    /// What it is called in messages: its URL without the query, in which a secret may be.
    pub(crate) fn name(&self) -> &str {
        self.url().split('?').next().unwrap_or_default()
    }

    /// The same of all sources in metrics too: with a number where only their queries tell them apart.
    pub(crate) fn names(sources: &[Self]) -> Vec<String> {
        let name = |(place, source): (usize, &Self)| {
            let earlier = sources[..place].iter().filter(|other| other.name() == source.name()).count();
            if earlier == 0 { source.name().to_owned() } else { format!("{}#{}", source.name(), earlier + 1) }
        };
        sources.iter().enumerate().map(name).collect()
    }

    /// The type of all keys that it can have.
    pub(crate) fn svid_type(&self) -> SvidType {
        match self.origin {
            Origin::Certificates(_) => SvidType::X509Svid,
            Origin::Issuer(_) | Origin::Jwks(_) => SvidType::JwtSvid,
        }
    }

    /// Asks at once and then at each interval, until `stop`.
    pub(crate) async fn follow(
        self,
        trust_domain: TrustDomain,
        get: Arc<dyn Get>,
        report: Reporter,
        stop: CancellationToken,
    ) {
        let (mut attempts, mut answers): (u32, _) = (0, Answers::default());
        // A parser that panics must not take the service with it.
        let ask = || AssertUnwindSafe(self.ask(&trust_domain, get.as_ref())).catch_unwind();
        while let Some(outcome) = stop.run_until_cancelled(ask()).await {
            match outcome.unwrap_or(Err(PolledError::Panicked)) {
                Ok(found) if !report.has_been_read() => report.found_at_first(answers.with(found)),
                Ok(found) => report.found(answers.with(found)),
                Err(error) => report.failed(error.code(), error.to_string()),
            }
            attempts = attempts.saturating_add(1);
            let wait = match answers.are_in_doubt() {
                true => CONFIRMATION.min(self.interval),
                false => wait(self.interval, attempts, report.has_been_read()),
            };
            let wait = wait.mul_f64(1.0 - 0.1 * fastrand::f64());
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
    }

    async fn ask(&self, trust_domain: &TrustDomain, get: &dyn Get) -> Result<Found, PolledError> {
        let (roots, token) = self.files().await?;
        match &self.origin {
            Origin::Certificates(url) => {
                let answer = get.get(&Wanted { url, roots, token: token.as_ref(), referrer: None }).await?;
                let authorities = ca_answer::authorities(trust_domain, &answer.body)?;
                Ok(Found { authorities, ignored: Vec::new() })
            }
            Origin::Issuer(issuer) => {
                Ok(Issuer { trust_domain, get, roots, token: token.as_ref() }.discover(issuer).await?)
            }
            Origin::Jwks(url) => Ok(Issuer { trust_domain, get, roots, token: token.as_ref() }.keys(url).await?),
        }
    }

    async fn files(&self) -> Result<(Option<Arc<RootCertStore>>, Option<Token>), PolledError> {
        let (roots, token) = (self.root_certificates.clone(), self.bearer_token.clone());
        let read = move || {
            let roots = roots.map(|file| roots_in(&file)).transpose()?;
            let token = token.map(|file| Token::read(&file).map_err(|error| PolledError::Token { file, error }));
            Ok((roots, token.transpose()?))
        };
        tokio::task::spawn_blocking(read).await.unwrap_or(Err(PolledError::Interrupted))
    }
}

fn roots_in(file: &Path) -> Result<Arc<RootCertStore>, PolledError> {
    let roots = read_roots(file);
    roots.map(Arc::new).map_err(|detail| PolledError::Roots { file: file.to_owned(), detail })
}

/// Until a source has been read once, nothing without its keys may be published: so it is asked more often.
fn wait(interval: Duration, attempts: u32, has_been_read: bool) -> Duration {
    if has_been_read { interval } else { doubled(FIRST, attempts, interval) }
}

/// Why a source was not read.
#[derive(Debug, thiserror::Error)]
enum PolledError {
    #[error("root_certificates {}: {detail}", file.display())]
    Roots { file: PathBuf, detail: String },
    #[error("bearer_token_file {}: {error}", file.display())]
    Token { file: PathBuf, error: TokenError },
    #[error("{0}")]
    Get(#[from] NotGot),
    #[error("{0}")]
    Certificates(#[from] CaAnswerError),
    #[error("{0}")]
    Issuer(#[from] IssuerError),
    #[error("{Panicked}")]
    Panicked,
    #[error("the service is stopping")]
    Interrupted,
}

impl PolledError {
    /// Stable identifier; see docs/problems.md.
    fn code(&self) -> &'static str {
        match self {
            Self::Roots { .. } => "no-roots",
            Self::Token { error, .. } => error.code(),
            Self::Get(error) => error.code,
            Self::Certificates(error) => error.code(),
            Self::Issuer(error) => error.code(),
            Self::Panicked => Panicked.code(),
            Self::Interrupted => "interrupted",
        }
    }
}

const FIRST: Duration = Duration::from_secs(1);
/// Until an answer that lacks keys is confirmed.
const CONFIRMATION: Duration = Duration::from_secs(10);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]
mod tests;
