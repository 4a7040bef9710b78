//! Why a fetch failed, with what would be right.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::federation::relationship::EndpointUrlError;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;

use super::address::AddressRefusal;

/// Why a fetch brought no bundle. Text that came from the peer is escaped and cut to 200 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FetchError {
    /// Nothing to authenticate an `https_spiffe` endpoint with (FEC-12).
    #[error("no bundle for the endpoint's trust domain {trust_domain}; give its bootstrap_bundle")]
    NoBundle {
        /// The domain of the endpoint's ID.
        trust_domain: TrustDomain,
    },
    /// The domain in which the endpoint is can't vouch for anybody at this time.
    #[error(
        "trust domain {trust_domain}, in which the endpoint is, proves nothing at this time ({state}); polls go on once it does"
    )]
    HostNotTrusted {
        /// The domain of the endpoint's ID.
        trust_domain: TrustDomain,
        /// The code of what is wrong with it.
        state: &'static str,
    },
    /// Nothing to authenticate a pinned endpoint with.
    #[error(
        "neither the TLS handshake nor the document has the CA certificate sha256:{pin}; compare pinned_authority with \
         the peer's operator"
    )]
    PinnedAuthorityMissing {
        /// The configured digest.
        pin: Fingerprint,
    },
    /// Nothing to authenticate an `https_web` endpoint with.
    #[error("there are no root certificates; install the system's, or configure the endpoint's CA")]
    NoRoots,
    /// The host has no address, or the resolver failed.
    #[error("host {host} cannot be resolved: {detail}")]
    NameNotResolved {
        /// Host of the URL.
        host: String,
        /// What the resolver said.
        detail: String,
    },
    /// All addresses of the host are ones we do not connect to (FEC-30).
    #[error("{host} is at {address}, which is refused: {reason}")]
    AddressRefused {
        /// Host of the URL.
        host: String,
        /// One of its addresses.
        address: IpAddr,
        /// Which rule.
        reason: AddressRefusal,
    },
    /// No TCP connection.
    #[error("cannot connect to {host}: {detail}")]
    ConnectFailed {
        /// Host of the URL.
        host: String,
        /// What the system said.
        detail: String,
    },
    /// The proxy is not there, or does not let us through.
    #[error("proxy {proxy} does not connect us to {host}: {detail}")]
    ProxyFailed {
        /// The configured proxy.
        proxy: String,
        /// Host of the URL.
        host: String,
        /// What it said, or the system.
        detail: String,
    },
    /// Too slow (FEC-26).
    #[error("timed out {stage} after {limit:?}")]
    TimedOut {
        /// What was being waited for.
        stage: Stage,
        /// The limit that was reached.
        limit: Duration,
    },
    /// The TLS handshake failed for another reason than the certificate.
    #[error("TLS with {host} failed: {detail}")]
    TlsFailed {
        /// Host of the URL.
        host: String,
        /// What TLS said.
        detail: String,
    },
    /// The certificate does not authenticate the endpoint (FEC-08, FEC-10).
    #[error("the certificate of {host} is refused ({rejection}): {detail}")]
    CertificateRejected {
        /// Host of the URL.
        host: String,
        /// Stable code of the rejection.
        rejection: &'static str,
        /// The rejection in words.
        detail: String,
    },
    /// The certificate is evidently one for the other profile, to which we never switch by ourselves (FEC-09).
    #[error("{host} shows {shown}, which {configured} refuses ({rejection}); maybe profile = \"{suggested}\" is meant")]
    WrongProfile {
        /// Host of the URL.
        host: String,
        /// What the certificate is.
        shown: String,
        /// The profile of the relationship.
        configured: &'static str,
        /// The other one.
        suggested: &'static str,
        /// Stable code of the rejection.
        rejection: &'static str,
    },
    /// The answer that was waited for came over a connection whose certificate doesn't authenticate the endpoint any
    /// more (FEC-11, FEC-16).
    #[error(
        "the certificate of {host} is refused by now ({rejection}), so the answer that was waited for is discarded: \
         {detail}"
    )]
    CertificateOutlived {
        /// Host of the URL.
        host: String,
        /// Stable code of the rejection.
        rejection: &'static str,
        /// The rejection in words.
        detail: String,
    },
    /// The endpoint was asked to wait, and there was no answer of use.
    #[error("the wait for a change was cut off after {held:?}, so the endpoint is polled plainly: {reason}")]
    WaitCutOff {
        /// Time since the handshake.
        held: Duration,
        /// What ended it.
        #[source]
        reason: Box<Self>,
    },
    /// An X509-SVID of somebody else (FEC-10).
    #[error(
        "{host} says it is \"{presented}\", expected \"{expected}\"; compare endpoint_spiffe_id with the peer's operator"
    )]
    EndpointIdMismatch {
        /// Host of the URL.
        host: String,
        /// The configured ID.
        expected: SpiffeId,
        /// Whom the certificate names; it was not verified further.
        presented: String,
    },
    /// A redirect that is not followed (FEC-17, FEC-19).
    #[error("redirect to \"{target}\" is not followed: {reason}")]
    RedirectRefused {
        /// The `Location`.
        target: String,
        /// Which rule.
        reason: RedirectRefusal,
    },
    /// More redirects than allowed.
    #[error("more than {limit} redirects; the last one leads to \"{target}\"")]
    TooManyRedirects {
        /// The `Location` that was not followed.
        target: String,
        /// The relationship's limit.
        limit: u8,
    },
    /// Neither 200 nor anything else that we know what to do with (FEC-23).
    #[error("the endpoint answered with status {status}, expected 200; is the path right?")]
    UnexpectedStatus {
        /// HTTP status.
        status: u16,
    },
    /// 304 to a request without `If-None-Match` (FEC-23).
    #[error("the endpoint answered 304 Not Modified to an unconditional request; some cache in between is broken")]
    NotModifiedUnasked,
    /// The head of the answer is no HTTP, or the connection ended before it.
    #[error("no usable HTTP answer from {host}: {detail}")]
    BadResponse {
        /// Host of the URL.
        host: String,
        /// What was wrong.
        detail: String,
    },
    /// A `Content-Encoding` that we did not offer.
    #[error("the body is encoded as \"{encoding}\"; only gzip was offered")]
    UnknownEncoding {
        /// The header's value.
        encoding: String,
    },
    /// Larger than a bundle may be, after decompression (FEC-25).
    #[error("the body exceeds {limit} bytes (after decompression)")]
    BodyTooLarge {
        /// Limit in bytes.
        limit: usize,
    },
    /// The body broke off or could not be decoded.
    #[error("the body broke off or is damaged after {received} bytes: {detail}")]
    BodyFailed {
        /// Bytes decoded until then.
        received: usize,
        /// What was wrong.
        detail: String,
    },
}

