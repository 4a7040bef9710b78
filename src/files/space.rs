//! How much room a volume has left.

use std::io;
use std::path::Path;

/// Bytes that an unprivileged user can still write on the volume of this file or folder.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let volume = rustix::fs::statvfs(path)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}
