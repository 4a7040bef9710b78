//! A folder whose files change all at once, as Kubernetes changes a volume: they are links through `..data`, which is
//! swapped.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::trusted;
use crate::files::trusted::FileError;

use super::claims::Claims;
use super::contents::MANIFEST;
use super::{Contents, FilesError};

/// The place of the files. It touches nothing there but its own links and folders.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
    mode: u32,
    claims: Claims,
}

impl Folder {
    pub(super) fn new(path: PathBuf, mode: u32, claims: Claims) -> Self {
        Self { path, mode, claims }
    }

    /// Makes these the files of the folder, all at once, and removes those that were ours and are none of these. What is
    /// there already with the same contents stays untouched. With `announces`, what has changed is noted until
    /// [`forget_changes`](Self::forget_changes).
    ///
    /// Returns paths of files that can't be linked since something that is not ours is in their place.
    ///
    /// # Errors
    /// Nothing has changed.
    pub(super) fn replace(&self, contents: &Contents, announces: bool) -> Result<Vec<PathBuf>, FilesError> {
        self.check()?;
        let there = self.there(contents);
        if there.same.len() < contents.len() || there.has_more {
            self.swap(contents, &there, announces)?;
        }
        let obstacles = self.link(contents)?;
        self.tidy(contents)?;
        File::open(&self.path)?.sync_all()?;
        Ok(obstacles)
    }

    /// Refuses a folder in which others write.
    fn check(&self) -> Result<(), FilesError> {
        let metadata = fs::metadata(&self.path).map_err(|error| {
            self.claims.leave(&self.path);
            FileError::Unreadable(error)
        })?;
        trusted::check_mode(&self.path, &metadata)?;
        self.claims.take(&self.path, &metadata).map_err(|other| FilesError::OfAnother { other })?;
        self.check_data()
    }

    /// Refuses a link that somebody else swaps.
    fn check_data(&self) -> Result<(), FilesError> {
        let path = self.path.join(DATA);
        match fs::read_link(&path) {
            Ok(folder) if folder.as_os_str().as_encoded_bytes().starts_with(STAGED.as_bytes()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            _ => Err(FilesError::InTheWay { path }),
        }
    }

    /// Where the command finds what has changed.
    pub(super) fn changes(&self) -> PathBuf {
        self.path.join(CHANGES)
    }

    pub(super) fn has_changes(&self) -> bool {
        self.changes().exists()
    }

    pub(super) fn forget_changes(&self) -> io::Result<()> {
        fs::remove_file(self.changes())
    }

    /// Which of these files the current folder has with the same bytes and permissions. The manifest's generation alone
    /// makes no difference.
    fn there(&self, contents: &Contents) -> There {
        let data = self.path.join(DATA);
        let is_same = |name: &str, bytes: &[u8]| {
            let path = data.join(name);
            let mode = fs::metadata(&path).map(|metadata| metadata.permissions().mode() & 0o7777);
            let is_same = |found: &[u8]| found == bytes || name == MANIFEST && says_the_same(found, bytes);
            mode.is_ok_and(|mode| mode == self.mode) && fs::read(&path).is_ok_and(|found| is_same(&found))
        };
        let same = contents.iter().filter(|(name, bytes)| is_same(name, bytes)).map(|(name, _)| name.clone()).collect();
        let all = names(&data).unwrap_or_default();
        There { has_more: all.iter().any(|name| !contents.contains_key(name)), all, same }
    }

    fn swap(&self, contents: &Contents, there: &There, announces: bool) -> io::Result<()> {
        let staged = tempfile::Builder::new().prefix(STAGED).rand_bytes(8).tempdir_in(&self.path)?;
        let data = self.path.join(DATA);
        for (name, bytes) in contents {
            let target = staged.path().join(name);
            // What hasn't changed is on the disk already.
            let is_linked = there.same.contains(name) && fs::hard_link(data.join(name), &target).is_ok();
            if !is_linked {
                self.write(&target, bytes)?;
            }
        }
        fs::set_permissions(staged.path(), Permissions::from_mode(folder_mode(self.mode)))?;
        File::open(staged.path())?.sync_all()?;
        if announces {
            let changes = self.noted().unwrap_or_default().then(&Changes::between(contents, there));
            self.write_whole(&self.changes(), &serde_json::to_vec(&changes)?)?;
        }
        let name = staged.path().file_name().ok_or(ErrorKind::InvalidFilename)?.to_owned();
        self.put_link(Path::new(&name), &data)?;
        let _ = staged.keep();
        Ok(())
    }

    /// Changes that the command was not told of.
    fn noted(&self) -> Option<Changes> {
        serde_json::from_slice(&fs::read(self.changes()).ok()?).ok()
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        // Whatever the umask says.
        file.set_permissions(Permissions::from_mode(self.mode))?;
        file.sync_all()
    }

    fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(STAGED).tempfile_in(&self.path)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    /// The names under which the files are known, each a link that never changes.
    fn link(&self, contents: &Contents) -> io::Result<Vec<PathBuf>> {
        let mut obstacles = Vec::new();
        for name in contents.keys() {
            let path = self.path.join(name);
            match fs::symlink_metadata(&path) {
                Ok(_) if is_ours(&path, name) => {}
                Ok(_) => obstacles.push(path),
                Err(error) if error.kind() == ErrorKind::NotFound => self.put_link(&target(name), &path)?,
                Err(error) => return Err(error),
            }
        }
        Ok(obstacles)
    }

    fn put_link(&self, target: &Path, path: &Path) -> io::Result<()> {
        let fresh = self.path.join(FRESH_LINK);
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => symlink(target, &fresh)?,
        }
        fs::rename(fresh, path)
    }

