//! Which output writes into which folder, by what the folder is and not by how it is spelled.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Folders of all outputs, each by its path in the configuration. Clones share them.
///
/// Looked at with each delivery, since links may change, and since a folder on a disk that hangs must not hold up the
/// start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims(Arc<Mutex<BTreeMap<PathBuf, Place>>>);

/// Device and inode.
type Place = (u64, u64);

impl Claims {
    /// Takes the folder that is at this path, unless another output has it: then the other's path.
    pub(super) fn take(&self, path: &Path, folder: &Metadata) -> Result<(), PathBuf> {
        let place = (folder.dev(), folder.ino());
        let mut all = self.all();
        all.remove(path);
        if let Some((other, _)) = all.iter().find(|(_, taken)| **taken == place) {
            return Err(other.clone());
        }
        all.insert(path.to_owned(), place);
        Ok(())
    }

    /// There is no folder at this path any more.
    pub(super) fn leave(&self, path: &Path) {
        self.all().remove(path);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
