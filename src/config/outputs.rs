//! `[outputs]`: where accepted bundles are delivered to.

mod http;
mod oidc;

use crate::http::oidc::OidcIssuer;
use crate::outputs::selection::Selection;
use crate::spiffe::trust_domain::TrustDomain;

use super::EndpointConfig;
use super::section::Section;

pub(crate) use self::http::HttpOutputConfig;

/// All outputs; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputsConfig {
    /// A listener inside the domain.
    pub(crate) http: Option<HttpOutputConfig>,
    /// Our keys for clouds, on the listener of `https_web`.
    pub(crate) oidc: Option<OidcIssuer>,
}

/// Reads the section; `endpoints` are those of ours.
pub(super) fn outputs(section: &Section<'_>, endpoints: &[EndpointConfig]) -> OutputsConfig {
    OutputsConfig {
        http: http::output(&section.section("http")),
        oidc: oidc::issuer(&section.section("oidc"), endpoints),
    }
}

/// The keys by which every output says what it shows.
pub(super) fn selection(section: &Section<'_>) -> Option<Selection> {
    let named = section.has("trust_domains");
    let trust_domains =
        section.list("trust_domains", "trust domains such as [\"bank-b.example\"]", str::parse::<TrustDomain>)?;
    if named && trust_domains.is_empty() {
        section.refuse("trust_domains", "is empty, so nothing would be shown; without this key all are");
        return None;
    }
    let trust_domains = named.then(|| trust_domains.into_iter().collect());
    Some(Selection { trust_domains, shared_authorities: section.boolean("shared_authorities").unwrap_or(false) })
}
