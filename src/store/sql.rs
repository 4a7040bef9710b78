//! The store in SQL: each method is one transaction.

mod rows;
mod statements;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{Executor, Pool, Row, Transaction};

use crate::spiffe::bundle::Bundle;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use self::rows::{
    barred_from, held_from, number, optional, parsed, relationship_from, revision_from, signed, unsigned,
};
use super::Store;
use super::codec;
use super::error::StoreError;
use super::open_files::OpenFiles;
use super::private_file::StoreLock;
use super::records::{
    Commit, HeldDocument, Limits, OwnBundle, Revision, StoredRelationship, StoredState, check_owner, check_sequence,
};

/// The one driver so far. Statements and transactions below are also PostgreSQL's.
type Driver = Sqlite;
type Query = sqlx::query::Query<'static, Driver, SqliteArguments>;

/// A store behind a pool of connections, for one trust domain.
pub(super) struct SqlStore {
    pub(super) pool: Pool<Driver>,
    /// How the driver begins a transaction that will write.
    pub(super) begin: &'static str,
    pub(super) trust_domain: TrustDomain,
    pub(super) limits: Limits,
    pub(super) files: Arc<OpenFiles>,
    /// After the pool, so that it is dropped last.
    pub(super) _lock: StoreLock,
}

impl SqlStore {
    /// Makes the store that of its trust domain, or refuses one that is another's.
    pub(super) async fn claim(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(about(statements::CLAIM, &self.trust_domain)).await?;
        let row = tx.fetch_one(sqlx::query(statements::STORE)).await?;
        let owner: TrustDomain = parsed(&row, "trust_domain")?;
        if owner != self.trust_domain {
            return Err(StoreError::ForeignDomain { owner, asked: self.trust_domain.clone() });
        }
        self.finish(tx).await
    }

    async fn begin(&self) -> Result<Transaction<'static, Driver>, StoreError> {
        self.files.check()?;
        Ok(self.pool.begin_with(self.begin).await?)
    }

    /// Written is what a restart would find: the files may have gone in between.
    async fn finish(&self, tx: Transaction<'static, Driver>) -> Result<(), StoreError> {
        tx.commit().await?;
        self.files.check()
    }

    async fn own(&self, tx: &mut Transaction<'static, Driver>) -> Result<Option<OwnBundle>, StoreError> {
        let row = tx.fetch_one(sqlx::query(statements::STORE)).await?;
        let document: Option<Vec<u8>> = row.try_get("own_bundle")?;
        let Some(document) = document else { return Ok(None) };
        let bundle = codec::decode(&self.trust_domain, &document)?;
        Ok(Some(OwnBundle { bundle, progress: row.try_get("own_progress")? }))
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn load(&self) -> Result<StoredState, StoreError> {
        let mut tx = self.pool.begin().await?;
        let own = self.own(&mut tx).await?;
        let row = tx.fetch_one(sqlx::query(statements::STORE)).await?;
        let clock_mark = optional(&row, "clock_mark")?;
        Ok(StoredState { own, relationships: relationships(&mut tx).await?, clock_mark })
    }

    async fn put_own(&self, bundle: &Bundle, progress: &str) -> Result<(), StoreError> {
        check_owner(&self.trust_domain, bundle)?;
        let document = codec::encode(bundle)?;
        let mut tx = self.begin().await?;
        check_sequence(self.own(&mut tx).await?.as_ref(), bundle)?;
        tx.execute(sqlx::query(statements::PUT_OWN).bind(document).bind(progress.to_owned())).await?;
        self.finish(tx).await
    }

    async fn create(&self, trust_domain: &TrustDomain, endpoint: &str) -> Result<StoredRelationship, StoreError> {
        let mut tx = self.begin().await?;
        let counters = tx.fetch_one(about(statements::NEXT_INCARNATION, trust_domain)).await?;
        let incarnation: i64 = counters.try_get("last_incarnation")?;
        tx.execute(about(statements::END, trust_domain)).await?;
        tx.execute(about(statements::CREATE, trust_domain).bind(incarnation).bind(endpoint.to_owned())).await?;
        let barred = tx.fetch_all(about(statements::BARRED_OF, trust_domain)).await?;
        let created = StoredRelationship {
            trust_domain: trust_domain.clone(),
            incarnation: unsigned(incarnation)?,
            endpoint: endpoint.into(),
            last_revision: number(&counters, "last_revision")?,
            accepted: None,
            held: Vec::new(),
            barred: barred.iter().map(|row| parsed(row, "digest")).collect::<Result<_, _>>()?,
            progress: None,
        };
        self.finish(tx).await?;
        Ok(created)
    }

    async fn end(&self, trust_domain: &TrustDomain) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(about(statements::END, trust_domain)).await?;
        self.finish(tx).await
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        commit.check_bundles()?;
        let mut tx = self.begin().await?;
        write_progress(&mut tx, commit).await?;
        if let Some(revision) = &commit.accept {
            accept(&mut tx, commit, revision, self.limits).await?;
        }
        hold(&mut tx, commit, self.limits).await?;
        for digest in &commit.bar {
            tx.execute(about(statements::BAR, &commit.trust_domain).bind(digest.to_string())).await?;
        }
        self.finish(tx).await
    }

    async fn history(
        &self,
        trust_domain: &TrustDomain,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Revision>, StoreError> {
        // No revision has a number that can't be stored.
        let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
        let asked = about(statements::HISTORY, trust_domain).bind(before).bind(i64::from(limit));
        let rows = self.pool.fetch_all(asked).await?;
        rows.iter().map(|row| revision_from(row, trust_domain)).collect()
    }

    async fn put_clock_mark(&self, seconds: u64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(sqlx::query(statements::PUT_CLOCK_MARK).bind(signed(seconds)?)).await?;
        self.finish(tx).await
    }

    async fn close(&self) {
        self.pool.close().await;
    }

    fn check_place(&self) -> Result<(), StoreError> {
        self.files.check()
    }

    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.pool.fetch_optional(sqlx::query(statements::SECRET).bind(name.to_owned())).await?;
        Ok(row.map(|row| row.try_get("value")).transpose()?)
    }

    async fn put_secret(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(sqlx::query(statements::PUT_SECRET).bind(name.to_owned()).bind(value.to_owned())).await?;
        Ok(tx.commit().await?)
    }
}

