//! Durable state: our own bundle, the relationships, what they accepted and what waits.

mod codec;
#[cfg(test)]
mod contract;
pub(crate) mod error;
mod memory;
mod open_files;
mod private_file;
pub(crate) mod records;
mod sql;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;

use self::error::StoreError;
use self::memory::MemoryStore;
use self::records::{Commit, Limits, Revision, StoredRelationship, StoredState};

/// What the service must find again after a restart, for one trust domain of its own.
///
/// Each method is one transaction: done when it returns `Ok`, else as if it had not been called. One
/// that is dropped half-way has happened entirely or not at all.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Everything that lives, as of one moment.
    async fn load(&self) -> Result<StoredState, StoreError>;

    /// Replaces our own bundle. Refuses a sequence that is not above the stored one (SEQ-02).
    /// `progress` is opaque to the store.
    async fn put_own(&self, bundle: &Bundle, progress: &str) -> Result<(), StoreError>;

    /// Begins a relationship, in place of a living one if there is: nothing is accepted or held.
    ///
    /// History, the count of revisions and barred documents of an earlier one stay (REL-07).
    async fn create(&self, trust_domain: &TrustDomain, endpoint: &str) -> Result<StoredRelationship, StoreError>;

    /// Ends the relationship, if it lives; its history stays.
    async fn end(&self, trust_domain: &TrustDomain) -> Result<(), StoreError>;

    /// Writes one outcome; `Superseded` if its incarnation is not the living one.
    async fn commit(&self, commit: &Commit) -> Result<(), StoreError>;

    /// What was ever accepted for the domain before revision `before` and is still kept, newest first, at most `limit`.
    async fn history(
        &self,
        trust_domain: &TrustDomain,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Revision>, StoreError>;

    /// Remembers the highest wall-clock time seen, in Unix seconds. Only an operator lowers it.
    async fn put_clock_mark(&self, seconds: u64) -> Result<(), StoreError>;

    /// What was last put under this name. It holds private keys: it goes into no log and no error.
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces what is under this name. Opaque to the store.
    async fn put_secret(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Ends the use of the store, with all that was written in its main file.
    async fn close(&self) {}

    /// Whether a restart would find what is written now. Looks at the file system, not at the contents.
    fn check_place(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Opens the store at `sqlite:///absolute/path` or `memory:` for our own trust domain.
///
/// A SQLite file is created on first use, its folder is not. It stays locked against a second
/// service until the store is dropped.
pub(crate) async fn open(url: &str, trust_domain: &TrustDomain) -> Result<Arc<dyn Store>, StoreError> {
    if url == "memory:" {
        return Ok(Arc::new(MemoryStore::new(trust_domain, Limits::PROMISED)));
    }
    match url.strip_prefix("sqlite://").map(Path::new) {
        Some(path) if path.is_absolute() => Ok(Arc::new(sqlite::open(path, trust_domain, Limits::PROMISED).await?)),
        _ => Err(StoreError::Url),
    }
}
