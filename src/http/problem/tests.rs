use std::collections::BTreeSet;

use super::*;
use crate::http::fixtures::openapi;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;
use crate::store::error::StoreError;

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
fn a_failure_of_the_store_says_whether_it_was_to_write_or_to_read() {
    let failure = || StoreError::Path { path: "/secret/comity.db".into(), source: std::io::Error::other("gone") };
    for (error, told) in [
        (FederationError::Store(failure()), "did not take the change"),
        (FederationError::Unread(failure()), "could not be read"),
    ] {
        let problem = Problem::from(error);
        assert_eq!(problem.kind.code, "store-unavailable");
        assert!(problem.detail.contains(told) && !problem.detail.contains("secret"), "{problem}");
        assert!(problem.cause.unwrap().contains("secret"));
    }
}

#[test]
fn an_unknown_code_is_our_own_fault_and_stays_inside() {
    let problem = Problem::new("no-such-code", "/secret/path");
    assert_eq!((problem.kind.code, problem.kind.status), ("internal-error", 500));
    assert!(!problem.detail.contains("secret") && problem.cause.unwrap().contains("secret"));
}
