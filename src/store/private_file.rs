//! Files that only their owner can write, and the lock that keeps a second service away.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::files::trusted;

use super::error::StoreError;

/// Creates the file with mode 0600, or refuses one that others than its owner can write and closes it to readers.
pub(super) fn create_or_close(path: &Path) -> Result<(), StoreError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(PRIVATE).open(path);
    close(path, file)
}

/// The same for a file that need not exist.
pub(super) fn close_if_present(path: &Path) -> Result<(), StoreError> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        file => close(path, file),
    }
}

/// There may be private keys in it. Who must not change its mode, since it isn't his, can but say so.
fn close(path: &Path, file: io::Result<File>) -> Result<(), StoreError> {
    let at = |source| StoreError::Path { path: path.into(), source };
    let file = file.map_err(at)?;
    let metadata = file.metadata().map_err(at)?;
    check_mode(path, Ok(metadata.clone()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let was = format!("{mode:o}");
        match file.set_permissions(Permissions::from_mode(mode & PRIVATE)) {
            Ok(()) => info!(file = %path.display(), was, "the store is its owner's alone now"),
            Err(error) => {
                warn!(code = "private-key-readable", file = %path.display(), was, %error, "others may read the store");
            }
        }
    }
    Ok(())
}

/// Refuses a folder in which others than its owner can replace files. Those above it don't count.
pub(super) fn check_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(path);
    let metadata = fs::metadata(folder).and_then(|found| match found.is_dir() {
        true => Ok(found),
        false => Err(io::ErrorKind::NotADirectory.into()),
    });
    check_mode(folder, metadata)
}

/// Keeps other services from a store for as long as it lives.
#[derive(Debug)]
pub(super) struct StoreLock {
    file: File,
    last_store: Option<u64>,
}

impl StoreLock {
    /// Takes the lock beside the store, never waiting; the file names the process that has it.
    pub(super) fn take(store: &Path) -> Result<Self, StoreError> {
        let path = with_suffix(store, ".lock");
        let at = |source| StoreError::Path { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE)
            .open(&path)
            .map_err(at)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = text(&mut file).lines().next().and_then(|id| id.parse().ok());
                return Err(StoreError::Locked { path: store.into(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(at(source)),
        }
        let last_store = last_store(&text(&mut file), file.metadata().map_err(at)?.ino());
        let named = file.set_len(0).and_then(|()| file.rewind());
        named.and_then(|()| writeln!(file, "{}", std::process::id())).map_err(at)?;
        Ok(Self { file, last_store })
    }

    /// Moves away what SQLite kept beside the store that was here before this one: it would be written over this one.
    /// Where it went, if there was something.
    pub(super) fn set_aside_foreign_wal(&mut self, store: &Path) -> Result<Option<PathBuf>, StoreError> {
        let at = |source| StoreError::Path { path: store.into(), source };
        let inode = fs::metadata(store).map_err(at)?.ino();
        let wal = with_suffix(&store.canonicalize().map_err(at)?, "-wal");
        let aside = with_suffix(&wal, ".replaced");
        let is_foreign = self.last_store.is_some_and(|last| last != inode) && wal.exists();
        if is_foreign {
            fs::rename(&wal, &aside).map_err(at)?;
        }
        let own = self.file.metadata().map_err(at)?.ino();
        writeln!(self.file, "{own}\n{inode}").map_err(at)?;
        Ok(is_foreign.then_some(aside))
    }
}

/// `path` with more text at the end of its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The process that has the store, the inode of the lock itself, and that of the store; a line each.
fn text(lock: &mut File) -> String {
    let mut text = String::new();
    // What can't be read says nothing.
    drop(lock.take(LONGEST_LOCK).read_to_string(&mut text));
    text
}

/// The store that the last holder had, unless all files were copied since: then the lock is another one too.
fn last_store(text: &str, lock: u64) -> Option<u64> {
    let mut inodes = text.lines().skip(1).map(|line| line.parse().ok());
    let is_here = inodes.next()?? == lock;
    inodes.next()?.filter(|_| is_here)
}

fn check_mode(path: &Path, metadata: io::Result<fs::Metadata>) -> Result<(), StoreError> {
    let metadata = metadata.map_err(|source| StoreError::Path { path: path.into(), source })?;
    trusted::check_mode(path, &metadata).map_err(StoreError::Insecure)
}

const PRIVATE: u32 = 0o600;
/// Bytes of three numbers in decimal.
const LONGEST_LOCK: u64 = 64;
