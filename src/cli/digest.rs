//! Naming a held document by its digest.

use std::str::FromStr;

use crate::federation::status::HeldStatus;

/// The first 12 to 64 hexadecimal digits of a document's SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DigestPrefix(String);

impl DigestPrefix {
    /// Whether it is the whole digest, which no other document can share.
    pub(super) fn is_whole(&self) -> bool {
        self.0.len() == DIGITS
    }

    /// The one held document that it names.
    pub(super) fn find<'a>(&self, held: &'a [HeldStatus]) -> Result<&'a HeldStatus, DigestError> {
        let mut fitting = held.iter().filter(|document| document.digest.to_string().starts_with(&self.0));
        match (fitting.next(), fitting.next()) {
            (None, _) => Err(DigestError::NotHeld { digest: self.0.clone() }),
            (Some(document), None) => Ok(document),
            (Some(_), Some(_)) => Err(DigestError::Ambiguous { digest: self.0.clone() }),
        }
    }
}

impl FromStr for DigestPrefix {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let fits = (SHORTEST..=DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| Self(digits.to_ascii_lowercase())).ok_or(DigestError::Malformed)
    }
}

/// Why a digest names no held document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum DigestError {
    #[error("a digest is given as its first {SHORTEST} to {DIGITS} hexadecimal digits")]
    Malformed,
    #[error(
        "no held document has a digest that begins with {digest}; it may have been superseded: `comity bundle diff`"
    )]
    NotHeld { digest: String },
    #[error("several held documents have digests that begin with {digest}; give more digits")]
    Ambiguous { digest: String },
    #[error("--yes needs all {DIGITS} digits of the digest: the peer can make two documents that begin alike")]
    Shortened,
}

impl DigestError {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed-digest",
            Self::NotHeld { .. } => "unknown-digest",
            Self::Ambiguous { .. } => "ambiguous-digest",
            Self::Shortened => "shortened-digest",
        }
    }
}

const SHORTEST: usize = 12;
const DIGITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples;

    fn prefix(text: &str) -> DigestPrefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_digest_has_12_to_64_hexadecimal_digits() {
        let whole = "ab".repeat(32);
        assert!(prefix(&whole).is_whole());
        assert!(prefix(&format!("sha256:{whole}")).is_whole());
        assert!(!prefix("ABCDEF012345").is_whole());
        for text in ["", "abcdef01234", "abcdef01234g", &format!("{whole}a"), "sha256:", "é".repeat(6).as_str()] {
            assert_eq!(text.parse::<DigestPrefix>(), Err(DigestError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_prefix_names_one_held_document_or_none() {
        let with_digest = |digits: &str| {
            let digest = format!("{digits:0<64}").parse().unwrap();
            HeldStatus { digest, ..samples::held() }
        };
        let held = [with_digest("aaaaaaaaaaaa1"), with_digest("aaaaaaaaaaaa2"), with_digest("bbbbbbbbbbbb")];
        assert_eq!(prefix("BBBBBBBBBBBB").find(&held), Ok(&held[2]));
        assert_eq!(prefix("aaaaaaaaaaaa2").find(&held), Ok(&held[1]));
        assert_eq!(prefix("aaaaaaaaaaaa").find(&held).unwrap_err().code(), "ambiguous-digest");
        assert_eq!(prefix("cccccccccccc").find(&held).unwrap_err().code(), "unknown-digest");
    }
}
