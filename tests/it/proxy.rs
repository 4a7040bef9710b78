//! Relationships whose endpoint is behind a proxy.

use crate::partner::Partner;
use crate::service::Service;
use crate::support::ca::Ca;
use crate::support::proxy::{Manner, Proxy};

#[tokio::test]
async fn fec_27_a_relationship_goes_through_its_own_proxy_and_no_other() {
    let (b_ca, c_ca) = (Ca::of("b.example"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 1, &[&b_ca]).await;
    let c = Partner::publishing("c.example", 1, &[&c_ca]).await;
    let proxy = Proxy::start(Manner::LeadsTo(b.peer.address())).await;
    let service = Service::with([b.relationship().with("proxy", proxy.url()), c.relationship()]).await;
    for domain in ["b.example", "c.example"] {
        assert_eq!(service.status(domain).await["state"], "current", "{domain}");
    }
    assert_eq!(proxy.asked(), [format!("CONNECT {} HTTP/1.1", b.peer.address())]);
    let gone = Proxy::start(Manner::Says("HTTP/1.1 503 Service Unavailable\r\n\r\n")).await;
    service.configure([b.relationship().with("proxy", gone.url()), c.relationship()]);
    let failing = |status: &serde_json::Value| status["last_error"]["code"] == "proxy-failed";
    service.refresh("b.example").await;
    while !failing(&service.refresh("b.example").await) {}
    assert_eq!(b.peer.requests().len(), proxy.asked().len(), "there is no way around it");
    assert_eq!(service.verdict(&b_ca.svid("spiffe://b.example/web")), "accepted");
}
