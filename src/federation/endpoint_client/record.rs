//! What is known of a fetch afterwards, however it ended.

use std::net::SocketAddr;
use std::time::Duration;

use crate::federation::relationship::EndpointUrl;
use crate::spiffe::public_key::Fingerprint;
use crate::verify::presented::PresentedLeaf;

use super::error::Stage;
use super::wait::Waited;

/// One attempt, for later forensics (FEC-28), filled as far as it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchRecord {
    /// The configured URL.
    pub(crate) url: String,
    /// What it was reached through.
    pub(crate) proxy: Option<String>,
    /// The URL of the last hop.
    pub(crate) final_url: String,
    /// Address of the first hop, once it has answered.
    pub(crate) first_address: Option<SocketAddr>,
    /// Address of the last hop, or of the proxy: the connected one, or the first that was tried.
    pub(crate) address: Option<SocketAddr>,
    /// Who answered: its SPIFFE ID once that is authenticated, else `sha256:` and the fingerprint of the
    /// certificate it showed.
    pub(crate) peer: Option<String>,
    /// What the last hop showed in its TLS handshake, proven or not.
    pub(crate) shown: Option<Shown>,
    /// The same of the first hop, if its answer was waited for.
    pub(crate) waited_on: Option<Shown>,
    /// The URLs that were asked, in order.
    pub(crate) visited: Vec<String>,
    /// HTTP status of the last hop.
    pub(crate) status: Option<u16>,
    /// Bytes of the body so far, after decompression.
    pub(crate) bytes: usize,
    /// SHA-256 of the whole body.
    pub(crate) digest: Option<Fingerprint>,
    /// How long a cache had held the answer (`Age`, RFC 9111 §5.1).
    pub(crate) age: Option<Duration>,
    /// By how many seconds the clock of whoever answered is ahead of ours, by its `Date`.
    pub(crate) clock_ahead: Option<i64>,
    /// How the answer was waited for, once the first hop's handshake was done, if it was asked for that.
    pub(crate) waited: Option<Waited>,
    /// Time that the fetch took.
    pub(crate) elapsed: Duration,
}

/// What a TLS server showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) leaf: PresentedLeaf,
    /// `1.2` or `1.3`; none if the handshake ended before.
    pub(crate) tls_version: Option<&'static str>,
}

impl FetchRecord {
    pub(super) fn new(url: &EndpointUrl) -> Self {
        Self {
            url: url.to_string(),
            proxy: None,
            final_url: url.to_string(),
            first_address: None,
            address: None,
            peer: None,
            shown: None,
            waited_on: None,
            visited: Vec::new(),
            status: None,
            bytes: 0,
            digest: None,
            age: None,
            clock_ahead: None,
            waited: None,
            elapsed: Duration::ZERO,
        }
    }

    /// Begins another hop, of which nothing is known yet.
    pub(super) fn enter(&mut self, url: &EndpointUrl) {
        self.final_url = url.to_string();
        self.visited.push(url.to_string());
        (self.address, self.peer, self.shown, self.status) = (None, None, None, None);
    }

    /// What is being waited for.
    pub(super) fn stage(&self) -> Stage {
        match (self.address, self.status) {
            (None, _) => Stage::Resolving,
            (Some(_), None) => Stage::Waiting,
            (Some(_), Some(_)) => Stage::Reading,
        }
    }
}
