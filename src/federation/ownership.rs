//! One key, one trust domain (Bundle §2, §6.2; BND-20): who owns a key that two domains publish.

use std::collections::HashMap;

use crate::spiffe::authority::Authority;
use crate::spiffe::bundle::Authorities;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::is_self_signed;

use super::timestamp::Timestamp;

/// Who claims each key that is trusted anywhere, compared as key material.
///
/// The owner is whom the configuration declares (for our own keys, us); else the domain with a
/// certificate self-signed by that key that bears the domain's ID; else the earlier holder.
#[derive(Debug, Default)]
pub(crate) struct KeyOwners {
    claims: HashMap<Fingerprint, Vec<(TrustDomain, Claim)>>,
    keys: HashMap<TrustDomain, Vec<Fingerprint>>,
}

/// How strong a domain's claim on a key is; the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    strength: Strength,
    /// The earlier holder wins among equals.
    since: std::cmp::Reverse<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Held,
    Evident,
    Configured,
}

impl KeyOwners {
    /// Records our own keys, which nobody takes from us.
    pub(crate) fn set_own(&mut self, domain: &TrustDomain, authorities: &Authorities) -> Vec<TrustDomain> {
        let since = std::cmp::Reverse(Timestamp::default());
        self.set(
            domain,
            authorities.iter().map(|authority| (authority, Claim { strength: Strength::Configured, since })),
        )
    }

    /// Records a foreign domain's accepted keys, each since when. Returns the other domains whose keys
    /// may have found or lost an owner by that.
    pub(crate) fn set_foreign<'a>(
        &mut self,
        domain: &TrustDomain,
        authorities: impl Iterator<Item = (&'a Authority, Timestamp)>,
    ) -> Vec<TrustDomain> {
        let claims = authorities.map(|(authority, since)| {
            let since = std::cmp::Reverse(since);
            (authority, Claim { strength: strength(domain, authority), since })
        });
        let claims: Vec<_> = claims.collect();
        self.set(domain, claims.into_iter())
    }

    /// The other domain that owns the key of an authority which `domain` publishes, if there is one.
    pub(crate) fn other_owner(&self, domain: &TrustDomain, authority: &Authority) -> Option<&TrustDomain> {
        let claims = self.claims.get(&authority.key_thumbprint())?;
        let (owner, best) = claims.iter().filter(|(other, _)| other != domain).max_by_key(|(_, claim)| *claim)?;
        let own = claims.iter().find(|(other, _)| other == domain).map(|(_, claim)| *claim);
        // A key that is merely offered has no date yet, so it is later than any that is held.
        let latest = std::cmp::Reverse(Timestamp::from_secs(u64::MAX));
        let own = own.unwrap_or_else(|| Claim { strength: strength(domain, authority), since: latest });
        (*best >= own).then_some(owner)
    }

    fn set<'a>(&mut self, domain: &TrustDomain, new: impl Iterator<Item = (&'a Authority, Claim)>) -> Vec<TrustDomain> {
        let mut affected = Vec::new();
        for key in self.keys.remove(domain).unwrap_or_default() {
            let claims = self.claims.entry(key).or_default();
            claims.retain(|(other, _)| other != domain);
            affected.extend(claims.iter().map(|(other, _)| other.clone()));
            if claims.is_empty() {
                self.claims.remove(&key);
            }
        }
        for (authority, claim) in new {
            let key = authority.key_thumbprint();
            let claims = self.claims.entry(key).or_default();
            affected.extend(claims.iter().map(|(other, _)| other.clone()));
            claims.push((domain.clone(), claim));
            self.keys.entry(domain.clone()).or_default().push(key);
        }
        affected.retain(|other| other != domain);
        affected.sort();
        affected.dedup();
        affected
    }
}

fn strength(domain: &TrustDomain, authority: &Authority) -> Strength {
    match authority {
        Authority::X509(certificate) if certificate.bears_root_id(domain) && is_self_signed(certificate) => {
            Strength::Evident
        }
        _ => Strength::Held,
    }
}
