//! The files through which listeners on this machine are reached.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::trusted::{self, FileError};

/// A listening Unix socket; its file is removed on drop, if it is still this one.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// What a socket is for, and with that who may open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The owner alone.
    Admin,
    /// The owner and the file's group.
    Authorization,
    /// Everybody: whoever asks is judged by the user and group of the process.
    Workloads,
}

impl Purpose {
    fn mode(self) -> u32 {
        match self {
            Self::Admin => 0o600,
            Self::Authorization => 0o660,
            Self::Workloads => 0o666,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Authorization => "authorization",
            Self::Workloads => "gRPC",
        }
    }
}

impl UnixSocket {
    /// Binds `path`. The file of a process that ended is replaced, that of a living one refused, and
    /// so is a folder in which group or others may write.
    pub(crate) fn bind(path: &Path, purpose: Purpose) -> Result<Self, UnixSocketError> {
        bind(path, purpose.mode()).map_err(|fault| UnixSocketError { purpose, fault })
    }

    pub(crate) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            // Left behind, it is stale, and the next start replaces it.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Why a socket can't be bound.
#[derive(Debug, thiserror::Error)]
#[error("{} socket: {fault}", purpose.as_str())]
pub(crate) struct UnixSocketError {
    purpose: Purpose,
    #[source]
    fault: SocketFault,
}

#[derive(Debug, thiserror::Error)]
enum SocketFault {
    #[error("folder {}: {source}; create it so that its owner alone can write in it", folder.display())]
    NoFolder { folder: PathBuf, source: io::Error },
    #[error("its folder {0}")]
    FolderWritable(#[source] FileError),
    #[error("another process listens on {}", path.display())]
    InUse { path: PathBuf },
    #[error("{} exists and is no socket", path.display())]
    NotASocket { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Bind { path: PathBuf, source: io::Error },
}

impl UnixSocketError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match (self.purpose, &self.fault) {
            (_, SocketFault::FolderWritable(error)) => error.code(),
            (Purpose::Admin, SocketFault::NoFolder { .. }) => "admin-folder-missing",
            (Purpose::Admin, SocketFault::InUse { .. }) => "admin-socket-in-use",
            (Purpose::Admin, SocketFault::NotASocket { .. }) => "admin-socket-not-a-socket",
            (Purpose::Admin, SocketFault::Bind { .. }) => "admin-socket-not-bound",
            (Purpose::Authorization, SocketFault::NoFolder { .. }) => "authorization-folder-missing",
            (Purpose::Authorization, SocketFault::InUse { .. }) => "authorization-socket-in-use",
            (Purpose::Authorization, SocketFault::NotASocket { .. }) => "authorization-socket-not-a-socket",
            (Purpose::Authorization, SocketFault::Bind { .. }) => "authorization-socket-not-bound",
            (Purpose::Workloads, SocketFault::NoFolder { .. }) => "grpc-folder-missing",
            (Purpose::Workloads, SocketFault::InUse { .. }) => "grpc-socket-in-use",
            (Purpose::Workloads, SocketFault::NotASocket { .. }) => "grpc-socket-not-a-socket",
            (Purpose::Workloads, SocketFault::Bind { .. }) => "grpc-socket-not-bound",
        }
    }
}

fn bind(path: &Path, mode: u32) -> Result<UnixSocket, SocketFault> {
    let failed = |source| SocketFault::Bind { path: path.to_owned(), source };
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
    fs::set_permissions(&newborn, Permissions::from_mode(mode)).map_err(failed)?;
    let inode = fs::metadata(&newborn).map_err(failed)?.ino();
    fs::rename(&newborn, path).map_err(failed)?;
    Ok(UnixSocket { listener, path: path.to_owned(), inode })
}

fn checked_folder(path: &Path) -> Result<&Path, SocketFault> {
    let folder = trusted::folder_of(path);
    let metadata =
        fs::metadata(folder).map_err(|source| SocketFault::NoFolder { folder: folder.to_owned(), source })?;
    trusted::check_mode(folder, &metadata).map_err(SocketFault::FolderWritable)?;
    Ok(folder)
}

fn refuse_if_alive(path: &Path) -> Result<(), SocketFault> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(SocketFault::Bind { path: path.to_owned(), source }),
        Ok(file) if !file.file_type().is_socket() => Err(SocketFault::NotASocket { path: path.to_owned() }),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(source) => Err(SocketFault::Bind { path: path.to_owned(), source }),
            Ok(_) => Err(SocketFault::InUse { path: path.to_owned() }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_private_and_goes_with_its_owner() {
        for (purpose, mode) in [(Purpose::Admin, 0o600), (Purpose::Authorization, 0o660), (Purpose::Workloads, 0o666)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("some.sock");
            let socket = UnixSocket::bind(&path, purpose).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            UnixStream::connect(&path).unwrap();
            drop(socket);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_dead_owners_file_is_replaced_and_a_living_ones_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let living = UnixSocket::bind(&path, Purpose::Admin).unwrap();
        assert_eq!(UnixSocket::bind(&path, Purpose::Admin).unwrap_err().code(), "admin-socket-in-use");
        UnixStream::connect(&path).unwrap();
        drop(living);
        fs::write(&path, "not mine").unwrap();
        assert_eq!(UnixSocket::bind(&path, Purpose::Admin).unwrap_err().code(), "admin-socket-not-a-socket");
        assert_eq!(fs::read(&path).unwrap(), b"not mine");
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, expected) in
            [(0o755, None), (0o770, Some("file-writable-by-others")), (0o1777, Some("file-writable-by-others"))]
        {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            let bound = UnixSocket::bind(&folder.path().join("admin.sock"), Purpose::Admin);
            assert_eq!(bound.err().map(|error| error.code()), expected, "{mode:o}");
        }
        let missing = folder.path().join("missing/admin.sock");
        assert_eq!(UnixSocket::bind(&missing, Purpose::Admin).unwrap_err().code(), "admin-folder-missing");
    }
}
