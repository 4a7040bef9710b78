//! What is worth telling about a bundle document.

use std::fmt;

use serde::Serialize;

use crate::spiffe::document::decode::first_certificate;
use crate::spiffe::json::{Json, quote};
use crate::spiffe::public_key::Fingerprint;

/// How much it matters. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// A conforming consumer refuses the document, or a part of it that was meant to count.
    Error,
    /// A consumer ignores something, or an implementation is known to trip over it.
    Warning,
    /// Allowed, and good to know.
    Note,
}

impl Severity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing about a document or about one element of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// Stable identifier; see docs/problems.md.
    pub(super) code: String,
    /// The rule that it is about, of docs/conformance.md.
    pub(super) rule: Option<&'static str>,
    /// Which element; none for the document as a whole.
    pub(super) place: Option<Place>,
    pub(super) detail: String,
    /// What would be right.
    pub(super) remedy: &'static str,
    /// What other implementations are known to do.
    pub(super) known: Option<&'static str>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.severity.as_str())?;
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{} [{}", self.detail, self.code)?;
        self.rule.map_or(Ok(()), |rule| write!(f, ", {rule}"))?;
        f.write_str("]")
    }
}

/// An element of `keys`, as people find it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    /// Position in `keys`, from 0.
    pub(super) index: usize,
    /// SHA-256 of the first certificate, if there is one.
    pub(super) fingerprint: Option<Fingerprint>,
    /// `kid`, if it is a string.
    pub(super) key_id: Option<String>,
}

impl Place {
    pub(super) fn of(index: usize, element: &Json) -> Self {
        let jwk = element.as_object();
        let certificate = jwk.and_then(|jwk| first_certificate(jwk).ok());
        let key_id = jwk.and_then(|jwk| jwk.get("kid")?.as_str()).map(str::to_owned);
        Self { index, fingerprint: certificate.map(|der| Fingerprint::of(&der)), key_id }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys[{}]", self.index)?;
        match (self.fingerprint, &self.key_id) {
            (Some(fingerprint), _) => write!(f, ", x509:{fingerprint}"),
            (None, Some(key_id)) => write!(f, ", kid {}", quote(key_id)),
            (None, None) => Ok(()),
        }
    }
}
