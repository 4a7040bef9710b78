//! The search for a path, told step by step.

use std::fmt;

use serde::Serialize;

use crate::spiffe::authority::AuthorityId;
use crate::spiffe::spiffe_id::SpiffeId;

use super::certificate::Certificate;
use super::jwt::fault::TokenFault;
use super::rejection::{Fault, Place, Rejection};
use super::verified::Verified;

/// A verdict with all that was tried. Its text is a tree: each signer below what it was tried for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// What was tried, in order.
    pub steps: Vec<ExplainedStep>,
    /// What came of it.
    pub verdict: Result<Verified, Rejection>,
}

/// One certificate in one place of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExplainedStep {
    /// Certificates between it and the leaf, itself included; 0 is the leaf. 1 for the keys of a token.
    pub depth: usize,
    /// Which certificate.
    pub place: String,
    /// Its subject as RFC 4514 writes it, escaped; of a JWT authority the kind of key.
    pub subject: Box<str>,
    /// What became of it.
    pub outcome: String,
    /// The rule that ended the attempt; none if it went on from here.
    pub code: Option<&'static str>,
}

/// What became of a signer.
pub(super) enum Outcome {
    /// It signed, and breaks no rule: whatever signed it comes next.
    Followed,
    /// It is an authority, and the path holds.
    Accepted,
    /// It breaks a rule by itself.
    Refused(Fault),
    /// It is named as the issuer, but the signature isn't its own.
    DidNotSign(Fault),
    /// The path breaks a rule with it.
    Rejected(Rejection),
}

/// Collects the steps of a search.
#[derive(Default)]
pub(super) struct Trace(pub(super) Vec<ExplainedStep>);

impl Trace {
    pub(super) fn add(&mut self, depth: usize, certificate: &Certificate<'_>, place: Place, outcome: Outcome) {
        let (outcome, code) = outcome.describe();
        let (place, subject) = (place.to_string(), certificate.subject.text());
        self.0.push(ExplainedStep { depth, place, subject, outcome, code });
    }

    pub(super) fn has_signers(&self) -> bool {
        self.0.iter().any(|step| step.depth > 0)
    }

    /// The leaf, above all that was tried for it; `verdict` is why nothing was.
    pub(super) fn put_leaf(&mut self, leaf: &Certificate<'_>, spiffe_id: &SpiffeId, verdict: Option<&Rejection>) {
        let mut outcome = format!("names {spiffe_id}, issued by {}", leaf.issuer.text());
        if let Some(rejection) = verdict {
            outcome += &format!("; no signer was tried: {rejection}");
        }
        let (place, subject) = (Place::Leaf.to_string(), leaf.subject.text());
        self.0.insert(0, ExplainedStep { depth: 0, place, subject, outcome, code: verdict.map(Rejection::code) });
    }

    /// What was sent and can't be read, so that nothing is tried with it.
    pub(super) fn add_unreadable(&mut self, unreadable: &Rejection) {
        let Rejection::Certificate { place, subject, fault } = unreadable else { return };
        let (outcome, code) = (fault.to_string(), Some(fault.code()));
        self.0.push(ExplainedStep { depth: 0, place: place.to_string(), subject: subject.clone(), outcome, code });
    }
}

impl Trace {
    /// A key that was tried for a token.
    pub(super) fn add_key(&mut self, id: &AuthorityId, kind: &str, outcome: &Result<(), TokenFault>) {
        let (outcome, code) = match outcome {
            Ok(()) => ("signed it".into(), None),
            Err(fault) => (format!("did not sign it: {fault}"), Some(fault.code())),
        };
        self.0.push(ExplainedStep { depth: 1, place: format!("authority {id}"), subject: kind.into(), outcome, code });
    }
}

impl Outcome {
    fn describe(self) -> (String, Option<&'static str>) {
        match self {
            Self::Followed => ("signed it".into(), None),
            Self::Accepted => ("signed it, and is trusted: the path holds".into(), None),
            Self::Refused(fault) => (fault.to_string(), Some(fault.code())),
            Self::DidNotSign(fault) => {
                (format!("did not sign it: what it should have signed {fault}"), Some(fault.code()))
            }
            Self::Rejected(rejection) => (format!("signed it, but {rejection}"), Some(rejection.code())),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ExplainedStep { depth, place, subject, outcome, code } in &self.steps {
            let indent = "  ".repeat(*depth);
            write!(f, "{indent}{place} ({subject}): {outcome}")?;
            match code {
                Some(code) => writeln!(f, " [{code}]")?,
                None => writeln!(f)?,
            }
        }
        match &self.verdict {
            Ok(verified) => write!(f, "accepted: {} by {}", verified.spiffe_id, verified.authority),
            Err(rejection) => write!(f, "rejected: {rejection} [{}]", rejection.code()),
        }
    }
}
