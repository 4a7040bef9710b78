//! The file through which the admin API is reached.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::files::trusted::{self, FileError};

/// A listening Unix socket, mode 0600; its file is removed on drop, if it is still this one.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl AdminSocket {
    /// Binds `path`. The file of a process that ended is replaced, that of a living one refused, and
    /// so is a folder in which group or others may write.
    pub(crate) fn bind(path: &Path) -> Result<Self, AdminSocketError> {
        let failed = |source| AdminSocketError::Bind { path: path.to_owned(), source };
        let folder = checked_folder(path)?;
        refuse_if_alive(path)?;
        // The umask belongs to the whole process; in a folder of its own the socket is private from birth.
        let private = tempfile::Builder::new()
            .prefix(".")
            .rand_bytes(6)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(folder)
            .map_err(failed)?;
        let newborn = private.path().join("s");
        let listener = UnixListener::bind(&newborn).map_err(failed)?;
        fs::set_permissions(&newborn, Permissions::from_mode(0o600)).map_err(failed)?;
        let inode = fs::metadata(&newborn).map_err(failed)?.ino();
        fs::rename(&newborn, path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            // Left behind, it is stale, and the next start replaces it.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Why the admin socket can't be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AdminSocketError {
    #[error("folder {} of the admin socket: {source}; create it with mode 0700", folder.display())]
    NoFolder { folder: PathBuf, source: io::Error },
    #[error("the folder of the admin socket {0}")]
    FolderWritable(#[source] FileError),
    #[error("another process listens on {}", path.display())]
    InUse { path: PathBuf },
    #[error("{} exists and is no socket", path.display())]
    NotASocket { path: PathBuf },
    #[error("admin socket {}: {source}", path.display())]
    Bind { path: PathBuf, source: io::Error },
}

impl AdminSocketError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoFolder { .. } => "admin-folder-missing",
            Self::FolderWritable(error) => error.code(),
            Self::InUse { .. } => "admin-socket-in-use",
            Self::NotASocket { .. } => "admin-socket-not-a-socket",
            Self::Bind { .. } => "admin-socket-not-bound",
        }
    }
}

fn checked_folder(path: &Path) -> Result<&Path, AdminSocketError> {
    let folder = trusted::folder_of(path);
    let metadata =
        fs::metadata(folder).map_err(|source| AdminSocketError::NoFolder { folder: folder.to_owned(), source })?;
    trusted::check_mode(folder, &metadata).map_err(AdminSocketError::FolderWritable)?;
    Ok(folder)
}

fn refuse_if_alive(path: &Path) -> Result<(), AdminSocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(AdminSocketError::Bind { path: path.to_owned(), source }),
        Ok(file) if !file.file_type().is_socket() => Err(AdminSocketError::NotASocket { path: path.to_owned() }),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(source) => Err(AdminSocketError::Bind { path: path.to_owned(), source }),
            Ok(_) => Err(AdminSocketError::InUse { path: path.to_owned() }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_private_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = AdminSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_owners_file_is_replaced_and_a_living_ones_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let living = AdminSocket::bind(&path).unwrap();
        assert_eq!(AdminSocket::bind(&path).unwrap_err().code(), "admin-socket-in-use");
        UnixStream::connect(&path).unwrap();
        drop(living);
        fs::write(&path, "not mine").unwrap();
        assert_eq!(AdminSocket::bind(&path).unwrap_err().code(), "admin-socket-not-a-socket");
        assert_eq!(fs::read(&path).unwrap(), b"not mine");
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, expected) in
            [(0o755, None), (0o770, Some("file-writable-by-others")), (0o1777, Some("file-writable-by-others"))]
        {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            let bound = AdminSocket::bind(&folder.path().join("admin.sock"));
            assert_eq!(bound.err().map(|error| error.code()), expected, "{mode:o}");
        }
        let missing = folder.path().join("missing/admin.sock");
        assert_eq!(AdminSocket::bind(&missing).unwrap_err().code(), "admin-folder-missing");
    }
}
