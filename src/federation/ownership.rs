//! One key, one trust domain (Bundle §2, §6.2; BND-20): who owns a key that two domains publish.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::spiffe::authority::Authority;
use crate::spiffe::bundle::Authorities;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::is_self_signed;

use super::hold::{Remedy, Reused};
use super::timestamp::Timestamp;

/// Who claims each key that is trusted anywhere, compared as key material.
///
/// The owner is whom the configuration declares (for our own keys, us); else the domain with a
/// certificate self-signed by that key that bears the domain's ID; else the earlier holder. Domains whose
/// relationships all declare a CA's key shared own it together; ours declares whatever one of them does.
#[derive(Debug, Default)]
pub(crate) struct KeyOwners {
    claims: HashMap<Fingerprint, Vec<(TrustDomain, Claim)>>,
    keys: HashMap<TrustDomain, Vec<Fingerprint>>,
    /// Keys that are declared shared, each with the domains whose relationships do so.
    shared: HashMap<Fingerprint, BTreeSet<TrustDomain>>,
    own: Option<TrustDomain>,
}

/// A domain's claim on a key.
#[derive(Clone, Copy, Debug)]
struct Claim {
    strength: Strength,
    since: Timestamp,
    /// For X509-SVIDs, the only use in which a key can be shared.
    is_x509: bool,
}

/// The greatest wins; of equal ones the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Held,
    Evident,
    /// Declared as shared, and not by this domain's relationship alone.
    Shared,
    Configured,
}

impl KeyOwners {
    /// Records our own keys, which nobody takes from us.
    pub(crate) fn set_own(&mut self, domain: &TrustDomain, authorities: &Authorities) -> Vec<TrustDomain> {
        self.own = Some(domain.clone());
        let since = Timestamp::default();
        let claim = |authority| Claim { strength: Strength::Configured, since, is_x509: is_x509(authority) };
        self.set(domain, authorities.iter().map(|authority| (authority, claim(authority))))
    }

    /// Records a foreign domain's accepted keys, each since when. Returns the other domains whose keys
    /// may have found or lost an owner by that.
    pub(crate) fn set_foreign<'a>(
        &mut self,
        domain: &TrustDomain,
        authorities: impl Iterator<Item = (&'a Authority, Timestamp)>,
    ) -> Vec<TrustDomain> {
        let claims = authorities.map(|(authority, since)| {
            (authority, Claim { strength: strength(domain, authority), since, is_x509: is_x509(authority) })
        });
        let claims: Vec<_> = claims.collect();
        self.set(domain, claims.into_iter())
    }

    /// Records which keys a domain's relationship declares shared. Returns the domains that hold one of those for
    /// which that changed.
    pub(crate) fn set_shared(&mut self, domain: &TrustDomain, keys: &BTreeSet<Fingerprint>) -> Vec<TrustDomain> {
        let was = |(key, by): (&Fingerprint, &BTreeSet<TrustDomain>)| by.contains(domain).then_some(*key);
        let old: BTreeSet<Fingerprint> = self.shared.iter().filter_map(was).collect();
        let mut affected = BTreeSet::new();
        for key in old.symmetric_difference(keys) {
            let declared = self.shared.entry(*key).or_default();
            if !declared.remove(domain) {
                declared.insert(domain.clone());
            }
            if declared.is_empty() {
                self.shared.remove(key);
            }
            affected.extend(self.claims.get(key).into_iter().flatten().map(|(holder, _)| holder.clone()));
        }
        affected.into_iter().collect()
    }

    /// All keys that any relationship declares shared.
    pub(crate) fn shared_keys(&self) -> BTreeSet<Fingerprint> {
        self.shared.keys().copied().collect()
    }

