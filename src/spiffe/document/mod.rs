//! Bundle documents: a bundle as a JWK Set (Bundle §4), read with tolerance and written without surprises.

pub(crate) mod decode;
pub(crate) mod ignored;
pub(crate) mod render;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers of tests are test code")]
mod tests;

use super::bundle::Bundle;
use super::json::{Json, JsonError};
use super::public_key::PublicKeyError;
use super::trust_domain::TrustDomain;

use self::ignored::IgnoredElement;

/// What a document says: its bundle, and the elements that did not make it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleDocument {
    bundle: Bundle,
    ignored: Vec<IgnoredElement>,
}

impl BundleDocument {
    /// Longest document in bytes, after decompression.
    pub const MAX_BYTES: usize = 1 << 20;
    /// Most elements of `keys`, ignored ones included.
    pub const MAX_KEYS: usize = 256;

    /// Reads the document of `trust_domain`, which must be known, as a document never names it (BND-26).
    ///
    /// One odd key never fails the document; what breaks the document or a limit does. An empty
    /// bundle is a result, not an error (BND-04). What parses also parses after [rendering].
    ///
    /// [rendering]: crate::render_bundle
    pub fn parse(trust_domain: &TrustDomain, bytes: &[u8]) -> Result<Self, DocumentError> {
        check_size(bytes.len())?;
        let document = decode::document(trust_domain, &Json::parse(bytes)?)?;
        // Rendering escapes what isn't ASCII, and the result must not outgrow what we read back.
        if !bytes.is_ascii() {
            check_size(render::render(&document.bundle, render::WitAuthorities::Include).len())?;
        }
        Ok(document)
    }

    /// The usable authorities, sequence number and refresh hint.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The same, by value.
    pub fn into_bundle(self) -> Bundle {
        self.bundle
    }

    /// What was ignored or is worth a report, by position in `keys` (OUT-03).
    pub fn ignored(&self) -> &[IgnoredElement] {
        &self.ignored
    }
}

/// Why a document as a whole is refused; the bundle accepted before it stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// More than 1 MiB.
    #[error("document of {bytes} bytes exceeds {}", BundleDocument::MAX_BYTES)]
    TooLarge {
        /// Its size, written without needless spaces and in ASCII if that is more.
        bytes: usize,
    },
    /// Not one well-formed JSON value, a member twice, or too deep (BND-01, BND-22, BND-23).
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON, but no object (BND-01).
    #[error("document is {found}, not a JSON object")]
    NotAnObject {
        /// What it is.
        found: String,
    },
    /// `keys` is absent or no array, which is not the same as empty (BND-03).
    #[error("document has no \"keys\" array")]
    NoKeys,
    /// More than 256 elements.
    #[error("document has {keys} keys, more than {}", BundleDocument::MAX_KEYS)]
    TooManyKeys {
        /// How many.
        keys: usize,
    },
    /// `spiffe_sequence` is no unsigned 64-bit integer (SEQ-03).
    #[error("spiffe_sequence is {found}, not an unsigned 64-bit integer")]
    MalformedSequence {
        /// What it is.
        found: String,
    },
    /// `spiffe_refresh_hint` is no unsigned 64-bit integer (SEQ-08, SEQ-10).
    #[error("spiffe_refresh_hint is {found}, not an unsigned 64-bit integer of seconds")]
    MalformedRefreshHint {
        /// What it is.
        found: String,
    },
    /// An RSA key beyond our limits, in a JWK or in its certificate.
    #[error("key {index}: {source}")]
    KeyTooLarge {
        /// Position in `keys`, from 0.
        index: usize,
        /// Which limit.
        source: PublicKeyError,
    },
}

impl DocumentError {
    /// Stable identifier; see docs/problems.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "document-too-large",
            Self::Json(error) => error.code(),
            Self::NotAnObject { .. } => "not-an-object",
            Self::NoKeys => "no-keys",
            Self::TooManyKeys { .. } => "too-many-keys",
            Self::MalformedSequence { .. } => "malformed-sequence",
            Self::MalformedRefreshHint { .. } => "malformed-refresh-hint",
            Self::KeyTooLarge { .. } => "key-too-large",
        }
    }
}

fn check_size(bytes: usize) -> Result<(), DocumentError> {
    if bytes > BundleDocument::MAX_BYTES { Err(DocumentError::TooLarge { bytes }) } else { Ok(()) }
}
