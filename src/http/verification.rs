//! `/v1/verify`: whether an SVID proves a SPIFFE ID, and if not, why.

mod asked;
pub(crate) mod question;
pub(crate) mod verdict;

use actix_web::Resource;
use actix_web::web::{Data, Json, ServiceConfig};

use crate::federation::Federation;
use crate::federation::timestamp::Timestamp;
use crate::verify::verifier::Verifier;

use self::asked::{Answer, Asked};
use self::question::{JwtQuestion, Question, X509Question};
use super::admin::{json, order};
use super::pool::{NotDone, Pool};
use super::problem::Problem;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(asks::<X509Question>(X509_SVID)).service(asks::<JwtQuestion>(JWT_SVID));
}

/// Where X509-SVIDs are judged.
pub(crate) const X509_SVID: &str = "/v1/verify/x509-svid";

/// Where JWT-SVIDs are judged.
pub(crate) const JWT_SVID: &str = "/v1/verify/jwt-svid";

fn asks<Q: Question>(path: &str) -> Resource {
    order(path, verify::<Q>).app_data(json(MAX_BODY_BYTES))
}

/// A question without an instant is about now, and its asker acts on the answer: an unknown key asks for an early poll.
async fn verify<Q: Question>(
    Json(asked): Json<Asked<Q>>,
    federation: Data<Federation>,
    pool: Data<Pool>,
) -> Result<Json<Answer>, Problem> {
    respond(asked, federation.verifier().clone(), federation.now(), &pool).await
}

async fn respond<Q: Question>(
    asked: Asked<Q>,
    verifier: Verifier,
    now: Timestamp,
    pool: &Pool,
) -> Result<Json<Answer>, Problem> {
    asked.check().map_err(|detail| Problem::new("invalid-request", detail))?;
    Ok(Json(pool.run(move || asked.answer(&verifier, now)).await?))
}

impl From<NotDone> for Problem {
    fn from(not_done: NotDone) -> Self {
        match not_done {
            NotDone::Overloaded => Self::new("overloaded", "too many verifications run or wait; ask again"),
            NotDone::Failed => Self::internal("a verification panicked"),
        }
    }
}

/// Many times the longest chain, so that a batch is worth its request.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Requests that are judged or wait to be, half of the connections there may be.
pub(super) const PLACES: usize = 32;

#[cfg(test)]
mod tests;
