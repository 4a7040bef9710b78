use std::collections::BTreeSet;

use super::*;
use crate::http::fixtures::openapi;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

fn codes() -> BTreeSet<String> {
    TABLE.iter().map(|kind| kind.code.to_owned()).collect()
}

#[test]
fn every_problem_is_in_the_openapi_document_and_no_other() {
    let schema = &openapi()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let described: BTreeSet<String> = serde_json::from_value(schema.clone()).unwrap();
    assert_eq!(described, codes());
}

#[test]
fn what_the_exchange_refuses_has_a_row_of_its_own() {
    let trust_domain: TrustDomain = "b.example".parse().unwrap();
    let digest = Fingerprint::of(b"");
    for (error, status) in [
        (FederationError::UnknownTrustDomain(trust_domain.clone()), 404),
        (FederationError::NoBundle(trust_domain.clone()), 404),
        (FederationError::UnknownDigest { trust_domain: trust_domain.clone(), digest }, 404),
        (FederationError::NothingUsable { trust_domain, digest }, 409),
        (FederationError::Interrupted, 503),
    ] {
        let code = error.code();
        let problem = Problem::from(error);
        assert_eq!((problem.kind.code, problem.kind.status), (code, status));
    }
}

#[test]
fn an_unknown_code_is_our_own_fault_and_stays_inside() {
    let problem = Problem::new("no-such-code", "/secret/path");
    assert_eq!((problem.kind.code, problem.kind.status), ("internal-error", 500));
    assert!(!problem.detail.contains("secret") && problem.cause.unwrap().contains("secret"));
}
