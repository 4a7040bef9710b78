//! Rules about the document as a whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::federation::relationship::PollPolicy;
use crate::federation::status::Warning;
use crate::federation::timestamp::Timestamp;
use crate::federation::warnings;
use crate::spiffe::authority::SvidType;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::json::Json;
use crate::spiffe::public_key::Fingerprint;

use super::finding::{Finding, Severity};
use super::members;
use super::oddity::Oddity;

/// What is odd about a document of `bytes` bytes, which reads as `json`, at `now`.
pub(super) fn findings(document: &BundleDocument, json: &Json, bytes: usize, now: Timestamp) -> Vec<Finding> {
    let bundle = document.bundle();
    let odd = [size(bytes), members::of_document(json), sequence(bundle), refresh_hint(bundle), usable(document, now)];
    let odd = odd.into_iter().flatten().chain(of_two_types(bundle));
    odd.map(|oddity| oddity.at(None)).chain(ahead(bundle, now)).collect()
}

fn size(bytes: usize) -> Option<Oddity> {
    (bytes > NEAR_LIMIT).then_some(Oddity::NearLimit { bytes })
}

fn sequence(bundle: &Bundle) -> Option<Oddity> {
    match bundle.sequence() {
        None => Some(Oddity::MissingSequence),
        Some(0) => Some(Oddity::ZeroSequence),
        Some(_) => None,
    }
}

fn refresh_hint(bundle: &Bundle) -> Option<Oddity> {
    match bundle.refresh_hint().map(|hint| hint.as_secs()) {
        None => Some(Oddity::MissingRefreshHint),
        Some(seconds) if seconds < SHORTEST_HINT => Some(Oddity::ShortRefreshHint { seconds }),
        Some(seconds) if seconds > LONGEST_IN_NANOSECONDS => Some(Oddity::OverflowingRefreshHint { seconds }),
        Some(seconds) if seconds > LONGEST_HINT => Some(Oddity::LongRefreshHint { seconds }),
        Some(_) => None,
    }
}

/// Whether anything can be verified with it at all.
fn usable(document: &BundleDocument, now: Timestamp) -> Option<Oddity> {
    let authorities = document.bundle().authorities();
    if authorities.is_empty() {
        return Some(if document.ignored().is_empty() { Oddity::NoKeys } else { Oddity::NoUsableKey });
    }
    let any = authorities.count(SvidType::X509Svid) > 0;
    (any && authorities.x509().all(|ca| Timestamp::from_signed(ca.not_after()) < now)).then_some(Oddity::AllExpired)
}

/// Keys that stand in elements of several types: a key serves one (JWT-SVID §6.2).
fn of_two_types(bundle: &Bundle) -> impl Iterator<Item = Oddity> {
    let mut types: BTreeMap<Fingerprint, BTreeSet<SvidType>> = BTreeMap::new();
    for authority in bundle.authorities().iter() {
        types.entry(authority.key_thumbprint()).or_default().insert(authority.svid_type());
    }
    types.into_iter().filter(|(_, types)| types.len() > 1).map(|(key, types)| {
        let types: Vec<_> = types.into_iter().map(SvidType::as_str).collect();
        Oddity::KeyOfTwoTypes { key, types: types.join(", ") }
    })
}

/// What a peer would be warned of that polls as the hint says.
fn ahead(bundle: &Bundle, now: Timestamp) -> impl Iterator<Item = Finding> {
    let interval = PollPolicy::default().interval(bundle.refresh_hint());
    warnings::of_peer(bundle.authorities(), interval, now).into_iter().map(|Warning { code, detail }| Finding {
        severity: Severity::Warning,
        code,
        rule: None,
        place: None,
        detail,
        remedy: "a successor that lives longer, published at least three polls before it signs",
        known: None,
    })
}

/// Three quarters of what is read.
const NEAR_LIMIT: usize = BundleDocument::MAX_BYTES / 4 * 3;

/// Seconds.
const SHORTEST_HINT: u64 = 60;

/// Seconds.
const LONGEST_HINT: u64 = 86_400;

/// Seconds that a signed 64-bit count of nanoseconds holds (SEQ-10).
const LONGEST_IN_NANOSECONDS: u64 = 9_223_372_036;
