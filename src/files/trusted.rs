//! Reading files that decide whom we trust: nobody but their owner may be able to write them.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Reads at most `limit` bytes of a regular file that only its owner may write, in a folder of the
/// same kind. Symbolic links are followed, and the folder they lead to is held to the same rule.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    check_file(path)?;
    read_open(File::open(path).map_err(FileError::Unreadable)?, limit)
}

/// Reads at most `limit` bytes of a file of which only the contents count.
pub(crate) fn read_open(file: impl Read, limit: usize) -> Result<Vec<u8>, FileError> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(FileError::Unreadable)?;
    if bytes.len() > limit { Err(FileError::TooLarge { limit }) } else { Ok(bytes) }
}

/// Refuses what its group or everybody may write. `path` is for the message.
pub(crate) fn check_mode(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    if is_open(metadata) { Err(writable(path, metadata)) } else { Ok(()) }
}

/// Whether every user of the machine may read it.
pub(crate) fn everybody_reads(metadata: &Metadata) -> bool {
    metadata.mode() & 0o004 != 0
}

/// The regular files of a folder, sorted, or the file itself. Names that begin with a dot are
/// skipped, such as the `..data` by which Kubernetes swaps a volume; links are followed.
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let metadata = fs::metadata(path).map_err(FileError::Unreadable)?;
    if metadata.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if is_open(&metadata) {
        check_entry(path, &metadata, &path.join("..data"))?;
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(FileError::Unreadable)? {
        let entry = entry.map_err(FileError::Unreadable)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn check_file(path: &Path) -> Result<(), FileError> {
    let metadata = fs::metadata(path).map_err(FileError::Unreadable)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile);
    }
    check_mode(path, &metadata)?;
    check_place(path)
}

/// Refuses what others could replace. Links count at both of their ends.
fn check_place(path: &Path) -> Result<(), FileError> {
    let target = fs::canonicalize(path).map_err(FileError::Unreadable)?;
    for entry in [path, &target] {
        let folder = folder_of(entry);
        let metadata = fs::metadata(folder).map_err(FileError::Unreadable)?;
        if is_open(&metadata) {
            check_entry(folder, &metadata, entry)?;
        }
    }
    Ok(())
}

/// A folder that all may write is fit only with the sticky bit, which keeps others from replacing
/// what the folder's owner put there: Kubernetes mounts its volumes so.
fn check_entry(folder: &Path, metadata: &Metadata, entry: &Path) -> Result<(), FileError> {
    let sticky = metadata.mode() & 0o1000 != 0;
    if sticky && fs::symlink_metadata(entry).is_ok_and(|entry| entry.uid() == metadata.uid()) {
        return Ok(());
    }
    Err(writable(folder, metadata))
}

fn writable(path: &Path, metadata: &Metadata) -> FileError {
    FileError::Writable { path: path.to_owned(), mode: metadata.mode() & 0o7777 }
}

/// The folder a path is in, `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn is_open(metadata: &Metadata) -> bool {
    metadata.mode() & 0o022 != 0
}

/// Why a file that carries trust is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FileError {
    /// Missing, or the system refuses to read it.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// A folder, a socket, a device.
    #[error("is not a regular file")]
    NotAFile,
    /// Larger than we promise to read.
    #[error("is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Somebody else could change whom we trust.
    #[error("is not safe: {path} is writable by group or others (mode {mode:o}); run `chmod go-w {path}`", path = path.display())]
    Writable {
        /// The file, or the folder it is in.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl FileError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "file-unreadable",
            Self::NotAFile => "not-a-file",
            Self::TooLarge { .. } => "file-too-large",
            Self::Writable { .. } => "file-writable-by-others",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn write(path: &Path, mode: u32) {
        fs::write(path, "text").unwrap();
        set_mode(path, mode);
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_and_folders_that_others_may_write_are_refused() {
        for (file, folder_mode, expected) in [
            (0o600, 0o700, None),
            (0o644, 0o755, None),
            (0o644, 0o1777, None),
            (0o620, 0o700, Some("file-writable-by-others")),
            (0o602, 0o700, Some("file-writable-by-others")),
            (0o644, 0o777, Some("file-writable-by-others")),
            (0o644, 0o770, Some("file-writable-by-others")),
        ] {
            let folder = folder();
            let path = folder.path().join("ca.pem");
            write(&path, file);
            set_mode(folder.path(), folder_mode);
            let code = read(&path, 10).err().map(|error| error.code());
            assert_eq!(code, expected, "file {file:o} in folder {folder_mode:o}");
        }
    }

    #[test]
    fn the_folder_behind_a_link_is_held_to_the_same_rule() {
        let (folder, open) = (folder(), folder());
        write(&open.path().join("ca.pem"), 0o644);
        set_mode(open.path(), 0o777);
        symlink(open.path().join("ca.pem"), folder.path().join("ca.pem")).unwrap();
        assert_eq!(read(&folder.path().join("ca.pem"), 10).unwrap_err().code(), "file-writable-by-others");
    }

    #[test]
    fn no_more_than_the_limit_is_read() {
        let folder = folder();
        let path = folder.path().join("ca.pem");
        write(&path, 0o600);
        assert_eq!(read(&path, 4).unwrap(), b"text");
        assert_eq!(read(&path, 3).unwrap_err().code(), "file-too-large");
        assert_eq!(read(folder.path(), 3).unwrap_err().code(), "not-a-file");
        assert_eq!(read(&folder.path().join("none"), 3).unwrap_err().code(), "file-unreadable");
    }

    #[test]
    fn a_folder_yields_visible_regular_files_through_links() {
        let folder = folder();
        let version = folder.path().join("..2026_11_24");
        fs::create_dir(&version).unwrap();
        write(&version.join("ca.crt"), 0o644);
        symlink("..2026_11_24", folder.path().join("..data")).unwrap();
        symlink("..data/ca.crt", folder.path().join("ca.crt")).unwrap();
        symlink("nowhere", folder.path().join("broken")).unwrap();
        write(&folder.path().join(".hidden"), 0o644);
        fs::create_dir(folder.path().join("sub")).unwrap();
        assert_eq!(list(folder.path()).unwrap(), [folder.path().join("ca.crt")]);
        set_mode(folder.path(), 0o1777);
        assert_eq!(list(folder.path()).unwrap().len(), 1, "as Kubernetes mounts it");
        fs::remove_file(folder.path().join("..data")).unwrap();
        assert!(list(folder.path()).is_err(), "anybody could add a file");
    }
}
