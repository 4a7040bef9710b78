//! A valid configuration in a few lines, defaults included.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use rustls::time_provider::DefaultTimeProvider;

use crate::authorities::polled::{Origin, PolledSource};
use crate::federation::relationship::{ChangeControl, EndpointProfile, FederationRelationship};
use crate::outputs::selection::Selection;
use crate::spiffe::authority::SvidType;
use crate::spiffe::trust_domain::TrustDomain;

use super::{
    AuthorizationConfig, AuthorizationTransport, Config, EndpointConfig, EndpointKeys, HttpOutputConfig,
    MutualTlsConfig, policy,
};

/// What `comity config check` prints: the values in force, and what is wrong with the files of keys and
/// certificates, which may come later than the configuration.
pub(crate) fn describe(config: &Config) -> String {
    let mut lines = vec![
        ("trust domain", config.trust_domain.to_string()),
        ("file", config.file.as_ref().map_or_else(|| "none".into(), |file| file.display().to_string())),
        ("store", config.store_url.clone()),
        ("admin socket", config.admin_socket.display().to_string()),
        ("operations", config.operations.map_or_else(|| "off".into(), |address| format!("http://{address}"))),
        ("log", format!("{}, {}", config.log.format.as_str(), config.log.level)),
        ("refresh hint", text(config.refresh_hint)),
        ("authorities", authorities(config)),
    ];
    lines.extend(config.authority_sources.iter().map(|one| ("source", source(one))));
    lines.extend(config.workload_api.iter().map(|api| ("source", format!("own bundle at {api}, as it streams"))));
    lines.extend(config.endpoints.iter().map(|one| ("endpoint", endpoint(one, &config.trust_domain))));
    lines.extend(config.authorization.iter().map(|one| ("authorization", authorization(one))));
    lines.extend(config.outputs.http.iter().map(|one| ("outputs.http", http_output(one))));
    lines.extend(
        config.outputs.oidc.iter().map(|one| ("outputs.oidc", format!("our JWT authorities as {}", one.as_str()))),
    );
    lines.extend(config.relationships.iter().map(|one| ("federation", relationship(one))));
    lines.into_iter().fold(String::from("the configuration is valid\n"), |mut out, (name, value)| {
        writeln!(out, "  {name:14}{value}").expect("a string takes everything");
        out
    })
}

fn authorities(config: &Config) -> String {
    if config.authorities.is_empty() {
        return if config.publishes() { "none in files" } else { "none: nothing is published" }.into();
    }
    match config.authorities.load(&config.trust_domain) {
        Err(error) => error.to_string(),
        Ok(loaded) => {
            let problems = loaded.problems.iter();
            let problems = problems.map(|one| format!("\n    {}: {} [{}]", one.file.display(), one.detail, one.code));
            let kinds = [SvidType::X509Svid, SvidType::JwtSvid, SvidType::WitSvid];
            let [x509, jwt, wit] = kinds.map(|kind| loaded.authorities.count(kind));
            format!("{x509} X.509, {jwt} JWT, {wit} WIT{}", problems.collect::<String>())
        }
    }
}

fn source(source: &PolledSource) -> String {
    let what = match source.origin {
        Origin::Certificates(_) => "CA certificates",
        Origin::Issuer(_) => "keys of the issuer",
        Origin::Jwks(_) => "keys of an issuer",
    };
    format!("{what} at {}, every {}", source.name(), text(source.interval))
}

fn endpoint(endpoint: &EndpointConfig, trust_domain: &TrustDomain) -> String {
    let EndpointConfig { profile, listen, path, .. } = endpoint;
    let certificate = match (&endpoint.keys, endpoint.tls(trust_domain, Arc::new(DefaultTimeProvider))) {
        (EndpointKeys::Acme(acme), _) => {
            format!("certificate for {} from {}", acme.domains.join(", "), acme.directory)
        }
        (_, None) => "SVID from a Workload API".into(),
        (_, Some(Ok(tls))) => format!("certificate until {}", tls.not_after().unwrap_or_default()),
        (_, Some(Err(error))) => format!("not yet: {error} [{}]", error.code()),
    };
    format!("{} at https://{listen}{path}, {certificate}", profile.as_str())
}

fn authorization(authorization: &AuthorizationConfig) -> String {
    let place = match &authorization.transport {
        AuthorizationTransport::Unix(socket) => socket.display().to_string(),
        AuthorizationTransport::Tls(MutualTlsConfig { listen, proxies, .. }) => {
            format!("https://{listen} for {} proxies", proxies.len())
        }
    };
    match authorization.rules.allow.as_slice() {
        [] => format!("{place}, lets in nobody: allow is empty"),
        allow => format!("{place}, lets in {}", allow.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn http_output(output: &HttpOutputConfig) -> String {
    let certificate = match output.tls(Arc::new(DefaultTimeProvider)) {
        None => "without TLS".into(),
        Some(Ok(tls)) => format!("certificate until {}", tls.not_after().unwrap_or_default()),
        Some(Err(error)) => format!("not yet: {error} [{}]", error.code()),
    };
    format!("{} at {}/bundles, {certificate}", shown(&output.selection), output.origin(output.listen))
}

fn shown(selection: &Selection) -> String {
    match &selection.trust_domains {
        None => "all trust domains".into(),
        Some(some) => some.iter().map(TrustDomain::as_str).collect::<Vec<_>>().join(", "),
    }
}

fn relationship(relationship: &FederationRelationship) -> String {
    let FederationRelationship { trust_domain, endpoint, poll, .. } = relationship;
    let by = match &endpoint.profile {
        EndpointProfile::HttpsWeb { roots: None } => "the system's roots".into(),
        EndpointProfile::HttpsWeb { roots: Some(roots) } => format!("{} private roots", roots.len()),
        EndpointProfile::HttpsSpiffe { endpoint_id } => match relationship.pinned_authority() {
            _ if relationship.via().is_some() => format!("{endpoint_id}, which speaks for it"),
            Some(pin) => format!("{endpoint_id}, first under sha256:{pin}"),
            None => endpoint_id.to_string(),
        },
    };
    let control = match relationship.change_control {
        ChangeControl::Automatic => "automatic",
        ChangeControl::Overlapping => "overlapping",
        ChangeControl::Manual => "manual",
    };
    let control = if relationship.two_routes { format!("{control} by two routes") } else { control.to_owned() };
    let stale = relationship.maximum_staleness.map_or_else(|| "never".into(), |age| format!("after {}", text(age)));
    let urls: Vec<_> = endpoint.urls().map(ToString::to_string).collect();
    let policy = Some(policy::shown(&relationship.policy)).filter(|said| !said.is_empty());
    let policy = policy.map(|said| format!("; SVIDs: {said}")).unwrap_or_default();
    format!(
        "{trust_domain} at {} ({} by {by}), change control {control}, stale {stale}, polled every {} to {}{policy}",
        urls.join(", else ") + &endpoint.proxy.as_ref().map(|proxy| format!(" through {proxy}")).unwrap_or_default(),
        endpoint.profile.as_str(),
        text(poll.minimum()),
        text(poll.maximum()),
    )
}

fn text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
