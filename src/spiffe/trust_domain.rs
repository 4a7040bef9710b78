//! Trust domain names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Name of a SPIFFE trust domain: 1–255 bytes of `a-z 0-9 . - _` (SPIFFE-ID §2.1).
///
/// Holding one is proof that the name is valid; cloning is a reference count. The text form is the
/// bare name, never `spiffe://…`. Upper case is refused, not folded (ID-03, ID-07).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Longest name in bytes (SPIFFE-ID §2.3).
    pub const MAX_BYTES: usize = 255;

    /// The bare name, as in `example.org`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain's root ID, as in `spiffe://example.org`.
    pub fn to_id(&self) -> String {
        format!("spiffe://{}", self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = TrustDomainError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.starts_with("spiffe://") {
            return Err(TrustDomainError::IsId);
        }
        match name.bytes().position(|byte| !is_name_byte(byte)) {
            _ if name.is_empty() => Err(TrustDomainError::Empty),
            _ if name.len() > Self::MAX_BYTES => Err(TrustDomainError::TooLong { bytes: name.len() }),
            Some(at) if name.as_bytes()[at].is_ascii_uppercase() => Err(TrustDomainError::UpperCase { at }),
            Some(at) => Err(TrustDomainError::BadCharacter { at }),
            None => Ok(Self(name.into())),
        }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TrustDomain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TrustDomain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Why a text is no trust domain name. Positions are byte offsets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustDomainError {
    /// The name has no byte at all.
    #[error("a trust domain name has at least one character")]
    Empty,
    /// The name is longer than 255 bytes (ID-06).
    #[error("a trust domain name has at most 255 bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// An upper-case letter, which we refuse rather than fold (ID-03).
    #[error("upper-case letter at byte {at}; trust domain names are lower case")]
    UpperCase {
        /// Where.
        at: usize,
    },
    /// A byte outside `a-z 0-9 . - _`.
    #[error("byte {at} is not one of a-z 0-9 . - _")]
    BadCharacter {
        /// Where.
        at: usize,
    },
    /// `spiffe://td` where the bare name `td` is meant (ID-12).
    #[error("write the bare name, without \"spiffe://\"")]
    IsId,
}

fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_03_04_06_12_names_follow_the_standards_alphabet() {
        let long = "a".repeat(256);
        for (name, expected) in [
            ("td", Ok(())),
            ("10.0.0.1", Ok(())),
            ("my_td", Ok(())),
            ("a..b", Ok(())),
            ("-", Ok(())),
            ("", Err(TrustDomainError::Empty)),
            ("TD", Err(TrustDomainError::UpperCase { at: 0 })),
            ("t%64", Err(TrustDomainError::BadCharacter { at: 1 })),
            ("td:443", Err(TrustDomainError::BadCharacter { at: 2 })),
            ("u@td", Err(TrustDomainError::BadCharacter { at: 1 })),
            ("tд", Err(TrustDomainError::BadCharacter { at: 1 })),
            ("td~", Err(TrustDomainError::BadCharacter { at: 2 })),
            ("[::1]", Err(TrustDomainError::BadCharacter { at: 0 })),
            ("spiffe://td", Err(TrustDomainError::IsId)),
            (&long[..255], Ok(())),
            (&long, Err(TrustDomainError::TooLong { bytes: 256 })),
        ] {
            assert_eq!(name.parse::<TrustDomain>().map(drop), expected, "{name}");
        }
    }
}