    /// The other domain that owns the key of an authority which `domain` publishes, if there is one.
    pub(crate) fn other_owner(&self, domain: &TrustDomain, authority: &Authority) -> Option<&TrustDomain> {
        let key = authority.key_thumbprint();
        let claims = self.claims.get(&key)?;
        // A key under which several domains have CAs signs no tokens of any of them.
        let is_shared_ca = |(other, claim): &&(TrustDomain, Claim)| {
            other != domain
                && self.strength(other, claim, &key) == Strength::Shared
                && self.own.as_ref() != Some(domain)
        };
        if let Some((other, _)) = claims.iter().find(is_shared_ca).filter(|_| !is_x509(authority)) {
            return Some(other);
        }
        let is_rival =
            |(other, claim): &&(TrustDomain, Claim)| other != domain && !self.share(domain, authority, other, claim);
        // Names decide between equals, so that a key never loses all its owners.
        let rank = |(holder, claim): &'_ (TrustDomain, Claim)| {
            (self.strength(holder, claim, &key), Reverse(claim.since), Reverse(holder.clone()))
        };
        let best = claims.iter().filter(is_rival).max_by_key(|held| rank(held))?;
        // A key that is merely offered has no date yet, so it is later than any that is held.
        let since = Timestamp::from_secs(u64::MAX);
        let offered = Claim { strength: strength(domain, authority), since, is_x509: is_x509(authority) };
        let offered = rank(&(domain.clone(), offered));
        let own = claims.iter().filter(|(other, _)| other == domain).map(rank).fold(offered, Ord::max);
        (rank(best) > own).then_some(&best.0)
    }

    /// The same, with what would let both have the key.
    pub(crate) fn reused(&self, domain: &TrustDomain, authority: &Authority) -> Option<Reused> {
        let owner = self.other_owner(domain, authority)?.clone();
        let key = authority.key_thumbprint();
        let mut of_owner = self.claims.get(&key).into_iter().flatten().filter(|(other, _)| *other == owner);
        let remedy = match is_x509(authority) && of_owner.any(|(_, claim)| claim.is_x509) {
            true => Remedy::Declare(self.lacking([domain, &owner], &key)),
            false => Remedy::NotShareable,
        };
        Some(Reused { id: authority.id(), key, owner, remedy })
    }

    /// Those of two domains whose relationships don't declare a key shared; we have none with ourselves.
    fn lacking(&self, domains: [&TrustDomain; 2], key: &Fingerprint) -> Vec<TrustDomain> {
        let foreign = domains.into_iter().filter(|domain| self.own.as_ref() != Some(*domain));
        foreign.filter(|domain| !self.declares(domain, key)).cloned().collect()
    }

    /// Whether both domains declare shared what one of them publishes and the other holds.
    fn share(&self, domain: &TrustDomain, authority: &Authority, other: &TrustDomain, claim: &Claim) -> bool {
        let key = authority.key_thumbprint();
        is_x509(authority) && claim.is_x509 && self.declares(domain, &key) && self.declares(other, &key)
    }

    fn declares(&self, domain: &TrustDomain, key: &Fingerprint) -> bool {
        self.shared.get(key).is_some_and(|declared| declared.contains(domain) || self.own.as_ref() == Some(domain))
    }

    /// The claim's strength, with what the configuration says. To be declared by one relationship alone is not to
    /// be shared, so it changes nothing.
    fn strength(&self, holder: &TrustDomain, claim: &Claim, key: &Fingerprint) -> Strength {
        let is_own = |(other, _): &(TrustDomain, Claim)| self.own.as_ref() == Some(other);
        let declared = self.shared.get(key).map_or(0, BTreeSet::len);
        let is_ours_too = self.claims.get(key).is_some_and(|claims| claims.iter().any(is_own));
        match claim.is_x509 && self.declares(holder, key) && declared + usize::from(is_ours_too) > 1 {
            true => claim.strength.max(Strength::Shared),
            false => claim.strength,
        }
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

fn is_x509(authority: &Authority) -> bool {
    matches!(authority, Authority::X509(_))
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

    fn share(owners: &mut KeyOwners, name: &str, authorities: &[Authority]) -> Vec<TrustDomain> {
        owners.set_shared(&domain(name), &authorities.iter().map(Authority::key_thumbprint).collect())
    }

    /// The key of fixture 1 in a certificate that says nothing of any domain, as an enterprise root does.
    fn enterprise() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&FIXTURES[1].key).unwrap();
        Authority::X509(X509Authority::from_der(certificate.der()).unwrap())
    }

    #[test]
    fn bnd_20_a_ca_that_all_declare_shared_belongs_to_all() {
        for (name, declared, expected) in [
            ("nobody", &[][..], [None, Some("a")]),
            ("the holder", &["a"], [None, Some("a")]),
            ("the claimant: one word alone moves nothing", &["b"], [None, Some("a")]),
            ("both", &["a", "b"], [None, None]),
            ("the holder, and one that doesn't hold it", &["a", "c"], [None, Some("a")]),
            ("the claimant, and one that doesn't hold it", &["b", "c"], [Some("b"), None]),
        ] {
            let mut owners = KeyOwners::default();
            hold(&mut owners, "a", &[enterprise()], 1);
            for declaring in declared {
                share(&mut owners, declaring, &[enterprise()]);
            }
            assert_eq!(owner(&owners, "b", &enterprise()), expected[1], "{name}, offered");
            hold(&mut owners, "b", &[enterprise()], 2);
            assert_eq!(["a", "b"].map(|asking| owner(&owners, asking, &enterprise())), expected, "{name}");
            for declaring in declared {
                share(&mut owners, declaring, &[]);
            }
            assert_eq!(owner(&owners, "b", &enterprise()), Some("a"), "{name}, and no more");
            assert!(owners.shared.is_empty());
        }
    }

    #[test]
    fn bnd_20_whoever_copies_a_shared_ca_without_being_declared_gets_nothing() {
        let mut owners = KeyOwners::default();
        hold(&mut owners, "c", &[evident("c")], 1);
        hold(&mut owners, "a", &[enterprise()], 2);
        share(&mut owners, "a", &[enterprise()]);
        share(&mut owners, "b", &[enterprise()]);
        assert_eq!(owner(&owners, "b", &enterprise()), None);
        hold(&mut owners, "b", &[enterprise()], 3);
        for (asking, expected) in [("a", None), ("b", None), ("c", Some("a"))] {
            assert_eq!(owner(&owners, asking, &evident(asking)), expected, "{asking}");
        }
        let affected = share(&mut owners, "c", &[enterprise()]);
        assert_eq!(affected, ["a", "b", "c"].map(domain));
        assert_eq!(owner(&owners, "c", &evident("c")), None);
    }

    #[test]
    fn bnd_20_our_own_ca_is_shared_with_whoever_declares_it() {
        let mut owners = KeyOwners::default();
        owners.set_own(&domain("own"), &[enterprise()].into_iter().collect());
        assert_eq!(owner(&owners, "b", &enterprise()), Some("own"));
        let reused = owners.reused(&domain("b"), &enterprise()).unwrap();
        assert!(reused.to_string().ends_with("until shared_authorities of [federation.\"b\"] lists it"), "{reused}");
        share(&mut owners, "b", &[enterprise()]);
        hold(&mut owners, "b", &[enterprise()], 1);
        assert_eq!(["b", "own"].map(|asking| owner(&owners, asking, &enterprise())), [None, None]);
        assert_eq!(owner(&owners, "c", &enterprise()), Some("own"), "and with nobody else");
    }

    #[test]
    fn bnd_20_a_key_that_signs_tokens_is_never_shared() {
        let mut owners = KeyOwners::default();
        hold(&mut owners, "a", &[enterprise()], 1);
        for name in ["a", "b"] {
            share(&mut owners, name, &[enterprise()]);
        }
        assert_eq!(owner(&owners, "b", &bare()), Some("a"));
        let reused = owners.reused(&domain("b"), &bare()).unwrap();
        assert!(reused.to_string().ends_with("a key that signs tokens can't be shared"), "{reused}");
        hold(&mut owners, "b", &[enterprise(), bare()], 0);
        assert_eq!(owner(&owners, "b", &enterprise()), None);
        assert_eq!(owner(&owners, "b", &bare()), Some("a"), "whoever was first");

        let mut owners = KeyOwners::default();
        hold(&mut owners, "a", &[bare()], 1);
        for name in ["a", "b"] {
            share(&mut owners, name, &[bare()]);
        }
        assert_eq!(owner(&owners, "b", &bare()), Some("a"));
        assert_eq!(owners.reused(&domain("b"), &enterprise()).map(|reused| reused.remedy), None, "a CA, as declared");
        hold(&mut owners, "b", &[enterprise()], 2);
        assert_eq!(owner(&owners, "a", &bare()), Some("b"), "then it signs tokens of nobody");

        let mut owners = KeyOwners::default();
        hold(&mut owners, "a", &[bare()], 1);
        hold(&mut owners, "b", &[enterprise()], 2);
        share(&mut owners, "b", &[bare()]);
        let found = [owner(&owners, "a", &bare()), owner(&owners, "b", &enterprise())];
        assert_eq!(found, [None, Some("a")], "one word alone takes a key from nobody");
    }

    #[test]
    fn the_message_names_the_setting_and_the_relationships_that_lack_it() {
        let mut owners = KeyOwners::default();
        hold(&mut owners, "a", &[enterprise()], 1);
        let message = |owners: &KeyOwners| owners.reused(&domain("b"), &enterprise()).unwrap().to_string();
        let until = "until the owner drops it, or, if they share a CA on purpose, until shared_authorities of";
        assert!(message(&owners).ends_with(&format!("{until} [federation.\"b\"] and [federation.\"a\"] list it")));
        share(&mut owners, "a", &[enterprise()]);
        assert!(message(&owners).ends_with(&format!("{until} [federation.\"b\"] lists it")));
        share(&mut owners, "a", &[]);
        share(&mut owners, "b", &[enterprise()]);
        assert!(message(&owners).ends_with(&format!("{until} [federation.\"a\"] lists it")));
    }

    proptest! {
        /// Whoever holds a key, and declares it shared: somebody is trusted with it, and of two domains that are,
        /// both declare it and both have CAs under it.
        #[test]
        fn bnd_20_a_key_is_trusted_in_one_domain_or_in_all_that_declare_its_ca(
            claims in prop::collection::btree_map("[abcd]", (prop::collection::vec(0usize..4, 1..4), 1u64..4), 1..5),
            declared in prop::collection::btree_set("[abcd]", 0..4),
            own_is_d: bool,
        ) {
            let copy = |name: &str, kind: usize| match kind {
                0 => bare(),
                1 => certified(name),
                2 => evident(name),
                _ => enterprise(),
            };
            let mut owners = KeyOwners::default();
            let is_own = |name: &str| own_is_d && name == "d";
            for (name, (kinds, since)) in &claims {
                let copies: Vec<_> = kinds.iter().map(|kind| copy(name, *kind)).collect();
                match is_own(name) {
                    true => drop(owners.set_own(&domain(name), &copies.into_iter().collect())),
                    false => drop(hold(&mut owners, name, &copies, *since)),
                }
            }
            for name in declared.iter().filter(|name| !is_own(name)) {
                share(&mut owners, name, &[bare()]);
            }
            let copies = claims.iter().flat_map(|(name, (kinds, _))| kinds.iter().map(move |kind| (name, *kind)));
            let trusted: Vec<_> =
                copies.filter(|(name, kind)| owner(&owners, name, &copy(name, *kind)).is_none()).collect();
            prop_assert!(!trusted.is_empty());
            let declares = |name: &str| match is_own(name) {
                true => declared.iter().any(|name| !is_own(name)),
                false => declared.contains(name),
            };
            for ((a, of_a), (b, of_b)) in trusted.iter().flat_map(|a| trusted.iter().map(move |b| (a, b))) {
                prop_assert!(a == b || (declares(a) && declares(b) && *of_a > 0 && *of_b > 0), "{trusted:?}");
            }
        }

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
