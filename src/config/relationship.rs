//! `[federation."…"]`: relationships with other trust domains.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;

use crate::authorities::root_certificates::read_roots;
use crate::authorities::{bundle_file, check_wiring};
use crate::federation::hosts::Hosts;
use crate::federation::proxy::ProxyUrl;
use crate::federation::relationship::{
    Bootstrap, BundleEndpoint, ChangeControl, EndpointProfile, EndpointUrl, FederationRelationship, PollPolicy,
};
use crate::files::trusted;
use crate::spiffe::authority::SvidType;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::document::ignored::IgnoredElement;
use crate::spiffe::public_key::{Fingerprint, FingerprintError};
use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;

use super::EndpointKind;
use super::check::{DAY, MINUTE};
use super::policy;
use super::section::Section;

/// Reads all relationships; `*` holds policy for those that don't say otherwise.
pub(super) fn relationships(federation: &Section<'_>, own: Option<&TrustDomain>) -> Vec<FederationRelationship> {
    let defaults = defaults(federation);
    let names = federation.names().into_iter().filter(|name| *name != "*");
    let relationship = |name: &str| {
        let trust_domain = trust_domain(federation, name, own);
        relationship(&federation.section(name).or(&defaults), trust_domain)
    };
    let relationships: Vec<_> = names.filter_map(relationship).collect();
    check_hosts(federation, &relationships, own);
    relationships
}

/// An endpoint in another domain needs a relationship with that one, and no domain vouches for itself (FEC-15).
fn check_hosts(federation: &Section<'_>, relationships: &[FederationRelationship], own: Option<&TrustDomain>) {
    let hosts = Hosts::of(relationships);
    for FederationRelationship { trust_domain, .. } in relationships {
        let section = federation.section(trust_domain.as_str());
        let chain = hosts.chain(trust_domain);
        let Some(host) = chain.first() else { continue };
        if own == Some(host) {
            section.refuse("endpoint_spiffe_id", "is in our own trust domain, which can't speak for another one to us");
        } else if !federation.names().contains(&host.as_str()) {
            let right =
                format!("is in {host}, with which there is no relationship; make [federation.\"{host}\"] first");
            section.refuse("endpoint_spiffe_id", right);
        } else if hosts.is_cycle(trust_domain) {
            let chain: Vec<_> = chain.iter().map(TrustDomain::as_str).collect();
            let around = format!(
                "{trust_domain} is via {}: nobody vouches for the first of them",
                chain.join(", which is via ")
            );
            section.refuse("endpoint_spiffe_id", around);
        }
    }
}

/// The section `*`.
pub(super) fn defaults<'a>(federation: &Section<'a>) -> Section<'a> {
    let defaults = federation.section("*");
    for name in OF_ONE_ENDPOINT.into_iter().chain(policy::OF_ONE_RELATIONSHIP).filter(|name| defaults.is_written(name))
    {
        defaults.refuse(name, "belongs to one relationship, not to all");
    }
    defaults
}

pub(super) fn trust_domain(federation: &Section<'_>, name: &str, own: Option<&TrustDomain>) -> Option<TrustDomain> {
    match name.parse() {
        Ok(name) if Some(&name) == own => {
            federation.refuse(name.as_str(), "is our own trust domain; a relationship is with another one");
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            federation.refuse(name, format!("{error}"));
            None
        }
    }
}

/// Checks everything even under a name that is wrong.
fn relationship(section: &Section<'_>, trust_domain: Option<TrustDomain>) -> Option<FederationRelationship> {
    section.required("endpoint_url", "the https URL of the peer's bundle endpoint");
    let url = section.parsed("endpoint_url", str::parse::<EndpointUrl>);
    let fallbacks = fallback_urls(section, url.as_ref());
    let profile = profile(section, trust_domain.as_ref());
    let is_via = matches!(&profile, Some((EndpointProfile::HttpsSpiffe { endpoint_id }, _))
        if trust_domain.as_ref().is_some_and(|own| own != endpoint_id.trust_domain()));
    // What all relationships say by default is not said of one that another domain speaks for.
    let change_control = match is_via && !section.is_written("change_control") {
        true => Some(ChangeControl::Manual),
        false => change_control(section),
    };
    let two_routes = two_routes(section, url.as_ref(), fallbacks.as_deref());
    let wait = section.boolean("wait");
    let key_notice = section.duration("key_notice", Duration::from_secs(1)..=30 * DAY);
    let poll = poll(section);
    let maximum_staleness = maximum_staleness(section, poll);
    let redirects = section.integer("redirects", 0..=5);
    let allow_link_local = section.boolean("allow_link_local");
    let proxy =
        if section.has("proxy") { section.parsed("proxy", str::parse::<ProxyUrl>).map(Some) } else { Some(None) };
    let policy = policy::policy(section);
    if section.is_written("key_notice") && change_control.is_some_and(|control| control != ChangeControl::Overlapping) {
        section.refuse("key_notice", "counts only with change_control = \"overlapping\"");
    }
    let (profile, bootstrap) = profile?;
    let endpoint = BundleEndpoint {
        url: url?,
        fallbacks: fallbacks?,
        profile,
        redirects: u8::try_from(redirects?).ok()?,
        allow_link_local: allow_link_local?,
        proxy: proxy?,
    };
    Some(FederationRelationship {
        trust_domain: trust_domain?,
        endpoint,
        bootstrap,
        change_control: change_control?,
        two_routes: two_routes?,
        wait: wait?,
        key_notice,
        maximum_staleness: maximum_staleness?,
        poll: poll?,
        policy: Arc::new(policy?),
    })
}

