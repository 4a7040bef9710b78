//! What may sign an X509-SVID, and for which trust domain (RFC 5280 §6.1.4, X509-SVID §§3.2, 4).

use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;

use super::certificate::Certificate;
use super::moment::Moment;
use super::path::{Rules, Step};
use super::path_policy::check_path;
use super::policy::{Lapse, Policy, SvidChecks};
use super::pool::Candidate;
use super::rejection::{Fault, Rejection};
use super::text;
use super::x509::Usage;

/// The rules for the paths of one domain's SVIDs.
pub(super) struct SvidRules<'r> {
    pub(super) trust_domain: &'r TrustDomain,
    pub(super) policy: &'r Policy,
    pub(super) usage: Usage,
    pub(super) at: &'r Moment,
}

impl Rules for SvidRules<'_> {
    fn check_signer(&self, signer: &Candidate<'_>, path: &[Step<'_, '_>]) -> Result<(), Fault> {
        let certificate = &signer.certificate;
        if path.last().is_none_or(|signed| !certificate.subject.is(&signed.certificate.issuer)) {
            return Err(Fault::IssuerName);
        }
        self.check_key_usage(certificate)?;
        certificate.check(self.at)?;
        self.check_roles(certificate, path)?;
        self.check_ids(certificate, signer.is_authority())?;
        check_path_length(certificate, path)?;
        signer.key_strength().map(drop)
    }

    fn check_path(&self, path: &[Step<'_, '_>]) -> Result<(), Rejection> {
        check_path(self.policy, self.trust_domain, path)
    }
}

impl SvidRules<'_> {
    /// What its signing certificates were let pass.
    pub(super) fn lapses(&self, path: &[Step<'_, '_>]) -> Vec<Lapse> {
        let signers = path.iter().filter_map(|step| step.signer);
        let lapses = |signer: &Candidate<'_>| {
            let ids = self.check_ids(&signer.certificate, signer.is_authority()).unwrap_or_default();
            ids.into_iter().chain([self.check_key_usage(&signer.certificate).unwrap_or_default()]).flatten()
        };
        signers.flat_map(lapses).collect()
    }

    fn check_key_usage(&self, signer: &Certificate<'_>) -> Result<Option<Lapse>, Fault> {
        if !signer.extensions.is_ca {
            return Err(Fault::NotCa);
        }
        match signer.extensions.key_usage {
            Some(usage) if usage.key_cert_sign => Ok(None),
            None => self.lapse(Lapse::SignerKeyUsage, Fault::NoKeyCertSign),
            Some(_) => Err(Fault::NoKeyCertSign),
        }
    }

    /// The roles that every certificate of the path has in common must include the one asked for.
    fn check_roles(&self, signer: &Certificate<'_>, path: &[Step<'_, '_>]) -> Result<(), Fault> {
        let below = path.iter().map(|step| step.certificate.roles());
        let common = below.fold(signer.roles(), |common, roles| common.and(roles));
        if self.usage.is_in(common) { Ok(()) } else { Err(Fault::ExtendedKeyUsage) }
    }

    /// A signing certificate with a SPIFFE ID must bear the root ID of this domain and no other URI
    /// (X5-14). Stricter than the standard, which lets one domain's CA sign another's: the issuance
    /// right that we never grant, unless policy names that other domain.
    fn check_ids(&self, signer: &Certificate<'_>, is_authority: bool) -> Result<[Option<Lapse>; 2], Fault> {
        let mut path = None;
        for uri in signer.uris().filter(|uri| has_spiffe_scheme(uri)) {
            // The standard's own example of an authority has the slash.
            let id = if is_authority { uri.strip_suffix(b"/").unwrap_or(uri) } else { uri };
            let id = SpiffeId::from_bytes(id).map_err(|_| self.foreign(uri))?;
            let is_own = id.trust_domain() == self.trust_domain;
            if !is_own && (is_authority || !id.is_root() || !self.policy.signing_domains.contains(id.trust_domain())) {
                return Err(self.foreign(uri));
            }
            if !id.is_root() {
                path = self.lapse(Lapse::SignerPath, Fault::SignerPath)?;
            }
        }
        let count = signer.uris().count();
        match count > 1 && signer.uris().any(has_spiffe_scheme) {
            true => Ok([path, self.lapse(Lapse::SignerUris, Fault::SeveralUris { count })?]),
            false => Ok([path, None]),
        }
    }

    fn lapse(&self, lapse: Lapse, fault: Fault) -> Result<Option<Lapse>, Fault> {
        match self.policy.svid_checks {
            SvidChecks::Strict => Err(fault),
            SvidChecks::Compatible => Ok(Some(lapse)),
        }
    }

    fn foreign(&self, uri: &[u8]) -> Fault {
        Fault::ForeignSigner { trust_domain: self.trust_domain.clone(), uri: text::shown(uri) }
    }
}

/// CA certificates below a signer, self-issued ones not counted.
fn check_path_length(signer: &Certificate<'_>, path: &[Step<'_, '_>]) -> Result<(), Fault> {
    let Some(limit) = signer.extensions.path_length else { return Ok(()) };
    let below = path.iter().skip(1).filter(|step| !step.certificate.is_self_issued()).fold(0, |below, _| below + 1);
    if limit < below { Err(Fault::PathLength { limit, below }) } else { Ok(()) }
}

fn has_spiffe_scheme(uri: &[u8]) -> bool {
    uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"spiffe:"))
}
