//! What a relationship demands of a whole path: the strength of its keys, and CAs that speak for one domain alone.

use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::key;
use super::key_strength::KeyStrength;
use super::name_constraints::is_scoped_to;
use super::path::Step;
use super::policy::{Policy, PolicyBreach};
use super::rejection::{Fault, Rejection};

/// Judges a path that is complete; another one of the same leaf may do where this doesn't.
pub(super) fn check_path(policy: &Policy, trust_domain: &TrustDomain, path: &[Step<'_, '_>]) -> Result<(), Rejection> {
    check_strength(policy, path)?;
    let shared = if policy.shared_unscoped { None } else { shared_key(policy, path)? };
    if (!policy.scoped_paths && shared.is_none()) || is_scoped(path, trust_domain) {
        return Ok(());
    }
    let trust_domain = trust_domain.clone();
    Err(Rejection::Policy(match shared {
        Some(key) => PolicyBreach::SharedUnscoped { key, trust_domain },
        None => PolicyBreach::Unscoped { trust_domain },
    }))
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

/// The first signer's key that several domains share.
///
/// Not the last one's alone: where an authority of this domain certifies a shared key, whoever that key certifies
/// for other domains stands on this path too.
fn shared_key(policy: &Policy, path: &[Step<'_, '_>]) -> Result<Option<Fingerprint>, Rejection> {
    if policy.shared_keys.is_empty() {
        return Ok(None);
    }
    for step in path.iter().filter(|step| step.signer.is_some()) {
        let unusable = |error| step.certificate.rejected(step.place, Fault::UnusableKey(error));
        let key = key::thumbprint(&step.certificate.key).map_err(unusable)?;
        if policy.shared_keys.contains(&key) {
            return Ok(Some(key));
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
