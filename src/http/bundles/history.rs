//! `/v1/bundles/{trust_domain}/history`: what was accepted when.

use actix_web::web::{Data, Json, Query};
use serde::Deserialize;

use crate::federation::Federation;
use crate::federation::history::History;
use crate::http::admin::OfDomain;
use crate::http::problem::Problem;

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    /// Only revisions before this one.
    before: Option<u64>,
    #[serde(default)]
    limit: PageLimit,
}

/// Revisions on a page: 1 to 100.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "u8")]
struct PageLimit(u8);

impl TryFrom<u8> for PageLimit {
    type Error = &'static str;

    fn try_from(limit: u8) -> Result<Self, Self::Error> {
        if (1..=MOST).contains(&limit) { Ok(Self(limit)) } else { Err("limit is no number from 1 to 100") }
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(20)
    }
}

const MOST: u8 = 100;

pub(super) async fn show(
    OfDomain(td): OfDomain,
    Query(Paging { before, limit }): Query<Paging>,
    federation: Data<Federation>,
) -> Result<Json<History>, Problem> {
    Ok(Json(federation.history(&td, before, limit.0).await?))
}
