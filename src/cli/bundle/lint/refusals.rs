//! Documents that are refused as a whole.

use crate::spiffe::document::DocumentError;
use crate::spiffe::json::JsonError;

use super::finding::{Finding, Severity};

/// The one finding about a document that nobody reads further.
pub(super) fn refused(error: &DocumentError) -> Finding {
    Finding {
        severity: Severity::Error,
        code: error.code().into(),
        rule: rule(error),
        place: None,
        detail: error.to_string(),
        remedy: remedy(error),
        known: known(error),
    }
}

fn rule(error: &DocumentError) -> Option<&'static str> {
    match error {
        DocumentError::Json(JsonError::Malformed { .. }) | DocumentError::NotAnObject { .. } => Some("BND-01"),
        DocumentError::Json(JsonError::DuplicateMember { .. }) => Some("BND-22"),
        DocumentError::NoKeys => Some("BND-03"),
        DocumentError::MalformedSequence { .. } => Some("SEQ-03"),
        DocumentError::MalformedRefreshHint { .. } => Some("SEQ-08"),
        DocumentError::TooLarge { .. }
        | DocumentError::Json(JsonError::TooDeep)
        | DocumentError::TooManyKeys { .. }
        | DocumentError::KeyTooLarge { .. } => None,
    }
}

fn remedy(error: &DocumentError) -> &'static str {
    match error {
        DocumentError::TooLarge { .. } | DocumentError::TooManyKeys { .. } => {
            "retire authorities that sign nothing any more"
        }
        DocumentError::Json(JsonError::Malformed { .. }) => {
            "exactly one JSON object in UTF-8, without a byte order mark and with nothing behind it; \
             for PEM there is `comity bundle convert`"
        }
        DocumentError::Json(JsonError::DuplicateMember { .. }) => "each member once",
        DocumentError::Json(JsonError::TooDeep) => "no bundle needs more than 5 levels",
        DocumentError::NotAnObject { .. } | DocumentError::NoKeys => {
            "one object with an array `keys`, in which an empty array revokes every key"
        }
        DocumentError::MalformedSequence { .. } => "an integer without quotes that rises with each change",
        DocumentError::MalformedRefreshHint { .. } => "an integer of seconds without quotes, as in 300",
        DocumentError::KeyTooLarge { .. } => "RSA of 2048 to 8192 bits with the exponent 65537",
    }
}

fn known(error: &DocumentError) -> Option<&'static str> {
    match error {
        DocumentError::NoKeys => Some(
            "SPIRE takes a missing or null `keys` for an empty bundle, which revokes everything; go-spiffe refuses it",
        ),
        DocumentError::Json(JsonError::DuplicateMember { .. }) => Some(
            "of two members at the top go-spiffe and SPIRE take the last, whatever the case of its letters; within a \
             key they refuse the document",
        ),
        DocumentError::MalformedSequence { .. } | DocumentError::MalformedRefreshHint { .. } => {
            Some("go-spiffe and SPIRE refuse the whole document too")
        }
        _ => None,
    }
}
