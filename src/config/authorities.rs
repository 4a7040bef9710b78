//! `[authorities]`: where our own public keys come from.

use std::path::PathBuf;
use std::time::Duration;

use crate::authorities::files::AuthorityFiles;
use crate::authorities::polled::{Origin, PolledSource};
use crate::authorities::root_certificates::read_roots;
use crate::authorities::spire_server::SpireServer;
use crate::authorities::workload_api::WorkloadApi;
use crate::federation::relationship::EndpointUrl;

use super::check::{DAY, MINUTE};
use super::section::Section;
use super::users::socket_owner;

/// What `[authorities]` says.
pub(super) struct Authorities {
    pub(super) files: AuthorityFiles,
    pub(super) sources: Vec<PolledSource>,
    pub(super) workload_api: Option<WorkloadApi>,
    pub(super) spire_server: Option<SpireServer>,
    /// `None` is a mistake.
    pub(super) refresh_hint: Option<Duration>,
}

impl Authorities {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let certificates = section.sections("url");
        let issuers = section.sections("oidc");
        let owner = socket_owner(section, &["workload_api", "spire_server"]);
        let sources = certificates.iter().map(certificates_at).chain(issuers.iter().map(issuer));
        Self {
            files: AuthorityFiles::new(section.paths("x509"), section.paths("jwt")).with_wit(section.paths("wit")),
            sources: each_once(section, sources.flatten().collect()),
            workload_api: section.parsed("workload_api", str::parse::<WorkloadApi>).map(|api| api.owned_by(owner)),
            spire_server: section.parsed("spire_server", str::parse::<SpireServer>).map(|it| it.owned_by(owner)),
            refresh_hint: section.duration("refresh_hint", MINUTE..=DAY),
        }
    }
}

/// A server that is there twice is a slip of the pen.
fn each_once(section: &Section<'_>, sources: Vec<PolledSource>) -> Vec<PolledSource> {
    for (index, source) in sources.iter().enumerate() {
        if sources[..index].iter().any(|other| other.url() == source.url()) {
            let kind = if matches!(source.origin, Origin::Certificates(_)) { "url" } else { "oidc" };
            section.refuse(kind, format!("\"{}\" is there twice", source.name()));
        }
    }
    sources
}

fn certificates_at(section: &Section<'_>) -> Option<PolledSource> {
    section.required("url", "the https URL of CA certificates in PEM, or in the JSON of Consul or Vault");
    let origin = section.parsed("url", str::parse::<EndpointUrl>).map(|url| Origin::Certificates(url.to_string()));
    polled(section, origin, None)
}

fn issuer(section: &Section<'_>) -> Option<PolledSource> {
    let origin = match (section.has("issuer"), section.has("jwks_url")) {
        (true, false) => section.parsed("issuer", issuer_name).map(Origin::Issuer),
        (false, true) => section.parsed("jwks_url", str::parse::<EndpointUrl>).map(|url| Origin::Jwks(url.to_string())),
        (true, true) => {
            section.refuse("jwks_url", "with issuer the key set is found by discovery; give one of them");
            None
        }
        (false, false) => {
            section.refuse("issuer", "required: the issuer's https URL as its tokens have it, or jwks_url instead");
            None
        }
    };
    polled(section, origin, section.path("bearer_token_file"))
}

/// Kept as it is written, since the discovery document must repeat it letter by letter.
fn issuer_name(text: &str) -> Result<String, String> {
    let url = text.parse::<EndpointUrl>().map_err(|error| error.to_string())?;
    match url.as_url().query().or_else(|| url.as_url().fragment()) {
        Some(_) => Err("the URL of an issuer has neither query nor fragment".into()),
        None => Ok(text.to_owned()),
    }
}

/// Reads the rest even if the origin is wrong, so that every mistake is told.
fn polled(section: &Section<'_>, origin: Option<Origin>, bearer_token: Option<PathBuf>) -> Option<PolledSource> {
    let interval = match section.has("interval") {
        true => section.duration("interval", SECOND..=60 * MINUTE),
        false => Some(MINUTE),
    };
    let root_certificates = section.path("root_certificates");
    if let Some(path) = &root_certificates
        && let Err(error) = read_roots(path)
    {
        section.refuse("root_certificates", format!("{path:?}: {error}"));
    }
    Some(PolledSource { origin: origin?, root_certificates, bearer_token, interval: interval? })
}

const SECOND: Duration = Duration::from_secs(1);
