//! Why the store did not do what it was asked.

use std::error::Error;
use std::io;
use std::num::TryFromIntError;
use std::path::PathBuf;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteError;

use crate::files::trusted::FileError;
use crate::spiffe::trust_domain::TrustDomain;

/// A refusal or failure; after any of them the store holds what it held before.
///
/// Messages contain those of their sources.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StoreError {
    /// Disk full, read-only, busy, gone: worth another try.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Another file than the open one is at its path, or none.
    #[error(
        "the store's file {path} was replaced or removed while it is in use, so nothing more is written to it; put it \
         back, or restart the service to begin from what is there now",
        path = path.display()
    )]
    Replaced { path: PathBuf },
    /// A file or folder that the store needs can't be used.
    #[error("the store is unavailable: {path}: {source}", path = path.display())]
    Path { path: PathBuf, source: io::Error },
    /// The relationship has ended or was created anew; what was to be written is void.
    #[error("the relationship with {trust_domain} that this belongs to (incarnation {incarnation}) has ended")]
    Superseded { trust_domain: TrustDomain, incarnation: u64 },
    /// A revision number that is not the next one.
    #[error("revision {offered} of {trust_domain} does not follow {last}")]
    RevisionNotNext { trust_domain: TrustDomain, last: u64, offered: u64 },
    /// Our own bundle with a sequence that would stand still or go back (SEQ-02).
    #[error("sequence {offered:?} of our own bundle is not above the stored {stored:?}")]
    SequenceNotHigher { stored: Option<u64>, offered: Option<u64> },
    /// One domain's bundle was about to be filed under another's name.
    #[error("a bundle of {found} does not belong under {expected}")]
    ForeignBundle { expected: TrustDomain, found: TrustDomain },
    /// The bundle's document could not be read back, so it was not written.
    #[error("the bundle of {trust_domain} exceeds what a document may hold")]
    Unstorable { trust_domain: TrustDomain },
    /// A time or counter beyond 2^63 - 1.
    #[error("a number is too large for the store: {0}")]
    OutOfRange(#[source] TryFromIntError),
    /// The store was begun for another trust domain.
    #[error("the store belongs to trust domain {owner}, not {asked}")]
    ForeignDomain { owner: TrustDomain, asked: TrustDomain },
    /// Another process has the store open.
    #[error(
        "the store {path} is in use by {holder}; only one service may use it at a time",
        path = path.display(), holder = holder.map_or("another process".into(), |id| format!("process {id}"))
    )]
    Locked { path: PathBuf, holder: Option<u32> },
    /// Others than its owner can write what we would trust.
    #[error("the store {0}")]
    Insecure(#[source] FileError),
    /// What is stored can't be read.
    #[error("the store is damaged; restore it from a backup: {0}")]
    Corrupt(#[source] Box<dyn Error + Send + Sync>),
    /// A later release of this program has written to the store.
    #[error("the store has schema version {found}, this release knows up to {known}; use a newer release")]
    Newer { found: i64, known: i64 },
    /// The URL is not one of a store. It is not repeated, because it may bear a password.
    #[error("the store URL is neither \"sqlite:///absolute/path\" nor \"memory:\"")]
    Url,
}

impl StoreError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) | Self::Path { .. } => "store-unavailable",
            Self::Replaced { .. } => "store-file-replaced",
            Self::Superseded { .. } => "store-superseded",
            Self::RevisionNotNext { .. } => "store-revision-not-next",
            Self::SequenceNotHigher { .. } => "store-sequence-not-higher",
            Self::ForeignBundle { .. } => "store-foreign-bundle",
            Self::Unstorable { .. } => "store-unstorable",
            Self::OutOfRange(_) => "store-out-of-range",
            Self::ForeignDomain { .. } => "store-foreign-domain",
            Self::Locked { .. } => "store-locked",
            Self::Insecure(error) => error.code(),
            Self::Corrupt(_) => "store-corrupt",
            Self::Newer { .. } => "store-newer",
            Self::Url => "store-url",
        }
    }

    pub(super) fn corrupt(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt(source.into())
    }

    pub(super) fn migrating(error: MigrateError, known: i64) -> Self {
        match error {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source.into(),
            MigrateError::VersionMissing(found) => Self::Newer { found, known },
            other => Self::corrupt(other),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                Self::corrupt(error)
            }
            sqlx::Error::Database(database) if database.try_downcast_ref().is_some_and(is_damage) => {
                Self::corrupt(error)
            }
            _ => Self::Unavailable(error),
        }
    }
}

fn is_damage(error: &SqliteError) -> bool {
    let code = sqlx::error::DatabaseError::code(error).and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & PRIMARY_CODE, SQLITE_CORRUPT | SQLITE_NOTADB))
}

/// The low byte of an extended result code is its kind.
const PRIMARY_CODE: u32 = 0xff;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_NOTADB: u32 = 26;
