//! `comity doctor`, with the real program beside a real service.

use std::net::SocketAddr;

use rustls::pki_types::UnixTime;
use serde_json::Value;

use crate::process::{Finished, run};
use crate::publisher::Publisher;
use crate::scripted::Partner;
use crate::support::answer::Answer;
use crate::support::ca::{Ca, Leaf};
use crate::support::jwks::document_of;
use crate::support::peer::Peer;

async fn doctor(publisher: &Publisher, address: SocketAddr, more: &[&str]) -> Finished {
    publisher.home.write("web-ca.pem", publisher.web.pem());
    let text = |name| publisher.home.path(name).to_str().unwrap().to_owned();
    let (config, roots) = (text("comity.toml"), text("web-ca.pem"));
    let url = format!("https://localhost:{}/", address.port());
    let arguments = ["doctor", "--config", &config, "--url", &url, "--root-certificates", &roots];
    run(&[&arguments, more].concat()).await
}

/// The codes of what is found, in order.
async fn codes(publisher: &Publisher, address: SocketAddr) -> Vec<String> {
    let finished = doctor(publisher, address, &["--output", "json"]).await;
    let findings: Vec<Value> = serde_json::from_str(&finished.out).unwrap();
    let codes: Vec<_> = findings.iter().filter_map(|finding| Some(finding["code"].as_str()?.to_owned())).collect();
    assert_eq!(finished.code, Some(i32::from(!codes.is_empty())), "{finished:?}");
    codes
}

#[tokio::test]
async fn fes_15_our_own_endpoint_is_fetched_as_a_peer_would() {
    let publisher = Publisher::new(&[("ca.pem", &Ca::of("a.example").pem())], "");
    let (service, address) = publisher.start().await;
    let healthy = doctor(&publisher, address, &[]).await;
    assert_eq!(healthy.code, Some(0), "{healthy:?}");
    for text in
        ["serves our bundle by https_web", "a.example is ready", "mode 600", "MiB are free", "nothing has to be done"]
    {
        assert!(healthy.out.contains(text), "{text} is not in {}", healthy.out);
    }
    let stranger = Peer::start(&publisher.web.server("localhost")).await;
    for (answer, code) in [
        (Answer::ok(document_of(1, &[&Ca::of("a.example")])), "other-bundle-served"),
        (Answer::status(502, "no"), "unexpected-status"),
        (Answer::redirect(302, "https://169.254.169.254/"), "address-refused"),
    ] {
        stranger.answer(answer);
        assert_eq!(codes(&publisher, stranger.address()).await, [code]);
    }
    let served = crate::publisher::fetch(address).await.body;
    for (date, age, expected) in [
        ("Sat, 01 Jan 2000 00:00:00 GMT", "0", Some("behind ours: one of both is wrong")),
        ("Fri, 01 Jan 2100 00:00:00 GMT", "0", Some("ahead of ours: one of both is wrong")),
        ("Sat, 01 Jan 2000 00:00:00 GMT", "18446744073709551615", None),
        ("yesterday", "0", None),
    ] {
        stranger.answer(Answer::ok(served.clone()).header("Date", date).header("Age", age));
        let told = doctor(&publisher, stranger.address(), &[]).await;
        assert_eq!(told.code, Some(i32::from(expected.is_some())), "{told:?}");
        assert!(told.out.contains(expected.unwrap_or("nothing has to be done")), "{told:?}");
        assert_eq!(told.out.contains("[clock-differs]"), expected.is_some(), "{told:?}");
    }
    let impostor = Peer::start(&Ca::web("another").server("localhost")).await;
    impostor.answer(Answer::ok(served));
    assert_eq!(codes(&publisher, impostor.address()).await, ["certificate-rejected"]);
    service.stop().await;
}

#[tokio::test]
async fn what_lies_open_ends_soon_or_fails_is_named_with_what_to_do() {
    let partner = Partner::start().await;
    partner.peer.answer(Answer::status(500, "no"));
    let publisher = Publisher::new(&[("ca.pem", &Ca::of("a.example").pem())], "");
    publisher.home.write("web.pem", partner.web_pem());
    publisher.configure("", &partner.relationship(""));
    let soon = UnixTime::now().as_secs() + 3600;
    publisher.shows(&publisher.web.issue(Leaf { hosts: vec!["localhost".into()], not_after: soon, ..Leaf::default() }));
    let (service, address) = publisher.start().await;
    publisher.home.refreshed().await;
    publisher.home.chmod("admin.sock", 0o666);
    let found = codes(&publisher, address).await;
    assert_eq!(found, ["certificate-ends-soon", "open-to-others", "unexpected-status"]);
    let told = doctor(&publisher, address, &[]).await;
    assert!(told.out.contains("Take the rights away") && told.out.contains("3 things to look at"), "{told:?}");

    service.stop().await;
    publisher.home.wipe_store();
    let found = codes(&publisher, address).await;
    assert!(found.contains(&"not-there".to_owned()) && found.contains(&"connect-failed".to_owned()), "{found:?}");
    assert!(found.iter().any(|code| code == "no-socket" || code == "nobody-listens"), "{found:?}");
    publisher.home.configure("nonsense = 1");
    assert_eq!(doctor(&publisher, address, &[]).await.code, Some(64));
}
