//! `/v1/rotation`: how far our own keys have got, and with whom.

use actix_web::web::{Data, Json, ServiceConfig};

use crate::federation::Federation;
use crate::federation::rotation::RotationStatus;

use super::admin::read;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(read("/v1/rotation", show));
}

async fn show(federation: Data<Federation>) -> Json<RotationStatus> {
    Json(federation.rotation())
}
