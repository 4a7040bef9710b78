use std::collections::BTreeSet;

use actix_web::http::header::ALLOW;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use serde_json::{Value, json};

use super::*;
use crate::federation::status::AuthoritySourceStatus;
use crate::federation::status::OutputStatus;
use crate::federation::timestamp::Timestamp;
use crate::http::bundles::AcceptedBundle;
use crate::http::fixtures::{openapi, relationship};
use crate::spiffe::public_key::Fingerprint;

/// Status, `Allow` and body of the admin API, which refuses these requests before it asks the exchange.
async fn ask(request: TestRequest) -> (u16, Option<String>, Value) {
    let app = init_service(App::new().wrap(from_fn(describe)).configure(routes)).await;
    let response = call_service(&app, request.to_request()).await;
    let allow = response.headers().get(ALLOW).map(|allow| allow.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    (status, allow, serde_json::from_slice(&read_body(response).await).unwrap_or(Value::Null))
}

#[actix_web::test]
async fn a_refusal_is_a_problem_document() {
    let digest = |text: &str| TestRequest::post().uri("/v1/bundles/b.example/accept").set_json(json!({"digest": text}));
    let plain = TestRequest::post().uri("/v1/bundles/b.example/accept").set_payload("{}");
    for (name, request, status, code) in [
        ("unknown path", TestRequest::get().uri("/v2"), 404, "unknown-route"),
        ("upper case", TestRequest::get().uri("/v1/relationships/B.example"), 400, "invalid-trust-domain"),
        ("an ID", TestRequest::get().uri("/v1/bundles/spiffe%3A%2F%2Fb.example"), 400, "invalid-trust-domain"),
        ("format", TestRequest::get().uri("/v1/bundle?format=der"), 400, "invalid-request"),
        ("digest", digest("1234"), 400, "invalid-request"),
        ("70 KB", digest(&"0".repeat(70_000)), 413, "payload-too-large"),
        ("no JSON", plain, 415, "unsupported-media-type"),
        ("method", TestRequest::delete().uri("/v1/status"), 405, "method-not-allowed"),
    ] {
        let (answered, _, problem) = ask(request).await;
        assert_eq!((answered, &problem["code"]), (status, &json!(code)), "{name}");
        conforms("Problem", &problem);
        assert_eq!(problem["type"], format!("/problems/{code}"), "{name}");
        assert!(problem["instance"].as_str().unwrap().starts_with("/v"), "{name}");
    }
}

#[actix_web::test]
async fn the_openapi_document_and_the_routes_are_the_same_list() {
    let document = openapi();
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<&str> = paths.keys().map(String::as_str).filter(|path| path.starts_with("/v1/")).collect();
    let sources = [
        include_str!("../admin.rs"),
        include_str!("../relationships.rs"),
        include_str!("../bundles.rs"),
        include_str!("../rotation.rs"),
        include_str!("../verification.rs"),
    ];
    let served: BTreeSet<&str> =
        sources.iter().flat_map(|source| source.split('"')).filter(|text| text.starts_with("/v1/")).collect();
    assert_eq!(described, served);
    for path in described {
        let (status, allow, _) = ask(TestRequest::put().uri(&path.replace("{trust_domain}", "b.example"))).await;
        let reads = paths[path].get("get").is_some();
        assert_eq!(paths[path].get("head").is_some(), reads, "{path}");
        assert_eq!((status, allow.as_deref()), (405, Some(if reads { "GET, HEAD" } else { "POST" })), "{path}");
    }
}

#[test]
fn answers_are_what_the_openapi_document_says() {
    let (full, bare) = (relationship(true), relationship(false));
    conforms("RelationshipStatus", &serde_json::to_value(&full).unwrap());
    conforms("RelationshipStatus", &serde_json::to_value(&bare).unwrap());
    let service = ServiceStatus {
        trust_domain: full.trust_domain.clone(),
        version: "0.1.0".into(),
        started: Timestamp::from_secs(1),
        sequence: None,
        snapshot_generation: u64::MAX,
        relationships: 1,
        not_ready: vec!["no-bundle".into()],
        sources: vec![AuthoritySourceStatus {
            source: "https://issuer.example".into(),
            x509_authorities: 0,
            jwt_authorities: 1,
            last_success: Some(Timestamp::from_secs(1)),
            last_error: full.last_error.clone(),
            ignored: full.ignored.clone(),
        }],
        outputs: vec![OutputStatus {
            kind: "files".into(),
            target: "/run/comity/bundles".into(),
            generation: Some(1),
            delivered: Some(Timestamp::from_secs(1)),
            subscribers: 0,
            pushes: 1,
            failures: 1,
            nacks: 0,
            refused_requests: 0,
            last_error: full.last_error.clone(),
        }],
        warnings: full.warnings.clone(),
    };
    conforms("ServiceStatus", &serde_json::to_value(service).unwrap());
    let bundle = AcceptedBundle {
        trust_domain: full.trust_domain,
        sequence: full.sequence,
        revision: full.revision,
        digest: Fingerprint::of(b""),
        authorities: full.held[0].added.clone(),
        document: json!({"keys": []}),
    };
    conforms("AcceptedBundle", &serde_json::to_value(bundle).unwrap());
}

fn conforms(schema: &str, instance: &Value) {
    let root = json!({"$ref": format!("#/components/schemas/{schema}"), "components": openapi()["components"]});
    let errors: Vec<_> =
        jsonschema::validator_for(&root).unwrap().iter_errors(instance).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{schema}: {errors:?}\n{instance}");
}
