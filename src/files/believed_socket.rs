//! Sockets of others whose word decides whom we trust: nobody else may be able to listen in their place.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::trusted::{self, FileError};

/// Refuses a socket in whose place others than root, our own user and `owner` can listen.
///
/// Every folder and link on the way there counts, from `/` on. None may be writable by others, but for folders in which
/// each may replace only what is his own (`/tmp`): there whoever comes first has the name, so from there on all must
/// belong to those users. Then the process that listens need not be asked who it is.
pub(crate) fn check(path: &Path, owner: Option<u32>) -> Result<(), SocketError> {
    let ours = rustix::process::geteuid().as_raw();
    check_among(path, &[ROOT, ours].into_iter().chain(owner).collect::<Vec<_>>())
}

fn check_among(path: &Path, users: &[u32]) -> Result<(), SocketError> {
    let mut way = Way { users, folders: Vec::new() };
    let mut rest = steps(&std::path::absolute(path).map_err(FileError::Unreadable)?);
    let mut links = 0;
    while let Some(step) = rest.pop() {
        let Some(link) = way.take(&step)? else { continue };
        links += 1;
        if links > MOST_LINKS {
            return Err(FileError::Unreadable(io::Error::other("too many links")).into());
        }
        rest.extend(steps(&link));
    }
    Ok(())
}

/// Last one first.
fn steps(path: &Path) -> Vec<Step> {
    let step = |component: Component<'_>| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(step).collect()
}

enum Step {
    Root,
    Up,
    Down(OsString),
}

/// Where we are: no links are left in it.
struct Way<'a> {
    users: &'a [u32],
    /// The root and all below it, the last of them the current one.
    folders: Vec<Folder>,
}

struct Folder {
    path: PathBuf,
    /// Whether anybody could have put there what is in it, or in a folder above.
    is_anybodys: bool,
}

impl Way<'_> {
    /// Takes a step, or tells where the link leads that is there.
    fn take(&mut self, step: &Step) -> Result<Option<PathBuf>, SocketError> {
        match step {
            Step::Root => {
                self.folders.clear();
                self.enter(PathBuf::from("/"), false)
            }
            Step::Up => {
                self.folders.truncate(self.folders.len().saturating_sub(1).max(1));
                Ok(None)
            }
            Step::Down(name) => {
                let folder = self.folders.last().ok_or(FileError::NotAFile)?;
                let (path, is_anybodys) = (folder.path.join(name), folder.is_anybodys);
                self.enter(path, is_anybodys)
            }
        }
    }

    fn enter(&mut self, path: PathBuf, is_anybodys: bool) -> Result<Option<PathBuf>, SocketError> {
        let metadata = fs::symlink_metadata(&path).map_err(FileError::Unreadable)?;
        let is_shared = metadata.is_dir() && is_shared(&metadata);
        // The owner of a shared folder may replace what is in it.
        if (is_anybodys || is_shared) && !self.users.contains(&metadata.uid()) {
            return Err(SocketError::OfAnother { path, user: metadata.uid(), users: self.users.to_vec() });
        }
        if metadata.is_symlink() {
            return Ok(Some(fs::read_link(&path).map_err(FileError::Unreadable)?));
        }
        if metadata.is_dir() && !is_shared {
            trusted::check_mode(&path, &metadata)?;
        }
        self.folders.push(Folder { path, is_anybodys: is_anybodys || is_shared });
        Ok(None)
    }
}

/// Whether several users may put things there, and none replace another's.
fn is_shared(metadata: &Metadata) -> bool {
    metadata.mode() & 0o1000 != 0 && metadata.mode() & 0o022 != 0
}

/// Why nobody is believed who listens at a socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SocketError {
    /// It is not there, or others may write in a folder on the way.
    #[error("{0}")]
    Place(#[from] FileError),
    /// Somebody else may have made it.
    #[error(
        "is not safe: {path} belongs to user {user}, where everybody may put things; it must belong to one of the users \
         {users}, or to the one that socket_owner names",
        path = path.display(),
        users = users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    OfAnother {
        /// The socket, or a folder or link on the way there.
        path: PathBuf,
        /// Whose it is, by number.
        user: u32,
        /// Root, ourselves, and whom the configuration names.
        users: Vec<u32>,
    },
}

