//! `[outputs.oidc]`: our JWT authorities for whoever federates by OpenID Connect.

use crate::config::section::Section;
use crate::config::{EndpointConfig, EndpointKind};
use crate::http::oidc::OidcIssuer;

pub(super) fn issuer(section: &Section<'_>, endpoints: &[EndpointConfig]) -> Option<OidcIssuer> {
    if !section.is_configured() {
        return None;
    }
    section.required(
        "issuer",
        "the https URL that our JWT-SVIDs have as \"iss\", such as \"https://oidc.bank-a.example\"",
    );
    let issuer = section.parsed("issuer", str::parse::<OidcIssuer>)?;
    let web = endpoints.iter().find(|endpoint| endpoint.profile == EndpointKind::HttpsWeb);
    match web {
        None => {
            section.refuse(
                "issuer",
                "needs [endpoint.https_web]: its documents are served there, to whoever trusts the Web PKI",
            );
            None
        }
        Some(web) if issuer.paths().contains(&web.path) => {
            section.refuse(
                "issuer",
                format!("its documents would be where the bundle is, at {}; give either another path", web.path),
            );
            None
        }
        Some(_) => Some(issuer),
    }
}
