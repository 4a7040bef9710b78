use rcgen::CertificateParams;

use super::super::rejection::Rejection;
use super::super::testing::{Ca, NOW, bundle, leaf_params, time};
use std::collections::BTreeMap;

use super::*;

const ID: &str = "spiffe://a/x";

fn trust(trust_domain: &str, cas: &[&Ca]) -> DomainTrust {
    DomainTrust::new(bundle(trust_domain, cas).into(), 1)
}

fn code(snapshot: &TrustSnapshot, leaf: &[u8], sent: &[&[u8]]) -> String {
    match snapshot.verify_x509(leaf, sent, Usage::Server, time(NOW)) {
        Err(Rejection::ForeignAuthority { trust_domain, .. }) => format!("authority of {trust_domain}"),
        Err(rejection) => rejection.code().to_owned(),
        Ok(_) => "accepted".to_owned(),
    }
}

fn without_key_id() -> CertificateParams {
    let mut params = leaf_params(&[ID]);
    params.use_authority_key_identifier_extension = false;
    params
}

#[test]
fn the_order_of_strangers_does_not_decide_whose_authority_it_is() {
    let roots = ["root a", "root b", "root c", "root d"].map(Ca::root);
    let domains = ["a", "b", "c", "d"].iter().zip(&roots).map(|(name, root)| trust(name, &[root]));
    let snapshot = TrustSnapshot::new(1, domains);
    let [b, c, d] = [1, 2, 3].map(|n| roots[n].intermediate(&format!("intermediate {n}")));
    let leaf = d.leaf(ID);
    for sent in [[&b, &c, &d], [&d, &b, &c], [&c, &d, &b]] {
        assert_eq!(code(&snapshot, &leaf, &sent.map(|ca| ca.der.as_slice())), "authority of d");
    }
}

#[test]
fn authorities_of_one_domain_count_once_among_the_candidates() {
    let roots: Vec<Ca> = (0..6).map(|_| Ca::root("root")).collect();
    let snapshot = TrustSnapshot::new(
        1,
        [trust("a", &[&roots[0]]), trust("b", &[&roots[1], &roots[2], &roots[3]]), trust("c", &[&roots[4]])],
    );
    assert_eq!(code(&snapshot, &roots[4].leaf_with(without_key_id()), &[]), "authority of c");
    assert_eq!(code(&snapshot, &roots[5].leaf_with(without_key_id()), &[]), "unknown-authority");
}

#[test]
fn an_index_that_is_kept_is_one_that_is_made_anew() {
    let roots: Vec<Ca> = (0..4).map(|n| Ca::root(if n < 2 { "root" } else { "other" })).collect();
    let domains = ["a", "b", "c", "d"];
    let mut kept = TrustSnapshot::default();
    let mut current: BTreeMap<&str, Vec<&Ca>> = BTreeMap::new();
    let changes: [(&str, &[usize]); 8] =
        [("a", &[0]), ("b", &[0, 1]), ("c", &[2]), ("b", &[3]), ("d", &[1, 2]), ("a", &[]), ("c", &[0]), ("b", &[1])];
    for (name, cas) in changes {
        let cas: Vec<&Ca> = cas.iter().map(|n| &roots[*n]).collect();
        let entry = (!cas.is_empty()).then(|| trust(name, &cas));
        kept = kept.updated(1, [(name.parse().unwrap(), entry)]);
        match cas.is_empty() {
            true => current.remove(name),
            false => current.insert(name, cas),
        };
        let anew = TrustSnapshot::new(1, current.iter().map(|(name, cas)| trust(name, cas)));
        let flat = |snapshot: &TrustSnapshot| {
            let hints = snapshot.hints().0.iter();
            let mut all: Vec<_> =
                hints.map(|(hint, known)| format!("{hint:?} {:?}", known.iter().collect::<Vec<_>>())).collect();
            all.sort();
            all
        };
        assert_eq!(flat(&kept), flat(&anew), "after {name}");
    }
    assert!(domains.iter().all(|name| current.contains_key(name) == kept.domain(&name.parse().unwrap()).is_some()));
}
