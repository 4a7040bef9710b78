//! What an X509-SVID leaf must be by itself (X509-SVID §4).

use super::certificate::Certificate;
use super::extensions::KeyUsage;
use super::key;
use super::moment::Moment;
use super::policy::{Lapse, SvidChecks};
use super::rejection::Fault;
use super::x509::Usage;

/// Checks a leaf, and names the lapses that `checks` let pass.
pub(super) fn check_leaf(
    leaf: &Certificate<'_>,
    usage: Usage,
    at: &Moment,
    checks: SvidChecks,
) -> Result<Vec<Lapse>, Fault> {
    let extensions = &leaf.extensions;
    if extensions.is_ca {
        return Err(Fault::IsCa);
    }
    if extensions.key_usage.is_some_and(|usage| usage.key_cert_sign || usage.crl_sign) {
        return Err(Fault::MaySign);
    }
    if !usage.is_in(leaf.roles()) {
        return Err(Fault::ExtendedKeyUsage);
    }
    let lapses = lapses(leaf);
    if let (SvidChecks::Strict, Some((_, fault))) = (checks, lapses.first()) {
        return Err(fault.clone());
    }
    leaf.check(at)?;
    key::strength(&leaf.key)?;
    Ok(lapses.into_iter().map(|(lapse, _)| lapse).collect())
}

/// What the standard demands of the issuer alone.
fn lapses(leaf: &Certificate<'_>) -> Vec<(Lapse, Fault)> {
    let signs = |usage: KeyUsage| usage.is_critical && usage.digital_signature;
    let (roles, extensions) = (leaf.roles(), &leaf.extensions);
    let rules = [
        (extensions.key_usage.is_some_and(signs), Lapse::LeafKeyUsage, Fault::LeafKeyUsage),
        (roles.server && roles.client, Lapse::LeafExtendedKeyUsage, Fault::ExtendedKeyUsage),
        (!leaf.subject.is_empty() || extensions.san_is_critical, Lapse::SanNotCritical, Fault::SanNotCritical),
    ];
    rules.into_iter().filter(|(holds, ..)| !holds).map(|(_, lapse, fault)| (lapse, fault)).collect()
}
