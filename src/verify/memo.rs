//! Signature checks of CA certificates that needn't be done again.

use aws_lc_rs::digest::{Context, SHA256};
use moka::sync::Cache;

use super::certificate::Certificate;

/// Remembers signature checks of CA certificates in accepted paths, so that a new leaf under a known
/// intermediate costs one check. A signature holds or not whatever else changes, so this can't change a verdict.
#[derive(Clone, Debug)]
pub(super) struct SignatureMemo(Cache<CheckKey, ()>);

/// Everything that a signature check depends on, as a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CheckKey([u8; 32]);

impl CheckKey {
    pub(super) fn new(signed: &Certificate<'_>, signer: &Certificate<'_>) -> Self {
        let mut hash = Context::new(&SHA256);
        for part in [&signer.key.info, &signed.signed, &signed.signature_algorithm, &signed.signature] {
            hash.update(&part.len().to_be_bytes());
            hash.update(part);
        }
        let mut key = [0; 32];
        key.copy_from_slice(hash.finish().as_ref());
        Self(key)
    }
}

impl SignatureMemo {
    /// For as many CA certificates, the least used forgotten first.
    pub(super) fn new(capacity: u64) -> Self {
        Self(Cache::new(capacity))
    }

    pub(super) fn knows(&self, key: &CheckKey) -> bool {
        self.0.get(key).is_some()
    }

    pub(super) fn remember(&self, keys: impl IntoIterator<Item = CheckKey>) {
        for key in keys {
            self.0.insert(key, ());
        }
    }
}
