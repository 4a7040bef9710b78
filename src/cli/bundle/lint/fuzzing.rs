//! Documents as fuzzing makes them up, for whoever looks at one before it is used.

use crate::federation::timestamp::Timestamp;
use crate::spiffe::document::BundleDocument;
use crate::verify::text::is_fit_to_tell;

use super::{Report, nobody};

/// What is read has a report of as many findings as it counts; what is refused has one error; and all of it can be told.
pub fn linted(document: &[u8]) {
    let report = Report::of(None, document, Timestamp::from_secs(1_800_000_000));
    assert_eq!(report.findings.len(), report.errors + report.warnings + report.notes);
    assert!(report.findings.is_sorted_by_key(|finding| finding.severity));
    match BundleDocument::parse(&nobody(), document) {
        Err(_) => assert_eq!((report.errors, report.findings.len()), (1, 1)),
        Ok(_) => assert!(report.findings.iter().all(|finding| !finding.code.is_empty())),
    }
    assert!(report.findings.iter().all(|finding| is_fit_to_tell(&finding.to_string())), "{report:?}");
    assert!(serde_json::to_string(&report).is_ok());
}
