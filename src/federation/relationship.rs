//! Federation relationships: whose bundle we fetch, from where, and on what terms.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::spiffe::bundle::Bundle;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::policy::Policy;

use super::proxy::ProxyUrl;
use super::timestamp::Timestamp;

/// One-way trust in a foreign domain: its bundle endpoint, how that is authenticated, and our policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FederationRelationship {
    /// The foreign domain, known before any fetch (FEC-22).
    pub(crate) trust_domain: TrustDomain,
    /// Where its bundle is served.
    pub(crate) endpoint: BundleEndpoint,
    /// What an `https_spiffe` relationship begins with.
    pub(crate) bootstrap: Option<Bootstrap>,
    /// How additions are treated.
    pub(crate) change_control: ChangeControl,
    /// Whether a new key counts only where two of the endpoint's URLs serve it.
    pub(crate) two_routes: bool,
    /// Whether the endpoint is asked to answer only once its bundle changes.
    pub(crate) wait: bool,
    /// For `overlapping`: how long a new key must have been public; `None` means 3 hints, at least 15 min.
    pub(crate) key_notice: Option<Duration>,
    /// Age beyond which the bundle verifies nothing; `None` is the written "off".
    pub(crate) maximum_staleness: Option<Duration>,
    /// Bounds on the poll interval.
    pub(crate) poll: PollPolicy,
    /// What the domain's SVIDs may be and say.
    pub(crate) policy: Arc<Policy>,
}

impl FederationRelationship {
    /// The first second after its end, if it has one.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.policy.not_after.map(|last| Timestamp::from(last).after(Duration::from_secs(1)))
    }

    /// The domain whose endpoint speaks for this one, if that is not its own (FEC-13).
    pub(crate) fn via(&self) -> Option<&TrustDomain> {
        match &self.endpoint.profile {
            EndpointProfile::HttpsSpiffe { endpoint_id } => Some(endpoint_id.trust_domain()),
            EndpointProfile::HttpsWeb { .. } => None,
        }
        .filter(|host| **host != self.trust_domain)
    }

    /// The bundle that it begins with, if it has one.
    pub(crate) fn bootstrap_bundle(&self) -> Option<&Arc<Bundle>> {
        match &self.bootstrap {
            Some(Bootstrap::Bundle(bundle)) => Some(bundle),
            Some(Bootstrap::PinnedAuthority(_)) | None => None,
        }
    }

    /// The pin that it begins with, if it has one.
    pub(crate) fn pinned_authority(&self) -> Option<Fingerprint> {
        match &self.bootstrap {
            Some(Bootstrap::PinnedAuthority(pin)) => Some(*pin),
            Some(Bootstrap::Bundle(_)) | None => None,
        }
    }

    /// Whether this is the same relationship but for the terms of verification.
    pub(crate) fn differs_in_policy_only(&self, other: &Self) -> bool {
        Self { policy: other.policy.clone(), ..self.clone() } == *other
    }

    /// How long a new key must have been public before `overlapping` accepts it: as configured, else
    /// three refresh hints within the poll bounds, at least 15 min.
    pub(crate) fn key_notice(&self, refresh_hint: Option<Duration>) -> Duration {
        self.key_notice.unwrap_or_else(|| (self.poll.interval(refresh_hint) * 3).max(Duration::from_secs(900)))
    }
}

/// What authenticates an `https_spiffe` endpoint until something was accepted from it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bootstrap {
    /// A bundle, known by another way, which is accepted as it is.
    Bundle(Arc<Bundle>),
    /// The SHA-256 of a CA certificate's DER. It says nothing of any document.
    PinnedAuthority(Fingerprint),
}

/// A bundle endpoint as configured (Federation §5.2).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BundleEndpoint {
    /// The URL at which every poll starts (FEC-18).
    pub(crate) url: EndpointUrl,
    /// Where the same bundle is served besides: asked in this order while those before fail.
    pub(crate) fallbacks: Vec<EndpointUrl>,
    /// How the endpoint is authenticated.
    pub(crate) profile: EndpointProfile,
    /// Redirects followed per fetch, 0 to 5 (FEC-19).
    pub(crate) redirects: u8,
    /// Whether the endpoint may be at a link-local address (FEC-30).
    pub(crate) allow_link_local: bool,
    /// What all its URLs are reached through; never from the environment (FEC-27).
    pub(crate) proxy: Option<ProxyUrl>,
}

impl BundleEndpoint {
    /// All URLs, in the order in which they are asked.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &EndpointUrl> {
        std::iter::once(&self.url).chain(&self.fallbacks)
    }
}

