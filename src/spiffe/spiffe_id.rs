//! SPIFFE IDs, read from raw bytes: a URL library would lower-case, decode and resolve (ID-01).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::trust_domain::{TrustDomain, TrustDomainError};

/// A SPIFFE ID, `spiffe://trust-domain/path`, of at most 2048 bytes (SPIFFE-ID §2).
///
/// Holding one is proof of its syntax. The path may be empty (a root ID); whether that is allowed
/// depends on where the ID stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    path: Arc<str>,
}

impl SpiffeId {
    /// Longest ID in bytes (SPIFFE-ID §2.3).
    pub const MAX_BYTES: usize = 2048;

    /// Reads an ID from bytes that need not be UTF-8, such as an IA5String of a certificate.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SpiffeIdError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(SpiffeIdError::TooLong { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|e| SpiffeIdError::BadCharacter { at: e.valid_up_to() })?;
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let (name, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let trust_domain = name.parse().map_err(SpiffeIdError::TrustDomain)?;
        check_path(path, SCHEME.len() + name.len())?;
        Ok(Self { trust_domain, path: path.into() })
    }

    /// The domain whose authorities may vouch for this ID.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading slash; empty in a root ID.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the path is empty: the ID of the trust domain itself, which no workload may bear.
    pub fn is_root(&self) -> bool {
        self.path.is_empty()
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.trust_domain, self.path)
    }
}

/// Why bytes are no SPIFFE ID. Positions are byte offsets into the whole ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// Longer than 2048 bytes (ID-06).
    #[error("a SPIFFE ID has at most 2048 bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Does not start with `spiffe://` in lower case (ID-01).
    #[error("a SPIFFE ID starts with \"spiffe://\"")]
    Scheme,
    /// The part between the scheme and the path is no trust domain name (ID-02, ID-03).
    #[error("trust domain: {0}")]
    TrustDomain(#[source] TrustDomainError),
    /// A byte that a path may not have, a query or fragment included (ID-01, ID-05).
    #[error("byte {at} is not allowed in the path (a-z A-Z 0-9 . - _ /)")]
    BadCharacter {
        /// Where.
        at: usize,
    },
    /// An empty, `.` or `..` segment, or a trailing slash (ID-05).
    #[error("empty, \".\" or \"..\" path segment at byte {at}")]
    BadSegment {
        /// Where the segment starts.
        at: usize,
    },
}

const SCHEME: &str = "spiffe://";

/// Whether a segment of a path may hold this byte (ID-05).
pub(crate) fn is_in_segments(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// Checks a path that is empty or starts at byte `offset` of the ID.
fn check_path(path: &str, offset: usize) -> Result<(), SpiffeIdError> {
    if let Some(at) = path.bytes().position(|byte| !is_in_segments(byte) && byte != b'/') {
        return Err(SpiffeIdError::BadCharacter { at: offset + at });
    }
    let mut at = offset + 1;
    for segment in path.split('/').skip(1) {
        if matches!(segment, "" | "." | "..") {
            return Err(SpiffeIdError::BadSegment { at });
        }
        at += segment.len() + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn id_01_02_03_05_foreign_spellings_are_refused() {
        for id in [
            "https://td/x",
            "spiffe:///x",
            "spiffe://td/x?",
            "spiffe://td/x?a",
            "spiffe://td/x#",
            "spiffe://td/x#f",
            "spiffe://td?",
            "spiffe://td#",
            "spiffe:td/x",
            "spiffe://u@td/x",
            "spiffe://td:/x",
            "spiffe://td:443/x",
            "spiffe://TD/x",
            "SPIFFE://td/x",
            "spiffe://t%64/x",
            "spiffe://tд/x",
            "spiffe://td~/x",
            "spiffe://[::1]/x",
            "spiffe://td/a//b",
            "spiffe://td/a/",
            "spiffe://td/",
            "spiffe://td/a/../b",
            "spiffe://td/./a",
            "spiffe://td/a%2fb",
            "spiffe://td/a b",
            "spiffe://td/a:b",
            "spiffe://td/é",
            "",
            "spiffe://",
            " spiffe://td/x",
        ] {
            assert!(id.parse::<SpiffeId>().is_err(), "{id}");
        }
        assert!(SpiffeId::from_bytes(b"spiffe://td/\xff").is_err());
    }

    #[test]
    fn id_04_05_07_legal_names_are_kept_byte_for_byte() {
        for id in [
            "spiffe://10.0.0.1/x",
            "spiffe://my_td/x",
            "spiffe://localhost/x",
            "spiffe://a..b/x",
            "spiffe://-/x",
            "spiffe://td/...",
            "spiffe://td/a..b",
            "spiffe://td/A.b_c-d",
            "spiffe://td",
        ] {
            assert_eq!(id.parse::<SpiffeId>().map(|parsed| parsed.to_string()), Ok(id.to_owned()));
        }
        assert_ne!("spiffe://td/Web".parse::<SpiffeId>(), "spiffe://td/web".parse::<SpiffeId>());
    }

    #[test]
    fn id_06_2048_bytes_are_accepted_and_no_more() {
        let longest = format!("spiffe://td/{}", "a".repeat(SpiffeId::MAX_BYTES - 12));
        assert_eq!(longest.parse::<SpiffeId>().unwrap().to_string(), longest);
        assert_eq!(format!("{longest}a").parse::<SpiffeId>(), Err(SpiffeIdError::TooLong { bytes: 2049 }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_what_parses_prints_the_same(bytes: Vec<u8>) {
            if let Ok(id) = SpiffeId::from_bytes(&bytes) {
                prop_assert_eq!(id.to_string().into_bytes(), bytes);
            }
        }

        #[test]
        fn what_the_grammar_allows_is_accepted(id in "spiffe://[a-z0-9._-]{1,20}(/[a-zA-Z0-9_-]{1,9}){0,4}") {
            prop_assert_eq!(id.parse::<SpiffeId>().map(|parsed| parsed.to_string()), Ok(id));
        }
    }
}
