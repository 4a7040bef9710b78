//! `/v1/bundle` and `/v1/bundles`: our bundle, the accepted ones, and what waits for a decision.

mod history;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::{Data, Json, Query, ServiceConfig};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::federation::status::{AuthoritySummary, HeldStatus, RelationshipStatus};
use crate::federation::{Federation, FederationError};
use crate::spiffe::authority::X509Authority;
use crate::spiffe::document::render::{WitAuthorities, digest, render};
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::admin::{OfDomain, order, read};
use super::problem::Problem;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(read("/v1/bundle", own))
        .service(read("/v1/bundles", list))
        .service(read("/v1/bundles/{trust_domain}", show))
        .service(read("/v1/bundles/{trust_domain}/held", held))
        .service(read("/v1/bundles/{trust_domain}/history", history::show))
        .service(order("/v1/bundles/{trust_domain}/accept", accept))
        .service(order("/v1/bundles/{trust_domain}/reject", reject));
}

/// An accepted bundle, in summary and as a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AcceptedBundle {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) sequence: Option<u64>,
    pub(crate) revision: Option<u64>,
    pub(crate) digest: Fingerprint,
    pub(crate) authorities: Vec<AuthoritySummary>,
    /// A SPIFFE bundle document, WIT authorities included.
    pub(crate) document: serde_json::Value,
}

#[derive(Serialize)]
struct Bundles {
    bundles: Vec<AcceptedBundle>,
}

#[derive(Serialize)]
struct Held {
    held: Vec<HeldStatus>,
}

/// Names one held document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    digest: Fingerprint,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Jwks,
    Pem,
}

async fn own(Query(form): Query<Form>, federation: Data<Federation>) -> Result<HttpResponse, Problem> {
    let none = || FederationError::NoBundle(federation.service().trust_domain);
    let bundle = federation.own_bundle().ok_or_else(none)?;
    match form.format {
        Format::Jwks => {
            let document = render(&bundle, WitAuthorities::Include);
            Ok(HttpResponse::Ok().content_type(ContentType::json()).body(document))
        }
        Format::Pem => {
            let certificates: String = bundle.authorities().x509().map(pem).collect();
            Ok(HttpResponse::Ok().content_type("application/x-pem-file").body(certificates))
        }
    }
}

async fn list(federation: Data<Federation>) -> Result<Json<Bundles>, Problem> {
    let known = federation.relationships();
    let accepted = known.iter().filter_map(|relationship| match accepted(&federation, relationship) {
        Err(BundleError::Federation(FederationError::NoBundle(_) | FederationError::UnknownTrustDomain(_))) => None,
        accepted => Some(accepted),
    });
    let bundles = accepted.collect::<Result<_, _>>()?;
    Ok(Json(Bundles { bundles }))
}

async fn show(OfDomain(td): OfDomain, federation: Data<Federation>) -> Result<Json<AcceptedBundle>, Problem> {
    let relationship = federation.relationship(&td)?;
    Ok(Json(accepted(&federation, &relationship)?))
}

async fn held(OfDomain(td): OfDomain, federation: Data<Federation>) -> Result<Json<Held>, Problem> {
    Ok(Json(Held { held: federation.held(&td)? }))
}

async fn accept(
    OfDomain(td): OfDomain,
    Json(decision): Json<Decision>,
    federation: Data<Federation>,
) -> Result<Json<RelationshipStatus>, Problem> {
    Ok(Json(federation.accept(&td, decision.digest).await?))
}

async fn reject(
    OfDomain(td): OfDomain,
    Json(decision): Json<Decision>,
    federation: Data<Federation>,
) -> Result<Json<RelationshipStatus>, Problem> {
    Ok(Json(federation.reject(&td, decision.digest).await?))
}

#[derive(Debug, thiserror::Error)]
enum BundleError {
    #[error(transparent)]
    Federation(#[from] FederationError),
    #[error("our own rendering is not JSON: {0}")]
    Rendering(#[from] serde_json::Error),
}

impl From<BundleError> for Problem {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Federation(error) => error.into(),
            BundleError::Rendering(_) => Self::internal(error.to_string()),
        }
    }
}

fn accepted(federation: &Federation, relationship: &RelationshipStatus) -> Result<AcceptedBundle, BundleError> {
    let bundle = federation.bundle(&relationship.trust_domain)?;
    Ok(AcceptedBundle {
        trust_domain: bundle.trust_domain().clone(),
        sequence: bundle.sequence(),
        revision: relationship.revision,
        digest: digest(&bundle),
        authorities: bundle.authorities().iter().map(AuthoritySummary::from).collect(),
        document: serde_json::from_slice(&render(&bundle, WitAuthorities::Include))?,
    })
}

/// RFC 7468, lines of 64 characters.
pub(super) fn pem(authority: &X509Authority) -> String {
    let mut text = STANDARD.encode(authority.der());
    for end in (64..text.len()).step_by(64).rev() {
        text.insert(end, '\n');
    }
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
