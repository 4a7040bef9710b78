//! What is looked at, part by part.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

use crate::cli::client::AdminClient;
use crate::cli::relationship_view::{counted, instant, name_of};
use crate::config::{AuthorizationTransport, Config, EndpointConfig, EndpointKind};
use crate::federation::endpoint_client::EndpointClient;
use crate::federation::probe::{Probe, Probing, ShownBundle};
use crate::federation::relationship::EndpointUrl;
use crate::federation::status::{RelationshipState, RelationshipStatus};
use crate::federation::timestamp::Timestamp;
use crate::files::space::free_bytes;
use crate::http::tls::{EndpointTls, TlsFileError};
use crate::spiffe::document::BundleDocument;

use super::Finding;

/// What nobody but a doctor looks for.
#[derive(Clone, Copy)]
enum Sign {
    CertificateEndsSoon,
    ClockDiffers,
    DiskNearlyFull,
    NotThere,
    OpenToOthers,
    OtherBundleServed,
}

impl Sign {
    /// Stable identifier; see docs/problems.md.
    fn code(self) -> &'static str {
        match self {
            Self::CertificateEndsSoon => "certificate-ends-soon",
            Self::ClockDiffers => "clock-differs",
            Self::DiskNearlyFull => "disk-nearly-full",
            Self::NotThere => "not-there",
            Self::OpenToOthers => "open-to-others",
            Self::OtherBundleServed => "other-bundle-served",
        }
    }
}

/// Certificates, keys, store and sockets, as they lie on the disk.
pub(super) fn files(config: &Config, now: Timestamp) -> Vec<Finding> {
    let clock: Arc<dyn TimeProvider> = Arc::new(DefaultTimeProvider);
    let endpoints = config
        .endpoints
        .iter()
        .filter_map(|endpoint| Some((endpoint.profile, endpoint.tls(&config.trust_domain, clock.clone())?)))
        .map(|(profile, tls)| certificate(profile.as_str(), tls, now));
    let authorization = config.authorization.as_ref().map(|listener| match &listener.transport {
        AuthorizationTransport::Tls(tls) => {
            certificate("authorization", tls.tls(&config.trust_domain, clock.clone()), now)
        }
        AuthorizationTransport::Unix(socket) => mode("authorization socket", socket, 0o007),
    });
    let store = config.store_url.strip_prefix("sqlite://").map(Path::new);
    let volume = store.and_then(|path| Some(room("store", path, free_bytes(path.parent()?).ok()?)));
    let store = store.map(|path| mode("store", path, 0o077));
    let admin = mode("admin socket", &config.admin_socket, 0o077);
    endpoints.chain(authorization).chain(store).chain(volume).chain([admin]).collect()
}

fn certificate(about: &str, tls: Result<EndpointTls, TlsFileError>, now: Timestamp) -> Finding {
    match tls {
        Err(error) => Finding::bad(about, error.code(), error.to_string()),
        Ok(tls) => match tls.not_after() {
            None => {
                Finding::good(about, "its certificate is issued by an ACME server; the running service says how it is")
            }
            Some(end) if end < now.after(SOON) => {
                let detail = format!("its certificate ends {}", instant(end, now));
                Finding::bad(about, Sign::CertificateEndsSoon.code(), detail)
            }
            Some(end) => Finding::good(about, format!("its certificate ends {}", instant(end, now))),
        },
    }
}

/// A file on which nobody else may have one of these rights.
fn mode(about: &str, path: &Path, forbidden: u32) -> Finding {
    let shown = path.display();
    match fs::metadata(path).map(|metadata| metadata.permissions().mode()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::bad(
            about,
            Sign::NotThere.code(),
            format!("{shown} is not there: the service has not run, or runs elsewhere"),
        ),
        Err(error) => Finding::bad(about, "file-unreadable", format!("{shown}: {error}")),
        Ok(mode) if mode & forbidden != 0 => {
            let detail = format!("{shown} has mode {:o}; others than its owner may use it", mode & 0o777);
            Finding::bad(about, Sign::OpenToOthers.code(), detail)
        }
        Ok(mode) => Finding::good(about, format!("{shown} has mode {:o}", mode & 0o777)),
    }
}

/// The volume that a file is on, with so many bytes left.
fn room(about: &str, path: &Path, free: u64) -> Finding {
    let detail = format!("{} MiB are free where {} is", free >> 20, path.display());
    match free < LEAST_FREE {
        true => Finding::bad(about, Sign::DiskNearlyFull.code(), detail),
        false => Finding::good(about, detail),
    }
}

/// The running service and its relationships; our own bundle, if it has one.
pub(super) async fn service(admin: &AdminClient, findings: &mut Vec<Finding>) -> Option<BundleDocument> {
    let (service, relationships) = match tokio::join!(admin.service(), admin.relationships()) {
        (Ok(service), Ok(relationships)) => (service, relationships),
        (Err(error), _) | (_, Err(error)) => {
            findings.push(Finding::bad("service", error.code(), error.to_string()));
            return None;
        }
    };
    for code in &service.not_ready {
        findings.push(Finding::bad("service", code, "it is not ready"));
    }
    let warnings = service.warnings.iter().map(|warning| Finding::bad("service", &warning.code, &*warning.detail));
    findings.extend(warnings);
    if service.not_ready.is_empty() {
        let (trust_domain, version) = (&service.trust_domain, &service.version);
        findings.push(Finding::good("service", format!("{trust_domain} is ready, version {version}")));
    }
    findings.extend(relationships.iter().flat_map(relationship));
    let own = serde_json::to_vec(&admin.own_bundle().await.ok()?).ok()?;
    BundleDocument::parse(&service.trust_domain, &own).ok()
}