/// How a bundle endpoint is authenticated.
#[derive(Clone, Debug)]
pub(crate) enum EndpointProfile {
    /// By a certificate for its host name under the system's roots, or under exactly these.
    HttpsWeb {
        /// A private root set that replaces the system's (FEC-04).
        roots: Option<Arc<RootCertStore>>,
    },
    /// By an X509-SVID with exactly this ID, under the latest accepted bundle.
    HttpsSpiffe {
        /// The endpoint's ID; its path is not empty (FEC-05).
        endpoint_id: SpiffeId,
    },
}

impl PartialEq for EndpointProfile {
    fn eq(&self, other: &Self) -> bool {
        let anchors = |roots: &Option<Arc<RootCertStore>>| roots.as_ref().map(|roots| roots.roots.clone());
        match (self, other) {
            (Self::HttpsWeb { roots: a }, Self::HttpsWeb { roots: b }) => anchors(a) == anchors(b),
            (Self::HttpsSpiffe { endpoint_id: a }, Self::HttpsSpiffe { endpoint_id: b }) => a == b,
            _ => false,
        }
    }
}

impl EndpointProfile {
    /// The standard's name for it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::HttpsWeb { .. } => "https_web",
            Self::HttpsSpiffe { .. } => "https_spiffe",
        }
    }
}

/// An `https` URL with a host and without user information (FEC-03).
///
/// Spellings that a URL parser would repair (`https:host`, `https:///host`, backslashes, white space)
/// are refused, so that what was written is what is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointUrl(Url);

impl EndpointUrl {
    /// The URL.
    pub(crate) fn as_url(&self) -> &Url {
        &self.0
    }

    /// Host and port: whoever has them in hand answers for every URL there.
    pub(crate) fn place(&self) -> String {
        let host = self.0.host_str().unwrap_or_default().trim_end_matches('.');
        format!("{host}:{}", self.0.port_or_known_default().unwrap_or_default())
    }

    /// A redirect target, possibly relative to this URL. Its fragment is dropped.
    pub(crate) fn join(&self, location: &str) -> Result<Self, EndpointUrlError> {
        check_spelling(location)?;
        let mut target = self.0.join(location).map_err(|_| EndpointUrlError::Malformed)?;
        target.set_fragment(None);
        Self::checked(target)
    }

    fn checked(url: Url) -> Result<Self, EndpointUrlError> {
        match () {
            () if url.scheme() != "https" => Err(EndpointUrlError::NotHttps),
            () if !url.username().is_empty() || url.password().is_some() => Err(EndpointUrlError::UserInfo),
            () if url.host_str().is_none_or(str::is_empty) => Err(EndpointUrlError::NoHost),
            () => Ok(Self(url)),
        }
    }
}

impl FromStr for EndpointUrl {
    type Err = EndpointUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_spelling(text)?;
        let mut url = Url::parse(text).map_err(|_| EndpointUrlError::Malformed)?;
        // It is never sent, and must not make two URLs of one.
        url.set_fragment(None);
        Self::checked(url)
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Why a text is no bundle endpoint URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EndpointUrlError {
    /// No absolute URL.
    #[error("not an absolute URL such as https://bundle.example.org/")]
    Malformed,
    /// Another scheme.
    #[error("the scheme is not https")]
    NotHttps,
    /// `user@` or `user:password@`.
    #[error("user information (\"user@\") is not allowed")]
    UserInfo,
    /// No host.
    #[error("the URL has no host")]
    NoHost,
}

/// Refuses what a parsed URL no longer shows: an empty user name, an empty authority, odd characters.
fn check_spelling(text: &str) -> Result<(), EndpointUrlError> {
    if text.contains(|c: char| c == '\\' || c.is_whitespace() || c.is_control()) {
        return Err(EndpointUrlError::Malformed);
    }
    let (scheme, rest) = match text.find([':', '/', '?', '#']) {
        Some(at) if text[at..].starts_with(':') => (Some(&text[..at]), &text[at + 1..]),
        _ => (None, text),
    };
    if scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("https")) {
        return Err(EndpointUrlError::NotHttps);
    }
    let authority = rest.strip_prefix("//").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    match authority {
        Some("") => Err(EndpointUrlError::NoHost),
        Some(authority) if authority.contains('@') => Err(EndpointUrlError::UserInfo),
        None if scheme.is_some() => Err(EndpointUrlError::Malformed),
        _ => Ok(()),
    }
}

/// Who decides about new keys. Removals apply at once in every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeControl {
    /// An authenticated endpoint's word is enough.
    #[default]
    Automatic,
    /// A key is accepted when an older one is still there and it has been public for a while: a guard
    /// against accidents, not against whoever owns the endpoint.
    Overlapping,
    /// A person accepts each addition, the first bundle included.
    Manual,
}

/// Bounds on the poll interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PollPolicy {
    minimum: Duration,
    maximum: Duration,
}

