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
    /// The same of each hop before it, by its URL.
    pub(crate) shown_before: Vec<(String, Option<Shown>)>,
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
            shown_before: Vec::new(),
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
        let before = std::mem::replace(&mut self.final_url, url.to_string());
        if !self.visited.is_empty() {
            self.shown_before.push((before, self.shown.take()));
        }
        self.visited.push(url.to_string());
        (self.address, self.peer, self.status) = (None, None, None);
    }

    /// The last place of this fetch at which the other one was too: whoever has it in hand had a say in both answers.
    pub(crate) fn meets(&self, other: &Self) -> Option<String> {
        let theirs = other.places();
        self.places().into_iter().rev().find(|place| theirs.contains(place))
    }

    fn places(&self) -> Vec<String> {
        self.visited.iter().filter_map(|url| Some(url.parse::<EndpointUrl>().ok()?.place())).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(visited: &[&str]) -> FetchRecord {
        let url = |text: &str| text.parse().unwrap();
        let mut record = FetchRecord::new(&url(visited[0]));
        visited.iter().for_each(|text| record.enter(&url(text)));
        record
    }

    #[test]
    fn two_fetches_meet_where_one_host_and_port_had_a_say_in_both() {
        for (name, one, two, expected) in [
            ("apart", vec!["https://a.example/"], vec!["https://b.example/"], None),
            ("other ports", vec!["https://a.example/"], vec!["https://a.example:8443/"], None),
            ("one host", vec!["https://a.example/1"], vec!["https://A.example:443/2"], Some("a.example:443")),
            ("a dot more", vec!["https://a.example/"], vec!["https://a.example./"], Some("a.example:443")),
            (
                "one end",
                vec!["https://a.example/", "https://c.example/1"],
                vec!["https://b.example/", "https://c.example/2"],
                Some("c.example:443"),
            ),
            (
                "one on the way, from which they part",
                vec!["https://a.example/", "https://c.example/", "https://d.example/"],
                vec!["https://b.example/", "https://c.example/", "https://e.example/"],
                Some("c.example:443"),
            ),
            (
                "one leads to the other",
                vec!["https://a.example/", "https://b.example/x"],
                vec!["https://b.example/"],
                Some("b.example:443"),
            ),
        ] {
            assert_eq!(fetch(&one).meets(&fetch(&two)).as_deref(), expected, "{name}");
            assert_eq!(fetch(&two).meets(&fetch(&one)).as_deref(), expected, "{name}, the other way round");
        }
    }
}