impl FetchError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoBundle { .. } => "no-endpoint-bundle",
            Self::HostNotTrusted { .. } => "endpoint-host-untrusted",
            Self::PinnedAuthorityMissing { .. } => "pinned-authority-missing",
            Self::NoRoots => "no-roots",
            Self::NameNotResolved { .. } => "name-not-resolved",
            Self::AddressRefused { .. } => "address-refused",
            Self::ConnectFailed { .. } => "connect-failed",
            Self::ProxyFailed { .. } => "proxy-failed",
            Self::TimedOut { .. } => "timed-out",
            Self::TlsFailed { .. } => "tls-failed",
            Self::CertificateRejected { .. } => "certificate-rejected",
            Self::WrongProfile { .. } => "wrong-profile",
            Self::CertificateOutlived { .. } => "certificate-outlived",
            Self::WaitCutOff { .. } => "wait-cut-off",
            Self::EndpointIdMismatch { .. } => "endpoint-id-mismatch",
            Self::RedirectRefused { .. } => "redirect-refused",
            Self::TooManyRedirects { .. } => "too-many-redirects",
            Self::UnexpectedStatus { .. } => "unexpected-status",
            Self::NotModifiedUnasked => "not-modified-unasked",
            Self::BadResponse { .. } => "bad-response",
            Self::UnknownEncoding { .. } => "unknown-encoding",
            Self::BodyTooLarge { .. } => "body-too-large",
            Self::BodyFailed { .. } => "body-failed",
        }
    }
}

/// What a fetch was waiting for when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The address of the host.
    Resolving,
    /// TCP and TLS.
    Connecting,
    /// The head of the answer.
    Waiting,
    /// The rest of the body.
    Reading,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "resolving the host",
            Self::Connecting => "connecting",
            Self::Waiting => "waiting for the answer",
            Self::Reading => "reading the body",
        })
    }
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedirectRefusal {
    /// The relationship says `redirects = 0` (FEC-19).
    #[error("redirects are switched off for this relationship")]
    SwitchedOff,
    /// A URL of this fetch once more.
    #[error("it was visited before")]
    Loop,
    /// Not the URL of a bundle endpoint (FEC-03).
    #[error("{0}")]
    Url(#[source] EndpointUrlError),
    /// Bytes that no URL has.
    #[error("it is not text")]
    NotText,
}

/// Text of a peer as it may stand in a log or on a terminal: escaped, at most 200 characters.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown: String = text.chars().flat_map(char::escape_debug).take(MAX_SHOWN + 1).collect();
    if let Some((cut, _)) = shown.char_indices().nth(MAX_SHOWN) {
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}

/// The innermost cause in words, escaped.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let innermost = causes(error).last().map_or_else(String::new, ToString::to_string);
    escaped(&innermost)
}

/// An error and its causes, those inside an `io::Error` included, which `source` passes over.
pub(super) fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

const MAX_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_peer_is_escaped_and_cut() {
        assert_eq!(escaped("a\u{1b}[31m\n\u{202e}"), "a\\u{1b}[31m\\n\\u{202e}");
        assert_eq!(escaped(&"x".repeat(200)), "x".repeat(200));
        assert_eq!(escaped(&"x".repeat(201)), format!("{}…", "x".repeat(200)));
    }

    #[test]
    fn a_cause_inside_an_io_error_is_found() {
        let error = io::Error::other(io::Error::other(rustls::Error::DecryptError));
        assert!(causes(&error).any(|cause| cause.is::<rustls::Error>()));
    }
}
