//! Files that only their owner can write, and the lock that keeps a second service away.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::files::trusted;

use super::error::StoreError;

/// Creates the file with mode 0600, or refuses one that others than its owner can write.
pub(super) fn create_or_check(path: &Path) -> Result<(), StoreError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(PRIVATE).open(path);
    let metadata = file.and_then(|file| file.metadata());
    check_mode(path, metadata)
}

/// Refuses a file that others than its owner can write; one that doesn't exist is fine.
pub(super) fn check_if_present(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        metadata => check_mode(path, metadata),
    }
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
    _file: File,
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
                return Err(StoreError::Locked { path: store.into(), holder: holder(file) });
            }
            Err(TryLockError::Error(source)) => return Err(at(source)),
        }
        let named = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        named.map_err(at)?;
        Ok(Self { _file: file })
    }
}

/// `path` with more text at the end of its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn holder(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(LONGEST_ID).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn check_mode(path: &Path, metadata: io::Result<fs::Metadata>) -> Result<(), StoreError> {
    let metadata = metadata.map_err(|source| StoreError::Path { path: path.into(), source })?;
    trusted::check_mode(path, &metadata).map_err(StoreError::Insecure)
}

const PRIVATE: u32 = 0o600;
/// Bytes of a process id in decimal, with room to spare.
const LONGEST_ID: u64 = 20;
