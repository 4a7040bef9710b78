//! `ValidateJWTSVID`: our verdict on a token, as far as the caller may see its domain.

use std::future::{Ready, ready};
use std::sync::Arc;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::Value as Json;
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};

use crate::federation::clock::Clock;
use crate::outputs::selection::Selection;
use crate::verify::jwt::{Audiences, VerifiedJwt, spiffe_id_of_token};
use crate::verify::rejection::Rejection;
use crate::verify::verifier::Verifier;

use super::messages::{ValidateJwtSvidRequest, ValidateJwtSvidResponse};

/// One question of one caller.
pub(super) struct Validation {
    pub(super) verifier: Verifier,
    pub(super) clock: Arc<Clock>,
    /// What the caller may see.
    pub(super) selection: Selection,
}

impl UnaryService<ValidateJwtSvidRequest> for Validation {
    type Response = ValidateJwtSvidResponse;
    type Future = Ready<Result<Response<Self::Response>, Status>>;

    fn call(&mut self, request: Request<ValidateJwtSvidRequest>) -> Self::Future {
        ready(self.validate(&request.into_inner()).map(Response::new))
    }
}

impl Validation {
    fn validate(&self, request: &ValidateJwtSvidRequest) -> Result<ValidateJwtSvidResponse, Status> {
        let audiences = Audiences::new([request.audience.as_str()]);
        let audiences = audiences.ok_or_else(|| Status::invalid_argument("audience is empty"))?;
        if request.svid.is_empty() {
            return Err(Status::invalid_argument("svid is empty"));
        }
        let verdict = self.verdict(&request.svid, &audiences);
        let VerifiedJwt { verified, claims, .. } =
            verdict.map_err(|rejection| Status::invalid_argument(format!("{}: {rejection}", rejection.code())))?;
        let fields = claims.into_iter().map(|(name, value)| match value {
            // A list in every answer, as SPIRE has it: many clients expect no other form.
            value @ Json::String(_) if name == "aud" => (name, Json::Array(vec![value])),
            value => (name, value),
        });
        Ok(ValidateJwtSvidResponse { spiffe_id: verified.spiffe_id.to_string(), claims: Some(to_struct(fields)) })
    }

    /// A domain that the caller may not see is none that it can learn of (WL-13).
    fn verdict(&self, token: &str, audiences: &Audiences) -> Result<VerifiedJwt, Rejection> {
        let spiffe_id = spiffe_id_of_token(token)?;
        if !self.selection.admits(spiffe_id.trust_domain()) {
            return Err(Rejection::UnknownTrustDomain { trust_domain: spiffe_id.trust_domain().clone() });
        }
        self.verifier.verify_jwt(token, audiences, self.clock.now().into())
    }
}

fn to_struct(fields: impl IntoIterator<Item = (String, Json)>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, value)| (name, to_value(value))).collect() }
}

/// Numbers become doubles, which the standard's message has no other form for. Tokens nest 16 levels at most.
fn to_value(value: Json) -> Value {
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(values) => Kind::ListValue(ListValue { values: values.into_iter().map(to_value).collect() }),
        Json::Object(members) => Kind::StructValue(to_struct(members)),
    };
    Value { kind: Some(kind) }
}
