//! What a relationship demands of a whole path: the strength of its keys, and CAs that speak for one domain alone.

use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::key;
use super::key_strength::KeyStrength;
use super::name_constraints::is_scoped_to;
use super::path::Step;
use super::policy::{Policy, PolicyBreach};
use super::rejection::Rejection;

/// Judges a path that is complete; another one of the same leaf may do where this doesn't.
pub(super) fn check_path(policy: &Policy, trust_domain: &TrustDomain, path: &[Step<'_, '_>]) -> Result<(), Rejection> {
    check_strength(policy, path)?;
    let name = || trust_domain.clone();
    if policy.scoped_paths && !is_scoped(path, trust_domain) {
        return Err(Rejection::Policy(PolicyBreach::Unscoped { trust_domain: name() }));
    }
    match lowest_shared_key(policy, path)? {
        Some((key, below)) if !policy.shared_unscoped && !is_scoped(below, trust_domain) => {
            Err(Rejection::Policy(PolicyBreach::SharedUnscoped { key, trust_domain: name() }))
        }
        _ => Ok(()),
    }
}

fn check_strength(policy: &Policy, path: &[Step<'_, '_>]) -> Result<(), Rejection> {
    // What is below the lowest level is refused whatever the policy.
    if policy.minimum_key_strength == KeyStrength::default() {
        return Ok(());
    }
    path.iter().try_for_each(|step| {
        let strength = step.signer.map_or_else(|| key::strength(&step.certificate.key), |signer| signer.key_strength());
        let strength = strength.map_err(|fault| step.certificate.rejected(step.place, fault))?;
        policy.check_strength(strength, Some(step.place)).map_err(Rejection::Policy)
    })
}

/// The lowest signer's key that several domains share, and the path below it, which alone can tell them apart: what
/// the certificate of the shared key constrains, it constrains for all who have a CA under it.
///
/// Not the authority's key alone: where an authority certifies a shared key, whoever that key certifies for other
/// domains stands on this path too.
fn lowest_shared_key<'p, 's, 'a>(
    policy: &Policy,
    path: &'p [Step<'s, 'a>],
) -> Result<Option<(Fingerprint, &'p [Step<'s, 'a>])>, Rejection> {
    if policy.shared_keys.is_empty() {
        return Ok(None);
    }
    let signers = path.iter().enumerate().filter_map(|(at, step)| Some((at, step, step.signer?)));
    for (at, step, signer) in signers {
        let key = signer.key_thumbprint().map_err(|fault| step.certificate.rejected(step.place, fault))?;
        if policy.shared_keys.contains(&key) {
            return Ok(Some((key, &path[..at])));
        }
    }
    Ok(None)
}

/// Whether the URIs that its signers' name constraints permit, intersected, are exactly this domain (X5-16).
fn is_scoped(path: &[Step<'_, '_>], trust_domain: &TrustDomain) -> bool {
    let signers = path.iter().filter(|step| step.signer.is_some());
    is_scoped_to(signers.filter_map(|step| step.certificate.extensions.name_constraints.as_ref()), trust_domain)
}

#[cfg(test)]
mod tests;
