//! What we put into a SPIRE server, remembered in a file: its API has no place for whose a bundle is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::replace::replace;
use crate::files::trusted::{self, FileError};
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

/// By trust domain, the contents by which a bundle is known to be ours: what we put there, and what we were about to.
///
/// It is written before anything is put there: a crash in between leaves nothing that we would not know again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    trust_domains: BTreeMap<TrustDomain, BTreeSet<Fingerprint>>,
}

impl Record {
    /// Reads it; a file that is not there yet is an empty record.
    pub(super) fn read(file: &Path) -> Result<Self, RecordError> {
        let at = |fault| RecordError { file: file.to_owned(), fault };
        match trusted::read(file, MAX_BYTES) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| at(Fault::Malformed(error))),
            Err(FileError::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(at(Fault::File(error))),
        }
    }

    /// Replaces the file as a whole, and returns when it is on the disk.
    pub(super) fn write(&self, file: &Path) -> Result<(), RecordError> {
        let text = serde_json::to_vec_pretty(self).expect("names and digests always serialise");
        let written = || {
            let folder = trusted::folder_of(file);
            trusted::check_mode(folder, &fs::metadata(folder).map_err(FileError::Unreadable)?)?;
            replace(file, &text, PRIVATE).map_err(Fault::Write)
        };
        written().map_err(|fault| RecordError { file: file.to_owned(), fault })
    }

    /// Whether what is there is as we left it.
    pub(super) fn is_ours(&self, trust_domain: &TrustDomain, there: Fingerprint) -> bool {
        self.trust_domains.get(trust_domain).is_some_and(|ours| ours.contains(&there))
    }

    /// Whether we ever put something there, and have not taken it away.
    pub(super) fn has(&self, trust_domain: &TrustDomain) -> bool {
        self.trust_domains.contains_key(trust_domain)
    }

    pub(super) fn trust_domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.trust_domains.keys()
    }

    /// This is about to be put there.
    pub(super) fn intend(&mut self, trust_domain: &TrustDomain, contents: Fingerprint) {
        self.trust_domains.entry(trust_domain.clone()).or_default().insert(contents);
    }

    /// This is there now, and nothing else that is ours.
    pub(super) fn done(&mut self, trust_domain: &TrustDomain, contents: Fingerprint) {
        self.trust_domains.insert(trust_domain.clone(), BTreeSet::from([contents]));
    }

    /// The server did not take it.
    pub(super) fn not_done(&mut self, trust_domain: &TrustDomain, contents: Fingerprint) {
        if let Some(ours) = self.trust_domains.get_mut(trust_domain) {
            ours.remove(&contents);
            if ours.is_empty() {
                self.forget(trust_domain);
            }
        }
    }

    /// Nothing of ours is there any more.
    pub(super) fn forget(&mut self, trust_domain: &TrustDomain) {
        self.trust_domains.remove(trust_domain);
    }
}

/// Why nothing is touched at the server: without the record nobody knows what is ours.
#[derive(Debug, thiserror::Error)]
#[error("state {}: {fault}", file.display())]
pub(crate) struct RecordError {
    file: PathBuf,
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    File(#[from] FileError),
    #[error("can't be written: {0}")]
    Write(io::Error),
    #[error("is not what Comity wrote ({0}); restore it, or delete it: then bundles that are there count as another's")]
    Malformed(serde_json::Error),
}

impl RecordError {
    /// Stable identifier; see docs/problems.md.
    pub(super) fn code(&self) -> &'static str {
        match &self.fault {
            Fault::File(error) => error.code(),
            Fault::Write(_) => "spire-state-not-written",
            Fault::Malformed(_) => "spire-state-malformed",
        }
    }
}

/// Room for 100,000 trust domains.
const MAX_BYTES: usize = 32 << 20;
const PRIVATE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        folder
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_believed() {
        let (folder, name) = (folder(), "b.example".parse().unwrap());
        let file = folder.path().join("spire.json");
        assert_eq!(Record::read(&file).unwrap(), Record::default());
        let (old, new) = (Fingerprint::of(b"old"), Fingerprint::of(b"new"));
        let mut record = Record::default();
        record.done(&name, old);
        record.intend(&name, new);
        record.write(&file).unwrap();
        let read = Record::read(&file).unwrap();
        assert!(read == record && read.is_ours(&name, old) && read.is_ours(&name, new));
        for (text, mode, code) in [
            (&b"{"[..], 0o600, "spire-state-malformed"),
            (b"{\"trust_domains\":{\"B\":[]}}", 0o600, "spire-state-malformed"),
            (b"{\"trust_domains\":{}}", 0o622, "file-writable-by-others"),
        ] {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Record::read(&file).unwrap_err().code(), code);
        }
        let nowhere = folder.path().join("none/spire.json");
        assert_eq!(record.write(&nowhere).unwrap_err().code(), "file-unreadable");
    }

    #[test]
    fn what_the_server_did_not_take_is_not_ours() {
        let (name, old, new) = ("b.example".parse().unwrap(), Fingerprint::of(b"old"), Fingerprint::of(b"new"));
        let mut record = Record::default();
        record.intend(&name, new);
        record.not_done(&name, new);
        assert!(!record.has(&name));
        record.done(&name, old);
        record.intend(&name, new);
        record.not_done(&name, new);
        assert!(record.is_ours(&name, old) && !record.is_ours(&name, new));
    }
}
