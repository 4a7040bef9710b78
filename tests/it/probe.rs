//! `comity probe`, with the real program: an endpoint before there is a relationship with it.

use serde_json::{Value, json};

use crate::process::{Finished, Home, run};
use crate::support::answer::Answer;
use crate::support::ca::{Ca, Identity, Leaf};
use crate::support::jwks::document_of;
use crate::support::peer::Peer;

const ENDPOINT: &str = "spiffe://b.example/comity";

/// A Web CA's file, and an endpoint for which it vouches.
struct Web {
    home: Home,
    ca: Ca,
    peer: Peer,
}

impl Web {
    async fn serving(answer: Answer) -> Self {
        let (home, ca) = (Home::new(""), Ca::web("web"));
        home.write("web-ca.pem", ca.pem());
        let peer = Peer::start(&ca.server("127.0.0.1")).await;
        peer.answer(answer);
        Self { home, ca, peer }
    }

    /// Of another endpoint.
    fn identity(&self) -> Identity {
        self.ca.server("127.0.0.1")
    }

    fn url(&self) -> String {
        self.peer.url("127.0.0.1", "/")
    }

    fn file(&self, name: &str) -> String {
        self.home.path(name).to_str().unwrap().to_owned()
    }

    async fn probe(&self, more: &[&str]) -> Finished {
        let (url, ca) = (self.url(), self.file("web-ca.pem"));
        run(&[&["probe", url.as_str(), "--root-certificates", ca.as_str()], more].concat()).await
    }
}

async fn spiffe(shown: &Identity, document: Vec<u8>) -> Peer {
    let peer = Peer::start(shown).await;
    peer.answer(Answer::ok(document));
    peer
}

async fn json_of(arguments: &[&str]) -> (Option<i32>, Value) {
    let finished = run(&[&["probe"], arguments, &["--output", "json"]].concat()).await;
    (finished.code, finished.json())
}

#[tokio::test]
async fn a_web_endpoint_is_shown_with_its_keys_and_what_to_paste() {
    let ca = Ca::of("b.example");
    let web = Web::serving(Answer::ok(document_of(7, &[&ca])).header("ETag", "\"x\"")).await;
    let probe = web.probe(&[]).await;
    assert_eq!(probe.code, Some(0), "{probe:?}");
    for text in [
        "TLS     1.3",
        "names        127.0.0.1",
        "https_web: yes",
        "https_spiffe: no",
        "[no-spiffe-id]",
        "with an entity tag",
        "The bundle: 1 authority, sequence 7",
        "As other readers find the document, b.example: 0 errors",
        "# the endpoint suggests b.example",
        "profile = \"https_web\"",
        "# compare out of band: x509:",
    ] {
        assert!(probe.out.contains(text), "{text} is not in {}", probe.out);
    }
    let (code, answer) = json_of(&[&web.url()]).await;
    assert_eq!((code, &answer["profiles"][0]["problem"]["code"]), (Some(1), &json!("certificate-rejected")));
    assert_eq!(answer["conformance"]["errors"], 0, "{answer}");
    assert_eq!(answer["bundle"]["sequence"], 7, "the system's roots don't vouch for it, and it can be looked at");
}

