//! One key, one trust domain (Bundle §2, §6.2; BND-20): who owns a key that two domains publish.

use std::cmp::Reverse;
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
    since: Reverse<Timestamp>,
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
        let since = Reverse(Timestamp::default());
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
            let since = Reverse(since);
            (authority, Claim { strength: strength(domain, authority), since })
        });
        let claims: Vec<_> = claims.collect();
        self.set(domain, claims.into_iter())
    }

    /// The other domain that owns the key of an authority which `domain` publishes, if there is one.
    pub(crate) fn other_owner(&self, domain: &TrustDomain, authority: &Authority) -> Option<&TrustDomain> {
        let claims = self.claims.get(&authority.key_thumbprint())?;
        // Names decide between equals, so that a key never loses all its owners.
        let rank = |(holder, claim): &'_ (TrustDomain, Claim)| (*claim, Reverse(holder.clone()));
        let best = claims.iter().filter(|(other, _)| other != domain).max_by_key(|held| rank(held))?;
        // A key that is merely offered has no date yet, so it is later than any that is held.
        let latest = Reverse(Timestamp::from_secs(u64::MAX));
        let offered = (domain.clone(), Claim { strength: strength(domain, authority), since: latest });
        let own = claims.iter().filter(|(other, _)| other == domain).map(rank).fold(rank(&offered), Ord::max);
        (rank(best) > own).then_some(&best.0)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, SanType};

    use super::*;
    use crate::spiffe::authority::X509Authority;
    use crate::spiffe::fixtures::FIXTURES;

    fn domain(name: &str) -> TrustDomain {
        name.parse().unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn ca(uri: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params
    }

    /// The key of fixture 1 in a certificate that it signed itself.
    fn evident(name: &str) -> Authority {
        let certificate = ca(&format!("spiffe://{name}")).self_signed(&FIXTURES[1].key).unwrap();
        Authority::X509(X509Authority::from_der(certificate.der()).unwrap())
    }

    /// The key of fixture 1 in a certificate that another key signed, as anybody can make one.
    fn certified(name: &str) -> Authority {
        let issuer = Issuer::new(ca("spiffe://any"), &FIXTURES[2].key);
        let certificate = ca(&format!("spiffe://{name}")).signed_by(&FIXTURES[1].key, &issuer).unwrap();
        Authority::X509(X509Authority::from_der(certificate.der()).unwrap())
    }

    fn bare() -> Authority {
        FIXTURES[1].jwt("k")
    }

    fn hold(owners: &mut KeyOwners, name: &str, authorities: &[Authority], since: u64) -> Vec<TrustDomain> {
        owners.set_foreign(&domain(name), authorities.iter().map(|authority| (authority, at(since))))
    }

    fn owner<'o>(owners: &'o KeyOwners, asking: &str, authority: &Authority) -> Option<&'o str> {
        owners.other_owner(&domain(asking), authority).map(TrustDomain::as_str)
    }

    #[test]
    fn bnd_20_the_owner_is_who_proves_it_else_who_held_the_key_first() {
        for (name, a, since_a, b, since_b, expected) in [
            ("the earlier holder", bare(), 1, bare(), 2, "a"),
            ("whatever the names", bare(), 2, bare(), 1, "b"),
            ("the certificate of another is no proof", bare(), 1, certified("b"), 2, "a"),
            ("evidence beats time", bare(), 1, evident("b"), 2, "b"),
            ("also against somebody else's certificate", certified("a"), 1, evident("b"), 2, "b"),
            ("of two who prove it the earlier", evident("a"), 1, evident("b"), 2, "a"),
            ("of two at the same time exactly one", bare(), 1, bare(), 1, "a"),
        ] {
            let mut owners = KeyOwners::default();
            hold(&mut owners, "a", std::slice::from_ref(&a), since_a);
            assert_eq!(hold(&mut owners, "b", std::slice::from_ref(&b), since_b), [domain("a")], "{name}");
            let found = [owner(&owners, "a", &a).unwrap_or("a"), owner(&owners, "b", &b).unwrap_or("b")];
            assert_eq!(found, [expected; 2], "{name}");
        }
    }

    #[test]
    fn bnd_20_an_offered_key_belongs_to_its_holder_unless_it_comes_with_proof() {
        let mut owners = KeyOwners::default();
        hold(&mut owners, "a", &[bare()], 1);
        assert_eq!(owner(&owners, "b", &bare()), Some("a"));
        assert_eq!(owner(&owners, "b", &certified("b")), Some("a"));
        assert_eq!(owner(&owners, "b", &evident("b")), None);
        assert_eq!(owner(&owners, "b", &evident("a")), Some("a"), "it proves somebody else");
        hold(&mut owners, "a", &[], 1);
        assert_eq!(owner(&owners, "b", &bare()), None, "the holder dropped it");
        assert!(owners.claims.is_empty() && owners.keys.is_empty(), "nothing is left behind");
    }

    #[test]
    fn bnd_20_one_proof_speaks_for_all_copies_of_the_key() {
        let copies = [evident("b"), certified("b"), bare()];
        let mut owners = KeyOwners::default();
        hold(&mut owners, "a", &[bare()], 1);
        hold(&mut owners, "b", &copies, 2);
        for copy in &copies {
            assert_eq!(owner(&owners, "b", copy), None, "{}", copy.id());
        }
        assert_eq!(owner(&owners, "a", &bare()), Some("b"));
    }

    #[test]
    fn bnd_20_nobody_takes_our_own_key() {
        let mut owners = KeyOwners::default();
        hold(&mut owners, "a", &[evident("a")], 1);
        let ours: Authorities = [bare()].into_iter().collect();
        assert_eq!(owners.set_own(&domain("own"), &ours), [domain("a")]);
        assert_eq!(owner(&owners, "own", &bare()), None);
        assert_eq!(owner(&owners, "a", &evident("a")), Some("own"));
        assert_eq!(owners.set_own(&domain("own"), &Authorities::new()), [domain("a")]);
        assert_eq!(owner(&owners, "a", &evident("a")), None);
    }

    proptest! {
        /// Whoever holds a key in whatever way since whenever: exactly one of them is not told of another owner.
        #[test]
        fn bnd_20_a_key_has_exactly_one_owner(
            claims in prop::collection::btree_map("[abcd]", (prop::collection::vec(0usize..3, 1..3), 1u64..4), 1..5)
        ) {
            let copy = |name: &str, kind: usize| match kind { 0 => bare(), 1 => certified(name), _ => evident(name) };
            let mut owners = KeyOwners::default();
            for (name, (kinds, since)) in &claims {
                let copies: Vec<_> = kinds.iter().map(|kind| copy(name, *kind)).collect();
                hold(&mut owners, name, &copies, *since);
            }
            let is_owner = |(name, (kinds, _)): &(&String, &(Vec<usize>, u64))| {
                kinds.iter().all(|kind| owner(&owners, name, &copy(name, *kind)).is_none())
            };
            let found: Vec<_> = claims.iter().filter(is_owner).collect();
            prop_assert_eq!(found.len(), 1);
            let rank = |(_, (kinds, since)): &(&String, &(Vec<usize>, u64))| (kinds.contains(&2), Reverse(*since));
            prop_assert_eq!(claims.iter().map(|claim| rank(&claim)).max(), Some(rank(&found[0])));
        }
    }
}
