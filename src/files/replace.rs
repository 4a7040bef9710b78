//! Replacing a file as a whole.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::trusted::folder_of;

/// Writes beside the file, and puts it in place once it is on the disk: whoever reads, and whoever starts after a
/// crash, meets the old file or the new one. `mode` is the new one's, whatever the umask.
pub(crate) fn replace(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = folder_of(file);
    let mut half = tempfile::NamedTempFile::new_in(folder)?;
    half.write_all(bytes)?;
    half.as_file().set_permissions(Permissions::from_mode(mode))?;
    half.as_file().sync_all()?;
    half.persist(file).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_new_file_has_its_mode_and_what_fails_leaves_the_old_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle.json");
        for (text, mode) in [("old", 0o644), ("new", 0o600)] {
            replace(&file, text.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, mode);
        }
        fs::create_dir(folder.path().join("a-folder")).unwrap();
        replace(&folder.path().join("a-folder"), b"x", 0o644).unwrap_err();
        replace(&folder.path().join("none/x"), b"x", 0o644).unwrap_err();
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a-folder", "bundle.json"], "nothing half-written stays");
    }
}
