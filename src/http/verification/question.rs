//! What can be asked about an SVID.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::federation::timestamp::Timestamp;
use crate::verify::jwt::{Audiences, spiffe_id_of_token};
use crate::verify::rejection::Rejection;
use crate::verify::verifier::Verifier;
use crate::verify::x509::{Usage, spiffe_id_of};

use super::verdict::Verdict;
use super::{JWT_SVID, X509_SVID};

/// A question with one verdict for an answer.
pub(crate) trait Question: Serialize + DeserializeOwned + Send + 'static {
    /// Where the admin API takes it.
    const PATH: &'static str;

    /// What it lacks, although it could be read.
    fn check(&self) -> Result<(), &'static str>;

    /// Judges by the newest snapshot of `verifier`. An instant of its own makes the question hypothetical: the snapshot
    /// alone is asked, and nobody else learns of it.
    fn judge(&self, verifier: &Verifier, now: Timestamp) -> Verdict;
}

/// Whether a chain proves a SPIFFE ID.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct X509Question {
    /// Comes back with the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Id>,
    /// DER in base64, the leaf first; whatever is wrong with it is the verdict's to say.
    pub(crate) chain: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Role>,
    /// Whether to tell all that was tried.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) explain: bool,
}

/// Whether a token proves a SPIFFE ID to one of these audiences.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JwtQuestion {
    /// Comes back with the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Id>,
    pub(crate) token: String,
    /// At least one, none of them empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Timestamp>,
    /// Whether to tell all that was tried.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) explain: bool,
}

/// The side of a TLS connection that shows the SVID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Server,
    Client,
}

/// What the asker calls a question: a text, a number or a truth value, which comes back to the letter.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Id(Box<RawValue>);

impl Question for X509Question {
    const PATH: &'static str = X509_SVID;

    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn judge(&self, verifier: &Verifier, now: Timestamp) -> Verdict {
        let at = self.at.unwrap_or(now);
        let verdict = match self.certificates() {
            Ok(chain) => self.judge_chain(&chain, verifier, at),
            Err(index) => Verdict::malformed_chain(format!("certificate {index} is not base64"), Some(index)),
        };
        Verdict { id: self.id.clone(), at: Some(at), ..verdict }
    }
}

impl X509Question {
    /// In DER; or which of them is no base64.
    fn certificates(&self) -> Result<Vec<Vec<u8>>, usize> {
        (0..).zip(&self.chain).map(|(index, text)| STANDARD.decode(text).map_err(|_| index)).collect()
    }

    fn judge_chain(&self, chain: &[Vec<u8>], verifier: &Verifier, at: Timestamp) -> Verdict {
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Verdict::of(Err(Rejection::EmptyChain), || None);
        };
        let usage = match self.usage {
            Some(Role::Server) => Usage::Server,
            Some(Role::Client) => Usage::Client,
            None => Usage::Any,
        };
        let (snapshot, time) = (verifier.trust().load(), at.into());
        let judged = match self.at {
            None => verifier.verify_x509(leaf, intermediates, usage, time),
            Some(_) => snapshot.verify_x509(leaf, intermediates, usage, time),
        };
        let verdict = Verdict::of(judged, || spiffe_id_of(leaf).ok());
        match self.explain {
            true => verdict.explained(snapshot.explain_x509(leaf, intermediates, usage, time)),
            false => verdict,
        }
    }
}

impl Question for JwtQuestion {
    const PATH: &'static str = JWT_SVID;

    fn check(&self) -> Result<(), &'static str> {
        self.audiences().map(drop).ok_or(NO_AUDIENCE)
    }

    fn judge(&self, verifier: &Verifier, now: Timestamp) -> Verdict {
        let at = self.at.unwrap_or(now);
        let verdict = match self.audiences() {
            Some(audiences) => self.judge_token(&audiences, verifier, at),
            None => Verdict::malformed_input(NO_AUDIENCE),
        };
        Verdict { id: self.id.clone(), at: Some(at), ..verdict }
    }
}

impl JwtQuestion {
    fn audiences(&self) -> Option<Audiences> {
        Audiences::new(self.audience.iter().flatten().map(String::as_str))
    }

    fn judge_token(&self, audiences: &Audiences, verifier: &Verifier, at: Timestamp) -> Verdict {
        let (snapshot, time) = (verifier.trust().load(), at.into());
        let judged = match self.at {
            None => verifier.verify_jwt(&self.token, audiences, time),
            Some(_) => snapshot.verify_jwt(&self.token, audiences, time),
        };
        let (judged, claims) = match judged {
            Ok(token) => (Ok(token.verified), Some(token.claims)),
            Err(rejection) => (Err(rejection), None),
        };
        let verdict = Verdict { claims, ..Verdict::of(judged, || spiffe_id_of_token(&self.token).ok()) };
        match self.explain {
            true => verdict.explained(snapshot.explain_jwt(&self.token, audiences, time)),
            false => verdict,
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match raw.get().starts_with(['{', '[']) {
            true => Err(D::Error::custom("an id is a string, a number, true or false")),
            false => Ok(Self(raw)),
        }
    }
}

const NO_AUDIENCE: &str = "audience: name at least one, none of them empty";
