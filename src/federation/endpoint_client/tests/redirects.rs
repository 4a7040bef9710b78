//! Where a redirect may lead (FEC-17 to FEC-19, FEC-30).

use crate::support::answer::Answer;

use super::super::RedirectRefusal;
use super::*;

#[tokio::test]
async fn fec_17_good_redirects_are_followed_absolute_or_relative() {
    for status in [301, 302, 303, 307, 308] {
        let (peer, fetch) = web_peer().await;
        peer.answer_at("/", Answer::redirect(status, "a/b?c"));
        peer.answer_at("/a/b?c", Answer::redirect(status, &peer.url("localhost", "/end")));
        peer.answer_at("/end", Answer::ok("bundle"));
        let (record, result) = fetch.run().await;
        assert_eq!(result, Ok(Body::Document { bytes: b"bundle".to_vec(), etag: None }), "{status}");
        assert_eq!(record.url, peer.url("localhost", "/"));
        assert_eq!(record.final_url, peer.url("localhost", "/end"));
        assert_eq!(peer.connections(), 3);
    }
}

#[tokio::test]
async fn fec_17_a_redirect_to_anything_but_an_endpoint_url_is_refused() {
    let (peer, fetch) = web_peer().await;
    peer.answer_at("/bundle", Answer::ok("bundle"));
    for target in [
        peer.url("localhost", "/bundle").replace("https:", "http:"),
        peer.url("u:p@localhost", "/bundle"),
        peer.url("@localhost", "/bundle"),
        peer.url("//localhost", "/bundle"),
        "//u@localhost/bundle".into(),
        "file:///etc/passwd".into(),
        "\\\\localhost\\bundle".into(),
        "https://".into(),
    ] {
        peer.answer_at("/", Answer::redirect(302, &target));
        let error = fetch.error().await;
        assert!(matches!(error, FetchError::RedirectRefused { reason: RedirectRefusal::Url(_), .. }), "{error}");
    }
    assert!(peer.requests().iter().all(|request| request.path == "/"));
}

#[tokio::test]
async fn fec_17_the_next_hop_is_authenticated_like_the_first() {
    let (ours, foreign) = (Ca::of("b.example"), Ca::of("c.example"));
    let (first, fetch) = spiffe_peer(&ours.svid(ENDPOINT_ID), &[&ours]).await;
    for (name, identity, code) in [
        ("same ID elsewhere", ours.svid(ENDPOINT_ID), None),
        ("other ID", ours.svid("spiffe://b.example/web"), Some("endpoint-id-mismatch")),
        ("foreign CA", foreign.svid(ENDPOINT_ID), Some("certificate-rejected")),
        ("Web certificate", Ca::web("root").server("localhost"), Some("wrong-profile")),
    ] {
        let second = Peer::start(&identity).await;
        first.answer(Answer::redirect(302, &second.url("localhost", "/")));
        let (record, result) = fetch.run().await;
        assert_eq!(result.err().map(|error| error.code()), code, "{name}");
        assert_eq!(second.requests().len(), usize::from(code.is_none()), "{name}");
        assert_eq!(record.address, Some(second.address()), "{name}");
    }
}

#[tokio::test]
async fn fec_17_an_https_web_redirect_needs_a_certificate_for_the_new_host() {
    let (peer, fetch) = web_peer().await;
    let fetch = fetch.knowing(&[("localhost", "127.0.0.1"), ("other.test", "127.0.0.1")]);
    peer.answer(Answer::redirect(302, &peer.url("other.test", "/")));
    assert_eq!(fetch.error().await.code(), "certificate-rejected");
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn fec_17_loops_and_a_sixth_redirect_fail() {
    let (peer, mut fetch) = web_peer().await;
    peer.answer_at("/", Answer::redirect(302, "/a"));
    peer.answer_at("/a", Answer::redirect(302, "/"));
    assert_eq!(fetch.error().await.code(), "redirect-refused");
    assert_eq!(peer.requests().len(), 2);
    for hop in 0..6 {
        let from = if hop == 0 { "/".into() } else { format!("/{hop}") };
        peer.answer_at(&from, Answer::redirect(302, &format!("/{}", hop + 1)));
    }
    assert_eq!(fetch.error().await, FetchError::TooManyRedirects { target: "/6".into(), limit: 5 });
    assert_eq!(peer.requests().len(), 2 + 6);
    peer.answer_at("/5", Answer::ok("bundle"));
    assert_eq!(fetch.document().await, b"bundle");
    fetch.endpoint.redirects = 200;
    peer.answer_at("/5", Answer::redirect(302, "/6"));
    assert_eq!(fetch.error().await.code(), "too-many-redirects");
}

#[tokio::test]
async fn fec_18_a_permanent_redirect_is_not_remembered() {
    for status in [301, 308] {
        let (peer, fetch) = web_peer().await;
        let redirect = Answer::redirect(status, "/moved").header("Cache-Control", "max-age=31536000");
        peer.answer_at("/", redirect);
        fetch.run().await.1.unwrap();
        fetch.run().await.1.unwrap();
        let paths: Vec<_> = peer.requests().into_iter().map(|request| request.path).collect();
        assert_eq!(paths, ["/", "/moved", "/", "/moved"]);
    }
}

#[tokio::test]
async fn fec_19_a_redirect_that_is_switched_off_is_an_error_that_names_the_target() {
    let (peer, mut fetch) = web_peer().await;
    fetch.endpoint.redirects = 0;
    peer.answer(Answer::redirect(302, "https://c.example/\u{202e}"));
    let message = fetch.error().await.to_string();
    assert!(message.contains("https://c.example/"), "{message}");
    assert!(!message.contains('\u{202e}'), "{message}");
}

#[tokio::test]
async fn fec_23_a_redirect_without_a_target_or_of_another_kind_is_an_unexpected_status() {
    let (peer, fetch) = web_peer().await;
    for (answer, status) in [
        (Answer::status(302, ""), 302),
        (Answer::redirect(300, "/a"), 300),
        (Answer::redirect(305, "/a"), 305),
        (Answer::redirect(201, "/a"), 201),
    ] {
        peer.answer(answer);
        assert_eq!(fetch.error().await, FetchError::UnexpectedStatus { status });
    }
}

#[tokio::test]
async fn fec_30_metadata_addresses_are_refused_at_every_hop_by_name_and_by_number() {
    let (peer, fetch) = web_peer().await;
    let fetch = fetch.knowing(&[("localhost", "127.0.0.1"), ("meta.test", "169.254.169.254")]);
    for target in [
        "https://169.254.169.254/latest/meta-data",
        "https://0xa9fea9fe/",
        "https://[fe80::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fd00:ec2::254]/",
        "https://meta.test/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
    ] {
        peer.answer(Answer::redirect(302, target));
        let error = fetch.error().await;
        assert_eq!(error.code(), "address-refused", "{target}: {error}");
    }
    let fetch = fetch.at("https://meta.test/");
    let (record, result) = fetch.run().await;
    assert_eq!(result.unwrap_err().code(), "address-refused");
    assert_eq!(record.address, None);
}

#[tokio::test]
async fn fec_30_a_redirect_does_not_lead_into_another_private_network() {
    let (peer, fetch) = web_peer().await;
    peer.answer(Answer::redirect(302, "https://10.0.0.1/"));
    let error = fetch.error().await;
    assert_eq!(error.code(), "address-refused");
    assert!(error.to_string().contains("private"), "{error}");
}
