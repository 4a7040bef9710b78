//! The store in one SQLite file, which one service at a time may use.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Executor, SqlSafeStr};
use tracing::warn;

use crate::spiffe::trust_domain::TrustDomain;

use super::error::StoreError;
use super::open_files::OpenFiles;
use super::private_file::{StoreLock, check_folder, close_if_present, create_or_close, with_suffix};
use super::records::Limits;
use super::sql::SqlStore;

/// Opens the file at an absolute path, and creates it if its folder is there.
pub(super) async fn open(path: &Path, trust_domain: &TrustDomain, limits: Limits) -> Result<SqlStore, StoreError> {
    check_folder(path)?;
    let mut lock = StoreLock::take(path)?;
    create_or_close(path)?;
    if let Some(aside) = lock.set_aside_foreign_wal(path)? {
        warn!(code = "store-wal-set-aside", wal = %aside.display(), "the store's file was replaced: what was beside the old one is set aside");
    }
    close_if_present(&with_suffix(path, "-wal"))?;
    let files = Arc::new(OpenFiles::default());
    for file in [path, &with_suffix(path, ".lock")] {
        files.remember(file)?;
    }
    let pool = connect(path, files.clone()).await?;
    let migrator = migrator();
    migrator.run(&pool).await.map_err(|error| StoreError::migrating(error, newest(&migrator)))?;
    let store = SqlStore { pool, begin: BEGIN, trust_domain: trust_domain.clone(), limits, files, _lock: lock };
    store.claim().await?;
    Ok(store)
}

/// One connection, so that writers queue here and not at the file.
async fn connect(path: &Path, files: Arc<OpenFiles>) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Private keys that were replaced are overwritten, not left in free pages.
        .pragma("secure_delete", "ON")
        .busy_timeout(BUSY_TIMEOUT);
    // SQLite keeps them beside what a link leads to.
    let real = path.canonicalize().map_err(|source| StoreError::Path { path: path.into(), source })?;
    let beside = ["-wal", "-shm"].map(|suffix| with_suffix(&real, suffix));
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        // SQLite ends a transaction by itself when the disk is full, after which sqlx believes for ever
        // that one is open; such a connection is thrown away.
        .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
        .after_connect(move |connection, _| {
            let (files, beside) = (files.clone(), beside.clone());
            Box::pin(async move {
                connection.execute(READ).await?;
                beside.iter().try_for_each(|file| files.remember(file)).map_err(sqlx::Error::protocol)
            })
        })
        .connect_with(options);
    Ok(pool.await?)
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(version, description, sql)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Applied ones never change: their checksums are in every store.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "trust", include_str!("migrations/sqlite/0001_trust.sql")),
    (3, "acme", include_str!("migrations/sqlite/0003_acme.sql")),
];
/// Takes the write lock at once: a reader that becomes a writer half-way could find it taken.
const BEGIN: &str = "BEGIN IMMEDIATE";
/// Whatever is read first creates what SQLite keeps beside the file.
const READ: &str = "SELECT count(*) FROM sqlite_schema";
/// Wait for a visitor, such as a backup, that has the file locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait for the statements of others to end.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);
