//! Attempts against servers that lie, stumble or refuse, over real TLS; a real one is in `tests/interop`.

use rustls::time_provider::DefaultTimeProvider;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::acme::attempts::ATTEMPT;
use crate::store;
use crate::support::answer::Answer;
use crate::support::ca::{Ca, Leaf};
use crate::support::peer::Peer;

const DOMAIN: &str = "bundle.a.example";

/// A scripted ACME server that issues until a test changes an answer.
struct Server {
    peer: Peer,
    ca: Ca,
}

impl Server {
    async fn start() -> Self {
        let ca = Ca::web("directory CA");
        let server = Self { peer: Peer::start(&ca.server("127.0.0.1")).await, ca };
        let url = |path| server.url(path);
        let directory = json!({"newNonce": url("/nonce"), "newAccount": url("/accounts"), "newOrder": url("/orders")});
        server.says("/directory", 200, &directory);
        server.peer.answer_at("/nonce", Answer::status(200, "").header("Replay-Nonce", "n"));
        server.peer.answer_at("/accounts", Answer::status(201, "{}").header("Location", &url("/account")));
        let order = server.order("pending").to_string();
        server.peer.answer_at("/orders", Answer::status(201, order).header("Location", &url("/order")));
        server.says("/authorization", 200, &server.authorization(DOMAIN, "tls-alpn-01"));
        server.says("/challenge", 200, &server.challenge("tls-alpn-01"));
        server.says("/order", 200, &server.order("ready"));
        server.says("/finalize", 200, &server.order("processing"));
        server
    }

    fn url(&self, path: &str) -> String {
        self.peer.url("127.0.0.1", path)
    }

    fn says(&self, path: &str, status: u16, body: &Value) {
        self.peer.answer_at(path, Answer::status(status, body.to_string()));
    }

    fn refuses(&self, path: &str, status: u16, kind: &str, detail: &str) -> Answer {
        let body = json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail});
        let answer = Answer::status(status, body.to_string());
        self.peer.answer_at(path, answer.clone());
        answer
    }

    fn order(&self, status: &str) -> Value {
        let authorizations = [self.url("/authorization")];
        let certificate = self.url("/certificate");
        json!({"status": status, "authorizations": authorizations, "finalize": self.url("/finalize"), "certificate": certificate})
    }

    fn challenge(&self, kind: &str) -> Value {
        json!({"type": kind, "url": self.url("/challenge"), "token": "token", "status": "pending"})
    }

    fn authorization(&self, domain: &str, kind: &str) -> Value {
        let identifier = json!({"type": "dns", "value": domain});
        json!({"status": "pending", "identifier": identifier, "challenges": [self.challenge(kind)]})
    }

    /// Sends this chain once a certificate was asked for.
    async fn issues(&self, chain: String) {
        self.peer.answer_at("/certificate", Answer::ok(chain));
        while !self.asked("/finalize") {
            tokio::time::sleep(PAUSE).await;
        }
        self.says("/order", 200, &self.order("valid"));
    }

    fn asked(&self, path: &str) -> bool {
        self.count(path) > 0
    }

    fn count(&self, path: &str) -> usize {
        self.peer.requests().iter().filter(|request| request.path == path).count()
    }

    async fn renewal(&self) -> Renewal {
        let store = store::open("memory:", &"a.example".parse().unwrap()).await.unwrap();
        self.renewal_with(store, &[DOMAIN])
    }

    fn renewal_with(&self, store: Arc<dyn Store>, domains: &[&str]) -> Renewal {
        crate::support::install_crypto();
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.certificate.clone()).unwrap();
        let clock = Arc::new(Clock::new(Arc::new(DefaultTimeProvider), None));
        Renewal {
            settings: settings(&self.url("/directory"), domains),
            roots: Arc::new(roots),
            tls: EndpointTls::issued(clock.clone()),
            store,
            clock,
            metrics: Metrics::default(),
            progress: Progress::default(),
        }
    }
}

fn settings(directory: &str, domains: &[&str]) -> AcmeSettings {
    AcmeSettings {
        domains: domains.iter().map(|&domain| domain.into()).collect(),
        contact: vec!["mailto:ops@a.example".into()],
        directory: directory.parse().unwrap(),
        roots: None,
        external_account: None,
    }
}

