//! Two services that federate with each other, both rotating on a timer, both killed at random.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::endurance::Reported;
use crate::process::{Home, Service, until};
use crate::support::ca::Ca;

#[tokio::test]
async fn seq_02_two_services_that_are_killed_again_and_again_never_doubt_each_other() {
    let lives = if std::env::var_os("COMITY_NIGHTLY").is_some() { NIGHTLY } else { LIVES };
    let (a, b) = (Arc::new(Side::new("a.example", "127.0.0.2")), Arc::new(Side::new("b.example", "127.0.0.3")));
    a.federates_with(&b);
    b.federates_with(&a);
    let mut rotation = JoinSet::new();
    rotation.spawn(rotate(a.clone()));
    rotation.spawn(rotate(b.clone()));
    let (reported_by_a, reported_by_b) = tokio::join!(live(&a, "b.example", lives), live(&b, "a.example", lives));
    rotation.shutdown().await;

    let (of_a, of_b) = (a.start().await, b.start().await);
    for (side, partner, mut reported) in [(&a, &b, reported_by_a), (&b, &a, reported_by_b)] {
        let published = partner.sequence().await;
        let such = |status: &Value| status["sequence"] == published && status["state"] == "current";
        reported.add(&until(async || side.relationship(&partner.name).await, such).await);
        assert!(reported.accepted.len() > 2, "{reported:?}");
        reported.is_stored(&side.home).await;
        println!("{} was killed {lives} times and told of {} revisions", side.name, reported.accepted.len());
    }
    of_a.stop().await;
    of_b.stop().await;
}

/// One life after the other, each ended by `kill -9`; what it said of its partner meanwhile.
async fn live(side: &Side, partner: &str, lives: usize) -> Reported {
    let mut reported = Reported::default();
    let mut own = Value::Null;
    for life in 0..lives {
        let service = side.start().await;
        let looking = async {
            loop {
                let status = side.relationship(partner).await;
                assert_eq!(status["held"].as_array().map(Vec::len), Some(0), "life {life}: {status}");
                reported.add(&status);
                let now = side.sequence().await;
                assert!(now.as_u64() >= own.as_u64(), "life {life}: {now} after {own}");
                own = now;
                sleep(LOOK).await;
            }
        };
        let _ = timeout(Duration::from_millis(fastrand::u64(0..LONGEST_LIFE)), looking).await;
        let unwanted = |line: &&String| UNWANTED.iter().any(|text| line.contains(text));
        assert_eq!(service.log().iter().find(unwanted), None, "life {life}");
        service.kill().await;
    }
    reported
}

/// Every second one key goes and another comes; the one between stays.
async fn rotate(side: Arc<Side>) {
    let mut current = Ca::of(&side.name);
    loop {
        let next = Ca::of(&side.name);
        side.home.write("next.pem", current.pem() + &next.pem());
        fs::rename(side.home.path("next.pem"), side.home.path("ca/ca.pem")).unwrap();
        current = next;
        sleep(Duration::from_secs(1)).await;
    }
}

/// A domain with an address that outlives its service.
struct Side {
    name: String,
    home: Home,
    web: Ca,
    listen: String,
}

impl Side {
    /// `host` is an address of this machine where no other test listens, so that the port stays free.
    fn new(name: &str, host: &str) -> Self {
        let (home, web) = (Home::new(""), Ca::web("Web CA"));
        let identity = web.server(host);
        home.write("tls.key", identity.key_pem());
        home.write("tls.pem", identity.chain_pem());
        home.write("ca/ca.pem", Ca::of(name).pem());
        let listen = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().to_string();
        Self { name: name.into(), home, web, listen }
    }

    fn federates_with(&self, partner: &Self) {
        self.home.write("web.pem", partner.web.pem());
        self.home.configure(&format!(
            r#"
[authorities]
x509 = ["{{home}}/ca"]
[endpoint.https_web]
listen = "{}"
certificate = "{{home}}/tls.pem"
private_key = "{{home}}/tls.key"
[federation."{}"]
endpoint_url = "https://{}/"
profile = "https_web"
root_certificates = "{{home}}/web.pem"
minimum_interval = "1s"
maximum_interval = "1s"
"#,
            self.listen, partner.name, partner.listen
        ));
    }

    async fn start(&self) -> Service {
        self.home.start_with(&["--set", &format!("trust_domain={}", self.name)]).await
    }

    async fn relationship(&self, partner: &str) -> Value {
        self.home.admin("GET", &format!("/v1/relationships/{partner}")).await.json()
    }

    /// The number of our own bundle.
    async fn sequence(&self) -> Value {
        self.home.admin("GET", "/v1/status").await.json()["sequence"].clone()
    }
}

/// What no line of a log may say.
const UNWANTED: &[&str] =
    &["\"level\":\"ERROR\"", "panicked", "sequence-reused", "sequence-rollback", "bundle-replayed"];
/// How often each side is killed.
const LIVES: usize = 6;
const NIGHTLY: usize = 150;
/// Milliseconds from the first answer to the kill, at most.
const LONGEST_LIFE: u64 = 2_000;
const LOOK: Duration = Duration::from_millis(50);
