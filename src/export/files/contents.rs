//! From a view to the bytes of its files.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::outputs::nobody::nobody;
use crate::outputs::view::View;
use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::bundle_map::BundleMap;
use crate::spiffe::document::render::{WitAuthorities, render};
use crate::spiffe::public_key::{Fingerprint, PublicKey};
use crate::spiffe::trust_domain::TrustDomain;

use super::Contents;
use super::stem::stem;

/// The files of each domain, the bundle maps and the manifest that lists them all.
pub(super) fn contents(view: &View) -> Contents {
    let mut files = Contents::new();
    let mut entries = BTreeMap::new();
    for (trust_domain, bundle) in &view.selected.bundles {
        let stem = stem(trust_domain);
        let pem: String = bundle.authorities().x509().map(X509Authority::to_pem).collect();
        let pem_name = (!pem.is_empty()).then(|| format!("{stem}.trust-bundle.pem"));
        files.extend(pem_name.clone().map(|name| (name, pem.into_bytes())));
        let jwks_name = format!("{stem}.jwks.json");
        files.insert(jwks_name.clone(), render(bundle, WitAuthorities::Omit));
        entries.insert(trust_domain, Entry { sequence: bundle.sequence(), pem: pem_name, jwks: jwks_name });
    }
    files.insert("bundle-map.json".into(), map(view, is_x509));
    files.insert("bundle-map.grpc.json".into(), map(view, |authority| is_x509(authority) && is_for_grpc(authority)));
    let digest = |(name, bytes): (&String, &Vec<u8>)| (name.clone(), Fingerprint::of(bytes).to_string());
    let manifest = Manifest {
        trust_domain: &view.trust_domain,
        generation: view.generation.number,
        trust_domains: entries,
        lacking: view.selected.lacking.iter().map(|(name, lack)| (name, lack.code())).collect(),
        sha256: files.iter().map(digest).collect(),
    };
    files.insert(MANIFEST.into(), to_json(&manifest));
    files
}

/// A map of these authorities, without the domains that have none: Envoy and gRPC refuse a map for an entry that is not
/// to their taste, and keep the one before (BND-31).
fn map(view: &View, keep: impl Fn(&Authority) -> bool) -> Vec<u8> {
    let bundles = view.selected.bundles.values().map(|bundle| bundle.retain(&keep));
    let mut bundles: Vec<Bundle> = bundles.filter(|bundle| !bundle.authorities().is_empty()).collect();
    if bundles.is_empty() {
        bundles.push(nobody().clone());
    }
    bundles.into_iter().collect::<BundleMap>().render(WitAuthorities::Omit)
}

fn is_x509(authority: &Authority) -> bool {
    matches!(authority, Authority::X509(_))
}

fn is_for_grpc(authority: &Authority) -> bool {
    matches!(authority.key(), PublicKey::Rsa { .. } | PublicKey::Ec { .. })
}

fn to_json(manifest: &Manifest<'_>) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(manifest).expect("texts and numbers always serialise");
    json.push(b'\n');
    json
}

/// What is in the folder, for people and tools; names that were hashed are found here.
#[derive(Serialize)]
struct Manifest<'v> {
    trust_domain: &'v TrustDomain,
    generation: u64,
    trust_domains: BTreeMap<&'v TrustDomain, Entry>,
    lacking: BTreeMap<&'v TrustDomain, &'static str>,
    sha256: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Entry {
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pem: Option<String>,
    jwks: String,
}

pub(super) const MANIFEST: &str = "manifest.json";