fn relationship(status: &RelationshipStatus) -> Vec<Finding> {
    let about = status.trust_domain.as_str();
    let state = match status.state {
        RelationshipState::Stale => Some(Finding::bad(about, "bundle-stale", "everything of this domain is refused")),
        RelationshipState::NeedsBootstrap => {
            Some(Finding::bad(about, "needs-bootstrap", "its endpoint can't be authenticated any more"))
        }
        RelationshipState::Expired => {
            Some(Finding::bad(about, "policy-not-after", "it has ended: everything of this domain is refused"))
        }
        _ => None,
    };
    let failure = status.last_error.as_ref().filter(|_| status.consecutive_failures > 0);
    let failure = failure.map(|error| {
        let times = counted(usize::try_from(status.consecutive_failures).unwrap_or(usize::MAX), "poll");
        Finding::bad(about, &error.code, format!("{times} failed since the last success: {}", error.detail))
    });
    let held =
        status.held.iter().map(|held| Finding::bad(about, &held.code, format!("a document is held: {}", held.detail)));
    let withheld = status.withheld.iter().map(|key| Finding::bad(about, &key.code, &*key.detail));
    let warnings = status.warnings.iter().map(|warning| Finding::bad(about, &warning.code, &*warning.detail));
    let found: Vec<_> = state.into_iter().chain(failure).chain(held).chain(withheld).chain(warnings).collect();
    match found.is_empty() {
        true => vec![Finding::good(about, name_of(&status.state))],
        false => found,
    }
}

/// Where we can reach an endpoint of ours from this machine.
pub(super) fn local_url(endpoint: &EndpointConfig) -> Option<EndpointUrl> {
    let mut address = endpoint.listen;
    address.set_ip(match address.ip() {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    });
    format!("https://{address}{}", endpoint.path).parse().ok().filter(|_| address.port() != 0)
}

/// Fetches our bundle as a peer would (FES-15). Whether a Web certificate is for the host can be told of a URL that
/// peers use, and of no address.
pub(super) async fn endpoint(
    client: &EndpointClient,
    url: EndpointUrl,
    roots: Option<Arc<RootCertStore>>,
    own: Option<&BundleDocument>,
    is_public: bool,
) -> Vec<Finding> {
    let about = format!("endpoint {url}");
    let known = own.map(|own| Arc::new(own.bundle().clone()));
    // An address that we listen on may be link-local; what a URL of others redirects to may not (FEC-30).
    let probing = Probing { url, roots, known, allow_link_local: !is_public, proxy: None };
    let probe = probing.probe(client).await;
    let clock = probe.clock_difference().map(|difference| {
        let detail = format!("the clock there is {difference}: one of both is wrong");
        Finding::bad(&*about, Sign::ClockDiffers.code(), detail)
    });
    let served = match (&probe.bundle, &probe.problem) {
        (_, Some(problem)) => Finding::bad(about, &problem.code, &*problem.detail),
        (Some(served), None) if own.is_some_and(|own| !is_same(served, own)) => Finding::bad(
            about,
            Sign::OtherBundleServed.code(),
            "what is served there is not the bundle that the service has",
        ),
        _ => authenticated(about, &probe, is_public),
    };
    [served].into_iter().chain(clock).collect()
}

fn authenticated(about: String, probe: &Probe, is_public: bool) -> Finding {
    let [web, spiffe] = &probe.profiles;
    let profile = if spiffe.endpoint_spiffe_id.is_some() { spiffe } else { web };
    match &profile.problem {
        Some(problem) if is_public || profile.profile == EndpointKind::HttpsSpiffe.as_str() => {
            Finding::bad(about, &problem.code, &*problem.detail)
        }
        Some(_) => Finding::good(about, "serves our bundle; whether peers trust its certificate, --url can tell"),
        None => Finding::good(about, format!("serves our bundle by {}", profile.profile)),
    }
}

fn is_same(served: &ShownBundle, own: &BundleDocument) -> bool {
    let own = ShownBundle::of(own);
    (served.sequence, &served.authorities) == (own.sequence, &own.authorities)
}

/// Renewal should have happened long before.
const SOON: Duration = Duration::from_secs(24 * 3600);

/// Enough for some relationships' history and what they hold.
const LEAST_FREE: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_for_the_store_is_told() {
        for (free, code) in
            [(0, Some("disk-nearly-full")), (LEAST_FREE - 1, Some("disk-nearly-full")), (LEAST_FREE, None)]
        {
            let found = room("store", Path::new("/var/lib/comity/comity.db"), free);
            assert_eq!(found.code.as_deref(), code, "{free}");
        }
        assert_eq!(room("store", Path::new("/s"), LEAST_FREE).detail, "256 MiB are free where /s is");
        assert!(free_bytes(&std::env::temp_dir()).is_ok() && free_bytes(Path::new("/nowhere")).is_err());
    }
}
