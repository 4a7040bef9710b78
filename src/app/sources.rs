//! Sources of our own keys other than files: what gets their documents, and what of their state is shown.

use std::sync::Arc;

use async_trait::async_trait;

use crate::authorities::get::{self, Get, Got, NotGot, Wanted};
use crate::authorities::source::SourceState;
use crate::federation::endpoint_client::{Bearer, Referrer};
use crate::federation::poller::Shared;
use crate::federation::relationship::EndpointUrl;
use crate::federation::status::{AuthoritySourceStatus, ErrorStatus};
use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::SvidType;
use crate::verify::text::shown;

/// The client of bundle endpoints, with its limits, its rules on addresses and its TLS.
pub(super) struct Documents(pub(super) Arc<Shared>);

#[async_trait]
impl Get for Documents {
    async fn get(&self, wanted: &Wanted<'_>) -> Result<Got, NotGot> {
        let url = wanted.url.parse::<EndpointUrl>().map_err(|error| {
            let url = shown(wanted.url.as_bytes());
            NotGot { code: "source-url-refused", detail: format!("\"{url}\": {error}") }
        })?;
        let bearer = wanted.token.and_then(|token| Bearer::new(token.secret()));
        let referrer = wanted.referrer.map(|get::Referrer { address, left }| Referrer { address, left });
        let document = self.0.client.get(&url, wanted.roots.clone(), bearer.as_ref(), referrer).await;
        let (body, Referrer { address, left }) =
            document.map_err(|error| NotGot { code: error.code(), detail: error.to_string() })?;
        Ok(Got { body, referrer: get::Referrer { address, left } })
    }
}

/// A source as the admin API and the metrics show it.
pub(super) fn status(state: &SourceState) -> AuthoritySourceStatus {
    let count = |svid_type| state.authorities.as_ref().map_or(0, |authorities| authorities.count(svid_type));
    AuthoritySourceStatus {
        source: state.name.clone(),
        x509_authorities: count(SvidType::X509Svid),
        jwt_authorities: count(SvidType::JwtSvid),
        last_success: state.last_success.map(Timestamp::from),
        last_error: state.problem.as_ref().map(|problem| ErrorStatus {
            code: problem.code.to_owned(),
            detail: problem.detail.clone(),
            at: problem.since.map_or_else(|| Timestamp::from_secs(0), Timestamp::from),
        }),
        ignored: state.ignored.iter().map(Into::into).collect(),
    }
}
