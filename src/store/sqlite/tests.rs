//! What only a file can do, and only a file can suffer.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{Executor, Row};
use tempfile::TempDir;

use crate::files::trusted::FileError;
use crate::spiffe::public_key::Fingerprint;
use crate::store::Store;
use crate::store::contract::{LIMITS, accepting, domain, numbered, own, reporting};
use crate::store::error::StoreError;
use crate::store::records::{Commit, StoredState};
use crate::store::sql::SqlStore;

use super::{StoreLock, with_suffix};

#[tokio::test]
async fn fec_21_a_store_survives_a_restart() {
    let (_folder, path) = place();
    let before = filled(&path).await.load().await.unwrap();
    let reopened = open(&path).await.unwrap();
    assert_eq!(reopened.load().await.unwrap(), before);
    assert_eq!(reopened.history(&domain("b"), None, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn fec_21_what_was_committed_survives_a_kill() {
    let (folder, path) = place();
    let store = filled(&path).await;
    let image = folder.path().join("image");
    fs::create_dir(&image).unwrap();
    fs::set_permissions(&image, Permissions::from_mode(0o700)).unwrap();
    for suffix in ["", "-wal"] {
        fs::copy(with_suffix(&path, suffix), with_suffix(&image.join("comity.db"), suffix)).unwrap();
    }
    let found = open(&image.join("comity.db")).await.unwrap().load().await.unwrap();
    assert_eq!(found, store.load().await.unwrap());
}

#[tokio::test]
async fn a_commit_that_is_dropped_half_way_happened_entirely_or_not_at_all() {
    let (_folder, path) = place();
    let store = open(&path).await.unwrap();
    let created = store.create(&domain("b"), "").await.unwrap();
    for step in 0..40 {
        let before = store.load().await.unwrap().relationships.remove(0);
        let bar = vec![Fingerprint::of(&[step])];
        let commit = Commit { bar, ..accepting(&created, before.last_revision + 1, &step.to_string()) };
        drop(tokio::time::timeout(Duration::from_micros(u64::from(step) * 20), store.commit(&commit)).await);
        let after = store.load().await.unwrap().relationships.remove(0);
        match after.accepted == commit.accept {
            true => assert_eq!(after.barred.len(), before.barred.len() + 1, "{step}"),
            false => assert_eq!(after, before, "{step}"),
        }
    }
}

#[tokio::test]
async fn a_second_service_is_refused_by_name_until_the_first_ends() {
    let (_folder, path) = place();
    let first = open(&path).await.unwrap();
    let refusal = open(&path).await.err().unwrap();
    assert_eq!(refusal.code(), "store-locked");
    for part in [path.to_str().unwrap(), &format!("process {}", std::process::id())] {
        assert!(refusal.to_string().contains(part), "{refusal}");
    }
    drop(first);
    open(&path).await.unwrap();
}

#[tokio::test]
async fn the_files_are_private() {
    let (folder, path) = place();
    let _store = filled(&path).await;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
}

#[tokio::test]
async fn what_others_can_read_is_closed_to_them() {
    let (_folder, path) = place();
    closed(filled(&path).await).await;
    let wal = with_suffix(&path, "-wal");
    fs::write(&wal, "").unwrap();
    for file in [&path, &wal] {
        fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    }
    let store = open(&path).await.unwrap();
    for file in [&path, &wal] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    closed(store).await;
}

#[tokio::test]
async fn what_others_can_write_is_refused() {
    let (folder, path) = place();
    closed(filled(&path).await).await;
    let wal = with_suffix(&path, "-wal");
    for (target, mode, refused) in [
        (path.as_path(), 0o644, false),
        (&path, 0o620, true),
        (&path, 0o602, true),
        (&path, 0o600, false),
        (folder.path(), 0o755, false),
        (folder.path(), 0o770, true),
        (folder.path(), 0o1777, true),
        (folder.path(), 0o700, false),
        (&wal, 0o622, true),
    ] {
        fs::write(&wal, "").unwrap();
        fs::set_permissions(target, Permissions::from_mode(mode)).unwrap();
        let outcome = match open(&path).await {
            Ok(store) => {
                closed(store).await;
                Ok(())
            }
            Err(refusal) => Err(refusal),
        };
        let named = matches!(&outcome, Err(StoreError::Insecure(FileError::Writable { path, mode: found })) if path == target && *found == mode);
        assert_eq!((named, outcome.is_err()), (refused, refused), "{target:?} {mode:o}");
    }
}

#[tokio::test]
async fn a_store_of_another_domain_is_refused_and_left_alone() {
    let (_folder, path) = place();
    let before = filled(&path).await.load().await.unwrap();
    let refusal = super::open(&path, &domain("b"), LIMITS).await.err().unwrap();
    assert_eq!(refusal.code(), "store-foreign-domain");
    assert_eq!(refusal.to_string(), "the store belongs to trust domain own.example, not b");
    assert_eq!(open(&path).await.unwrap().load().await.unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (_folder, path) = place();
    let store = open(&path).await.unwrap();
    let later = "INSERT INTO _sqlx_migrations SELECT 9, 'later', installed_on, 1, checksum, 1 FROM _sqlx_migrations WHERE version = 1";
    store.pool.execute(later).await.unwrap();
    drop(store);
    let refusal = open(&path).await.err().unwrap();
    let newest = super::newest(&super::migrator());
    assert!(matches!(refusal, StoreError::Newer { found: 9, known } if known == newest), "{refusal}");
}

#[tokio::test]
async fn nothing_is_written_where_a_restart_would_not_find_it() {
    let (folder, path) = place();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let store = filled(&link).await;
    let relationship = store.load().await.unwrap().relationships.remove(0);
    for (number, suffix, file) in [(3, "", &path), (4, "-wal", &path), (5, "-shm", &path), (6, ".lock", &link)] {
        let (file, away) = (with_suffix(file, suffix), folder.path().join("away"));
        fs::rename(&file, &away).unwrap();
        let refusal = store.commit(&accepting(&relationship, number, "a")).await.unwrap_err();
        assert_eq!(refusal.code(), "store-file-replaced", "{file:?}: {refusal}");
        fs::write(&file, "").unwrap();
        assert_eq!(store.check_place().unwrap_err().code(), "store-file-replaced", "{file:?}");
        fs::rename(&away, &file).unwrap();
        store.commit(&accepting(&relationship, number, "a")).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_beside_a_store_is_not_written_over_its_successor() {
    for (copied, set_aside) in [(false, true), (true, false)] {
        let (folder, path) = place();
        let [backup, wal] = [folder.path().join("backup.db"), with_suffix(&path, "-wal")];
        closed(filled(&path).await).await;
        fs::copy(&path, &backup).unwrap();
        let relationship = open(&path).await.unwrap().load().await.unwrap().relationships.remove(0);
        let store = open(&path).await.unwrap();
        store.commit(&accepting(&relationship, 3, "later")).await.unwrap();
        let left = fs::read(&wal).unwrap();
        closed(store).await;
        fs::write(&wal, left).unwrap();
        fs::rename(&backup, &path).unwrap();
        if copied {
            // As when the folder was copied: the lock is another file with the same contents.
            let lock = with_suffix(&path, ".lock");
            fs::copy(&lock, &backup).unwrap();
            fs::rename(&backup, &lock).unwrap();
        }
        let lock = StoreLock::take(&path).unwrap().set_aside_foreign_wal(&path).unwrap();
        assert_eq!((lock.is_some(), wal.exists()), (set_aside, !set_aside));
        assert_eq!(with_suffix(&wal, ".replaced").exists(), set_aside);
    }
}

#[tokio::test]
async fn a_damaged_file_is_reported_as_such() {
    let (_folder, path) = place();
    closed(filled(&path).await).await;
    let whole = fs::read(&path).unwrap();
    let overwritten = [&whole[..4096], &vec![0x55; whole.len() - 4096]].concat();
    for (name, bytes) in [
        ("no database", b"keys = []\n".repeat(1_000)),
        ("cut in the header", whole[..50].to_vec()),
        ("cut after the header", whole[..100].to_vec()),
        ("cut in half", whole[..whole.len() / 2].to_vec()),
        ("cut at a page", whole[..4096].to_vec()),
        ("overwritten", overwritten),
    ] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(open_and_load(&path).await.unwrap_err().code(), "store-corrupt", "{name}");
    }
}

#[tokio::test]
async fn a_record_that_makes_no_sense_is_damage() {
    for change in [
        "UPDATE revisions SET bundle = CAST('{' AS BLOB)",
        "UPDATE revisions SET origin = 'hearsay'",
        "UPDATE revisions SET accepted_at = -1",
        "UPDATE relationships SET incarnation = -1",
        "UPDATE barred_documents SET digest = 'zz'",
        "UPDATE store SET own_bundle = x''",
        "DELETE FROM store",
    ] {
        let (_folder, path) = place();
        let store = filled(&path).await;
        store.pool.execute(change).await.unwrap();
        assert_eq!(store.load().await.unwrap_err().code(), "store-corrupt", "{change}");
    }
}

#[tokio::test]
async fn a_place_that_takes_no_file_is_named() {
    let (folder, path) = place();
    fs::write(&path, "").unwrap();
    for place in [folder.path().join("absent/comity.db"), path.join("comity.db"), "/proc/comity.db".into()] {
        let refusal = open(&place).await.err().unwrap();
        assert_eq!(refusal.code(), "store-unavailable", "{refusal}");
        assert!(refusal.to_string().contains(place.parent().unwrap().to_str().unwrap()), "{refusal}");
    }
}

#[tokio::test]
async fn a_full_or_read_only_disk_leaves_nothing_half_written() {
    for fault in ["PRAGMA max_page_count = 1", "PRAGMA query_only = ON"] {
        let (_folder, path) = place();
        let store = filled(&path).await;
        let before = store.load().await.unwrap();
        store.pool.execute(fault).await.unwrap();
        let commit = accepting(&before.relationships[0], 3, &"k".repeat(100_000));
        assert_eq!(store.commit(&commit).await.unwrap_err().code(), "store-unavailable", "{fault}");
        assert_eq!(store.load().await.unwrap(), before, "{fault}");
        // The pragmas are those of the connection.
        drop(store);
        open(&path).await.unwrap().commit(&commit).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_works_again_once_the_disk_has_room() {
    let (_folder, path) = place();
    let store = filled(&path).await;
    let relationship = store.load().await.unwrap().relationships.remove(0);
    let commit = accepting(&relationship, 3, &"k".repeat(100_000));
    store.pool.execute("PRAGMA max_page_count = 1").await.unwrap();
    store.commit(&commit).await.unwrap_err();
    store.pool.execute("PRAGMA max_page_count = 1000000").await.unwrap();
    store.commit(&commit).await.unwrap();
}

#[tokio::test]
async fn numbers_beyond_the_columns_are_refused() {
    let (_folder, path) = place();
    let store = open(&path).await.unwrap();
    store.put_clock_mark(u64::MAX >> 1).await.unwrap();
    assert_eq!(store.put_clock_mark(u64::MAX).await.unwrap_err().code(), "store-out-of-range");
    assert_eq!(store.load().await.unwrap().clock_mark, Some(u64::MAX >> 1));
}

#[tokio::test]
async fn every_commit_is_on_disk_when_it_returns() {
    let (_folder, path) = place();
    let store = open(&path).await.unwrap();
    let journal = store.pool.fetch_one("PRAGMA journal_mode").await.unwrap();
    assert_eq!(journal.get::<String, _>(0), "wal");
    for (pragma, expected) in [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1)] {
        assert_eq!(store.pool.fetch_one(pragma).await.unwrap().get::<i64, _>(0), expected, "{pragma}");
    }
}

#[tokio::test]
async fn a_url_says_which_store() {
    let (_folder, path) = place();
    for (url, expected) in [
        ("memory:", None),
        (&format!("sqlite://{}", path.display()), None),
        ("sqlite://relative.db", Some("store-url")),
        ("sqlite:", Some("store-url")),
        ("postgres://comity:secret@db/comity", Some("store-url")),
        ("", Some("store-url")),
    ] {
        let refusal = crate::store::open(url, &own()).await.err();
        assert_eq!(refusal.as_ref().map(StoreError::code), expected, "{url}");
        assert!(!refusal.is_some_and(|refusal| refusal.to_string().contains("secret")), "{url}");
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let path = folder.path().join("comity.db");
    (folder, path)
}

async fn open(path: &Path) -> Result<SqlStore, StoreError> {
    super::open(path, &own(), LIMITS).await
}

async fn open_and_load(path: &Path) -> Result<StoredState, StoreError> {
    open(path).await?.load().await
}

/// A store with a bit of everything: domain `b` has accepted two bundles and barred a document.
async fn filled(path: &Path) -> SqlStore {
    let store = open(path).await.expect("an empty store");
    let created = store.create(&domain("b"), "endpoint").await.expect("a relationship");
    for number in [1, 2] {
        store.commit(&accepting(&created, number, "a")).await.expect("an accepted bundle");
    }
    let bar = vec![Fingerprint::of(b"evil")];
    store.commit(&Commit { bar, ..reporting(&created) }).await.expect("a barred document");
    store.put_own(&numbered(&own(), 1), "notes").await.expect("our own bundle");
    store.put_clock_mark(1_700_000_000).await.expect("the time");
    store
}

/// Ends the store with all that it wrote in its main file.
async fn closed(store: SqlStore) {
    store.pool.close().await;
}
