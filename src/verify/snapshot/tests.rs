use rcgen::KeyUsagePurpose;

use super::super::testing::{Ca, NOW, bundle, leaf_params, time};
use super::*;

fn trust(trust_domain: &str, ca: &Ca, until: u64) -> DomainTrust {
    DomainTrust::new(bundle(trust_domain, &[ca]).into(), 1).with_trusted_until(Some(time(until)))
}

#[test]
fn rel_08_the_state_of_the_domain_comes_before_its_keys() {
    let (root, foreign) = (Ca::root("root"), Ca::root("root"));
    let code = |ca: &Ca, known: &str, until| {
        let snapshot = TrustSnapshot::new(1, [trust(known, &root, until)]);
        let verdict = snapshot.verify_x509(&ca.leaf("spiffe://a/x"), &[], Usage::Client, time(NOW));
        verdict.map_or_else(|rejection| rejection.code(), |_| "valid")
    };
    for (name, found, expected) in [
        ("known", code(&root, "a", NOW + 1), "valid"),
        ("stale", code(&root, "a", NOW), "bundle-stale"),
        ("stale, and a foreign key", code(&foreign, "a", NOW), "bundle-stale"),
        ("unknown", code(&root, "b", NOW + 1), "unknown-trust-domain"),
    ] {
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn rel_02_04_a_domain_is_verified_with_its_own_bundle_only() {
    let (a, b) = (Ca::root("root"), Ca::root("root"));
    let domains = [trust("a", &a, NOW + 1), trust("b", &b, NOW + 1)];
    let snapshot = TrustSnapshot::new(1, domains);
    for (ca, id, expected) in [
        (&a, "spiffe://a/x", Ok(())),
        (&b, "spiffe://b/x", Ok(())),
        (&b, "spiffe://a/x", Err("foreign-authority")),
        (&a, "spiffe://b/x", Err("foreign-authority")),
    ] {
        let verdict = snapshot.verify_x509(&ca.leaf(id), &[&a.der, &b.der], Usage::Server, time(NOW));
        assert_eq!(verdict.map(drop).map_err(|rejection| rejection.code()), expected, "{id}");
    }
}

#[test]
fn rel_02_a_bundle_stands_under_its_own_name_only() {
    let root = Ca::root("root");
    let name = |name: &str| name.parse::<TrustDomain>().unwrap();
    let snapshot = TrustSnapshot::new(1, [trust("a", &root, NOW + 1)]);
    let other = snapshot.updated(2, [(name("a"), Some(trust("b", &root, NOW + 1)))]);
    assert!(other.domain(&name("a")).is_none() && other.domain(&name("b")).is_none());
}

#[test]
fn the_search_for_a_foreign_authority_is_no_part_of_the_explanation() {
    let (a, b) = (Ca::root("root a"), Ca::root("root b"));
    let snapshot = TrustSnapshot::new(1, [trust("a", &a, NOW + 1), trust("b", &b, NOW + 1)]);
    let explanation = snapshot.explain_x509(&b.leaf("spiffe://a/x"), &[&b.der], Usage::Server, time(NOW));
    assert_eq!(explanation.verdict.as_ref().unwrap_err().code(), "foreign-authority");
    assert!(!explanation.to_string().contains("the path holds"), "{explanation}");
}

#[test]
fn an_explanation_names_what_can_not_be_read() {
    let root = Ca::root("root");
    let snapshot = TrustSnapshot::new(1, [trust("a", &root, NOW + 1)]);
    let leaf = Ca::root("other").leaf("spiffe://a/x");
    let explanation = snapshot.explain_x509(&leaf, &[&root.der, b"rubbish"], Usage::Server, time(NOW));
    let expected = "leaf (CN=workload): names spiffe://a/x, issued by CN=other; no signer was tried: \
                    intermediate 1 () is malformed: certificate [malformed-certificate]\n\
                    intermediate 1 (): is malformed: certificate [malformed-certificate]\n";
    assert!(explanation.to_string().starts_with(expected), "{explanation}");
}

#[test]
fn an_explanation_begins_with_the_leaf_and_the_rule_that_it_breaks() {
    let root = Ca::root("root");
    let snapshot = TrustSnapshot::new(1, [trust("a", &root, NOW + 1)]);
    let mut params = leaf_params(&["spiffe://a/x"]);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    let explained = |leaf: &[u8]| {
        let steps = snapshot.explain_x509(leaf, &[], Usage::Server, time(NOW)).steps;
        steps.iter().map(|step| (step.depth, step.code)).collect::<Vec<_>>()
    };
    assert_eq!(explained(&root.leaf_with(params)), [(0, Some("leaf-may-sign"))]);
    assert_eq!(explained(&root.leaf("spiffe://a/x")), [(0, None), (1, None)]);
}