/// Further URLs of the same bundle, none of them twice.
fn fallback_urls(section: &Section<'_>, first: Option<&EndpointUrl>) -> Option<Vec<EndpointUrl>> {
    let urls =
        section.list("fallback_urls", "https URLs such as [\"https://b2.example/\"]", str::parse::<EndpointUrl>)?;
    let all: Vec<_> = first.into_iter().chain(&urls).collect();
    if let Some((_, twice)) = all.iter().enumerate().find(|(at, url)| all[..*at].contains(url)) {
        let where_else = if first == Some(*twice) { "is endpoint_url already" } else { "stands there twice" };
        section.refuse("fallback_urls", format!("\"{twice}\" {where_else}"));
        return None;
    }
    if urls.len() > MAX_FALLBACKS {
        section
            .refuse("fallback_urls", format!("has {} URLs; at most {MAX_FALLBACKS} are asked in one poll", urls.len()));
        return None;
    }
    Some(urls)
}

fn profile(section: &Section<'_>, trust_domain: Option<&TrustDomain>) -> Option<(EndpointProfile, Option<Bootstrap>)> {
    section.required("profile", "https_web or https_spiffe; it is never guessed")?;
    let profiles = [EndpointKind::HttpsWeb, EndpointKind::HttpsSpiffe].map(|profile| (profile.as_str(), profile));
    match section.one_of("profile", &profiles)? {
        EndpointKind::HttpsWeb => https_web(section),
        EndpointKind::HttpsSpiffe => https_spiffe(section, trust_domain),
    }
}

fn https_web(section: &Section<'_>) -> Option<(EndpointProfile, Option<Bootstrap>)> {
    for name in ["endpoint_spiffe_id", "endpoint_host_speaks_for_domain", "bootstrap_bundle", "pinned_authority"] {
        if section.has(name) {
            section.refuse(name, "is for profile = \"https_spiffe\"; under https_web the host name is authenticated");
        }
    }
    let roots = if section.has("root_certificates") {
        Some(Arc::new(root_certificates(section, "root_certificates")?))
    } else {
        None
    };
    Some((EndpointProfile::HttpsWeb { roots }, None))
}

pub(super) fn root_certificates(section: &Section<'_>, name: &str) -> Option<RootCertStore> {
    let path = section.path(name)?;
    read_roots(&path).map_err(|error| section.refuse(name, format!("{path:?}: {error}"))).ok()
}

fn https_spiffe(
    section: &Section<'_>,
    trust_domain: Option<&TrustDomain>,
) -> Option<(EndpointProfile, Option<Bootstrap>)> {
    if section.has("root_certificates") {
        section.refuse("root_certificates", "is for profile = \"https_web\"; here the bundle itself authenticates");
    }
    let endpoint_id = endpoint_id(section, trust_domain);
    let host =
        endpoint_id.as_ref().map(SpiffeId::trust_domain).filter(|host| trust_domain.is_some_and(|own| own != *host));
    let bootstrap = match host {
        Some(host) => begins_via(section, host).then_some(None),
        None => bootstrap(section, trust_domain).map(Some),
    };
    Some((EndpointProfile::HttpsSpiffe { endpoint_id: endpoint_id? }, bootstrap?))
}

/// The endpoint of a domain that another one speaks for is authenticated by that one's bundle alone.
fn begins_via(section: &Section<'_>, host: &TrustDomain) -> bool {
    let begins = ["bootstrap_bundle", "pinned_authority"].map(|name| section.has(name).then_some(name));
    for name in begins.into_iter().flatten() {
        section.refuse(
            name,
            format!("is for an endpoint of the domain's own; this one is authenticated by the bundle of {host}"),
        );
    }
    begins == [None, None]
}

/// What authenticates the first fetch (FEC-06): a bundle or a pin.
fn bootstrap(section: &Section<'_>, trust_domain: Option<&TrustDomain>) -> Option<Bootstrap> {
    if section.has("pinned_authority") {
        if section.has("bootstrap_bundle") {
            section.refuse(
                "pinned_authority",
                "there is a bootstrap_bundle already; the first fetch has one or the other",
            );
        }
        return section.parsed("pinned_authority", pin).map(Bootstrap::PinnedAuthority);
    }
    section.required(
        "bootstrap_bundle",
        "a file with the bundle that authenticates the first fetch (SPIFFE JWKS or PEM), or pinned_authority in its place",
    );
    let path = section.path("bootstrap_bundle")?;
    let bundle = bootstrap_bundle(&path, trust_domain?);
    let bundle = bundle.map_err(|error| section.refuse("bootstrap_bundle", format!("{path:?}: {error}"))).ok();
    Some(Bootstrap::Bundle(Arc::new(bundle?)))
}

