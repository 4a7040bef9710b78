//! What both protocols of SDS have in common: nonces, answers and refusals.

use envoy_types::pb::google::rpc::Status;

use crate::federation::trust_feed::Generation;

use super::secrets::{Secrets, type_url};

/// One stream of requests and responses, without its transport.
pub(super) trait Dialogue: Default + Send + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;

    /// Takes a request in, and says what it tells of the response before it.
    fn hear(&mut self, request: Self::Request, secrets: &Secrets) -> Result<Heard, Refusal>;

    /// The next response, if one is due.
    fn say(&mut self, secrets: &Secrets) -> Option<Self::Response>;

    fn exchange(&self) -> &Exchange;
}

/// What a request tells of the response that it answers.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Nothing,
    /// ACK. `is_news` if the response told of a change, rather than answered a request.
    Accepted {
        generation: Generation,
        is_news: bool,
    },
    /// NACK, with what the client says.
    Refused {
        detail: String,
    },
}

/// Why a stream ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "no Secret {name:?} is here for this caller: it knows none of that name, or its rule shows it no such domain"
    )]
    UnknownName { name: String },
    #[error("{given:?} can't be had by SDS, only {}", type_url())]
    ResourceType { given: String },
    #[error("more than {MOST_NAMES} resource names are asked for")]
    TooManyNames,
}

impl Refusal {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::UnknownName { .. } => "unknown-secret",
            Self::ResourceType { .. } => "unknown-resource-type",
            Self::TooManyNames => "too-many-secrets",
        }
    }

    pub(super) fn unknown(name: &str) -> Self {
        Self::UnknownName { name: shortened(name) }
    }
}

/// How far the exchange is: what was sent last, and whether it was answered.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    count: u64,
    last: Option<Sent>,
}

#[derive(Debug)]
struct Sent {
    nonce: String,
    generation: Generation,
    is_news: bool,
    /// Whether the client took it over, once it has said.
    accepted: Option<bool>,
}

impl Exchange {
    /// The nonce of a response that goes out now.
    pub(super) fn send(&mut self, generation: Generation, is_news: bool) -> String {
        self.count += 1;
        let nonce = self.count.to_string();
        self.last = Some(Sent { nonce: nonce.clone(), generation, is_news, accepted: None });
        nonce
    }

    /// What a request with this nonce tells; `None` if it answers something older (SDS-04).
    pub(super) fn answered(&mut self, nonce: &str, error: Option<&Status>) -> Option<Heard> {
        if nonce.is_empty() {
            return Some(Heard::Nothing);
        }
        let last = self.last.as_mut().filter(|last| last.nonce == nonce)?;
        if last.accepted.is_some() {
            return Some(Heard::Nothing);
        }
        last.accepted = Some(error.is_none());
        Some(match error {
            None => Heard::Accepted { generation: last.generation, is_news: last.is_news },
            Some(error) => Heard::Refused { detail: shortened(&error.message) },
        })
    }

    /// Whether the client has all that it was sent.
    pub(super) fn is_settled(&self) -> bool {
        self.last.as_ref().is_none_or(|last| last.accepted == Some(true))
    }
}

/// Refuses what is no Secret, and more names than there may be.
pub(super) fn check(given: &str, names: usize) -> Result<(), Refusal> {
    if !given.is_empty() && given != type_url() {
        return Err(Refusal::ResourceType { given: shortened(given) });
    }
    if names > MOST_NAMES { Err(Refusal::TooManyNames) } else { Ok(()) }
}

/// Stands for every Secret, as in all of xDS.
pub(super) const WILDCARD: &str = "*";

/// What somebody else wrote, for the log and for errors, in one line.
fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Resource names of one request, and of one stream at a time. An Envoy asks for one or two.
const MOST_NAMES: usize = 1024;
/// Characters: more than `spiffe://` and the longest name of a trust domain.
const LONGEST_TEXT: usize = 300;
