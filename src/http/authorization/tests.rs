use std::sync::Arc;

use actix_web::body::to_bytes;
use actix_web::dev::{Service as _, ServiceResponse};
use actix_web::http::Method;
use actix_web::test::{TestRequest, init_service};
use arc_swap::ArcSwap;
use rustls::time_provider::DefaultTimeProvider;
use serde_json::Value;

use super::check::AuthorizationRules;
use super::*;
use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::public_key::Fingerprint;
use crate::support::ca::{Ca, Identity};
use crate::verify::snapshot::{DomainTrust, TrustSnapshot};
use crate::verify::trust::Trust;
use crate::verify::verifier::Verifier;

/// A service that trusts `ca` for `b.example` and lets in `spiffe://b.example/ns/**`.
fn service(ca: &Ca, path: &str) -> Service {
    let authority = Authority::X509(X509Authority::from_der(ca.der()).unwrap());
    let bundle = Bundle::new("b.example".parse().unwrap(), [authority].into_iter().collect(), Some(1), None);
    let trust = Trust::fixed(TrustSnapshot::new(1, [DomainTrust::new(Arc::new(bundle), 1)]));
    let allow = vec!["spiffe://b.example/ns/**".parse().unwrap()];
    let rules = Arc::new(ArcSwap::from_pointee(AuthorizationRules { allow, require_hash: true }));
    let checker = Checker { verifier: Verifier::new(trust), clock: Arc::new(DefaultTimeProvider), rules };
    Service::new(path, checker, None, Metrics::default())
}

fn forwarded(svid: &Identity) -> String {
    let chain: String = svid.chain_pem().bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("Hash={};Chain=\"{chain}\"", Fingerprint::of(svid.leaf()))
}

async fn ask(service: Service, request: TestRequest) -> ServiceResponse {
    let app = init_service(
        App::new()
            .app_data(Data::new(service))
            .app_data(Data::new(CancellationToken::new()))
            .default_service(web::to(answer)),
    )
    .await;
    app.call(request.to_request()).await.unwrap()
}

fn identity(response: &ServiceResponse) -> Vec<&str> {
    response.headers().get_all(IDENTITY).map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn every_answer_overwrites_the_identity_header() {
    let ca = Ca::of("b.example");
    let (known, other) = (ca.svid("spiffe://b.example/ns/web"), ca.svid("spiffe://b.example/other"));
    for (name, path, header, status, expected) in [
        ("let in", "/check/any/path?q", Some(forwarded(&known)), 200, "spiffe://b.example/ns/web"),
        ("not let in", "/check", Some(forwarded(&other)), 403, ""),
        ("without a certificate", "/check", None, 403, ""),
        ("elsewhere", "/", Some(forwarded(&known)), 404, ""),
    ] {
        let spoofed = TestRequest::with_uri(path).insert_header((IDENTITY, "spiffe://b.example/ns/admin"));
        let request = header.into_iter().fold(spoofed, |request, header| request.insert_header((FORWARDED, header)));
        let response = ask(service(&ca, "/check"), request).await;
        assert_eq!((response.status().as_u16(), identity(&response)), (status, vec![expected]), "{name}");
    }
}

#[tokio::test]
async fn a_check_has_any_method_and_is_at_or_below_the_path() {
    let ca = Ca::of("b.example");
    let header = forwarded(&ca.svid("spiffe://b.example/ns/web"));
    for (prefix, path, served) in [
        ("/", "/", true),
        ("/", "//a/../b?c#d", true),
        ("/check", "/check", true),
        ("/check/", "/check", true),
        ("/check", "/check/%2e%2e/x", true),
        ("/check", "/checks", false),
        ("/check", "/Check", false),
        ("/check", "/%63heck", false),
        ("/check", "/x/check", false),
    ] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::from_bytes(b"PURGE").unwrap()] {
            let request =
                TestRequest::with_uri(path).method(method.clone()).insert_header((FORWARDED, header.as_str()));
            let response = ask(service(&ca, prefix), request).await;
            assert_eq!(response.status().is_success(), served, "{method} {path} below {prefix}");
        }
    }
}

#[tokio::test]
async fn a_stranger_learns_no_reason() {
    let ca = Ca::of("b.example");
    let refused = [ca.svid("spiffe://b.example/other"), Ca::of("b.example").svid("spiffe://b.example/ns/web")];
    for header in refused.iter().map(forwarded).chain(["Cert=a,Cert=b".into(), "Cert".into()]) {
        let request = TestRequest::with_uri("/secret/path").insert_header((FORWARDED, header));
        let response = ask(service(&ca, "/"), request).await;
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
        let mut body: Value = serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap();
        let id = body["request_id"].take();
        assert_eq!(id.as_str().map(str::len), Some(16));
        let expected = serde_json::json!({
            "type": "/problems/forbidden", "code": "forbidden", "title": "Not authorized", "status": 403,
            "detail": "the reason is in the log of the service, under this request id", "request_id": null,
        });
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn whoever_comes_while_all_places_are_taken_does_not_pass() {
    let ca = Ca::of("b.example");
    let header = forwarded(&ca.svid("spiffe://b.example/ns/web"));
    for (places, status, expected) in [(0, 503, ""), (1, 200, "spiffe://b.example/ns/web")] {
        let service = Service { pool: Pool::new(places), ..service(&ca, "/") };
        let response = ask(service, TestRequest::with_uri("/").insert_header((FORWARDED, header.as_str()))).await;
        assert_eq!((response.status().as_u16(), identity(&response)), (status, vec![expected]), "{places}");
    }
}
