//! What state each relationship is in, for people, scripts and gauges.

use serde::{Deserialize, Serialize};

use crate::spiffe::authority::{Authority, AuthorityId};
use crate::spiffe::document::ignored::IgnoredElement;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::relationship::ChangeControl;
use super::timestamp::Timestamp;

/// State of a relationship, derived from the age of its data, never from "a task is running".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RelationshipState {
    /// No bundle yet.
    Bootstrapping,
    /// The bundle is fresh and the last fetch succeeded.
    Current,
    /// Fetches fail; the bundle is still fresh.
    Failing,
    /// The bundle is older than the maximum staleness: everything of this domain is refused.
    Stale,
    /// A change waits for a person; the accepted bundle goes on.
    Held,
    /// The endpoint can't be authenticated any more; only an operator reopens it (FEC-14).
    NeedsBootstrap,
    /// It was agreed until a day that has passed: everything of this domain is refused.
    Expired,
}

/// One relationship, as `comity federation status` and `GET /v1/relationships/{td}` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RelationshipStatus {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) endpoint_url: String,
    /// All of its URLs, in the order in which they are asked.
    pub(crate) urls: Vec<UrlStatus>,
    /// The URL that last served the accepted contents; none if they came by hand.
    pub(crate) served_by: Option<String>,
    pub(crate) profile: String,
    pub(crate) endpoint_spiffe_id: Option<String>,
    /// The domains whose endpoints speak for this one, the nearest first; empty if its own does.
    pub(crate) via: Vec<TrustDomain>,
    pub(crate) change_control: ChangeControl,
    pub(crate) maximum_staleness_seconds: Option<u64>,
    pub(crate) state: RelationshipState,
    pub(crate) since: Timestamp,
    /// Time since an authenticated endpoint last served the accepted contents.
    pub(crate) age_seconds: Option<u64>,
    pub(crate) sequence: Option<u64>,
    pub(crate) revision: Option<u64>,
    /// Digest of the accepted document.
    pub(crate) digest: Option<Fingerprint>,
    pub(crate) refresh_hint_seconds: Option<u64>,
    pub(crate) last_success: Option<Timestamp>,
    pub(crate) last_attempt: Option<Timestamp>,
    pub(crate) last_error: Option<ErrorStatus>,
    pub(crate) consecutive_failures: u64,
    pub(crate) next_poll: Option<Timestamp>,
    /// Why then, in a code of docs/problems.md.
    pub(crate) next_poll_reason: Option<String>,
    pub(crate) soonest_authority_expiry: Option<Timestamp>,
    pub(crate) x509_authorities: usize,
    pub(crate) jwt_authorities: usize,
    pub(crate) held: Vec<HeldStatus>,
    /// Authorities of the peer's document that are not trusted, with why.
    pub(crate) withheld: Vec<WithheldAuthority>,
    /// Elements of the last document that the standard says to ignore.
    pub(crate) ignored: Vec<IgnoredStatus>,
    /// Trouble ahead, in words, each behind a code.
    pub(crate) warnings: Vec<Warning>,
}

/// A code with what, where and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorStatus {
    pub(crate) code: String,
    pub(crate) detail: String,
    pub(crate) at: Timestamp,
}

/// One URL of a relationship.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UrlStatus {
    pub(crate) url: String,
    /// Whether it may change what is accepted: not before it served the same, or a person approved what it served.
    pub(crate) known: bool,
    /// Of its latest document.
    pub(crate) sequence: Option<u64>,
    pub(crate) last_asked: Option<Timestamp>,
    /// Why it did not answer then.
    pub(crate) last_error: Option<ErrorStatus>,
}

/// A document that waits for a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldStatus {
    pub(crate) digest: Fingerprint,
    pub(crate) code: String,
    pub(crate) detail: String,
    pub(crate) sequence: Option<u64>,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
    pub(crate) added: Vec<AuthoritySummary>,
    pub(crate) removed: Vec<AuthoritySummary>,
}

