//! The proxy through which an endpoint is reached, if one is configured.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// An HTTP proxy that is asked to `CONNECT`: `http://host` or `http://host:port`, and nothing else (FEC-27).
///
/// What goes through it is TLS with the endpoint, so it learns the endpoint's host and nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyUrl(Url);

impl ProxyUrl {
    /// The URL.
    pub(crate) fn as_url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for ProxyUrl {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("http://").ok_or(ProxyUrlError::NotHttp)?;
        let url = Url::parse(text).map_err(|_| ProxyUrlError::Malformed)?;
        match () {
            () if rest.contains('@') => Err(ProxyUrlError::UserInfo),
            () if rest.trim_end_matches('/').contains(|c: char| "/\\?#".contains(c) || c.is_whitespace()) => {
                Err(ProxyUrlError::Malformed)
            }
            () if rest.starts_with('/') || url.host_str().is_none_or(str::is_empty) => Err(ProxyUrlError::Malformed),
            // What the client can't read as a proxy's host it would pass by.
            () if url.domain().is_some_and(|name| !name.bytes().all(is_of_name)) => Err(ProxyUrlError::Malformed),
            () => Ok(Self(url)),
        }
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Why a text is no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProxyUrlError {
    /// Another scheme: what is inside the tunnel is encrypted already.
    #[error("not an http URL; the proxy is asked to CONNECT, and TLS goes through it")]
    NotHttp,
    /// A secret in a configuration file.
    #[error("user information (\"user@\") is not allowed: let the proxy know us by our address")]
    UserInfo,
    /// More or less than host and port.
    #[error("not a URL such as http://proxy.internal:3128")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fec_27_a_proxy_is_a_host_and_a_port() {
        use ProxyUrlError::{Malformed, NotHttp, UserInfo};
        for (text, expected) in [
            ("http://proxy.internal:3128", Ok("http://proxy.internal:3128/")),
            ("http://proxy.internal/", Ok("http://proxy.internal/")),
            ("http://[::1]:3128", Ok("http://[::1]:3128/")),
            ("http://10.0.0.1:3128", Ok("http://10.0.0.1:3128/")),
            ("https://proxy.internal:3128", Err(NotHttp)),
            ("socks5://proxy.internal", Err(NotHttp)),
            ("proxy.internal:3128", Err(NotHttp)),
            ("", Err(NotHttp)),
            ("http://user:secret@proxy.internal", Err(UserInfo)),
            ("http://proxy.internal/path", Err(Malformed)),
            ("http://proxy.internal?x", Err(Malformed)),
            ("http://proxy.internal#x", Err(Malformed)),
            ("http:///proxy", Err(Malformed)),
            ("http://", Err(Malformed)),
            ("http://proxy internal", Err(Malformed)),
            ("http://proxy\\internal", Err(Malformed)),
            ("http://proxy:99999", Err(Malformed)),
            ("http://pro{xy}:3128", Err(Malformed)),
            ("http://pro'xy!:3128", Err(Malformed)),
        ] {
            assert_eq!(text.parse::<ProxyUrl>().map(|url| url.to_string()), expected.map(str::to_owned), "{text}");
        }
    }
}
