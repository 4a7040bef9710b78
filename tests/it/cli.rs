//! The commands that ask a running service, with the real program on both sides.

use serde_json::{Value, json};

use crate::process::{Finished, Home, run, signal, within};
use crate::publisher::Publisher;
use crate::scripted::Partner;
use crate::support::answer::Answer;
use crate::support::ca::{Ca, KeyType, authority};
use crate::support::jwks::{document, document_of, x509_element};

#[tokio::test]
async fn relationships_are_listed_shown_polled_and_summed_up() {
    let partner = Partner::start().await;
    partner.publishes(1, &[&Ca::of("b.example")]);
    let home = partner.home("");
    let service = home.start().await;
    let url = partner.peer.url("127.0.0.1", "/bundle");
    let refreshed = home.ask(&["federation", "refresh", "b.example"]).await;
    assert_eq!(refreshed.code, Some(0), "{refreshed:?}");
    assert!(refreshed.out.starts_with("b.example: fetched, "), "{refreshed:?}");

    for (command, expected) in [
        (&["federation", "list"][..], &["b.example", "https_web", &url, "current"][..]),
        (&["federation", "show", "b.example"], &["b.example", &url, "current", "automatic"]),
        (&["federation", "show", "--trust-domain", "b.example"], &["b.example"]),
        (&["federation", "status"], &["a.example: ready", "1 relationship", "b.example", "1 x509 0 jwt"]),
        (&["federation", "status", "b.example"], &["TRUST DOMAIN", "b.example", "current"]),
        (&["bundle", "list"], &["b.example: sequence 1, revision 1", "X.509 authority P-256, CN=b.example", "x509:"]),
        (&["bundle", "list", "b.example", "--format", "pem"], &["-----BEGIN CERTIFICATE-----"]),
        (&["bundle", "diff", "b.example"], &["b.example: no document is held"]),
    ] {
        let answer = home.ask(command).await;
        assert_eq!(answer.code, Some(0), "{command:?}: {answer:?}");
        for text in expected {
            assert!(answer.out.contains(text), "{text} is not in the answer to {command:?}: {}", answer.out);
        }
    }
    for (command, pointer, expected) in [
        (&["federation", "list"][..], "/relationships/0/trust_domain", json!("b.example")),
        (&["federation", "show", "b.example"], "/endpoint_url", json!(url)),
        (&["federation", "status"], "/service/trust_domain", json!("a.example")),
        (&["federation", "status", "b.example"], "/state", json!("current")),
        (&["federation", "refresh", "b.example"], "/revision", json!(1)),
        (&["bundle", "list"], "/bundles/0/sequence", json!(1)),
        (&["bundle", "list", "b.example"], "/document/spiffe_sequence", json!(1)),
        (&["bundle", "diff", "b.example"], "/held", json!([])),
    ] {
        let answer = home.ask(&[command, &["--output", "json"]].concat()).await;
        assert_eq!(answer.code, Some(0), "{command:?}: {answer:?}");
        assert_eq!(answer.json().pointer(pointer), Some(&expected), "{command:?}: {}", answer.out);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_watch_goes_on_until_it_is_interrupted_or_its_reader_is_gone() {
    let partner = Partner::start().await;
    partner.publishes(1, &[&Ca::of("b.example")]);
    let home = partner.home("");
    let service = home.start().await;
    let status = ["federation", "status", "--watch", "1", "--output", "json"];
    let (mut watch, lines) = home.watch(&status, 2).await;
    for line in lines {
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["service"]["trust_domain"], "a.example");
    }
    assert_eq!(watch.wait().await.unwrap().code(), Some(1), "nobody reads any more");

    let (mut watch, _) = home.watch(&["federation", "status", "--watch", "3600"], 1).await;
    signal(&watch, "INT").await;
    assert_eq!(within(watch.wait()).await.unwrap().code(), Some(0));
    service.stop().await;
}

#[tokio::test]
async fn a_poll_that_fails_exits_with_1_and_names_the_reason() {
    let partner = Partner::start().await;
    partner.publishes(1, &[&Ca::of("b.example")]);
    let home = partner.home("");
    let service = home.start().await;
    home.refreshed().await;
    partner.peer.answer(Answer::status(500, "\u{1b}[31m"));
    let refreshed = home.ask(&["federation", "refresh", "b.example"]).await;
    assert_eq!(refreshed.code, Some(1), "{refreshed:?}");
    assert!(refreshed.out.contains("the fetch failed, the accepted bundle stays"), "{refreshed:?}");
    assert!(refreshed.err.starts_with("error: ") && refreshed.err.contains("500"), "{refreshed:?}");
    let status = home.ask(&["federation", "status"]).await;
    assert!(status.out.contains("failing") && status.out.contains("1 failure in a row"), "{status:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_held_document_is_compared_and_accepted_or_rejected_by_its_digest() {
    let (first, second, third) = (Ca::of("b.example"), Ca::of("b.example"), Ca::of("b.example"));
    let partner = Partner::start().await;
    let home = partner.home("change_control = \"manual\"");
    partner.publishes(1, &[&first]);
    let service = home.start().await;
    let digest = held(&home).await;
    let diff = home.ask(&["bundle", "diff", "b.example"]).await;
    assert!(diff.out.contains("+ X.509 authority P-256, CN=b.example"), "{diff:?}");
    assert!(diff.out.contains(&format!("comity bundle accept b.example --digest {digest}")), "{diff:?}");

    let short = &digest[..12];
    for (arguments, code, error) in [
        (&["--digest", short, "--yes"][..], 1, "error: "),
        (&["--digest", short], 1, "error: no-terminal: "),
        (&["--digest", &"0".repeat(64), "--yes"], 1, "error: unknown-digest: "),
        (&["--digest", "xyz"], 2, "error: invalid value"),
        (&[], 2, "error: the following required arguments"),
    ] {
        let refused = home.ask(&[&["bundle", "accept", "b.example"], arguments].concat()).await;
        assert_eq!(refused.code, Some(code), "{arguments:?}: {refused:?}");
        assert!(refused.err.contains(error), "{arguments:?}: {refused:?}");
    }
    let accepted = home.ask(&["bundle", "accept", "b.example", "--digest", &digest, "--yes"]).await;
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    assert!(accepted.out.contains(&format!("accepted {digest} as revision 1")), "{accepted:?}");

    partner.publishes(2, &[&first, &second]);
    let digest = held(&home).await;
    let rejected = home.ask(&["bundle", "reject", "b.example", "--digest", &digest[..12]]).await;
    assert_eq!(rejected.code, Some(0), "{rejected:?}");
    assert_eq!(home.refreshed().await["held"], json!([]), "it is not held again");

    partner.publishes(3, &[&first, &third]);
    let digest = held(&home).await;
    let accepted = ["bundle", "accept", "b.example", "--digest", &digest, "--yes", "--output", "json"];
    let accepted = home.ask(&accepted).await.json();
    assert_eq!((&accepted["revision"], &accepted["x509_authorities"]), (&json!(2), &json!(2)), "{accepted}");
    service.stop().await;
}

/// The digest of the one document that is held after a poll.
async fn held(home: &Home) -> String {
    let status = home.refreshed().await;
    assert_eq!(status["held"].as_array().unwrap().len(), 1, "{status}");
    status["held"][0]["digest"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn our_own_bundle_is_shown_as_the_endpoint_serves_it_and_as_pem() {
    let ca = Ca::of("a.example");
    let publisher = Publisher::new(&[("ca.pem", &ca.pem())], "");
    let (service, address) = publisher.start().await;
    let served = crate::publisher::fetch(address).await.json();
    assert_eq!(publisher.home.ask(&["bundle", "show"]).await.json(), served);
    let pem = publisher.home.ask(&["bundle", "show", "--format", "pem"]).await;
    assert_eq!((pem.code, pem.out), (Some(0), ca.pem()));
    service.stop().await;
}

#[tokio::test]
async fn what_a_peer_writes_into_a_document_never_steers_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{9b}31m\u{202e}b";
    let first = Ca::of("b.example");
    let subject = Ca::root(authority(evil, &["spiffe://b.example"]), KeyType::P256);
    let jwt = crate::support::jwks::jwt_element(evil, &rcgen_spki());
    let partner = Partner::start().await;
    partner.publishes(1, &[&first]);
    let home = partner.home("change_control = \"manual\"");
    let service = home.start().await;
    let digest = held(&home).await;
    let whole = document(Some(2), Some(300), &[x509_element(&first), x509_element(&subject), jwt]);
    accept(&home, &digest).await;
    partner.peer.answer(Answer::ok(whole));
    let digest = held(&home).await;
    let mut answers = looks(&home).await;
    accept(&home, &digest).await;
    partner.peer.answer(Answer::ok(document(Some(3), Some(300), &[json!({ "use": evil, "kty": evil })])));
    home.refreshed().await;
    answers.extend(looks(&home).await);
    for (command, answer) in answers {
        assert_eq!(answer.code, Some(0), "{command:?}: {answer:?}");
        for text in [&answer.out, &answer.err] {
            let steering = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            assert_eq!(steering, None, "{command:?}: {text:?}");
        }
    }
    let raw = service.log().join("\n");
    assert!(raw.chars().all(|c| c == '\n' || !c.is_control()), "{raw:?}");
    service.stop().await;
}

async fn accept(home: &Home, digest: &str) {
    let accepted = home.ask(&["bundle", "accept", "b.example", "--digest", digest, "--yes"]).await;
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
}

/// Every command that shows something of a peer, in both forms.
async fn looks(home: &Home) -> Vec<(Vec<&'static str>, Finished)> {
    let mut answers = Vec::new();
    for command in [
        &["federation", "list"][..],
        &["federation", "show", "b.example"],
        &["federation", "status"],
        &["bundle", "list"],
        &["bundle", "list", "b.example", "--format", "spiffe"],
        &["bundle", "diff", "b.example"],
        &["bundle", "history", "b.example"],
    ] {
        for output in ["pretty", "json"] {
            let command = [command, &["--output", output]].concat();
            let answer = home.ask(&command).await;
            answers.push((command, answer));
        }
    }
    answers
}

fn rcgen_spki() -> Vec<u8> {
    use rcgen::PublicKeyData as _;
    KeyType::P256.generate().subject_public_key_info()
}

#[tokio::test]
async fn a_service_that_is_not_there_is_explained() {
    let home = Home::new("");
    let socket = home.path("admin.sock").display().to_string();
    let absent = run(&["federation", "status", "--socket", &socket]).await;
    assert_eq!(absent.code, Some(1), "{absent:?}");
    let expected = format!("error: no-socket: there is no socket {socket}: is `comity serve` running?");
    assert!(absent.err.starts_with(&expected), "{absent:?}");

    drop(std::os::unix::net::UnixListener::bind(home.path("admin.sock")).unwrap());
    let dead = run(&["bundle", "list", "--socket", &socket]).await;
    assert_eq!(dead.code, Some(1), "{dead:?}");
    assert!(dead.err.starts_with("error: nobody-listens: ") && dead.err.contains(&socket), "{dead:?}");

    let plain = home.path("comity.toml").display().to_string();
    let plain = run(&["bundle", "list", "--socket", &plain]).await;
    assert_eq!(plain.code, Some(1), "{plain:?}");
}

#[tokio::test]
async fn a_name_that_the_service_does_not_know_or_that_is_none_is_refused() {
    let partner = Partner::start().await;
    let home = partner.home("");
    let service = home.start().await;
    for (command, code, error) in [
        (&["federation", "show", "c.example"][..], 1, "error: unknown-trust-domain: "),
        (&["federation", "refresh", "c.example"], 1, "error: unknown-trust-domain: "),
        (&["bundle", "list", "b.example"], 1, "error: no-bundle: "),
        (&["bundle", "show"], 1, "error: no-bundle: "),
        (&["bundle", "list", "--format", "pem"], 1, "error: pooled-pem: "),
        (&["federation", "show", "B.example"], 2, "error: invalid value 'B.example'"),
        (&["federation", "show", ".."], 1, "error: unaddressable: "),
        (&["federation", "show"], 2, "error: the following required arguments"),
        (&["federation", "explain"], 2, "error: unrecognized subcommand"),
    ] {
        let refused = home.ask(command).await;
        assert_eq!(refused.code, Some(code), "{command:?}: {refused:?}");
        assert!(refused.err.starts_with(error) && refused.out.is_empty(), "{command:?}: {refused:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_configuration_is_checked_without_running_it() {
    let partner = Partner::start().await;
    let home = partner.home("change_control = \"manual\"");
    let good = home.ask(&["config", "check"]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.out.starts_with("the configuration is valid\n") && good.out.contains("b.example"), "{good:?}");
    let json = home.ask(&["config", "check", "--output", "json"]).await;
    assert_eq!((json.code, json.json()), (Some(0), json!({ "valid": true, "problems": [] })));

    home.configure(&partner.relationship("change_control = \"never\"\nredirects = 9"));
    let bad = home.ask(&["config", "check"]).await;
    assert_eq!((bad.code, bad.out.as_str()), (Some(64), ""), "{bad:?}");
    for text in ["2 problems in the configuration", "federation.\"b.example\".change_control", ".redirects"] {
        assert!(bad.err.contains(text), "{text} is not in {bad:?}");
    }
    let json = home.ask(&["config", "check", "--output", "json"]).await;
    assert_eq!(json.code, Some(64), "{json:?}");
    let problems = json.json();
    assert_eq!(problems["valid"], Value::Bool(false));
    assert_eq!(problems["problems"][0]["key"], "federation.\"b.example\".change_control");
    assert_eq!(problems["problems"][0]["source"], home.config().to_str().unwrap());
    assert!(!home.path("comity.db").exists(), "nothing is created");
    let none = run(&["config", "check", "--config", "/nonexistent/comity.toml"]).await;
    assert_eq!(none.code, Some(64), "{none:?}");
}

#[tokio::test]
async fn a_certificate_that_could_not_be_served_is_a_mistake_of_the_configuration() {
    let publisher = Publisher::new(&[("ca.pem", &Ca::of("a.example").pem())], "");
    let home = &publisher.home;
    assert_eq!(home.ask(&["config", "check"]).await.code, Some(0));
    home.write("tls.key", Ca::web("other").server("localhost").key_pem());
    let bad = home.ask(&["config", "check"]).await;
    assert_eq!(bad.code, Some(64), "{bad:?}");
    assert!(bad.err.contains("endpoint.https_web  ") && bad.err.contains("tls.key"), "{bad:?}");
    std::fs::remove_file(home.path("tls.pem")).unwrap();
    let json = home.ask(&["config", "check", "--output", "json"]).await.json();
    assert_eq!(json["problems"][0]["key"], "endpoint.https_web", "{json}");
    let (status, said) = home.launch(&[]).ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
}

#[tokio::test]
async fn a_document_served_after_a_rollback_is_listed_with_what_would_change() {
    let (first, second) = (Ca::of("b.example"), Ca::of("b.example"));
    let partner = Partner::start().await;
    let home = partner.home("");
    partner.publishes(5, &[&first]);
    let service = home.start().await;
    home.refreshed().await;
    partner.peer.answer(Answer::ok(document_of(4, &[&second])));
    let refreshed = home.ask(&["federation", "refresh", "b.example"]).await;
    assert_eq!(refreshed.code, Some(0), "the fetch itself worked: {refreshed:?}");
    assert!(refreshed.out.contains("sequence-rollback"), "{refreshed:?}");
    let diff = home.ask(&["bundle", "diff", "b.example"]).await;
    for text in ["held because of sequence-rollback", "sequence   5 -> 4", "\n+ X.509 authority", "\n- X.509 authority"]
    {
        assert!(diff.out.contains(text), "{text} is not in {diff:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_text_log_holds_nothing_that_a_terminal_would_act_on() {
    let evil = "\u{1b}[2J\r\u{9b}31m";
    let first = Ca::of("b.example");
    let partner = Partner::start().await;
    let jwt = crate::support::jwks::jwt_element(evil, &rcgen_spki());
    partner.peer.answer(Answer::ok(document(Some(1), None, &[x509_element(&first), jwt])));
    let home = partner.home("");
    let service = home.launch(&["--set", "log.format=text"]);
    partner.peer.saw_requests(1).await;
    crate::process::until(async || service.log().join("\n"), |log| log.contains("bundle accepted")).await;
    partner.peer.answer(Answer::redirect(302, &format!("https://127.0.0.1:1/{evil}")));
    home.refreshed().await;
    service.signal("TERM").await;
    let (_, log) = service.ended().await;
    assert!(log.chars().all(|c| c == '\n' || !c.is_control()), "{log:?}");
}