/// One authority in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthoritySummary {
    pub(crate) id: AuthorityId,
    /// The key itself, whatever certificate it is in: what `shared_authorities` lists.
    pub(crate) key_thumbprint: Fingerprint,
    /// `RSA-2048`, `P-256`, ...
    pub(crate) kind: String,
    pub(crate) subject: Option<String>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
}

impl From<&Authority> for AuthoritySummary {
    fn from(authority: &Authority) -> Self {
        let certificate = match authority {
            Authority::X509(certificate) => Some(certificate),
            Authority::Jwt(_) | Authority::Wit(_) => None,
        };
        Self {
            id: authority.id(),
            key_thumbprint: authority.key_thumbprint(),
            kind: authority.key().kind(),
            subject: certificate.map(|certificate| certificate.subject().to_owned()),
            not_before: certificate.map(|certificate| Timestamp::from_signed(certificate.not_before())),
            not_after: certificate.map(|certificate| Timestamp::from_signed(certificate.not_after())),
        }
    }
}

/// An authority that the peer publishes and we don't trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WithheldAuthority {
    pub(crate) id: AuthorityId,
    pub(crate) code: String,
    pub(crate) detail: String,
    /// Whose key it is.
    pub(crate) owner: TrustDomain,
}

/// An element of a bundle document that was ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IgnoredStatus {
    /// Position in `keys`.
    pub(crate) index: usize,
    pub(crate) code: String,
    pub(crate) detail: String,
    /// Somebody has to act at once: the peer published a secret.
    pub(crate) alarm: bool,
}

impl From<&IgnoredElement> for IgnoredStatus {
    fn from(element: &IgnoredElement) -> Self {
        let reason = &element.reason;
        let (code, detail) = (reason.code().to_owned(), reason.to_string());
        Self { index: element.index, code, detail, alarm: reason.is_alarm() }
    }
}

/// Something to do before it hurts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Warning {
    pub(crate) code: String,
    pub(crate) detail: String,
}

/// A source of our own keys other than files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthoritySourceStatus {
    /// Its URL or socket.
    pub(crate) source: String,
    pub(crate) x509_authorities: usize,
    pub(crate) jwt_authorities: usize,
    /// When it was last read; what it then had is what is published.
    pub(crate) last_success: Option<Timestamp>,
    /// Why it can't be read now, and since when.
    pub(crate) last_error: Option<ErrorStatus>,
    /// Its keys that are no authorities.
    pub(crate) ignored: Vec<IgnoredStatus>,
}

/// One place that bundles are delivered to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutputStatus {
    /// `files`, `sds`, ...
    pub(crate) kind: String,
    /// Its folder, socket or URL.
    pub(crate) target: String,
    /// The generation of the snapshot that it last delivered.
    pub(crate) generation: Option<u64>,
    pub(crate) delivered: Option<Timestamp>,
    /// Who is connected and hears of changes.
    pub(crate) subscribers: u64,
    /// Changes delivered since the start, to each subscriber.
    pub(crate) pushes: u64,
    pub(crate) failures: u64,
    /// Changes that a subscriber refused.
    pub(crate) nacks: u64,
    /// Requests for what the subscriber can't have.
    pub(crate) refused_requests: u64,
    /// Why the latest change is not delivered, or was refused.
    pub(crate) last_error: Option<ErrorStatus>,
}

/// Our own keys: what is wrong with them, and the sources that are not files.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnKeysStatus {
    pub(crate) warnings: Vec<Warning>,
    pub(crate) sources: Vec<AuthoritySourceStatus>,
}

/// The service as a whole, as `GET /v1/status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceStatus {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) version: String,
    pub(crate) started: Timestamp,
    pub(crate) sequence: Option<u64>,
    pub(crate) snapshot_generation: u64,
    pub(crate) relationships: usize,
    /// Why `/readyz` says no, in codes; empty when ready.
    pub(crate) not_ready: Vec<String>,
    /// Where our own keys come from besides files.
    pub(crate) sources: Vec<AuthoritySourceStatus>,
    pub(crate) outputs: Vec<OutputStatus>,
    pub(crate) warnings: Vec<Warning>,
}
