//! Files and standard input.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::files::trusted::{FileError, read_open};

use super::error::VerifyError;

/// What an argument names. Whoever names a file vouches for it: it may be anybody's, and a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Source {
    StandardInput,
    File(PathBuf),
}

impl From<OsString> for Source {
    fn from(name: OsString) -> Self {
        if name == "-" { Self::StandardInput } else { Self::File(name.into()) }
    }
}

impl Source {
    pub(in crate::cli) fn open(&self) -> Result<Box<dyn Read + Send>, VerifyError> {
        match self {
            Self::StandardInput => Ok(Box::new(io::stdin())),
            Self::File(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(self.failed(FileError::Unreadable(error))),
            },
        }
    }

    /// All of it; none if it has more than `limit` bytes.
    pub(in crate::cli) fn read(&self, limit: usize) -> Result<Option<Vec<u8>>, VerifyError> {
        match read_open(self.open()?, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FileError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// All of it, which must not be more than `limit` bytes.
    pub(in crate::cli) fn read_whole(&self, limit: usize) -> Result<Vec<u8>, VerifyError> {
        self.read(limit)?.ok_or_else(|| self.failed(FileError::TooLarge { limit }))
    }

    pub(in crate::cli) fn failed(&self, reason: FileError) -> VerifyError {
        VerifyError::File { file: self.to_string(), reason }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardInput => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
