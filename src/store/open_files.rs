//! Whether the files that the store has open are still those at their paths.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::StoreError;

/// What was at some paths when they were opened. SQLite goes on writing to a file that was moved or
/// deleted, which no restart would find.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(Mutex<BTreeMap<PathBuf, Identity>>);

/// Device and inode.
type Identity = (u64, u64);

impl OpenFiles {
    /// Remembers what is at the path now.
    pub(super) fn remember(&self, path: &Path) -> Result<(), StoreError> {
        let found = identity(path).map_err(|source| StoreError::Path { path: path.into(), source })?;
        self.known().insert(path.into(), found);
        Ok(())
    }

    /// Refuses if something else is at one of the paths, or nothing.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let known = self.known();
        known.iter().try_for_each(|(path, before)| match identity(path) {
            Ok(found) if found == *before => Ok(()),
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::Path { path: path.clone(), source })
            }
            _ => Err(StoreError::Replaced { path: path.clone() }),
        })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Identity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}
