use std::sync::Arc;

use actix_web::App;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use serde_json::{Value, json};

use super::*;
use crate::http::fixtures::openapi;
use crate::http::problem::describe;
use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;
use crate::support::ca::{Ca, Identity};
use crate::verify::snapshot::{DomainTrust, TrustSnapshot};
use crate::verify::trust::Trust;
use crate::verify::verifier::Verifier;

/// Trusts each CA for one domain.
fn trust(domains: &[(&str, &Ca)]) -> Trust {
    let domains = domains.iter().map(|(trust_domain, ca)| {
        let authority = Authority::X509(X509Authority::from_der(ca.der()).unwrap());
        let bundle = Bundle::new(trust_domain.parse().unwrap(), [authority].into_iter().collect(), Some(7), None);
        DomainTrust::new(Arc::new(bundle), 3)
    });
    Trust::fixed(TrustSnapshot::new(1, domains))
}

fn chain(svid: &Identity) -> Vec<String> {
    svid.chain.iter().map(|der| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der)).collect()
}

/// The answer to a question that could be read.
fn answered<Q: Question>(asked: Value, trust: &Trust) -> Value {
    let asked: Asked<Q> = serde_json::from_str(&asked.to_string()).unwrap();
    asked.check().unwrap();
    serde_json::to_value(asked.answer(&Verifier::new(trust.clone()), "2027-01-15T08:00:00Z".parse().unwrap())).unwrap()
}

fn conforms(schema: &str, instance: &Value) {
    let root = json!({"$ref": format!("#/components/schemas/{schema}"), "components": openapi()["components"]});
    let errors: Vec<_> =
        jsonschema::validator_for(&root).unwrap().iter_errors(instance).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{schema}: {errors:?}\n{instance}");
}

#[test]
fn a_verdict_names_all_it_rests_on_or_the_reason() {
    let (b, c) = (Ca::of("b.example"), Ca::web("c"));
    let trust = trust(&[("b.example", &b), ("c.example", &c)]);
    let svid = b.svid("spiffe://b.example/web");
    let accepted = answered::<X509Question>(json!({"id": "x", "chain": chain(&svid), "usage": "client"}), &trust);
    conforms("Verdict", &accepted);
    let authority = format!("x509:{}", crate::spiffe::public_key::Fingerprint::of(b.der()));
    for (member, expected) in [
        ("id", json!("x")),
        ("verdict", json!("accepted")),
        ("spiffe_id", json!("spiffe://b.example/web")),
        ("trust_domain", json!("b.example")),
        ("authority", json!(authority)),
        ("reason", Value::Null),
        ("at", json!("2027-01-15T08:00:00Z")),
        ("path", json!([0])),
        ("sequence", json!(7)),
        ("revision", json!(3)),
        ("via", Value::Null),
        ("not_before", json!("2020-01-01T00:00:00Z")),
        ("not_after", json!("2100-01-01T00:00:00Z")),
        ("lapses", json!([])),
    ] {
        assert_eq!(accepted[member], expected, "{member}");
    }

    let stranger = c.svid("spiffe://b.example/web");
    for (name, asked, code, claimed, certificate) in [
        ("foreign", json!({"chain": chain(&stranger)}), "foreign-authority", Some("b.example"), None),
        (
            "unknown",
            json!({"chain": chain(&b.svid("spiffe://d.example/x"))}),
            "unknown-trust-domain",
            Some("d.example"),
            None,
        ),
        (
            "early",
            json!({"chain": chain(&svid), "at": "2019-01-01T00:00:00Z"}),
            "not-yet-valid",
            Some("b.example"),
            Some(0),
        ),
        ("empty", json!({"chain": []}), "malformed-chain", None, None),
        ("no base64", json!({"chain": [chain(&svid)[0], "?"]}), "malformed-chain", None, Some(1)),
        ("no DER", json!({"chain": ["AAAA"]}), "malformed-certificate", None, Some(0)),
        ("too many", json!({"chain": vec![&chain(&svid)[0]; 33]}), "path-budget-exhausted", Some("b.example"), None),
    ] {
        let rejected = answered::<X509Question>(asked, &trust);
        conforms("Verdict", &rejected);
        assert_eq!(rejected["verdict"], "rejected", "{name}");
        assert_eq!(rejected["reason"]["code"], code, "{name}: {rejected}");
        assert_eq!(rejected["reason"]["certificate"], json!(certificate), "{name}: {rejected}");
        assert_eq!(rejected["trust_domain"], json!(claimed), "{name}");
        assert_eq!(rejected["authority"], Value::Null, "{name}");
    }
}