/// Runs it until something has gone wrong, and stops it in good order; the code and the words.
async fn failure(renewal: Renewal) -> (&'static str, String) {
    let (tls, stop, mut tasks) = (renewal.tls.clone(), CancellationToken::new(), JoinSet::new());
    tasks.spawn(renewal.run(stop.clone()));
    let told = async {
        loop {
            match tls.problem() {
                Some(problem) if problem.code != "certificate-awaited" => {
                    return (problem.code, problem.detail.clone());
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    let told = timeout(PATIENCE, told).await.expect("it goes wrong");
    stop.cancel();
    assert!(tasks.join_next().await.unwrap().is_ok_and(|ended| ended.is_ok()), "{told:?}");
    assert_eq!(tls.fault().map(|fault| fault.code), Some("certificate-awaited"), "{told:?}");
    told
}

#[tokio::test]
async fn whatever_a_server_answers_is_told_by_its_code_and_stops_nothing() {
    type Spoil = fn(&Server);
    let cases: [(&str, Spoil); 13] = [
        ("acme-malformed", |it| it.peer.answer_at("/directory", Answer::ok("<html>"))),
        ("acme-malformed", |it| it.peer.answer_at("/directory", Answer::status(502, "bad gateway"))),
        ("acme-malformed", |it| it.peer.answer_at("/directory", Answer::redirect(302, &it.url("/elsewhere")))),
        ("acme-malformed", |it| it.peer.answer_at("/directory", Answer::endless())),
        ("acme-unreachable", |it| it.peer.answer_at("/directory", Answer::truncated("{", 100))),
        ("acme-unreachable", |it| it.peer.show(&Ca::web("another").server("127.0.0.1"))),
        ("acme-client-failed", |it| {
            it.says("/directory", 200, &json!({"newNonce": "no URL", "newAccount": "", "newOrder": ""}));
        }),
        ("acme-client-failed", |it| {
            let order = Answer::ok(it.order("processing").to_string());
            it.peer.answer_at("/order", order.header("Retry-After", &u64::MAX.to_string()));
        }),
        ("acme-refused", |it| drop(it.refuses("/accounts", 403, "externalAccountRequired", "bind it\u{1b}[2J"))),
        ("acme-malformed", |it| it.says("/authorization", 200, &it.authorization("b.example", "tls-alpn-01"))),
        ("acme-malformed", |it| {
            let order = json!({"status": "pending", "authorizations": ["a", "b"], "finalize": ""}).to_string();
            it.peer.answer_at("/orders", Answer::status(201, order).header("Location", &it.url("/order")));
        }),
        ("acme-no-challenge", |it| it.says("/authorization", 200, &it.authorization(DOMAIN, "http-01"))),
        ("acme-malformed", |it| it.says("/order", 200, &it.order("invalid"))),
    ];
    let mut tasks = JoinSet::new();
    for (at, (code, spoil)) in cases.into_iter().enumerate() {
        tasks.spawn(async move {
            let server = Server::start().await;
            spoil(&server);
            let (told, words) = failure(server.renewal().await).await;
            assert_eq!(told, code, "{at}: {words}");
            assert!(!words.contains('\u{1b}') && words.contains(DOMAIN) && words.len() < 1000, "{at}: {words}");
            assert!(!server.asked("/elsewhere"), "{at}: no redirect is followed");
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let server = Server::start().await;
    let mut renewal = server.renewal().await;
    renewal.settings.directory = "https://127.0.0.1:1/directory".parse().unwrap();
    assert_eq!(failure(renewal).await.0, "acme-unreachable");
}

#[tokio::test]
async fn a_server_does_not_send_us_into_other_networks() {
    for address in ["169.254.169.254", "10.0.0.1", "[::ffff:10.0.0.1]", "[fd00:ec2::254]", "0.0.0.0"] {
        let server = Server::start().await;
        let elsewhere = format!("https://{address}/x");
        let directory = |order: &str| json!({"newNonce": server.url("/nonce"), "newAccount": server.url("/accounts"), "newOrder": order});
        server.says("/directory", 200, &directory(&elsewhere));
        let (code, words) = failure(server.renewal().await).await;
        assert_eq!(code, "acme-unreachable", "{words}");
        assert!(words.contains("to which an ACME server must not send us"), "{words}");

        server.says("/directory", 200, &directory(&server.url("/orders")));
        let order = server.order("pending").to_string();
        server.peer.answer_at("/orders", Answer::status(201, order).header("Location", &elsewhere));
        let (code, words) = failure(server.renewal().await).await;
        assert_eq!(code, "acme-unreachable", "{words}");
    }
}

#[tokio::test]
async fn what_the_server_met_in_place_of_the_proof_is_told() {
    let server = Server::start().await;
    let mut authorization = server.authorization(DOMAIN, "tls-alpn-01");
    authorization["challenges"][0]["error"] = json!({"type": "x", "detail": "connection refused"});
    server.says("/authorization", 200, &authorization);
    server.says("/order", 200, &server.order("invalid"));
    let (code, words) = failure(server.renewal().await).await;
    assert_eq!(code, "acme-not-proven");
    assert!(words.contains("no proof at bundle.a.example") && words.contains("connection refused"), "{words}");
}

#[tokio::test]
async fn a_certificate_that_is_not_ours_is_not_served() {
    for (hosts, code) in [(["other.example"], "acme-name-missing"), ([DOMAIN], "private-key-mismatch")] {
        let server = Server::start().await;
        let leaf = Leaf { hosts: hosts.map(String::from).to_vec(), ..Leaf::default() };
        let (told, ()) =
            tokio::join!(failure(server.renewal().await), server.issues(server.ca.issue(leaf).chain_pem()));
        assert_eq!(told.0, code, "{}", told.1);
    }
}

#[tokio::test]
async fn a_server_that_has_had_enough_is_left_alone_for_as_long_as_it_asks() {
    let server = Server::start().await;
    let answer = server.refuses("/orders", 429, "rateLimited", "too many");
    server.peer.answer_at("/orders", answer.header("Retry-After", "7200"));
    let mut renewal = server.renewal().await;
    let error = renewal.attempt().await.err().unwrap();
    renewal.failed(&error);
    assert_eq!(error.code(), "acme-rate-limited");
    let wait = renewal.progress.due.since(renewal.clock.now());
    assert!((7190..=7200).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn an_account_is_registered_once_and_anew_when_the_server_forgot_it() {
    let server = Server::start().await;
    server.refuses("/orders", 403, "unauthorized", "no");
    let mut renewal = server.renewal().await;
    for _ in 0..2 {
        assert_eq!(renewal.attempt().await.err().unwrap().code(), "acme-refused");
    }
    assert_eq!((server.count("/accounts"), server.count("/account")), (1, 0));

    renewal.settings.contact = vec!["mailto:it@a.example".into()];
    server.says("/account", 200, &json!({"status": "valid"}));
    for _ in 0..2 {
        assert_eq!(renewal.attempt().await.err().unwrap().code(), "acme-refused");
    }
    assert_eq!((server.count("/accounts"), server.count("/account")), (1, 1), "contacts are updated once");

    server.refuses("/orders", 400, "accountDoesNotExist", "who?");
    for _ in 0..2 {
        assert_eq!(renewal.attempt().await.err().unwrap().code(), "acme-refused");
    }
    assert_eq!(server.count("/accounts"), 2);
}

#[tokio::test]
async fn a_restart_serves_what_is_in_the_store_without_a_word_to_the_server() {
    let now = rustls::pki_types::UnixTime::now().as_secs();
    let (old, young) = (now - 90 * DAY, now - DAY);
    for (name, asked, not_before, not_after, is_served, is_due) in [
        ("young", DOMAIN, young, young + 90 * DAY, true, false),
        ("in its last third", DOMAIN, old, now + 10 * DAY, true, true),
        ("expired", DOMAIN, old, now - 1, false, true),
        ("of other domains", "old.a.example", young, young + 90 * DAY, true, true),
    ] {
        let server = Server::start().await;
        let before = server.renewal().await;
        let leaf = Leaf { hosts: vec![asked.into()], not_before, not_after, ..Leaf::default() };
        let identity = server.ca.issue(leaf);
        let earlier = settings(&server.url("/directory"), &[asked]);
        let (chain, key) = (identity.chain_pem(), identity.key_pem());
        let issued = IssuedCertificate::new(&earlier, chain, key, Timestamp::from_secs(not_before)).unwrap();
        before.store.put_secret(CERTIFICATE, &serde_json::to_vec(&issued).unwrap()).await.unwrap();

        let mut renewal = server.renewal_with(before.store, &[DOMAIN]);
        renewal.restore().await.unwrap();
        assert_eq!(renewal.tls.fault().is_none(), is_served, "{name}");
        let soon = renewal.clock.now().after(Duration::from_secs(15));
        assert_eq!(renewal.progress.due <= soon, is_due, "{name}: {}", renewal.progress.due);
        assert_eq!(server.peer.connections(), 0, "{name}");
    }
}

#[tokio::test]
async fn what_ends_before_what_is_served_replaces_it_only_if_that_is_of_no_use() {
    let now = rustls::pki_types::UnixTime::now().as_secs();
    let days = |days: u64| now + days * DAY;
    for (name, asked, served_until, issued_until, stays) in [
        ("as always", DOMAIN, days(10), days(90), false),
        ("to the same second", DOMAIN, days(10), days(10), false),
        ("a shorter one", DOMAIN, days(30), days(9), true),
        ("a shorter one for changed domains", "old.a.example", days(30), days(9), false),
        ("one in place of what has expired", DOMAIN, now - 1, days(9), false),
    ] {
        let server = Server::start().await;
        let mut renewal = server.renewal().await;
        let [served, issued] = [(asked, served_until), (DOMAIN, issued_until)].map(|(domain, not_after)| {
            let leaf = Leaf { hosts: vec![domain.into()], not_before: now - 60 * DAY, not_after, ..Leaf::default() };
            let (identity, asked) = (server.ca.issue(leaf), settings(&server.url("/directory"), &[domain]));
            let (chain, key, at) = (identity.chain_pem(), identity.key_pem(), Timestamp::from_secs(now));
            IssuedCertificate::new(&asked, chain, key, at).unwrap()
        });
        let served = serde_json::to_vec(&served).unwrap();
        renewal.store.put_secret(CERTIFICATE, &served).await.unwrap();
        renewal.restore().await.unwrap();

        renewal.progress.unsaved = Some(issued);
        let outcome = renewal.attempt().await.unwrap();
        renewal.succeeded(outcome);
        let end = if stays { served_until } else { issued_until };
        assert_eq!(renewal.tls.not_after(), Some(Timestamp::from_secs(end)), "{name}");
        assert_eq!(renewal.store.secret(CERTIFICATE).await.unwrap() == Some(served), stays, "{name}");
        let code = renewal.tls.problem().map(|problem| problem.code);
        assert_eq!(code, stays.then_some("acme-ends-earlier"), "{name}");
        let next = renewal.progress.due.as_secs();
        assert!(next > days(5) && next < days(61), "{name}: two thirds of what was issued, not a retry: {next}");
        renewal.progress.attempts.keep(&renewal.settings, &*renewal.store).await.unwrap();
        let mut restarted = server.renewal_with(renewal.store, &[DOMAIN]);
        restarted.restore().await.unwrap();
        assert!(restarted.progress.due > Timestamp::from_secs(now + 3600), "{name}, after a restart");
    }
}

#[tokio::test]
async fn what_is_damaged_in_the_store_is_obtained_anew() {
    let server = Server::start().await;
    let mut renewal = server.renewal().await;
    for secret in [CERTIFICATE, ATTEMPT] {
        renewal.store.put_secret(secret, b"{half").await.unwrap();
    }
    renewal.restore().await.unwrap();
    assert_eq!(renewal.tls.fault().unwrap().code, "certificate-awaited");
    assert!(renewal.progress.due < renewal.clock.now());
}

#[tokio::test]
async fn restarts_ask_no_more_often_than_once_a_minute() {
    let server = Server::start().await;
    server.refuses("/orders", 403, "unauthorized", "no");
    let mut renewal = server.renewal().await;
    let started = renewal.clock.now();
    drop(renewal.attempt().await.err().unwrap());
    let mut restarted = server.renewal_with(renewal.store, &[DOMAIN]);
    restarted.restore().await.unwrap();
    assert!(restarted.progress.due >= started.after(Duration::from_secs(60)), "{}", restarted.progress.due);
}

#[tokio::test]
async fn a_restart_waits_for_as_long_as_the_failures_before_it_ask() {
    let server = Server::start().await;
    let answer = server.refuses("/orders", 429, "rateLimited", "too many");
    server.peer.answer_at("/orders", answer.header("Retry-After", "7200"));
    let mut renewal = server.renewal().await;
    renewal.progress.attempts.failures = 2;
    let (tls, stop, mut tasks) = (renewal.tls.clone(), CancellationToken::new(), JoinSet::new());
    let (store, started) = (renewal.store.clone(), renewal.clock.now());
    tasks.spawn(renewal.run(stop.clone()));
    let kept = async || {
        let kept = store.secret(ATTEMPT).await.unwrap().unwrap_or_default();
        serde_json::from_slice::<Attempts>(&kept).unwrap_or_default()
    };
    let two_hours = Duration::from_secs(7200);
    let waits = async {
        while kept().await.soonest < started.after(two_hours) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, waits).await.unwrap();
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(tls.problem().unwrap().code, "acme-rate-limited");

    let mut restarted = server.renewal_with(store.clone(), &[DOMAIN]);
    restarted.restore().await.unwrap();
    assert_eq!((restarted.progress.attempts.failures, restarted.progress.due), (3, kept().await.soonest));
    let mut corrected = server.renewal_with(store.clone(), &["other.a.example"]);
    corrected.restore().await.unwrap();
    assert_eq!(corrected.progress.attempts.failures, 0);
    assert!(corrected.progress.due <= corrected.clock.now().after(Duration::from_secs(60)));

    let ahead = Attempts { soonest: started.after(400 * two_hours), ..kept().await };
    ahead.keep(&restarted.settings, &*store).await.unwrap();
    restarted.restore().await.unwrap();
    assert!(restarted.progress.due <= restarted.clock.now().after(Duration::from_secs(DAY)));
}

#[tokio::test]
async fn an_attempt_in_which_the_service_ended_counts_as_failed() {
    let server = Server::start().await;
    server.refuses("/orders", 403, "unauthorized", "no");
    let mut renewal = server.renewal().await;
    renewal.progress.attempts.failures = 4;
    let started = renewal.clock.now();
    drop(renewal.attempt().await.err().unwrap());
    let mut restarted = server.renewal_with(renewal.store, &[DOMAIN]);
    restarted.restore().await.unwrap();
    assert_eq!(restarted.progress.attempts.failures, 5);
    assert!(restarted.progress.due >= started.after(Duration::from_secs(16 * 60)));
}

#[tokio::test]
async fn a_certificate_that_could_not_be_stored_is_stored_later_and_not_ordered_again() {
    let server = Server::start().await;
    let mut renewal = server.renewal().await;
    let identity = server.ca.server(DOMAIN);
    let (chain, key, now) = (identity.chain_pem(), identity.key_pem(), renewal.clock.now());
    renewal.progress.unsaved = Some(IssuedCertificate::new(&renewal.settings, chain, key, now).unwrap());
    renewal.failed(&AcmeError::Timeout { limit: LIMIT });
    assert!(renewal.tls.problem().unwrap().detail.contains("the new certificate is served, and not stored yet"));
    let issued = renewal.attempt().await.unwrap();
    renewal.succeeded(issued);
    assert_eq!((renewal.tls.fault(), server.peer.connections()), (None, 0));
    let mut restarted = server.renewal_with(renewal.store, &[DOMAIN]);
    restarted.restore().await.unwrap();
    assert_eq!(restarted.tls.fault(), None);
}

#[tokio::test]
async fn it_stops_at_once_in_the_middle_of_an_order() {
    let server = Server::start().await;
    server.peer.answer_at("/orders", Answer::silent());
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(server.renewal().await.run(stop.clone()));
    let stopped = async {
        while !server.asked("/orders") {
            tokio::time::sleep(PAUSE).await;
        }
        stop.cancel();
        tasks.join_next().await.unwrap()
    };
    assert!(timeout(PATIENCE, stopped).await.unwrap().unwrap().is_ok());
}

const DAY: u64 = 86_400;
const PAUSE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(20);
