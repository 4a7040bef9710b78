//! What a probe saw, for people.

use crate::cli::bundle_view;
use crate::cli::output::{Facts, Page};
use crate::cli::relationship_view::{counted, instant};
use crate::federation::probe::{Probe, Problem, ProfileOutcome, RelationshipOutcome, ShownBundle, ShownCertificate};
use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::AuthorityId;

use super::Told;

/// All of it; `configured` if a configuration was asked as well.
pub(super) fn page(seen: &Told<'_>, now: Timestamp, configured: bool) -> Page {
    let Told { probe, conformance } = seen;
    let mut page = Page::default();
    connection(probe, &mut page);
    if !probe.certificates.is_empty() {
        probe.certificates.iter().enumerate().for_each(|(index, one)| certificate(index, one, now, &mut page));
        page.line("");
        page.line("Profiles that a relationship could have:");
        probe.profiles.iter().for_each(|one| profile(one, &mut page));
        page.line("");
    }
    match (&probe.bundle, &probe.problem) {
        (Some(shown), _) => bundle(shown, now, &mut page),
        (None, Some(problem)) => page.line(format!("No bundle: {}", told(problem))),
        (None, None) => page.line("No bundle."),
    }
    if let Some(report) = conformance {
        page.line("");
        page.append(report.page("As other readers find the document"));
    }
    if configured {
        page.line("");
        relationships(&probe.relationships, &mut page);
    } else if probe.is_usable() {
        page.line("");
        configuration(probe, &mut page);
    }
    page
}

fn connection(probe: &Probe, page: &mut Page) {
    let mut facts = Facts::default();
    facts.add("asked", &probe.url);
    for redirect in probe.visited.iter().skip(1) {
        facts.add("redirected to", redirect);
    }
    if let Some(address) = probe.address {
        facts.add("at", address.to_string());
    }
    facts.add("TLS", probe.tls_version.unwrap_or("not established"));
    if let Some(status) = probe.status {
        let etag =
            if probe.has_etag { "with an entity tag" } else { "without an entity tag: every poll is a whole one" };
        facts.add("answer", format!("status {status}, {} bytes in {} ms, {etag}", probe.bytes, probe.elapsed_ms));
    }
    if let Some(difference) = probe.clock_difference() {
        facts.add("clock", format!("{difference}: one of both is wrong"));
    }
    facts.onto(page);
    page.line("");
}

fn certificate(index: usize, shown: &ShownCertificate, now: Timestamp, page: &mut Page) {
    let ShownCertificate { fingerprint, subject, issuer, names, not_before, not_after } = shown;
    page.line(match index {
        0 => "It shows the certificate".to_owned(),
        _ => format!("and certificate {index}"),
    });
    let mut facts = Facts::default();
    facts.add("  subject", subject);
    if !names.is_empty() {
        facts.add("  names", names.join(", "));
    }
    facts.add("  issuer", issuer);
    facts.add("  valid", format!("{} to {}", instant(*not_before, now), instant(*not_after, now)));
    facts.add("  fingerprint", format!("sha256:{fingerprint}"));
    facts.onto(page);
}

fn profile(outcome: &ProfileOutcome, page: &mut Page) {
    let ProfileOutcome { profile, endpoint_spiffe_id, by_its_own_bundle, problem } = outcome;
    let name = endpoint_spiffe_id.as_ref().map(|id| format!(" as {id}")).unwrap_or_default();
    page.line(match problem {
        Some(problem) if *profile == "https_web" && problem.code == "certificate-rejected" => {
            format!("  {profile}: no, {}; a private CA is given with --root-certificates", told(problem))
        }
        Some(problem) => format!("  {profile}: no, {}", told(problem)),
        None if *profile == "https_web" => format!("  {profile}: yes, a CA that is trusted here vouches for the host"),
        None if *by_its_own_bundle => {
            format!("  {profile}: yes,{name}, if the bundle below is the right one: nothing else vouches for it")
        }
        None => format!("  {profile}: yes,{name}, by the bundle given"),
    });
}

fn bundle(shown: &ShownBundle, now: Timestamp, page: &mut Page) {
    let number = |number: Option<u64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let hint = shown.refresh_hint_seconds.map_or_else(|| "none".to_owned(), |hint| format!("{hint} s"));
    page.line(format!(
        "The bundle: {}, sequence {}, refresh hint {hint}",
        counted(shown.authorities.len(), "authority"),
        number(shown.sequence)
    ));
    shown.authorities.iter().for_each(|one| bundle_view::authority(" ", one, now, page));
}

fn relationships(outcomes: &[RelationshipOutcome], page: &mut Page) {
    if outcomes.is_empty() {
        page.line("No relationship of the configuration has this URL.");
    }
    for RelationshipOutcome { trust_domain, profile, outcome, trusted, problems } in outcomes {
        page.line(format!(
            "As the first bundle of {trust_domain} by {profile} it would be {outcome}: {} trusted",
            counted(*trusted, "authority")
        ));
        problems.iter().for_each(|problem| page.line(format!("  {}", told(problem))));
    }
}

/// What to paste, refused by `config check` until a person has put in the name.
fn configuration(probe: &Probe, page: &mut Page) {
    page.line(
        "To federate, put this into the configuration. Ask your partner, by another way than this endpoint, for the",
    );
    page.line("name of the trust domain and for the fingerprints, and compare out of band:");
    page.line("");
    let seems = probe.seems_to_be.as_ref().map(|name| format!(" # the endpoint suggests {name}")).unwrap_or_default();
    page.line(format!("[federation.\"TRUST-DOMAIN\"]{seems}"));
    page.line(format!("endpoint_url = {}", quoted(&probe.url)));
    let [web, spiffe] = &probe.profiles;
    match (&web.problem, &spiffe.endpoint_spiffe_id) {
        (Some(_), Some(id)) => {
            page.line("profile = \"https_spiffe\"");
            page.line(format!("endpoint_spiffe_id = {}", quoted(id)));
            page.line("bootstrap_bundle = \"FILE\" # the bundle, as your partner gives it to you");
            let pins = probe.bundle.iter().flat_map(|bundle| &bundle.authorities).filter_map(|one| match one.id {
                AuthorityId::X509(fingerprint) => Some(fingerprint),
                _ => None,
            });
            for pin in pins {
                page.line(format!(
                    "#pinned_authority = \"sha256:{pin}\" # instead of it, once your partner confirms it"
                ));
            }
        }
        _ => page.line("profile = \"https_web\""),
    }
    for authority in probe.bundle.iter().flat_map(|bundle| &bundle.authorities) {
        page.line(format!("# compare out of band: {}", authority.id));
    }
}

fn told(problem: &Problem) -> String {
    format!("{} [{}]", problem.detail, problem.code)
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