    /// Removes our links to files that are no more, and our folders but the current one.
    fn tidy(&self, contents: &Contents) -> io::Result<()> {
        let current = fs::read_link(self.path.join(DATA))?;
        for name in names(&self.path)? {
            let path = self.path.join(&name);
            if name.starts_with(STAGED) && current.as_os_str() != name.as_str() {
                fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path))?;
            } else if !contents.contains_key(&name) && is_ours(&path, &name) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// What the current folder has.
struct There {
    all: BTreeSet<String>,
    same: BTreeSet<String>,
    has_more: bool,
}

/// What the command is told.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Changes {
    written: BTreeSet<String>,
    removed: BTreeSet<String>,
}

impl Changes {
    fn between(contents: &Contents, there: &There) -> Self {
        Self {
            written: contents.keys().filter(|name| !there.same.contains(*name)).cloned().collect(),
            removed: there.all.iter().filter(|name| !contents.contains_key(*name)).cloned().collect(),
        }
    }

    fn then(&self, later: &Self) -> Self {
        let after = |earlier: &BTreeSet<String>, same: &BTreeSet<String>, undone: &BTreeSet<String>| {
            earlier.union(same).filter(|name| same.contains(*name) || !undone.contains(*name)).cloned().collect()
        };
        Self {
            written: after(&self.written, &later.written, &later.removed),
            removed: after(&self.removed, &later.removed, &later.written),
        }
    }
}

/// Whether two manifests differ in their generation at most.
fn says_the_same(one: &[u8], other: &[u8]) -> bool {
    let [one, other] = [one, other].map(|manifest| {
        let mut manifest: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(manifest).ok()?;
        manifest.remove("generation");
        Some(manifest)
    });
    one.is_some() && one == other
}

fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
    fs::read_dir(folder)?.filter_map(|entry| name(entry).transpose()).collect()
}

fn is_ours(path: &Path, name: &str) -> bool {
    fs::read_link(path).is_ok_and(|found| found == target(name))
}

fn target(name: &str) -> PathBuf {
    Path::new(DATA).join(name)
}

/// Whoever may read the files may enter their folder.
fn folder_mode(file_mode: u32) -> u32 {
    0o700 | file_mode | ((file_mode & 0o444) >> 2)
}

/// Consumers watch it: it is what changes.
const DATA: &str = "..data";
const STAGED: &str = "..comity-";
const FRESH_LINK: &str = "..data_tmp";
const CHANGES: &str = "..changes.json";