#[tokio::test]
async fn what_is_to_be_pasted_is_refused_until_a_person_names_the_domain() {
    let ca = Ca::of("b.example");
    let web = Web::serving(Answer::ok(document_of(7, &[&ca]))).await;
    let shown = web.probe(&[]).await.out;
    let block = &shown[shown.find("[federation.").unwrap()..];
    web.home.configure(block);
    let config = web.file("comity.toml");
    let check = async || run(&["config", "check", "--config", &config]).await;
    assert_eq!(check().await.code, Some(64));
    web.home.configure(&block.replace("TRUST-DOMAIN", "b.example"));
    let checked = check().await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[tokio::test]
async fn a_spiffe_endpoint_is_authenticated_by_the_bundle_it_serves_or_by_the_one_given() {
    let (ca, other) = (Ca::of("b.example"), Ca::of("b.example"));
    let peer = spiffe(&ca.svid(ENDPOINT), document_of(1, &[&ca])).await;
    let url = peer.url("127.0.0.1", "/");
    let (code, answer) = json_of(&[&url]).await;
    let [web, by_spiffe] = [&answer["profiles"][0], &answer["profiles"][1]];
    assert_eq!((code, &web["problem"]["code"]), (Some(0), &json!("wrong-profile")), "{answer}");
    assert_eq!(by_spiffe["endpoint_spiffe_id"], ENDPOINT);
    assert_eq!((&by_spiffe["by_its_own_bundle"], &by_spiffe["problem"]), (&json!(true), &json!(null)), "{answer}");
    assert_eq!(answer["seems_to_be"], "b.example");

    let home = Home::new("");
    home.write("right.json", document_of(1, &[&ca]));
    home.write("wrong.pem", other.pem());
    for (file, expected, problem) in
        [("right.json", Some(0), json!(null)), ("wrong.pem", Some(1), json!("certificate-rejected"))]
    {
        let bundle = format!("b.example={}", home.path(file).display());
        let (code, answer) = json_of(&[&url, "--bundle", &bundle]).await;
        let found = answer["profiles"][1]["problem"].get("code").cloned().unwrap_or_default();
        assert_eq!((code, found), (expected, problem), "{answer}");
        assert_eq!(answer["profiles"][1]["by_its_own_bundle"], false);
    }
    peer.show(&other.svid(ENDPOINT));
    assert_eq!(json_of(&[&url]).await.0, Some(1), "its own bundle does not vouch for it");
}

#[tokio::test]
async fn redirects_are_followed_and_told_and_what_is_no_bundle_is_named() {
    let ca = Ca::of("b.example");
    let web = Web::serving(Answer::redirect(302, "/there")).await;
    web.peer.answer_at("/there", Answer::ok(document_of(1, &[&ca])));
    let probe = web.probe(&[]).await;
    assert!(probe.code == Some(0) && probe.out.contains("redirected to"), "{probe:?}");
    for (answer, code) in [
        (Answer::ok("<html>"), "malformed-json"),
        (Answer::status(404, "no"), "unexpected-status"),
        (Answer::endless(), "body-too-large"),
        (Answer::gzip_bomb(1 << 30), "body-too-large"),
        (Answer::redirect(302, "http://127.0.0.1/"), "redirect-refused"),
        (Answer::redirect(302, "https://169.254.169.254/"), "address-refused"),
        (Answer::raw("SSH-2.0-x\r\n\r\n"), "bad-response"),
    ] {
        web.peer.answer(answer);
        let probe = web.probe(&["--output", "json"]).await;
        let answer = probe.json();
        assert_eq!((probe.code, &answer["problem"]["code"]), (Some(1), &json!(code)), "{answer}");
        assert_eq!(answer["bundle"], json!(null));
    }
}

#[tokio::test]
async fn a_configuration_says_what_its_relationships_would_make_of_it() {
    let ca = Ca::of("b.example");
    let web = Web::serving(Answer::ok(document_of(7, &[&ca]))).await;
    let relationship = |name: &str, more: &str| {
        let (url, roots) = (web.url(), web.file("web-ca.pem"));
        format!(
            "[federation.\"{name}\"]\nendpoint_url = \"{url}\"\nprofile = \"https_web\"\n\
             root_certificates = \"{roots}\"\n{more}"
        )
    };
    let config = web.file("comity.toml");
    for (name, more, code, outcome, problem) in
        [("b.example", "", Some(0), "accepted", None), ("c.example", "", Some(1), "refused", Some("mis-wired"))]
    {
        web.home.configure(&relationship(name, more));
        let probe = web.probe(&["--config", &config, "--output", "json"]).await;
        let judged = &probe.json()["relationships"][0];
        assert_eq!((probe.code, &judged["outcome"]), (code, &json!(outcome)), "{judged}");
        let found = judged["problems"][0].get("code").and_then(Value::as_str);
        assert_eq!((found, &judged["trust_domain"]), (problem, &json!(name)), "{judged}");
    }
    // The other URL is a server of its own, and then a redirect to the first.
    let other = Peer::start(&web.identity()).await;
    let second = format!("two_routes = true\nfallback_urls = [\"{}\"]\n", other.url("127.0.0.1", "/"));
    web.home.configure(&relationship("b.example", &second));
    for (answer, outcome, problem) in [
        (Answer::ok(document_of(7, &[&ca])), "accepted", None),
        (Answer::redirect(302, &web.url()), "held", Some("one-route")),
        (Answer::status(503, ""), "held", Some("second-route")),
    ] {
        other.answer(answer);
        let probe = web.probe(&["--config", &config, "--output", "json"]).await;
        let judged = &probe.json()["relationships"][0];
        let found = judged["problems"][0].get("code").and_then(Value::as_str);
        assert_eq!((&judged["outcome"], found), (&json!(outcome), problem), "{judged}");
    }
    let elsewhere = "[federation.\"b.example\"]\nendpoint_url = \"https://b.example/\"\nprofile = \"https_web\"\n";
    web.home.configure(elsewhere);
    let probe = web.probe(&["--config", &config]).await;
    assert!(probe.out.contains("No relationship of the configuration has this URL."), "{probe:?}");
    web.home.configure("nonsense = 1\n");
    assert_eq!(web.probe(&["--config", &config]).await.code, Some(64));
}

#[tokio::test]
async fn nothing_of_an_endpoint_steers_the_terminal_and_wrong_usage_is_told() {
    let evil = "\u{1b}]0;owned\u{7}\r\u{202e}b";
    let ca = Ca::of("b.example");
    let shown = ca.issue(Leaf { uris: vec![ENDPOINT.into()], common_name: evil.into(), ..Leaf::default() });
    let peer = spiffe(&shown, document_of(1, &[&ca])).await;
    for output in ["text", "json"] {
        let probe = run(&["probe", &peer.url("127.0.0.1", "/"), "--output", output]).await;
        assert_eq!(probe.code, Some(0), "{probe:?}");
        let acts = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
        assert!(!probe.out.contains(acts), "{probe:?}");
    }
    for arguments in [
        &["probe"][..],
        &["probe", "http://b.example/"],
        &["probe", "https://b.example/", "--bundle", "nonsense"],
        &["probe", "https://b.example/", "--bundle", "b.example=/nowhere"],
        &["probe", "https://b.example/", "--root-certificates", "/nowhere"],
    ] {
        let probe = run(arguments).await;
        assert!(probe.code == Some(2) && !probe.err.is_empty(), "{probe:?}");
    }
    let nobody = run(&["probe", "https://127.0.0.1:1/"]).await;
    assert!(nobody.code == Some(1) && nobody.out.contains("[connect-failed]"), "{nobody:?}");
}