/// A certificate, not a key: what `comity probe` and `openssl x509 -fingerprint -sha256` print, colons or not.
fn pin(text: &str) -> Result<Fingerprint, FingerprintError> {
    let digits = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("x509:")).unwrap_or(text);
    digits.replace(':', "").parse()
}

fn endpoint_id(section: &Section<'_>, trust_domain: Option<&TrustDomain>) -> Option<SpiffeId> {
    section.required("endpoint_spiffe_id", "the SPIFFE ID that the endpoint presents under https_spiffe");
    let id = section.parsed("endpoint_spiffe_id", str::parse::<SpiffeId>)?;
    if id.is_root() {
        section.refuse("endpoint_spiffe_id", format!("\"{id}\" has no path, so no endpoint can present it"));
        return None;
    }
    let is_foreign = trust_domain.is_some_and(|own| own != id.trust_domain());
    let may_speak = section.has("endpoint_host_speaks_for_domain");
    let may_speak = if may_speak { section.boolean("endpoint_host_speaks_for_domain")? } else { false };
    match (is_foreign, may_speak) {
        (true, false) => {
            let right = "is in another trust domain, which could then issue any identity of this one; \
                         endpoint_host_speaks_for_domain = true permits that";
            section.refuse("endpoint_spiffe_id", format!("\"{id}\" {right}"));
            None
        }
        (false, true) if trust_domain.is_some() => {
            let right = "counts only with an endpoint_spiffe_id in another trust domain";
            section.refuse("endpoint_host_speaks_for_domain", right);
            None
        }
        _ => Some(id),
    }
}

/// A SPIFFE JWKS or PEM, with a CA certificate to authenticate the endpoint by (FEC-06).
fn bootstrap_bundle(path: &Path, trust_domain: &TrustDomain) -> Result<Bundle, String> {
    let bytes = trusted::read(path, BundleDocument::MAX_BYTES).map_err(|error| error.to_string())?;
    let (bundle, ignored) = bundle_file::read(trust_domain, &bytes).map_err(|error| error.to_string())?;
    if let Some(IgnoredElement { index, reason }) = ignored.iter().find(|ignored| ignored.reason.is_alarm()) {
        return Err(format!("keys[{index}]: {reason}"));
    }
    check_wiring(trust_domain, bundle.authorities().iter()).map_err(|error| error.to_string())?;
    match bundle.authorities().count(SvidType::X509Svid) {
        0 => Err("holds no X.509 authority, so no endpoint could be authenticated with it".into()),
        _ => Ok(bundle),
    }
}

fn change_control(section: &Section<'_>) -> Option<ChangeControl> {
    let words = [
        ("automatic", ChangeControl::Automatic),
        ("overlapping", ChangeControl::Overlapping),
        ("manual", ChangeControl::Manual),
    ];
    section.one_of("change_control", &words)
}

/// Whether a new key has to be at two URLs, of which there must be two then.
fn two_routes(section: &Section<'_>, first: Option<&EndpointUrl>, fallbacks: Option<&[EndpointUrl]>) -> Option<bool> {
    let two_routes = section.boolean("two_routes")?;
    match (first, fallbacks) {
        (_, Some([])) if two_routes => {
            section.refuse("two_routes", "needs a second URL of the same bundle, in fallback_urls");
        }
        (Some(first), Some(others)) if two_routes && others.iter().all(|other| other.place() == first.place()) => {
            section.refuse("two_routes", "needs a URL at another host or port: these are one route");
        }
        _ => {}
    }
    Some(two_routes)
}

fn poll(section: &Section<'_>) -> Option<PollPolicy> {
    let minimum = section.duration("minimum_interval", Duration::from_secs(1)..=DAY);
    let maximum = section.duration("maximum_interval", Duration::from_secs(1)..=DAY);
    let poll = PollPolicy::new(minimum?, maximum?);
    if poll.is_none() {
        section.refuse("minimum_interval", "is above maximum_interval");
    }
    poll
}

/// `None` is a mistake, `Some(None)` the written "off".
fn maximum_staleness(section: &Section<'_>, poll: Option<PollPolicy>) -> Option<Option<Duration>> {
    if section.text("maximum_staleness")? == "off" {
        return Some(None);
    }
    let staleness = section.duration("maximum_staleness", MINUTE..=366 * DAY)?;
    if poll.is_some_and(|poll| staleness <= poll.maximum()) {
        let staleness = humantime::format_duration(staleness);
        let right = "must be above maximum_interval, or the bundle lapses between two polls";
        section.refuse("maximum_staleness", format!("\"{staleness}\" {right}"));
        return None;
    }
    Some(Some(staleness))
}

/// Keys that identify one endpoint.
const OF_ONE_ENDPOINT: [&str; 9] = [
    "endpoint_url",
    "fallback_urls",
    "profile",
    "endpoint_spiffe_id",
    "endpoint_host_speaks_for_domain",
    "bootstrap_bundle",
    "pinned_authority",
    "root_certificates",
    "proxy",
];
/// So that a poll ends within three minutes.
const MAX_FALLBACKS: usize = 3;
