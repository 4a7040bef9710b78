//! Through a proxy, honest or not (FEC-27, FEC-30).

use crate::support::answer::Answer;
use crate::support::proxy::{Manner, Proxy};

use super::*;

impl Fetch {
    fn through(mut self, proxy: &Proxy) -> Self {
        self.endpoint.proxy = Some(proxy.url().parse().unwrap());
        self
    }
}

#[tokio::test]
async fn fec_27_tls_with_the_endpoint_goes_through_the_proxy_which_resolves_its_name() {
    let (peer, fetch) = web_peer().await;
    peer.answer(Answer::ok("bundle"));
    let proxy = Proxy::start(Manner::LeadsTo(peer.address())).await;
    let fetch = fetch.through(&proxy).knowing(&[]);
    assert_eq!(fetch.document().await, b"bundle");
    let (record, _) = fetch.run().await;
    assert_eq!(proxy.asked(), vec![format!("CONNECT localhost:{} HTTP/1.1", peer.address().port()); 2]);
    assert_eq!(record.proxy, Some(format!("{}/", proxy.url())));
    assert_eq!(record.address, Some(proxy.address()), "what was connected to is the proxy");
    assert_eq!(peer.requests()[0].server_name.as_deref(), Some("localhost"));
}

#[tokio::test]
async fn fec_08_10_a_proxy_that_leads_elsewhere_authenticates_nobody() {
    let (ours, other) = (Ca::of("b.example"), Ca::of("b.example"));
    let (peer, fetch) = spiffe_peer(&ours.svid(ENDPOINT_ID), &[&ours]).await;
    let elsewhere = Peer::start(&other.svid(ENDPOINT_ID)).await;
    let proxy = Proxy::start(Manner::LeadsTo(elsewhere.address())).await;
    let error = fetch.through(&proxy).error().await;
    assert_eq!(error.code(), "certificate-rejected");
    assert_eq!((peer.connections(), elsewhere.requests().len()), (0, 0));
}

#[tokio::test]
async fn fec_25_26_a_proxy_that_refuses_babbles_or_hangs_fails_the_fetch_within_bounds() {
    for (name, manner, code) in [
        ("forbids", Manner::Says("HTTP/1.1 403 Forbidden\r\n\r\n"), "proxy-failed"),
        ("wants credentials", Manner::Says("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), "proxy-failed"),
        ("redirects", Manner::Says("HTTP/1.1 302 Found\r\nLocation: http://b/\r\n\r\n"), "proxy-failed"),
        ("is no proxy", Manner::Says("SSH-2.0-x\r\n\r\n"), "proxy-failed"),
        ("says nothing", Manner::Says(""), "proxy-failed"),
        ("never ends its head", Manner::Babbles("HTTP/1.1 200 OK\r\nX: y\r\n"), "proxy-failed"),
        ("never ends a line", Manner::Babbles("HTTP/1.1 200 "), "proxy-failed"),
        ("ends the tunnel", Manner::Says("HTTP/1.1 200 OK\r\n\r\n"), "connect-failed"),
        ("hangs", Manner::Silent, "timed-out"),
    ] {
        let (peer, fetch) = web_peer().await;
        let proxy = Proxy::start(manner).await;
        let mut fetch = fetch.through(&proxy);
        fetch.client.limits.connect = Duration::from_secs(if code == "timed-out" { 1 } else { 10 });
        let error = fetch.error().await;
        assert_eq!(error.code(), code, "{name}: {error}");
        assert_eq!(peer.connections(), 0, "{name}: nothing goes around it");
    }
    let (_peer, mut fetch) = web_peer().await;
    fetch.endpoint.proxy = Some("http://127.0.0.1:1".parse().unwrap());
    let error = fetch.error().await;
    assert_eq!(error.code(), "proxy-failed", "{error}");
}

#[tokio::test]
async fn fec_30_an_address_is_judged_though_the_proxy_connects() {
    let (peer, fetch) = web_peer().await;
    let proxy = Proxy::start(Manner::LeadsTo(peer.address())).await;
    let fetch = fetch.through(&proxy);
    for target in ["https://169.254.169.254/", "https://127.0.0.1/", "https://10.0.0.1/", "https://[::]/"] {
        peer.answer(Answer::redirect(302, target));
        assert_eq!(fetch.error().await.code(), "address-refused", "{target}");
    }
    assert_eq!(proxy.asked().len(), 4, "it is not asked for any of them");
    let metadata = fetch.at("https://169.254.169.254/");
    assert_eq!(metadata.error().await.code(), "address-refused");
    let (_peer, mut fetch) = web_peer().await;
    fetch.endpoint.proxy = Some("http://169.254.1.1:3128".parse().unwrap());
    assert_eq!(fetch.error().await.code(), "address-refused", "nor is the proxy itself link-local");
}
