//! Bundles from files, in place of the service's.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::authorities::{bundle_file, check_wiring};
use crate::cli::output::printable;
use crate::config::policies;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::bundle_map::BundleMap;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::document::ignored::IgnoredElement;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::snapshot::{DomainTrust, TrustSnapshot};

use super::error::VerifyError;
use super::input::Source;

/// Whom to trust, if not whom the service does.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BundleFiles {
    /// The bundle of a trust domain, as SPIFFE JWKS or PEM, in place of the service's; may be repeated
    #[arg(long, value_name = "TRUST_DOMAIN=FILE")]
    bundle: Vec<BundleFile>,
    /// The bundles of several trust domains, as a SPIFFE bundle map
    #[arg(long, value_name = "FILE")]
    bundle_map: Option<PathBuf>,
}

/// `TRUST_DOMAIN=FILE`.
#[derive(Clone, Debug)]
pub(in crate::cli) struct BundleFile {
    trust_domain: TrustDomain,
    file: PathBuf,
}

impl FromStr for BundleFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "write it as TRUST_DOMAIN=FILE, as in bank-b.example=bank-b.jwks.json".to_owned();
        let (name, file) = text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or_else(usage)?;
        let trust_domain = name.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { trust_domain, file: file.into() })
    }
}

impl BundleFile {
    /// Its bundle; what is odd is told on standard error.
    pub(in crate::cli) fn read(&self) -> Result<Bundle, VerifyError> {
        read(&self.trust_domain, &self.file)
    }
}

impl BundleFiles {
    /// A snapshot of them, each without end and under no number of ours; none if there are none.
    ///
    /// Only what an endpoint may not do is overlooked, as there is none: what is odd is told on standard error.
    pub(super) fn trust(&self, policy: Option<&Path>) -> Result<Option<TrustSnapshot>, VerifyError> {
        if self.bundle.is_empty() && self.bundle_map.is_none() {
            return Ok(None);
        }
        let mut bundles = match &self.bundle_map {
            Some(file) => read_map(file)?,
            None => BTreeMap::new(),
        };
        for bundle in &self.bundle {
            let trust_domain = &bundle.trust_domain;
            if bundles.insert(trust_domain.clone(), bundle.read()?).is_some() {
                return Err(VerifyError::TwoBundles { trust_domain: trust_domain.clone() });
            }
        }
        let policies = policy.map(policies).transpose();
        let mut policies = policies.map_err(VerifyError::Policy)?.unwrap_or_default();
        let domains = bundles.into_iter().map(|(trust_domain, bundle)| {
            let policy = policies.remove(&trust_domain).unwrap_or_default();
            DomainTrust::new(bundle.into(), 0).with_policy(policy.into())
        });
        Ok(Some(TrustSnapshot::new(1, domains)))
    }
}

fn read(trust_domain: &TrustDomain, file: &Path) -> Result<Bundle, VerifyError> {
    let bytes = Source::File(file.to_owned()).read_whole(BundleDocument::MAX_BYTES)?;
    let read = bundle_file::read(trust_domain, &bytes);
    let (bundle, ignored) = read.map_err(|reason| VerifyError::Bundle { file: file.display().to_string(), reason })?;
    warn(file.display(), &bundle, &ignored);
    Ok(bundle)
}

fn read_map(file: &Path) -> Result<BTreeMap<TrustDomain, Bundle>, VerifyError> {
    let bytes = Source::File(file.to_owned()).read_whole(BundleMap::MAX_BYTES)?;
    let read = BundleMap::parse(&bytes);
    let map = read.map_err(|reason| VerifyError::BundleMap { file: file.display().to_string(), reason })?;
    for (trust_domain, bundle) in map.bundles() {
        warn(file.display(), bundle, map.ignored().get(trust_domain).map_or(&[], Vec::as_slice));
    }
    Ok(map.bundles().clone())
}

/// Tells what the service would say of a peer that publishes this.
pub(in crate::cli) fn warn(file: impl Display, bundle: &Bundle, ignored: &[IgnoredElement]) {
    let trust_domain = bundle.trust_domain();
    for IgnoredElement { index, reason } in ignored {
        let code = reason.code();
        eprintln!("{}", printable(&format!("warning: {file}, {trust_domain}, keys[{index}]: {reason} [{code}]")));
    }
    if let Err(mis_wired) = check_wiring(trust_domain, bundle.authorities().iter()) {
        eprintln!("{}", printable(&format!("warning: {file}: {mis_wired} [{}]", mis_wired.code())));
    }
}
