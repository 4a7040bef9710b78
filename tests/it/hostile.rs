//! Peers that do their worst, beside one that is well and must not notice.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::partner::{Partner, Relationship};
use crate::service::{Service, is_polled};
use crate::support::answer::{Answer, Delivery};
use crate::support::ca::Ca;
use crate::support::jwks::document_of;

#[tokio::test]
async fn fec_25_26_peers_that_never_finish_delay_nobody() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let answers = [
        Answer::silent(),
        Answer::ok(document_of(1, &[&ca])).by(Delivery::Stall).header("Content-Length", "100000"),
        Answer::ok(document_of(1, &[&ca])).by(Delivery::Drip(Duration::from_millis(900))),
    ];
    let slow = partners(answers).await;
    let mute = Wire::start(OnWire::Silence).await;
    let [one, two, three] = slow.each_ref().map(Partner::relationship);
    let mut service = Service::started([b.relationship(), one, two, three, mute.relationship("mute.example")]).await;
    for partner in &slow {
        partner.peer.saw_requests(1).await;
    }

    service.becomes("b.example", is_polled).await;
    let new = Ca::of("b.example");
    b.publishes(2, &[&new]);
    let status = timeout(PROMPT, service.refresh("b.example")).await.expect("a healthy peer is asked at once");
    assert_eq!((&status["state"], &status["sequence"]), (&json!("current"), &json!(2)));
    assert_eq!(service.verdict(&new.svid("spiffe://b.example/web")), "accepted");
    assert_eq!(service.status("s0.example").await["state"], "bootstrapping");

    timeout(PROMPT, async {
        service.configure([b.relationship()]);
        service.forgets("s0.example").await;
    })
    .await
    .expect("a relationship with a hung peer ends at once");
    timeout(PROMPT, service.stop()).await.expect("the service stops in time");
}

#[tokio::test]
async fn fec_25_bodies_without_end_fail_within_bounds_and_the_accepted_bundle_stays() {
    let ca = Ca::of("s0.example");
    for (name, answer, code) in [
        ("endless", Answer::endless(), "body-too-large"),
        ("gzip bomb", Answer::gzip_bomb(1 << 30), "body-too-large"),
        ("1 MiB and a byte", Answer::ok(vec![b' '; (1 << 20) + 1]), "body-too-large"),
        ("a false length", Answer::truncated("{", 100), "body-failed"),
        ("another encoding", Answer::ok("{}").header("Content-Encoding", "br"), "unknown-encoding"),
        ("no HTTP at all", Answer::raw("SSH-2.0-OpenSSH\r\n\r\n"), "bad-response"),
    ] {
        let [partner] = partners([Answer::ok(document_of(1, &[&ca]))]).await;
        let service = Service::with([partner.relationship()]).await;
        partner.peer.answer(answer);
        let status = service.refresh("s0.example").await;
        assert_eq!(status["last_error"]["code"], code, "{name}");
        assert_eq!((&status["state"], &status["sequence"]), (&json!("failing"), &json!(1)), "{name}");
        assert_eq!(service.verdict(&ca.svid("spiffe://s0.example/web")), "accepted", "{name}");
    }
}

#[tokio::test]
async fn an_endpoint_that_breaks_tls_fails_and_harms_nobody() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let (garbage, closed) = (Wire::start(OnWire::Garbage).await, Wire::start(OnWire::Close).await);
    let relationships = [b.relationship(), garbage.relationship("g.example"), closed.relationship("h.example")];
    let service = Service::with(relationships).await;
    for (domain, code) in [("g.example", "tls-failed"), ("h.example", "connect-failed")] {
        let status = service.refresh(domain).await;
        assert_eq!(status["state"], "bootstrapping", "{domain}");
        assert_eq!(status["last_error"]["code"], code, "{domain}: {}", status["last_error"]);
    }
    assert_eq!(service.refresh("b.example").await["state"], "current");
}

/// `s0.example`, `s1.example` and so on, with these answers.
async fn partners<const N: usize>(answers: [Answer; N]) -> [Partner; N] {
    let mut partners = Vec::new();
    for (number, answer) in answers.into_iter().enumerate() {
        let partner = Partner::web(&format!("s{number}.example")).await;
        partner.peer.answer(answer);
        partners.push(partner);
    }
    partners.try_into().unwrap_or_else(|_| unreachable!("one for each answer"))
}

/// A TCP server that never gets as far as TLS; it stops when dropped.
struct Wire {
    address: SocketAddr,
    _server: JoinSet<()>,
}

/// What it does with a connection.
#[derive(Clone, Copy)]
enum OnWire {
    Silence,
    Garbage,
    /// Closes after the first bytes of the handshake.
    Close,
}

impl Wire {
    async fn start(behaviour: OnWire) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(behave(stream, behaviour));
            }
        });
        Self { address, _server: server }
    }

    fn relationship(&self, trust_domain: &str) -> Relationship {
        Relationship::web(trust_domain, format!("https://{}/", self.address), &Ca::web("web").pem())
    }
}

async fn behave(mut stream: TcpStream, behaviour: OnWire) {
    match behaviour {
        OnWire::Silence => std::future::pending().await,
        OnWire::Garbage => {
            stream.write_all(&[0x42; 4096]).await.unwrap();
            std::future::pending().await
        }
        OnWire::Close => drop(stream.read_u8().await),
    }
}

/// Far below the time after which a fetch is given up.
const PROMPT: Duration = Duration::from_secs(6);
