//! Rows of the database as records; what doesn't fit is damage.

use std::error::Error;
use std::str::FromStr;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;
use crate::store::codec;
use crate::store::error::StoreError;
use crate::store::records::{HeldDocument, Revision, StoredRelationship};

/// A living relationship with its accepted revision, held and barred documents still to come.
pub(super) fn relationship_from(row: &SqliteRow) -> Result<StoredRelationship, StoreError> {
    let trust_domain = parsed(row, "trust_domain")?;
    let accepted = match row.try_get::<Option<i64>, _>("accepted_revision")? {
        Some(_) => Some(revision_from(row, &trust_domain)?),
        None => None,
    };
    Ok(StoredRelationship {
        incarnation: number(row, "incarnation")?,
        endpoint: row.try_get("endpoint")?,
        last_revision: number(row, "last_revision")?,
        accepted,
        held: Vec::new(),
        barred: Vec::new(),
        progress: row.try_get("progress")?,
        trust_domain,
    })
}

pub(super) fn revision_from(row: &SqliteRow, trust_domain: &TrustDomain) -> Result<Revision, StoreError> {
    Ok(Revision {
        number: number(row, "number")?,
        bundle: codec::decode(trust_domain, &row.try_get::<Vec<u8>, _>("bundle")?)?,
        accepted_at: number(row, "accepted_at")?,
        origin: row.try_get::<String, _>("origin")?.parse()?,
    })
}

pub(super) fn held_from(row: &SqliteRow) -> Result<(TrustDomain, HeldDocument), StoreError> {
    let trust_domain = parsed(row, "trust_domain")?;
    let held = HeldDocument {
        digest: parsed(row, "digest")?,
        bundle: codec::decode(&trust_domain, &row.try_get::<Vec<u8>, _>("bundle")?)?,
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        first_seen: number(row, "first_seen")?,
        last_seen: number(row, "last_seen")?,
    };
    Ok((trust_domain, held))
}

pub(super) fn barred_from(row: &SqliteRow) -> Result<(TrustDomain, Fingerprint), StoreError> {
    Ok((parsed(row, "trust_domain")?, parsed(row, "digest")?))
}

/// A column that has a type of its own as text.
pub(super) fn parsed<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T::Err: Error + Send + Sync + 'static,
{
    row.try_get::<String, _>(column)?.parse().map_err(StoreError::corrupt)
}

pub(super) fn number(row: &SqliteRow, column: &'static str) -> Result<u64, StoreError> {
    unsigned(row.try_get(column)?)
}

pub(super) fn optional(row: &SqliteRow, column: &'static str) -> Result<Option<u64>, StoreError> {
    row.try_get::<Option<i64>, _>(column)?.map(unsigned).transpose()
}

pub(super) fn unsigned(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(StoreError::corrupt)
}

pub(super) fn signed(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(StoreError::OutOfRange)
}