#[test]
fn many_questions_have_as_many_verdicts_in_order() {
    let b = Ca::of("b.example");
    let trust = trust(&[("b.example", &b)]);
    let good = chain(&b.svid("spiffe://b.example/web"));
    let asked = json!([{"id": 1.50, "chain": good}, {"chain": []}, {"id": null, "chain": good, "explain": true}]);
    let answers = answered::<X509Question>(asked, &trust);
    let verdicts: Vec<_> = answers.as_array().unwrap().iter().map(|one| one["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["accepted", "rejected", "accepted"]);
    assert_eq!((&answers[0]["id"], &answers[1]["id"], &answers[2]["id"]), (&json!(1.5), &Value::Null, &Value::Null));
    assert!(answers[0].get("explanation").is_none() && !answers[2]["explanation"].as_array().unwrap().is_empty());
    assert_eq!(answered::<X509Question>(json!([]), &trust), json!([]));
}

#[test]
fn an_id_comes_back_to_the_letter() {
    for id in ["123456789012345678901234567890", "1.0", "-0", "1e999", r#""\u0061\/\ud800""#, "true", "null"] {
        let asked: Asked<X509Question> = serde_json::from_str(&format!(r#"{{"id": {id} ,"chain":[]}}"#)).unwrap();
        let verdict = asked.answer(&Verifier::new(trust(&[])), "2027-01-15T08:00:00Z".parse().unwrap());
        let answer = serde_json::to_string(&verdict).unwrap();
        assert!(answer.starts_with(&format!(r#"{{"id":{id},"verdict":"rejected","#)), "{answer}");
    }
}

#[test]
fn only_a_question_about_now_has_consequences() {
    let b = Ca::of("b.example");
    let asked_for = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = asked_for.clone();
    let verifier = Verifier::new(trust(&[("b.example", &b)]))
        .on_unknown_key(move |domain| seen.lock().unwrap().push(domain.to_string()));
    let now: Timestamp = "2027-01-15T08:00:00Z".parse().unwrap();
    let question =
        X509Question { chain: chain(&Ca::of("b.example").svid("spiffe://b.example/web")), ..Default::default() };
    let hypothetical = X509Question { at: Some(now), explain: true, ..question.clone() };
    for (question, polls) in [(&hypothetical, 0), (&question, 1)] {
        let verdict = question.judge(&verifier, now);
        assert_eq!(verdict.reason.unwrap().code, "unknown-authority");
        assert_eq!(asked_for.lock().unwrap().len(), polls);
    }
}

/// Status, `Retry-After` and body of an answer with so many places for work.
async fn ask(path: &str, body: &str, places: usize) -> (u16, Option<String>, Value) {
    let routes = |config: &mut ServiceConfig| {
        config.service(order("/x509", echo::<X509Question>).app_data(json(1000)));
        config.service(order("/jwt", echo::<JwtQuestion>).app_data(json(1000)));
    };
    let app = App::new().app_data(Data::new(Pool::new(places))).wrap(from_fn(describe)).configure(routes);
    let app = init_service(app).await;
    let request = TestRequest::post().uri(path).insert_header(("content-type", "application/json"));
    let response = call_service(&app, request.set_payload(body.to_owned()).to_request()).await;
    let wait = response.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    (status, wait, serde_json::from_slice(&read_body(response).await).unwrap_or(Value::Null))
}

/// Like [`verify`], with nobody trusted.
async fn echo<Q: Question>(Json(asked): Json<Asked<Q>>, pool: Data<Pool>) -> Result<Json<Answer>, Problem> {
    respond(asked, Verifier::new(trust(&[])), "2027-01-15T08:00:00Z".parse().unwrap(), &pool).await
}

#[actix_web::test]
async fn a_malformed_question_is_a_problem_and_a_malformed_svid_a_verdict() {
    let many = format!("[{}]", vec![r#"{"chain":[]}"#; 60].join(","));
    for (path, body, status, code) in [
        ("/x509", r#"{"chain":[]}"#, 200, Value::Null),
        ("/x509", r#"{"chain":["?"],"at":null,"usage":null}"#, 200, Value::Null),
        ("/x509", "[]", 200, Value::Null),
        ("/jwt", r#"{"token":"","audience":["a"]}"#, 200, Value::Null),
        ("/x509", "", 400, json!("invalid-request")),
        ("/x509", "7", 400, json!("invalid-request")),
        ("/x509", "{}", 400, json!("invalid-request")),
        ("/x509", r#"{"chain":[],"chain":[]}"#, 400, json!("invalid-request")),
        ("/x509", r#"{"chain":[],"usgae":"client"}"#, 400, json!("invalid-request")),
        ("/x509", r#"{"chain":[],"usage":"peer"}"#, 400, json!("invalid-request")),
        ("/x509", r#"{"chain":[],"at":"yesterday"}"#, 400, json!("invalid-request")),
        ("/x509", r#"{"chain":[7]}"#, 400, json!("invalid-request")),
        ("/x509", r#"{"chain":[],"id":{}}"#, 400, json!("invalid-request")),
        ("/x509", r#"[{"chain":[]},7]"#, 400, json!("invalid-request")),
        ("/x509", r#"[{"chain":[]}]]"#, 400, json!("invalid-request")),
        ("/jwt", r#"{"token":""}"#, 400, json!("invalid-request")),
        ("/jwt", r#"{"token":"","audience":[]}"#, 400, json!("invalid-request")),
        ("/jwt", r#"[{"token":"","audience":["a"]},{"token":"","audience":[""]}]"#, 400, json!("invalid-request")),
        ("/x509", &"x".repeat(2000), 413, json!("payload-too-large")),
        ("/x509", &many, 200, Value::Null),
    ] {
        let (answered, _, body_of) = ask(path, body, 1).await;
        assert_eq!((answered, &body_of["code"]), (status, &code), "{path} {body}: {body_of}");
    }
}

#[actix_web::test]
async fn whoever_comes_while_all_places_are_taken_is_told_to_come_again() {
    let (status, wait, problem) = ask("/x509", r#"{"chain":[]}"#, 0).await;
    assert_eq!((status, wait.as_deref(), &problem["code"]), (503, Some("1"), &json!("overloaded")));
    conforms("Problem", &problem);
}

#[test]
fn a_request_has_a_thousand_questions_at_most() {
    let asked = |count: usize| {
        let text = format!("[{}]", vec![r#"{"chain":[]}"#; count].join(","));
        serde_json::from_str::<Asked<X509Question>>(&text).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(asked(asked::MAX_QUESTIONS), Ok(()));
    assert!(asked(asked::MAX_QUESTIONS + 1).unwrap_err().contains("more than 1000 questions"));
}
