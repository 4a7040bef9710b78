//! `/v1/relationships`: who we exchange bundles with, and how that goes.

use actix_web::web::{Data, Json, ServiceConfig};
use serde::Serialize;

use crate::federation::Federation;
use crate::federation::status::RelationshipStatus;

use super::admin::{OfDomain, order, read};
use super::problem::Problem;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(read("/v1/relationships", list))
        .service(read("/v1/relationships/{trust_domain}", show))
        .service(order("/v1/relationships/{trust_domain}/refresh", refresh));
}

#[derive(Serialize)]
struct Relationships {
    relationships: Vec<RelationshipStatus>,
}

async fn list(federation: Data<Federation>) -> Json<Relationships> {
    Json(Relationships { relationships: federation.relationships() })
}

async fn show(OfDomain(td): OfDomain, federation: Data<Federation>) -> Result<Json<RelationshipStatus>, Problem> {
    Ok(Json(federation.relationship(&td)?))
}

async fn refresh(OfDomain(td): OfDomain, federation: Data<Federation>) -> Result<Json<RelationshipStatus>, Problem> {
    Ok(Json(federation.refresh(&td).await?))
}
