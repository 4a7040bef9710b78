use std::time::Duration;

use crate::support::answer::Answer;
use crate::support::ca::Ca;
use crate::support::peer::Peer;

use super::super::{Bearer, FetchError, Referrer};
use super::{Fetch, roots};

#[tokio::test]
async fn a_token_goes_to_the_origin_that_was_configured_and_to_no_other() {
    let ca = Ca::web("root");
    let (first, second) = (Peer::start(&ca.server("localhost")).await, Peer::start(&ca.server("localhost")).await);
    first.answer_at("/begin", Answer::redirect(302, &first.url("localhost", "/middle")));
    first.answer_at("/middle", Answer::redirect(302, &second.url("localhost", "/end")));
    second.answer(Answer::redirect(302, &first.url("localhost", "/end")));
    first.answer_at("/end", Answer::ok("keys"));
    let client = Fetch::web(&first, &ca).client;
    let (url, token) = (first.url("localhost", "/begin").parse().unwrap(), Bearer::new("secret").unwrap());
    let body = client.get(&url, Some(roots(&[&ca])), Some(&token), None).await.unwrap();
    assert_eq!(body.0, b"keys");
    let sent = |peer: &Peer| {
        peer.requests().iter().map(|request| request.headers.get("authorization").cloned()).collect::<Vec<_>>()
    };
    let secret = Some("Bearer secret".to_owned());
    assert_eq!(sent(&first), [secret.clone(), secret, None], "nor when it is led back");
    assert_eq!(sent(&second), [None]);
    assert!(!format!("{token:?}").contains("secret"));
    assert!(Bearer::new("two\nlines").is_none());
}

#[tokio::test]
async fn fec_30_what_a_document_names_is_no_more_private_than_its_server_and_in_the_time_that_is_left() {
    let ca = Ca::web("root");
    let peer = Peer::start(&ca.server("localhost")).await;
    peer.answer(Answer::ok("keys"));
    let client = Fetch::web(&peer, &ca).client;
    let url = peer.url("localhost", "/").parse().unwrap();
    let minute = Duration::from_secs(60);
    for (address, left, expected) in [
        ("192.0.2.1", minute, Err("address-refused")),
        ("8.8.8.8", minute, Err("address-refused")),
        ("127.0.0.1", Duration::ZERO, Err("timed-out")),
        ("127.0.0.2", minute, Ok("127.0.0.1")),
    ] {
        let referrer = Referrer { address: address.parse().unwrap(), left };
        let got = client.get(&url, Some(roots(&[&ca])), None, Some(referrer)).await;
        let got = got.map(|(_, next)| {
            assert!(next.left <= left);
            next.address.to_string()
        });
        assert_eq!(got.as_deref().map_err(FetchError::code), expected, "{address}");
    }
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn fec_30_no_setting_is_suggested_that_a_source_does_not_have() {
    let ca = Ca::web("root");
    let peer = Peer::start(&ca.server("localhost")).await;
    let client = Fetch::web(&peer, &ca).client;
    let error = client.get(&"https://169.254.169.254/".parse().unwrap(), None, None, None).await.unwrap_err();
    assert_eq!(error.code(), "address-refused");
    assert!(!error.to_string().contains("allow_link_local"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_without_talk_of_profiles() {
    let (ca, own) = (Ca::web("root"), Ca::of("a.example"));
    for identity in [Ca::web("other").server("localhost"), own.svid("spiffe://a.example/vault")] {
        let peer = Peer::start(&identity).await;
        let client = Fetch::web(&peer, &ca).client;
        let error = client.get(&peer.url("localhost", "/").parse().unwrap(), Some(roots(&[&ca])), None, None).await;
        let error = error.unwrap_err();
        assert!(matches!(error, FetchError::CertificateRejected { .. }), "{error}");
        assert!(!error.to_string().contains("profile"), "{error}");
        assert!(peer.requests().is_empty());
    }
}
