//! The keys of `[federation."…"]` that say what a domain's SVIDs may be and say.

use std::collections::BTreeMap;
use std::path::Path;

use config::Value;

use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::SvidType;
use crate::spiffe::public_key::{Fingerprint, FingerprintError};
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::key_strength::KeyStrength;
use crate::verify::path_pattern::PathPattern;
use crate::verify::policy::{Policy, SvidChecks};

use super::check::{DAY, MINUTE};
use super::keys;
use super::problem::ConfigErrors;
use super::relationship::{defaults, trust_domain};
use super::section::{Context, Section};

/// Keys that would give away too much if they held for every relationship that doesn't say otherwise.
pub(super) const OF_ONE_RELATIONSHIP: [&str; 3] = ["signing_domains", "shared_authorities", "shared_unscoped"];

/// The policies of all relationships of a file, whatever else it says or leaves out.
pub(super) fn policies(merged: &Value, file: &Path) -> Result<BTreeMap<TrustDomain, Policy>, ConfigErrors> {
    let context = Context::new(Some(file), keys::unknown(merged));
    let federation = Section::root(merged, &context).section("federation");
    let defaults = defaults(&federation);
    let names = federation.names().into_iter().filter(|name| *name != "*");
    let read = |name: &str| {
        let policy = policy(&federation.section(name).or(&defaults));
        Some((trust_domain(&federation, name, None)?, policy?))
    };
    let policies = names.filter_map(read).collect();
    match ConfigErrors::new(context.into_problems()) {
        None => Ok(policies),
        Some(errors) => Err(errors),
    }
}

/// Checks everything, so that all mistakes are told.
pub(super) fn policy(section: &Section<'_>) -> Option<Policy> {
    let svid_types = accepted(section, "svid_types", "SVID types such as [\"x509-svid\"]", svid_type);
    let paths =
        accepted(section, "spiffe_ids", "patterns for paths such as [\"/ns/prod/**\"]", str::parse::<PathPattern>);
    let jwt_audiences = accepted(section, "jwt_audiences", "audiences such as [\"payments\"]", audience);
    let lifetime = optional(section, "jwt_maximum_lifetime", |name| section.duration(name, MINUTE..=30 * DAY));
    let not_after = optional(section, "not_after", |name| section.parsed(name, str::parse::<Timestamp>));
    let signing_domains =
        section.list("signing_domains", "trust domains such as [\"ca.bank-b.example\"]", str::parse::<TrustDomain>);
    let scoped_paths = section.boolean("scoped_paths");
    let minimum_key_strength = minimum_key_strength(section);
    let shared_keys = section.list("shared_authorities", "key thumbprints of 64 hexadecimal digits", key);
    let shared_unscoped = section.boolean("shared_unscoped");
    if shared_unscoped == Some(true) && shared_keys.as_ref().is_some_and(Vec::is_empty) {
        section.refuse("shared_unscoped", "counts only with shared_authorities");
    }
    let checks = [("strict", SvidChecks::Strict), ("compatible", SvidChecks::Compatible)];
    let svid_checks = section.one_of("svid_checks", &checks);
    Some(Policy {
        svid_types: svid_types?.map(|types| types.into_iter().collect()),
        paths: paths?,
        jwt_audiences: jwt_audiences?.map(|audiences| audiences.into_iter().collect()),
        jwt_maximum_lifetime: lifetime?,
        not_after: not_after?.map(Into::into),
        signing_domains: signing_domains?.into_iter().collect(),
        scoped_paths: scoped_paths?,
        minimum_key_strength: minimum_key_strength?,
        shared_keys: shared_keys?.into_iter().collect(),
        shared_unscoped: shared_unscoped?,
        svid_checks: svid_checks?,
    })
}

/// What a policy says beyond the default, in a line; empty if nothing.
pub(super) fn shown(policy: &Policy) -> String {
    let said = [
        policy.not_after.map(|last| format!("until {}", Timestamp::from(last))),
        policy.svid_types.as_ref().map(|types| listed("only", types.iter().map(|one| one.as_str()))),
        policy.paths.as_ref().map(|paths| listed("only", paths)),
        policy.jwt_audiences.as_ref().map(|audiences| listed("audiences", audiences)),
        policy.jwt_maximum_lifetime.map(|most| format!("tokens of at most {}", humantime::format_duration(most))),
        (!policy.signing_domains.is_empty()).then(|| listed("signing domains", &policy.signing_domains)),
        policy.scoped_paths.then(|| "scoped paths".into()),
        (policy.minimum_key_strength > KeyStrength::default())
            .then(|| format!("keys of {}", policy.minimum_key_strength)),
        (!policy.shared_keys.is_empty()).then(|| listed("shared keys", &policy.shared_keys)),
        policy.shared_unscoped.then(|| "which need no scope".into()),
        (policy.svid_checks == SvidChecks::Compatible).then(|| "compatible checks".into()),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn listed<T: ToString>(name: &str, values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    format!("{name} {}", values.join(", "))
}

/// `Some(None)` if the key is absent.
fn optional<T>(section: &Section<'_>, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if section.has(name) { read(name).map(Some) } else { Some(None) }
}

/// A list of what is accepted; without it, all is.
fn accepted<T, E: ToString>(
    section: &Section<'_>,
    name: &str,
    right: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<Option<Vec<T>>> {
    let list = optional(section, name, |name| section.list(name, right, parse))?;
    if list.as_ref().is_some_and(Vec::is_empty) {
        section.refuse(name, "[] accepts nothing at all; leave the key out to accept everything");
        return None;
    }
    Some(list)
}

fn svid_type(text: &str) -> Result<SvidType, &'static str> {
    let verified = [SvidType::X509Svid, SvidType::JwtSvid];
    verified.into_iter().find(|known| known.as_str() == text).ok_or("not x509-svid or jwt-svid")
}

fn audience(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("an audience is not empty") } else { Ok(text.to_owned()) }
}

/// A key, not a certificate: what one message names beside the other.
fn key(text: &str) -> Result<Fingerprint, String> {
    match text.strip_prefix("x509:") {
        Some(_) => Err("names a certificate; a key is what `comity bundle show` prints below it, and what \
                        authority-reused names"
            .into()),
        None => text.parse().map_err(|error: FingerprintError| error.to_string()),
    }
}

fn minimum_key_strength(section: &Section<'_>) -> Option<KeyStrength> {
    let bits = section.integer("minimum_key_strength", 112..=256)?;
    let found = KeyStrength::ALL.into_iter().find(|level| level.bits() == bits);
    if found.is_none() {
        section.refuse("minimum_key_strength", format!("{bits} is not 112, 128, 192 or 256 bits of security"));
    }
    found
}
