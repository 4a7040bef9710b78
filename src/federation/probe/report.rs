//! What a look at a bundle endpoint showed.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::federation::endpoint_client::{FetchError, Shown};
use crate::federation::status::{AuthoritySummary, IgnoredStatus};
use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::X509Authority;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;

/// What was seen.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Probe {
    pub(crate) url: String,
    /// The URLs that were asked: more than one after redirects.
    pub(crate) visited: Vec<String>,
    pub(crate) address: Option<SocketAddr>,
    /// `1.2` or `1.3`
    pub(crate) tls_version: Option<&'static str>,
    pub(crate) status: Option<u16>,
    /// Of the body, after decompression.
    pub(crate) bytes: usize,
    pub(crate) digest: Option<Fingerprint>,
    pub(crate) has_etag: bool,
    pub(crate) elapsed_ms: u64,
    /// By how many seconds the clock there is ahead of ours, by the `Date` of the answer.
    pub(crate) clock_ahead_seconds: Option<i64>,
    /// As sent, the leaf first.
    pub(crate) certificates: Vec<ShownCertificate>,
    pub(crate) profiles: [ProfileOutcome; 2],
    /// Whose bundle it seems to be, by the names in certificates. Nobody vouches for that.
    pub(crate) seems_to_be: Option<TrustDomain>,
    pub(crate) bundle: Option<ShownBundle>,
    #[serde(skip)]
    pub(crate) document: Option<Vec<u8>>,
    /// Why there is no bundle to look at.
    pub(crate) problem: Option<Problem>,
    /// What the relationships of a configuration with this URL would make of it.
    pub(crate) relationships: Vec<RelationshipOutcome>,
}

/// A certificate as it was shown: nothing of it is verified, and its text is the peer's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ShownCertificate {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// DNS names, addresses and URIs.
    pub(crate) names: Vec<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// Whether a relationship could be made by this profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ProfileOutcome {
    pub(crate) profile: &'static str,
    /// Whom an `https_spiffe` endpoint says it is.
    pub(crate) endpoint_spiffe_id: Option<String>,
    /// That it is authenticated by the bundle which it served itself proves nothing yet.
    pub(crate) by_its_own_bundle: bool,
    /// Why not.
    pub(crate) problem: Option<Problem>,
}

/// A code of `docs/problems.md`, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    pub(crate) code: String,
    pub(crate) detail: String,
}

/// What the document says.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ShownBundle {
    pub(crate) sequence: Option<u64>,
    pub(crate) refresh_hint_seconds: Option<u64>,
    pub(crate) authorities: Vec<AuthoritySummary>,
    pub(crate) ignored: Vec<IgnoredStatus>,
}

/// What acceptance would say if this were the first document of a configured relationship.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RelationshipOutcome {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) profile: &'static str,
    /// `accepted`, `held` or `refused`; `failed` if the endpoint is not authenticated.
    pub(crate) outcome: &'static str,
    /// Authorities that would be trusted.
    pub(crate) trusted: usize,
    pub(crate) problems: Vec<Problem>,
}

impl Probe {
    /// Whether the endpoint serves a bundle, and some relationship with it is possible: of configured ones all are.
    pub(crate) fn is_usable(&self) -> bool {
        let profile = self.profiles.iter().any(|profile| profile.problem.is_none());
        let configured = self.relationships.iter().all(|one| one.outcome == "accepted");
        self.bundle.is_some() && (profile || !self.relationships.is_empty()) && configured
    }

    /// How far the clock there is from ours, in words, if that is more than clocks should be.
    pub(crate) fn clock_difference(&self) -> Option<String> {
        let ahead = self.clock_ahead_seconds?;
        let apart = Duration::from_secs(ahead.unsigned_abs());
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        (apart > MOST_APART).then(|| format!("{} {way} ours", humantime::format_duration(apart)))
    }
}

impl Problem {
    pub(super) fn new(code: &str, detail: &impl ToString) -> Self {
        Self { code: code.to_owned(), detail: detail.to_string() }
    }

    pub(super) fn of_fetch(error: &FetchError) -> Self {
        Self::new(error.code(), error)
    }
}

impl ShownBundle {
    pub(crate) fn of(document: &BundleDocument) -> Self {
        let bundle = document.bundle();
        Self {
            sequence: bundle.sequence(),
            refresh_hint_seconds: bundle.refresh_hint().map(|hint| hint.as_secs()),
            authorities: bundle.authorities().iter().map(AuthoritySummary::from).collect(),
            ignored: document.ignored().iter().map(IgnoredStatus::from).collect(),
        }
    }
}

pub(super) fn certificates(shown: &Shown) -> impl Iterator<Item = ShownCertificate> {
    shown.leaf.chain.iter().filter_map(certificate)
}

fn certificate(der: &CertificateDer<'_>) -> Option<ShownCertificate> {
    let (_, read) = X509Certificate::from_der(der).ok()?;
    let names = read.subject_alternative_name().ok().flatten().map(|names| names.value.general_names.iter());
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress([a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}")),
        _ => None,
    };

    Some(ShownCertificate {
        fingerprint: Fingerprint::of(der),
        subject: read.subject().to_string(),
        issuer: read.issuer().to_string(),
        names: names.into_iter().flatten().filter_map(name).collect(),
        not_before: Timestamp::from_signed(read.validity().not_before.timestamp()),
        not_after: Timestamp::from_signed(read.validity().not_after.timestamp()),
    })
}

/// The trust domain of the first SPIFFE ID that a CA certificate bears.
pub(crate) fn named_by(bundle: &Bundle) -> Option<TrustDomain> {
    let mut uris = bundle.authorities().x509().flat_map(X509Authority::spiffe_uris);
    let id = uris.find_map(|uri| uri.strip_suffix('/').unwrap_or(uri).parse::<SpiffeId>().ok())?;
    Some(id.trust_domain().clone())
}

/// The same tolerance that our own clock has against itself.
const MOST_APART: Duration = Duration::from_secs(300);