impl PollPolicy {
    /// `None` unless 1 s ≤ minimum ≤ maximum ≤ 24 h.
    pub(crate) fn new(minimum: Duration, maximum: Duration) -> Option<Self> {
        let fits = Duration::from_secs(1) <= minimum && minimum <= maximum && maximum <= Duration::from_secs(86_400);
        fits.then_some(Self { minimum, maximum })
    }

    /// The interval that a peer's hint asks for, within the bounds; 5 min without a hint (SEQ-09, SEQ-10).
    pub(crate) fn interval(&self, refresh_hint: Option<Duration>) -> Duration {
        refresh_hint.unwrap_or(Duration::from_secs(300)).clamp(self.minimum, self.maximum)
    }

    /// Shortest interval between polls.
    pub(crate) fn minimum(&self) -> Duration {
        self.minimum
    }

    /// Longest interval between polls.
    pub(crate) fn maximum(&self) -> Duration {
        self.maximum
    }
}

impl Default for PollPolicy {
    fn default() -> Self {
        Self { minimum: Duration::from_secs(60), maximum: Duration::from_secs(3600) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use EndpointUrlError::{Malformed, NoHost, NotHttps, UserInfo};

    #[test]
    fn fec_03_an_endpoint_url_is_https_with_a_host_and_nobody_before_it() {
        for (url, expected) in [
            ("https://b.example", Ok("https://b.example/")),
            ("https://b.example/bundle?a=b", Ok("https://b.example/bundle?a=b")),
            ("HTTPS://B.example:8443/", Ok("https://b.example:8443/")),
            ("https://10.0.0.1/", Ok("https://10.0.0.1/")),
            ("https://[::1]:8443/", Ok("https://[::1]:8443/")),
            ("https://b.example/a@b", Ok("https://b.example/a@b")),
            ("https://b.example/?next=https://u@h/", Ok("https://b.example/?next=https://u@h/")),
            ("http://b.example/", Err(NotHttps)),
            ("file:///etc/passwd", Err(NotHttps)),
            ("ftp://b.example/", Err(NotHttps)),
            ("spiffe://b.example/x", Err(NotHttps)),
            ("b.example:8443", Err(NotHttps)),
            ("https://u:p@b.example/", Err(UserInfo)),
            ("https://u@b.example/", Err(UserInfo)),
            ("https://:p@b.example/", Err(UserInfo)),
            ("https://@b.example/", Err(UserInfo)),
            ("https://:@b.example/", Err(UserInfo)),
            ("https://", Err(NoHost)),
            ("https:///bundle", Err(NoHost)),
            ("https://:8443/", Err(Malformed)),
            ("https:b.example", Err(Malformed)),
            ("https:/b.example", Err(Malformed)),
            ("https:\\\\b.example", Err(Malformed)),
            (" https://b.example/", Err(Malformed)),
            ("https://b.exa\tmple/", Err(Malformed)),
            ("https://b.example:99999/", Err(Malformed)),
            ("https://b example/", Err(Malformed)),
            ("https://[::1/", Err(Malformed)),
            ("/bundle", Err(Malformed)),
            ("b.example/bundle", Err(Malformed)),
            ("", Err(Malformed)),
        ] {
            let read = url.parse::<EndpointUrl>().map(|read| read.to_string());
            assert_eq!(read, expected.map(str::to_owned), "{url}");
        }
    }

    #[test]
    fn fec_17_a_redirect_target_is_held_to_the_same_rules() {
        let base: EndpointUrl = "https://b.example/a/b?q".parse().unwrap();
        for (location, expected) in [
            ("https://c.example/x", Ok("https://c.example/x")),
            ("//c.example/x", Ok("https://c.example/x")),
            ("/x", Ok("https://b.example/x")),
            ("x", Ok("https://b.example/a/x")),
            ("../x", Ok("https://b.example/x")),
            ("?p", Ok("https://b.example/a/b?p")),
            ("/a//u@c.example", Ok("https://b.example/a//u@c.example")),
            ("", Ok("https://b.example/a/b?q")),
            ("#f", Ok("https://b.example/a/b?q")),
            ("http://b.example/", Err(NotHttps)),
            ("javascript:alert(1)", Err(NotHttps)),
            ("https://u@c.example/", Err(UserInfo)),
            ("https://@c.example/", Err(UserInfo)),
            ("//u:p@c.example/", Err(UserInfo)),
            ("//@c.example/", Err(UserInfo)),
            ("///c.example/", Err(NoHost)),
            ("https:///c.example/", Err(NoHost)),
            ("/\\c.example/", Err(Malformed)),
            ("\\\\c.example/", Err(Malformed)),
            ("https:c.example", Err(Malformed)),
            ("/\t/c.example", Err(Malformed)),
        ] {
            let joined = base.join(location).map(|joined| joined.to_string());
            assert_eq!(joined, expected.map(str::to_owned), "{location}");
        }
    }
}