/// A statement whose first parameter is a trust domain.
fn about(statement: &'static str, trust_domain: &TrustDomain) -> Query {
    sqlx::query(statement).bind(trust_domain.as_str().to_owned())
}

async fn relationships(tx: &mut Transaction<'static, Driver>) -> Result<Vec<StoredRelationship>, StoreError> {
    let mut living = BTreeMap::new();
    for row in &tx.fetch_all(sqlx::query(statements::RELATIONSHIPS)).await? {
        let relationship = relationship_from(row)?;
        living.insert(relationship.trust_domain.clone(), relationship);
    }
    for row in &tx.fetch_all(sqlx::query(statements::HELD)).await? {
        let (trust_domain, held) = held_from(row)?;
        living.entry(trust_domain).and_modify(|relationship| relationship.held.push(held));
    }
    for row in &tx.fetch_all(sqlx::query(statements::BARRED)).await? {
        let (trust_domain, digest) = barred_from(row)?;
        living.entry(trust_domain).and_modify(|relationship| relationship.barred.push(digest));
    }
    Ok(living.into_values().collect())
}

async fn write_progress(tx: &mut Transaction<'static, Driver>, commit: &Commit) -> Result<(), StoreError> {
    let update = about(statements::PROGRESS, &commit.trust_domain)
        .bind(signed(commit.incarnation)?)
        .bind(commit.endpoint.clone())
        .bind(commit.progress.clone());
    let living = tx.fetch_optional(update).await?;
    living.map(drop).ok_or_else(|| commit.superseded())
}

async fn accept(
    tx: &mut Transaction<'static, Driver>,
    commit: &Commit,
    revision: &Revision,
    limits: Limits,
) -> Result<(), StoreError> {
    let counters = tx.fetch_one(about(statements::LAST_REVISION, &commit.trust_domain)).await?;
    commit.check_number(revision.number, number(&counters, "last_revision")?)?;
    let number = signed(revision.number)?;
    let insert = about(statements::ADD_REVISION, &commit.trust_domain)
        .bind(number)
        .bind(codec::encode(&revision.bundle)?)
        .bind(signed(revision.accepted_at)?)
        .bind(revision.origin.as_str());
    tx.execute(insert).await?;
    tx.execute(about(statements::COUNT_REVISION, &commit.trust_domain).bind(number)).await?;
    tx.execute(about(statements::ACCEPT, &commit.trust_domain).bind(number)).await?;
    let trim = about(statements::TRIM_HISTORY, &commit.trust_domain)
        .bind(i64::from(limits.revisions))
        .bind(i64::from(limits.history_bytes));
    tx.execute(trim).await?;
    Ok(())
}

/// Makes what is held exactly the commit's list, without writing again what is already there.
async fn hold(tx: &mut Transaction<'static, Driver>, commit: &Commit, limits: Limits) -> Result<(), StoreError> {
    for row in &tx.fetch_all(about(statements::HELD_DIGESTS, &commit.trust_domain)).await? {
        let digest: Fingerprint = parsed(row, "digest")?;
        if !commit.held.iter().any(|held| held.digest == digest) {
            tx.execute(about(statements::RELEASE, &commit.trust_domain).bind(digest.to_string())).await?;
        }
    }
    if commit.held.is_empty() {
        return Ok(());
    }
    for (position, held) in (0_i64..).zip(commit.distinct_held()) {
        let update = with_held(about(statements::HOLD_STILL, &commit.trust_domain), held, position)?;
        if tx.fetch_optional(update).await?.is_none() {
            let insert = with_held(about(statements::HOLD, &commit.trust_domain), held, position)?;
            tx.execute(insert.bind(codec::encode(&held.bundle)?)).await?;
        }
    }
    let trim = about(statements::TRIM_HELD, &commit.trust_domain)
        .bind(i64::from(limits.held))
        .bind(i64::from(limits.held_bytes));
    tx.execute(trim).await?;
    Ok(())
}

fn with_held(statement: Query, held: &HeldDocument, position: i64) -> Result<Query, StoreError> {
    let statement = statement.bind(held.digest.to_string()).bind(position);
    let statement = statement.bind(held.code.clone()).bind(held.detail.clone());
    Ok(statement.bind(signed(held.first_seen)?).bind(signed(held.last_seen)?))
}
