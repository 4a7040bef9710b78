//! A certificate by ACME that doesn't come: the service says so and goes on. A server that issues is in `tests/interop`.

use serde_json::{Value, json};

use crate::process::{Home, run};
use crate::support::answer::Answer;
use crate::support::ca::Ca;
use crate::support::peer::Peer;
use crate::wire::Connection;

const CONFIG: &str = r#"
operations.listen = "127.0.0.1:0"
authorities.x509 = ["{home}/ca.pem"]
[endpoint.https_web]
listen = "127.0.0.1:0"
[endpoint.https_web.acme]
domains = ["bundle.a.example"]
terms_of_service_agreed = true
directory_root_certificates = "{home}/acme-ca.pem"
directory = "#;

#[tokio::test]
async fn a_certificate_that_does_not_come_is_told_wherever_one_asks() {
    let ca = Ca::web("directory CA");
    let server = Peer::start(&ca.server("localhost")).await;
    server.answer(Answer::ok("<html>"));
    let home = Home::new("");
    home.write("ca.pem", Ca::of("a.example").pem());
    home.write("acme-ca.pem", ca.pem());
    home.configure(&format!("{CONFIG}\"{}\"", server.url("localhost", "/directory")));
    let checked = home.ask(&["config", "check"]).await;
    assert!(checked.out.contains("certificate for bundle.a.example from https://localhost:"), "{checked:?}");

    let mut service = home.start().await;
    let line = service.logged(0, |line| line["code"] == "acme-malformed").await;
    assert_eq!((&line["level"], &line["domains"]), (&json!("ERROR"), &json!("bundle.a.example")));
    let health = home.ask(&["health"]).await;
    assert_eq!(health.code, Some(0), "{health:?}");
    let status = home.admin("GET", "/v1/status").await.json();
    let warnings: Vec<_> = [0, 1].map(|place| status["warnings"][place]["code"].clone()).into();
    assert_eq!(
        (&status["not_ready"], warnings),
        (&json!([]), vec!["acme-malformed".into(), "certificate-awaited".into()])
    );
    let config = home.config().display().to_string();
    let doctor = run(&["doctor", "--config", &config]).await;
    for text in ["issued by an ACME server", "[certificate-awaited]", "[acme-malformed]", "Look whether `directory`"] {
        assert!(doctor.out.contains(text), "{text} is not in {}", doctor.out);
    }

    let mut platform = Connection::tcp(service.address("operations").await).await.unwrap();
    let ready = platform.ask("GET", "/readyz", &[]).await.unwrap();
    // A platform that sent nobody to a service that is not ready would keep the server that looks for proof away.
    let expected = json!({"ready": true, "reasons": [], "warnings": ["acme-malformed", "certificate-awaited"]});
    assert_eq!((ready.status, ready.json()), (200, expected));
    let metrics = String::from_utf8(platform.ask("GET", "/metrics", &[]).await.unwrap().body.to_vec()).unwrap();
    for line in [
        r#"comity_acme_orders_total{result="acme-malformed"} 1"#,
        r#"comity_endpoint_certificate_problem{profile="https_web",code="acme-malformed"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert!(Connection::tls(service.address("https_web").await).await.is_err(), "there is nothing to show");
    service.stop().await;
}

#[tokio::test]
async fn a_key_of_an_account_that_everybody_may_read_is_told() {
    let server = Peer::start(&Ca::web("directory CA").server("localhost")).await;
    for (mode, told) in [(0o640, 0), (0o644, 1)] {
        let home = Home::new("");
        home.write("ca.pem", Ca::of("a.example").pem());
        home.write("acme-ca.pem", Ca::web("another").pem());
        home.write("eab.key", "MDEyMzQ1Njc4OWFiY2RlZg");
        home.chmod("eab.key", mode);
        let account = "eab_kid = \"k-1\"\neab_hmac_key_file = \"{home}/eab.key\"";
        home.configure(&format!("{CONFIG}\"{}\"\n{account}", server.url("localhost", "/directory")));
        let mut service = home.start().await;
        service.logged(0, |line| line["code"] == "acme-unreachable").await;
        let lines: Vec<Value> = service.log().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let lines = lines.iter().filter(|line| line["code"] == "private-key-readable");
        let files: Vec<_> = lines.map(|line| (&line["level"], &line["file"])).collect();
        let file = json!(home.path("eab.key").display().to_string());
        assert_eq!(files, vec![(&json!("WARN"), &file); told], "{mode:o}");
        service.stop().await;
    }
}

#[tokio::test]
async fn it_stops_in_good_order_while_the_server_keeps_it_waiting() {
    let ca = Ca::web("directory CA");
    let server = Peer::start(&ca.server("localhost")).await;
    server.answer(Answer::silent());
    let home = Home::new("");
    home.write("ca.pem", Ca::of("a.example").pem());
    home.write("acme-ca.pem", ca.pem());
    home.configure(&format!("{CONFIG}\"{}\"", server.url("localhost", "/directory")));
    let service = home.start().await;
    server.saw_requests(1).await;
    service.stop().await;
}
