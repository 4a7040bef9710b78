//! The chains in `tests/vectors`, which are also what fuzzing starts from.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;

use super::super::der::Reader;
#[cfg(feature = "server")]
use super::super::readable::is_readable_certificate;
use super::super::snapshot::DomainTrust;
use super::super::testing::{NOW, time};
use super::super::x509::Usage;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Elements one after the other, and whatever follows that is none.
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut elements = Vec::new();
    while !bytes.is_empty() {
        let element = Reader::new(bytes, "chain").next().map_or(bytes, |element| element.whole);
        elements.push(element);
        bytes = &bytes[element.len()..];
    }
    elements
}

#[test]
fn x5_01_to_24_every_chain_has_the_code_in_the_index() {
    let authorities = fs::read(folder().join("x509_authorities.der")).unwrap();
    let authorities = split(&authorities).into_iter().map(|der| Authority::X509(X509Authority::from_der(der).unwrap()));
    let bundle = Bundle::new("a.test".parse().unwrap(), authorities.collect(), None, None);
    let domain = DomainTrust::new(Arc::new(bundle), 1);
    let folder = folder().join("x509_chains");
    let index: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut unlisted: BTreeSet<String> = files.filter(|file| file != "index.json").collect();
    for entry in index {
        let file = entry["file"].as_str().unwrap();
        let chain = fs::read(folder.join(file)).unwrap();
        let chain = split(&chain);
        let verdict = domain.verify_x509(chain[0], &chain[1..], Usage::Server, time(NOW));
        let code = verdict.map_or_else(|rejection| rejection.code(), |_| "accepted");
        assert_eq!(code, entry["code"].as_str().unwrap(), "{file}");
        assert!(unlisted.remove(file), "{file} is listed twice");
    }
    assert_eq!(unlisted, BTreeSet::new(), "not in the index");
}

/// Whose certificate Go's `crypto/x509` 1.26 or Python's `cryptography` 50 can't read, and that of a chain which both do.
#[cfg(feature = "server")]
#[test]
fn wl_16_what_other_libraries_cannot_read_is_not_readable() {
    let is_read = |file: &str| {
        let chain = fs::read(folder().join("x509_chains").join(file)).unwrap();
        is_readable_certificate(split(&chain)[0])
    };
    for file in UNREADABLE {
        assert!(!is_read(file), "{file}");
    }
    for file in ["good-p256-ecdsa-sha256.der", "leaf-an-unknown-extension.der", "leaf-policies.der"] {
        assert!(is_read(file), "{file}");
    }
}

#[cfg(feature = "server")]
const UNREADABLE: [&str; 13] = [
    "leaf-a-time-on-the-30th-of-february.der",
    "leaf-a-time-with-a-zone.der",
    "leaf-a-time-without-seconds.der",
    "leaf-an-authority-key-identifier-that-is-none.der",
    "leaf-an-extension-twice.der",
    "leaf-an-unknown-extension-twice.der",
    "leaf-another-algorithm-inside.der",
    "leaf-criticality-1.der",
    "leaf-negative-serial.der",
    "leaf-no-subtree.der",
    "leaf-serial-not-minimal.der",
    "leaf-version-2.der",
    "leaf-version-4.der",
];
