//! Why a document, or a part of it, is not trusted.

use std::fmt;

use crate::spiffe::authority::AuthorityId;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::timestamp::Timestamp;

/// Why a fetched document, or what it adds, waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Hold {
    #[error("sequence went back from {accepted} to {offered}; accept it by digest if the peer was rebuilt")]
    SequenceRollback { accepted: u64, offered: u64 },
    #[error(
        "sequence {accepted} is gone from the document; accept it by digest if the peer no longer numbers its bundles"
    )]
    SequenceGone { accepted: u64 },
    #[error("sequence jumped from {accepted} to {offered}; accept it by digest if the peer changed its numbering")]
    SequenceJump { accepted: u64, offered: u64 },
    #[error("contents of a superseded bundle under no higher sequence{}", returning(.returns))]
    BundleReplayed { returns: Option<AuthorityId> },
    #[error("none of the document's keys of an SVID type is usable, because of what we refuse in it")]
    AllRefused,
    #[error("first document from a changed endpoint, {url}; accept it by digest if it is what you expect")]
    EndpointChanged { url: String },
    #[error(
        "{url} has other keys under sequence {sequence} than {other}; ask the peer which is right: somebody may have \
         one of the two in hand"
    )]
    EndpointsDisagree { sequence: u64, url: String, other: String },
    #[error("new authorities count once two of the URLs serve them: {lacking}")]
    SecondRoute { lacking: String },
    #[error(
        "new authorities count once two of the URLs serve them by routes of their own: both {url} and {other} lead \
         through {place}"
    )]
    OneRoute { url: String, other: String, place: String },
    #[error("change control is manual: new authorities wait for approval")]
    ApprovalRequired,
    #[error("no authority accepted for 24 h or since bootstrap remains beside the new ones")]
    NoOverlap,
    #[error("new authorities have to be public until {until} before they count")]
    KeyNotice { until: Timestamp },
}

impl Hold {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::SequenceRollback { .. } | Self::SequenceGone { .. } => "sequence-rollback",
            Self::SequenceJump { .. } => "sequence-jump",
            Self::BundleReplayed { .. } => "bundle-replayed",
            Self::AllRefused => "all-refused",
            Self::EndpointChanged { .. } => "endpoint-changed",
            Self::EndpointsDisagree { .. } => "endpoints-disagree",
            Self::SecondRoute { .. } => "second-route",
            Self::OneRoute { .. } => "one-route",
            Self::ApprovalRequired => "approval-required",
            Self::NoOverlap => "no-overlap",
            Self::KeyNotice { .. } => "key-notice",
        }
    }
}

/// A key that waits because it is another domain's (BND-20); the rest of its document counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {key} also belongs to {owner}; it stays untrusted here until the owner drops it{remedy}")]
pub(crate) struct Reused {
    pub(crate) id: AuthorityId,
    pub(crate) key: Fingerprint,
    pub(crate) owner: TrustDomain,
    pub(crate) remedy: Remedy,
}

/// What would let both domains have the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// To declare it shared in these relationships, which don't.
    Declare(Vec<TrustDomain>),
    /// Nothing: one of them signs tokens with it.
    NotShareable,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotShareable => f.write_str(": a key that signs tokens can't be shared"),
            Self::Declare(lacking) => {
                let sections: Vec<_> = lacking.iter().map(|domain| format!("[federation.\"{domain}\"]")).collect();
                write!(
                    f,
                    ", or, if they share a CA on purpose, until shared_authorities of {} ",
                    sections.join(" and ")
                )?;
                f.write_str(if sections.len() == 1 { "lists it" } else { "list it" })
            }
        }
    }
}

impl Reused {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        "authority-reused"
    }
}

/// Why a document is refused outright; nobody can approve it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Refusal {
    #[error("authority {fingerprint} names {uri}, not this trust domain; check which domain the endpoint serves")]
    MisWired { fingerprint: Fingerprint, uri: String },
    #[error("document {digest} was rejected or replaced by an operator")]
    Barred { digest: Fingerprint },
}

impl Refusal {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::MisWired { .. } => "mis-wired",
            Self::Barred { .. } => "document-barred",
        }
    }
}

fn returning(id: &Option<AuthorityId>) -> String {
    id.as_ref().map(|id| format!(": removed authority {id} comes back")).unwrap_or_default()
}
