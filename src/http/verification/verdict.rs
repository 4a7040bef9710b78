//! A verdict as API and command line write it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::AuthorityId;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::explain::{ExplainedStep, Explanation};
use crate::verify::policy::Lapse;
use crate::verify::rejection::{Place, Rejection};
use crate::verify::verified::Verified;

use super::question::Id;

/// Whether an SVID proves a SPIFFE ID. Each member is always written, unless it says otherwise; null where there is none.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The question's.
    pub(crate) id: Option<Id>,
    pub(crate) verdict: Outcome,
    /// Whom it proves; of a rejection, whom it claims to name, if that could be read.
    pub(crate) spiffe_id: Option<String>,
    /// The domain of that ID.
    pub(crate) trust_domain: Option<TrustDomain>,
    /// The authority that vouches for it.
    pub(crate) authority: Option<AuthorityId>,
    /// Why it is rejected.
    pub(crate) reason: Option<Reason>,
    /// The instant that was judged by.
    pub(crate) at: Option<Timestamp>,
    /// The certificates of the path by their places in the chain, from the leaf to the last before the authority.
    pub(crate) path: Option<Vec<usize>>,
    /// The number that the publisher gave the bundle.
    pub(crate) sequence: Option<u64>,
    /// Our number for the bundle; our own and those from files have none.
    pub(crate) revision: Option<u64>,
    /// The domain whose endpoint spoke for this one, if it wasn't its own.
    pub(crate) via: Option<TrustDomain>,
    /// First second in which the verdict holds.
    pub(crate) not_before: Option<Timestamp>,
    /// Last second in which it holds.
    pub(crate) not_after: Option<Timestamp>,
    /// What `svid_checks = "compatible"` let pass, by the codes of strict checks.
    #[serde(default)]
    pub(crate) lapses: Vec<String>,
    /// What an accepted JWT-SVID says besides; not written otherwise, nor in a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claims: Option<Map<String, Value>>,
    /// What was tried, in order; written if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) explanation: Option<Vec<Step>>,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Accepted,
    #[default]
    Rejected,
}

/// Why an SVID is rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reason {
    /// Stable identifier; see docs/problems.md.
    pub(crate) code: String,
    pub(crate) detail: String,
    /// The certificate it is about, by its place in the chain; the leaf is 0.
    pub(crate) certificate: Option<usize>,
}

/// One certificate or key in one place of one attempt, as in [`ExplainedStep`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) depth: usize,
    pub(crate) place: String,
    pub(crate) subject: String,
    pub(crate) outcome: String,
    pub(crate) code: Option<String>,
}

impl Verdict {
    /// `claimed` is whom the SVID claims to name, for a rejection.
    pub(super) fn of(judged: Result<Verified, Rejection>, claimed: impl FnOnce() -> Option<SpiffeId>) -> Self {
        match judged {
            Ok(verified) => Self::accepted(&verified),
            Err(rejection) => Self { reason: Some(Reason::from(&rejection)), ..Self::about(claimed().as_ref()) },
        }
    }

    fn accepted(verified: &Verified) -> Self {
        let path: Vec<_> = verified.path.iter().filter_map(Place::index).collect();
        Self {
            verdict: Outcome::Accepted,
            authority: Some(verified.authority.clone()),
            path: (!path.is_empty()).then_some(path),
            sequence: verified.sequence,
            revision: Some(verified.revision).filter(|revision| *revision > 0),
            via: verified.via.clone(),
            not_before: Some(verified.not_before.into()),
            not_after: Some(verified.not_after.into()),
            lapses: verified.lapses.iter().map(Lapse::code).map(str::to_owned).collect(),
            ..Self::about(Some(&verified.spiffe_id))
        }
    }

    fn about(spiffe_id: Option<&SpiffeId>) -> Self {
        let trust_domain = spiffe_id.map(|spiffe_id| spiffe_id.trust_domain().clone());
        Self { spiffe_id: spiffe_id.map(SpiffeId::to_string), trust_domain, ..Self::default() }
    }

    /// What should hold a chain can't be read, at this certificate if any.
    pub(crate) fn malformed_chain(detail: impl ToString, certificate: Option<usize>) -> Self {
        let reason = Reason { code: "malformed-chain".into(), detail: detail.to_string(), certificate };
        Self { reason: Some(reason), ..Self::default() }
    }

    /// The question itself can't be understood.
    pub(crate) fn malformed_input(detail: impl ToString) -> Self {
        let reason = Reason { code: "malformed-input".into(), detail: detail.to_string(), certificate: None };
        Self { reason: Some(reason), ..Self::default() }
    }

    pub(super) fn explained(self, explanation: Explanation) -> Self {
        Self { explanation: Some(explanation.steps.into_iter().map(Step::from).collect()), ..self }
    }

    /// Without what only somebody who asks about one SVID looks at.
    pub(crate) fn in_a_batch(self) -> Self {
        Self { claims: None, ..self }
    }

    pub(crate) fn is_accepted(&self) -> bool {
        self.verdict == Outcome::Accepted
    }
}

impl From<&Rejection> for Reason {
    fn from(rejection: &Rejection) -> Self {
        let certificate = match rejection {
            Rejection::Certificate { place, .. } | Rejection::UnknownAuthority { place, .. } => place.index(),
            _ => None,
        };
        Self { code: rejection.code().to_owned(), detail: dated(&rejection.to_string()), certificate }
    }
}

impl From<ExplainedStep> for Step {
    fn from(step: ExplainedStep) -> Self {
        let ExplainedStep { depth, place, subject, outcome, code } = step;
        Self { depth, place, subject: subject.into(), outcome: dated(&outcome), code: code.map(str::to_owned) }
    }
}

/// The Unix seconds in a message of the verifier as people read them.
fn dated(message: &str) -> String {
    let mut words: Vec<_> = message.split(' ').map(str::to_owned).collect();
    for index in 1..words.len() {
        let digits = words[index].trim_end_matches(',');
        if let (true, Ok(seconds)) = (TIME_FOLLOWS.contains(&&*words[index - 1]), digits.parse()) {
            words[index] = format!("{}{}", Timestamp::from_secs(seconds), &words[index][digits.len()..]);
        }
    }
    words.join(" ")
}

const TIME_FOLLOWS: [&str; 4] = ["from", "until", "before", "after"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_messages_are_for_people() {
        for (message, expected) in [
            (
                "leaf (CN=7) was valid until 1798236370, before 1893448800",
                "leaf (CN=7) was valid until 2026-12-25T22:06:10Z, before 2029-12-31T22:00:00Z",
            ),
            (
                "the token is valid from 0, leeway included, after 1798236370",
                "the token is valid from 1970-01-01T00:00:00Z, leeway included, after 2026-12-25T22:06:10Z",
            ),
            ("33 certificates were sent,  more than 32", "33 certificates were sent,  more than 32"),
            ("until", "until"),
            ("", ""),
        ] {
            assert_eq!(dated(message), expected);
        }
    }
}