impl SocketError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Place(error) => error.code(),
            Self::OfAnother { .. } => "socket-of-another-user",
        }
    }
}

const ROOT: u32 = 0;
/// As Linux has it.
const MOST_LINKS: u32 = 40;

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A socket three folders deep, all of it a user's who is not root.
    struct Place {
        folder: tempfile::TempDir,
        user: u32,
    }

    impl Place {
        fn new() -> Self {
            let (folder, ours) = (tempfile::tempdir().unwrap(), rustix::process::geteuid().as_raw());
            let place = Self { folder, user: if ours == ROOT { 4_711 } else { ours } };
            for path in ["", "tmp", "tmp/spire", "tmp/spire/private"] {
                drop(fs::create_dir(place.path(path)));
                place.chmod(path, 0o755);
            }
            UnixListener::bind(place.path("tmp/spire/private/api.sock")).unwrap();
            place.chmod("tmp/spire/private/api.sock", 0o777);
            place
        }

        fn path(&self, path: &str) -> PathBuf {
            self.folder.path().join(path)
        }

        fn chmod(&self, path: &str, mode: u32) {
            fs::set_permissions(self.path(path), Permissions::from_mode(mode)).unwrap();
        }

        /// All that root made becomes the user's, from here on.
        fn chown(&self, paths: &[&str]) {
            for path in paths.iter().filter(|_| rustix::process::geteuid().is_root()) {
                chown(self.path(path), Some(self.user), None).unwrap();
            }
        }

        /// The code for a service whose own user is root, with and without one more user.
        fn codes(&self, path: &str) -> [Option<&'static str>; 2] {
            let check = |users: &[u32]| check_among(&self.path(path), users).err().map(|error| error.code());
            [check(&[ROOT]), check(&[ROOT, self.user])]
        }
    }

    const SOCKET: &str = "tmp/spire/private/api.sock";
    const ANOTHERS: Option<&str> = Some("socket-of-another-user");
    const WRITABLE: Option<&str> = Some("file-writable-by-others");

    #[test]
    fn below_a_folder_for_everybody_all_must_belong_to_whom_we_believe() {
        for foreign in ["tmp/spire", "tmp/spire/private", SOCKET] {
            let place = Place::new();
            place.chown(&[foreign]);
            assert_eq!(place.codes(SOCKET), [ANOTHERS, None], "{foreign}");
        }
        let place = Place::new();
        place.chown(&["tmp"]);
        place.chmod("tmp", 0o1777);
        assert_eq!(place.codes(SOCKET), [ANOTHERS, None], "whose the shared folder is");
        let error = check_among(&place.path(SOCKET), &[ROOT, 77]).unwrap_err().to_string();
        assert!(error.contains(&format!("user {}, ", place.user)) && error.contains("users 0, 77, "), "{error}");
    }

    #[test]
    fn no_folder_on_the_way_may_be_writable_by_others() {
        for (folder, mode) in [("tmp", 0o777), ("tmp/spire", 0o775), ("tmp/spire/private", 0o770)] {
            let place = Place::new();
            place.chmod(folder, mode);
            assert_eq!(place.codes(SOCKET)[1], WRITABLE, "{folder} {mode:o}");
        }
        let place = Place::new();
        place.chmod("tmp/spire", 0o1777);
        assert_eq!(place.codes(SOCKET)[1], None, "each may replace only what is his");
    }

    #[test]
    fn links_count_where_they_are_and_where_they_lead() {
        let place = Place::new();
        symlink("tmp/./spire/../spire", place.path("link")).unwrap();
        symlink(place.path("link"), place.path("farther")).unwrap();
        assert_eq!(place.codes("farther/private/api.sock")[1], None);
        fs::create_dir(place.path("open")).unwrap();
        symlink(place.path("tmp/spire"), place.path("open/link")).unwrap();
        place.chmod("open", 0o777);
        fs::remove_file(place.path("link")).unwrap();
        symlink("open/link", place.path("link")).unwrap();
        assert_eq!(place.codes("farther/private/api.sock")[1], WRITABLE, "others could let it lead elsewhere");
        symlink("round", place.path("round")).unwrap();
        for nowhere in ["round", "round/x", "none/api.sock", "tmp/spire/private/api.sock/x"] {
            assert_eq!(place.codes(nowhere)[1], Some("file-unreadable"), "{nowhere}");
        }
    }
}
