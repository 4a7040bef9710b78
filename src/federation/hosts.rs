//! Chains of endpoints, each of which speaks for another domain than its own (FEC-15).

use std::collections::BTreeMap;

use crate::spiffe::trust_domain::TrustDomain;

use super::relationship::FederationRelationship;

/// In whose trust domain the endpoint of each domain is, where that is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hosts(BTreeMap<TrustDomain, TrustDomain>);

impl Hosts {
    pub(crate) fn of<'a>(relationships: impl IntoIterator<Item = &'a FederationRelationship>) -> Self {
        let host = |one: &FederationRelationship| Some((one.trust_domain.clone(), one.via()?.clone()));
        Self(relationships.into_iter().filter_map(host).collect())
    }

    /// The hosts of a domain, nearest first; in a cycle, once around.
    pub(crate) fn chain(&self, domain: &TrustDomain) -> Vec<TrustDomain> {
        let mut chain = Vec::new();
        let mut at = domain;
        while let Some(host) = self.0.get(at).filter(|host| !chain.contains(*host)) {
            chain.push(host.clone());
            at = host;
        }
        chain
    }

    /// Whether a domain would at last vouch for itself.
    pub(crate) fn is_cycle(&self, domain: &TrustDomain) -> bool {
        self.chain(domain).contains(domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> TrustDomain {
        name.parse().unwrap()
    }

    #[test]
    fn fec_15_chains_end_and_cycles_of_any_length_are_found() {
        let hosts =
            |pairs: &[(&str, &str)]| Hosts(pairs.iter().map(|(one, host)| (domain(one), domain(host))).collect());
        for (name, pairs, chain, is_cycle) in [
            ("its own", &[][..], &[][..], false),
            ("one host", &[("a", "b")], &["b"], false),
            ("two hosts", &[("a", "b"), ("b", "c")], &["b", "c"], false),
            ("each other's", &[("a", "b"), ("b", "a")], &["b", "a"], true),
            ("three around", &[("a", "b"), ("b", "c"), ("c", "a")], &["b", "c", "a"], true),
            ("leads to a cycle", &[("a", "b"), ("b", "c"), ("c", "b")], &["b", "c"], false),
        ] {
            let hosts = hosts(pairs);
            assert_eq!(hosts.chain(&domain("a")), chain.iter().map(|name| domain(name)).collect::<Vec<_>>(), "{name}");
            assert_eq!(hosts.is_cycle(&domain("a")), is_cycle, "{name}");
        }
    }
}
