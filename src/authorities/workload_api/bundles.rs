//! The bundle of our own trust domain. Those of other domains in the stream are none of our keys.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::future::FutureExt as _;
use futures_util::stream::StreamExt as _;
use rust_spiffe::{JwtBundleSet, X509BundleSet};
use tokio_util::sync::CancellationToken;

use crate::authorities::jwks::{JwksError, signature_keys};
use crate::authorities::own_certificates::{CertificatesError, own_certificates};
use crate::authorities::source::{Found, Panicked, Reporter};
use crate::spiffe::authority::SvidType;
use crate::spiffe::trust_domain::TrustDomain;

use super::stream::follow;
use super::{WorkloadApi, WorkloadApiProblem};

impl WorkloadApi {
    /// What the bundle of one SVID type is called in messages and metrics.
    pub(crate) fn source_name(&self, svid_type: SvidType) -> String {
        format!("{self}#{}", svid_type.as_str())
    }

    /// Our CA certificates, as they stream.
    pub(crate) async fn follow_x509(self, trust_domain: TrustDomain, report: Reporter, stop: CancellationToken) {
        let open = |client: rust_spiffe::WorkloadApiClient| {
            async move { Ok(client.stream_x509_bundles().await?.boxed()) }.boxed()
        };
        let take = |message: Result<X509BundleSet, WorkloadApiProblem>| {
            tell(&report, message.map_err(BundleProblem::from).and_then(|set| caught(|| x509(&trust_domain, &set))));
        };
        follow(&self, open, take, &stop).await;
    }

    /// Our JWT keys, as they stream. A domain without any is believed, until it had some: also before the start,
    /// which is for `carried` to judge.
    pub(crate) async fn follow_jwt(self, trust_domain: TrustDomain, report: Reporter, stop: CancellationToken) {
        let open = |client: rust_spiffe::WorkloadApiClient| {
            async move { Ok(client.stream_jwt_bundles().await?.boxed()) }.boxed()
        };
        let take = |message: Result<JwtBundleSet, WorkloadApiProblem>| {
            let found = match message {
                Err(WorkloadApiProblem::NotOffered) => Err(BundleProblem::NoOwnBundle),
                message => message.map_err(BundleProblem::from).and_then(|set| caught(|| jwt(&trust_domain, &set))),
            };
            let none = matches!(found, Err(BundleProblem::NoOwnBundle));
            tell(&report, if none && !report.has_keys() { Ok(Found::nothing()) } else { found });
        };
        follow(&self, open, take, &stop).await;
    }
}

/// A parser that panics must not take the service with it.
fn caught(read: impl FnOnce() -> Result<Found, BundleProblem>) -> Result<Found, BundleProblem> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(BundleProblem::Panicked))
}

fn tell(report: &Reporter, found: Result<Found, BundleProblem>) {
    match found {
        Ok(found) => report.found(found),
        Err(problem) => report.failed(problem.code(), problem.to_string()),
    }
}

fn x509(trust_domain: &TrustDomain, set: &X509BundleSet) -> Result<Found, BundleProblem> {
    let own = set.iter().find(|(name, _)| name.as_ref() == trust_domain.as_str());
    let certificates = own.map_or(&[][..], |(_, bundle)| bundle.authorities());
    let authorities = own_certificates(trust_domain, certificates.iter().map(|one| one.as_bytes()))?;
    Ok(Found { authorities, ignored: Vec::new() })
}

fn jwt(trust_domain: &TrustDomain, set: &JwtBundleSet) -> Result<Found, BundleProblem> {
    let own = set.iter().find(|(name, _)| name.as_ref() == trust_domain.as_str());
    let mut keys: Vec<_> = own.iter().flat_map(|(_, bundle)| bundle.jwt_authorities()).collect();
    if keys.is_empty() {
        return Err(BundleProblem::NoOwnBundle);
    }
    keys.sort_by_key(|key| key.key_id());
    let keys: Vec<_> = keys.iter().map(|key| String::from_utf8_lossy(key.jwk_json())).collect();
    let (authorities, ignored) = signature_keys(trust_domain, format!("{{\"keys\":[{}]}}", keys.join(",")).as_bytes())?;
    Ok(Found { authorities, ignored })
}

/// Why a bundle is not published.
#[derive(Debug, thiserror::Error)]
enum BundleProblem {
    #[error("{0}")]
    Api(#[from] WorkloadApiProblem),
    #[error("the Workload API has no key of our own trust domain; is trust_domain the one of its server?")]
    NoOwnBundle,
    #[error("{0}")]
    Certificates(#[from] CertificatesError),
    #[error("{0}")]
    Jwks(#[from] JwksError),
    #[error("{Panicked}")]
    Panicked,
}

impl BundleProblem {
    /// Stable identifier; see docs/problems.md.
    fn code(&self) -> &'static str {
        match self {
            Self::Api(problem) => problem.code(),
            Self::NoOwnBundle => "no-own-bundle",
            Self::Certificates(error) => error.code(),
            Self::Jwks(error) => error.code(),
            Self::Panicked => Panicked.code(),
        }
    }
}
