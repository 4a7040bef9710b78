//! Our own keys as a SPIRE server has them.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::authorities::answers::Answers;
use crate::authorities::backoff::doubled;
use crate::authorities::own_certificates::{CertificatesError, own_certificates};
use crate::authorities::source::{Found, Panicked, Reporter};
use crate::spiffe::authority::{Authority, JwtAuthority, SvidType};
use crate::spiffe::document::BundleDocument;
use crate::spiffe::document::ignored::{IgnoreReason, IgnoredElement};
use crate::spiffe::public_key::{PublicKey, PublicKeyError};
use crate::spiffe::trust_domain::TrustDomain;

use super::api::{Bundle, JwtKey};
use super::client::Client;
use super::{SpireServer, SpireServerProblem};

impl SpireServer {
    /// What the bundle of one SVID type is called in messages and metrics.
    pub(crate) fn source_name(&self, svid_type: SvidType) -> String {
        format!("{self}#{}", svid_type.as_str())
    }

    /// Asks every 5 s, until `stop`: for our CA certificates, and for our JWT keys. A domain without any of the latter
    /// is believed, until it had some.
    pub(crate) async fn follow(
        self,
        trust_domain: TrustDomain,
        x509: Reporter,
        jwt: Reporter,
        stop: CancellationToken,
    ) {
        let (mut x509, mut jwt) = (Told::by(x509), Told::by(jwt));
        let mut failures: u32 = 0;
        // A parser that panics must not take the service with it.
        let ask = || AssertUnwindSafe(self.ask(&trust_domain)).catch_unwind();
        while let Some(answer) = stop.run_until_cancelled(ask()).await {
            match answer.unwrap_or(Err(BundleProblem::Panicked)) {
                Ok((certificates, keys)) => {
                    failures = 0;
                    x509.tell(certificates);
                    let has_none = matches!(keys, Err(BundleProblem::NoJwtKeys)) && !jwt.report.has_keys();
                    jwt.tell(if has_none { Ok(Found::nothing()) } else { keys });
                }
                Err(problem) => {
                    failures = failures.saturating_add(1);
                    for told in [&x509, &jwt] {
                        told.report.failed(problem.code(), problem.to_string());
                    }
                }
            }
            let wait = match x509.is_in_doubt() || jwt.is_in_doubt() {
                _ if failures > 0 => doubled(SHORTEST, failures, INTERVAL),
                true => SHORTEST,
                false => INTERVAL,
            };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn ask(&self, trust_domain: &TrustDomain) -> Result<(Answer, Answer), BundleProblem> {
        let bundle = Client::connect(self).await?.bundle(trust_domain).await?;
        Ok((certificates(trust_domain, &bundle), keys(&bundle.jwt_authorities)))
    }
}

type Answer = Result<Found, BundleProblem>;

/// What is said about keys of one type.
struct Told {
    report: Reporter,
    answers: Answers,
}

impl Told {
    fn by(report: Reporter) -> Self {
        Self { report, answers: Answers::default() }
    }

    fn tell(&mut self, answer: Answer) {
        match answer {
            Ok(found) if !self.report.has_been_read() => self.report.found_at_first(self.answers.with(found)),
            Ok(found) => self.report.found(self.answers.with(found)),
            Err(problem) => self.report.failed(problem.code(), problem.to_string()),
        }
    }

    fn is_in_doubt(&self) -> bool {
        self.answers.are_in_doubt()
    }
}

fn certificates(trust_domain: &TrustDomain, bundle: &Bundle) -> Answer {
    let certificates = bundle.x509_authorities.iter().map(|one| one.asn1.as_slice());
    Ok(Found { authorities: own_certificates(trust_domain, certificates)?, ignored: Vec::new() })
}

/// Each on its own: one that we don't understand must not stop the others' rotation.
fn keys(keys: &[JwtKey]) -> Answer {
    if keys.len() > BundleDocument::MAX_KEYS {
        return Err(CertificatesError::TooMany.into());
    }
    let (mut authorities, mut ignored) = (Vec::new(), Vec::new());
    for (index, key) in keys.iter().enumerate() {
        match authority(key) {
            Ok(authority) => authorities.push(authority),
            Err(reason) => ignored.push(IgnoredElement { index, reason }),
        }
    }
    if authorities.is_empty() { Err(BundleProblem::NoJwtKeys) } else { Ok(Found { authorities, ignored }) }
}

fn authority(key: &JwtKey) -> Result<Authority, IgnoreReason> {
    let unsupported = IgnoreReason::Key(PublicKeyError::Unsupported);
    let Ok(([], info)) = SubjectPublicKeyInfo::from_der(&key.public_key) else { return Err(unsupported) };
    let public_key = PublicKey::from_spki(&info).map_err(IgnoreReason::Key)?;
    JwtAuthority::new(&key.key_id, public_key).map(Authority::Jwt).ok_or(IgnoreReason::MissingKeyId)
}

/// Why a bundle is not published.
#[derive(Debug, thiserror::Error)]
enum BundleProblem {
    #[error("{0}")]
    Api(#[from] SpireServerProblem),
    #[error("{0}")]
    Certificates(#[from] CertificatesError),
    #[error("there is no JWT key of our own trust domain any more")]
    NoJwtKeys,
    #[error("{Panicked}")]
    Panicked,
}

impl BundleProblem {
    /// Stable identifier; see docs/problems.md.
    fn code(&self) -> &'static str {
        match self {
            Self::Api(problem) => problem.code(),
            Self::Certificates(error) => error.code(),
            Self::NoJwtKeys => "no-own-bundle",
            Self::Panicked => Panicked.code(),
        }
    }
}

/// After the first failure, and until an answer that lacks keys is confirmed.
const SHORTEST: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(5);
