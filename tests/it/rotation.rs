//! A new key of ours on its way to the peers, as the admin API and a pipeline see it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

use crate::process::{Finished, comity, run, signal, until, within};
use crate::publisher::Publisher;
use crate::service::Service;
use crate::support::ca::Ca;

const HINT: Duration = Duration::from_secs(300);

async fn rotation(service: &Service) -> Value {
    service.get("/v1/rotation").await
}

/// `is_safe`, fetchers with and fetchers without of the key of this CA.
fn of_key(rotation: &Value, ca: &Ca) -> (Value, Value, Value) {
    let id = identity(ca);
    let keys = rotation["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["authority"]["id"] == json!(id)).unwrap();
    (key["is_safe"].clone(), key["fetchers_with"].clone(), key["fetchers_without"].clone())
}

fn identity(ca: &Ca) -> String {
    let digits: String = openssl::sha::sha256(ca.der()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x509:{digits}")
}

#[tokio::test]
async fn fes_11_a_key_is_safe_after_three_hints_and_we_know_who_has_it() {
    let (a, next) = (Service::started([]).await, Ca::of("a.example"));
    let nobody = rotation(&a).await;
    assert_eq!(of_key(&nobody, &a.own), (json!(false), json!(0), json!(0)));
    let every_second = a.relationship().with("minimum_interval", "1s").with("maximum_interval", "1s");
    let b = Service::of("b.example").await;
    b.configure([every_second]);
    b.becomes("a.example", |status| status["state"] == "current").await;

    let fetched = rotation(&a).await;
    let fetcher = &fetched["fetchers"][0];
    assert_eq!((&fetcher["address"], &fetcher["sequence"]), (&json!("127.0.0.1"), &fetched["sequence"]));
    assert!(fetcher["user_agent"].as_str().unwrap().starts_with("comity/"), "{fetcher}");
    assert_eq!(of_key(&fetched, &a.own), (json!(false), json!(1), json!(0)));

    a.advance(3 * HINT);
    assert_eq!(of_key(&rotation(&a).await, &a.own).0, json!(true));
    // Whoever is gone by then stays without the new key.
    b.configure([]);
    b.forgets("a.example").await;
    a.write("ca.pem", format!("{}{}", a.own.pem(), next.pem()).as_bytes());
    let two = until(async || rotation(&a).await, |seen| seen["keys"].as_array().unwrap().len() == 2).await;
    assert_eq!(of_key(&two, &next), (json!(false), json!(0), json!(1)));
    assert_eq!(of_key(&two, &a.own), (json!(true), json!(1), json!(0)));

    b.configure([a.relationship()]);
    b.becomes("a.example", |status| status["x509_authorities"] == 2).await;
    assert_eq!(of_key(&rotation(&a).await, &next), (json!(false), json!(1), json!(0)));
    a.advance(3 * HINT - Duration::from_secs(1));
    assert_eq!(of_key(&rotation(&a).await, &next).0, json!(false));
    a.advance(Duration::from_secs(1));
    assert_eq!(of_key(&rotation(&a).await, &next).0, json!(true));
}

#[tokio::test]
async fn fes_11_a_restart_forgets_fetchers_and_not_since_when_a_key_is_public() {
    let mut a = Service::started([]).await;
    let b = Service::of("b.example").await;
    b.configure([a.relationship()]);
    b.becomes("a.example", |status| status["state"] == "current").await;
    a.advance(2 * HINT);
    let before = rotation(&a).await;
    a.restart().await;
    let after = rotation(&a).await;
    assert_eq!(before["keys"][0]["public_since"], after["keys"][0]["public_since"]);
    assert_eq!(before["keys"][0]["safe_from"], after["keys"][0]["safe_from"]);
    assert_eq!((&before["fetchers"].as_array().unwrap().len(), &after["fetchers"]), (&1, &json!([])));
    assert_ne!(before["fetchers_since"], after["fetchers_since"]);
}

/// `comity rotation status --wait`, and what it says meanwhile.
struct Pipeline {
    child: Child,
    told: Lines<BufReader<ChildStderr>>,
}

impl Pipeline {
    fn waits(service: &Service, arguments: &[&str]) -> Self {
        let mut command = comity();
        command.args(["rotation", "status", "--wait", "--socket", &socket(service)]).args(arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, told }
    }

    async fn says(&mut self) -> String {
        within(self.told.next_line()).await.unwrap().unwrap()
    }

    async fn ended(self) -> Finished {
        within(self.child.wait_with_output()).await.unwrap().into()
    }
}

fn socket(service: &Service) -> String {
    service.path("admin.sock").to_str().unwrap().to_owned()
}

#[tokio::test]
async fn fes_11_a_pipeline_waits_until_its_new_ca_is_public_and_safe() {
    let (a, next) = (Service::started([]).await, Ca::of("a.example"));
    a.advance(3 * HINT);
    let file = a.write("next.pem", next.pem().as_bytes());
    let mut pipeline = Pipeline::waits(&a, &["--certificate", &file]);
    let id = identity(&next);
    assert_eq!(pipeline.says().await, format!("waiting: {id} is not public yet"));
    a.write("ca.pem", format!("{}{}", a.own.pem(), next.pem()).as_bytes());
    let waiting = pipeline.says().await;
    assert!(waiting.starts_with(&format!("waiting: {id} must not sign before ")), "{waiting}");
    a.advance(3 * HINT);
    let finished = pipeline.ended().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.out.contains(&id) && !finished.out.contains(&identity(&a.own)), "{}", finished.out);
}

#[tokio::test]
async fn a_pipeline_that_is_not_let_through_fails() {
    let a = Service::started([]).await;
    let late = Pipeline::waits(&a, &["--timeout", "10ms", "--output", "json"]);
    let finished = within(late.child.wait_with_output()).await.unwrap();
    let told: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!((finished.status.code(), &told["is_safe"]), (Some(1), &json!(false)));

    let mut interrupted = Pipeline::waits(&a, &[]);
    assert!(interrupted.says().await.starts_with("waiting: x509:"));
    signal(&interrupted.child, "INT").await;
    let last = interrupted.says().await;
    assert!(last.starts_with("error: not-safe-yet: interrupted: x509:"), "{last}");
    assert_eq!(interrupted.ended().await.code, Some(1));

    let mut patient = Pipeline::waits(&a, &[]);
    patient.says().await;
    a.advance(3 * HINT);
    let mut a = a;
    a.restart().await;
    assert_eq!(patient.ended().await.code, Some(0), "a restart of the service meanwhile is no failure");
}

#[tokio::test]
async fn the_exit_code_says_whether_it_is_safe() {
    let a = Service::started([]).await;
    let socket = socket(&a);
    let ask = async |more: &[&str]| run(&[&["rotation", "status", "--socket", &socket], more].concat()).await;
    let own = identity(&a.own);
    let young = ask(&[]).await;
    assert_eq!((young.code, young.out.contains(&own)), (Some(1), true), "{young:?}");
    assert!(young.err.starts_with(&format!("error: not-safe-yet: {own} must not sign before ")), "{young:?}");
    a.advance(3 * HINT);
    for (name, more, code, told) in [
        ("all", vec![], 0, ""),
        ("by fingerprint", vec![&own[5..17]], 0, ""),
        ("another", vec!["0123456789ab"], 1, "error: not-safe-yet: 0123456789ab is not public yet\n"),
        ("by its file", vec!["--certificate", a.path("ca.pem").to_str().unwrap()], 0, ""),
        ("a private key", vec!["--certificate", a.path("tls.key").to_str().unwrap()], 2, "error: unusable-file: "),
        ("a leaf", vec!["--certificate", a.path("tls.pem").to_str().unwrap()], 2, "error: unusable-file: "),
        ("no file", vec!["--certificate", "/nowhere"], 2, "error: "),
        ("another socket", vec!["--socket", "/nowhere"], 2, "error: no-socket: "),
    ] {
        let asked = match name {
            "another socket" => run(&[&["rotation", "status"], &*more].concat()).await,
            _ => ask(&more).await,
        };
        assert_eq!(asked.code, Some(code), "{name}: {asked:?}");
        assert!(asked.err.starts_with(told) && asked.err.is_empty() == told.is_empty(), "{name}: {asked:?}");
    }
}

#[tokio::test]
async fn nothing_that_is_public_tells_who_has_fetched() {
    let publisher =
        Publisher::new(&[("ca.pem", &Ca::of("a.example").pem())], "[operations]\nlisten = \"127.0.0.1:0\"\n");
    let (mut service, address) = publisher.start().await;
    crate::publisher::fetch(address).await;
    let rotation = publisher.home.admin("GET", "/v1/rotation").await.json();
    assert_eq!(rotation["fetchers"][0]["address"], "127.0.0.1");
    let mut platform = crate::wire::Connection::tcp(service.address("operations").await).await.unwrap();
    for path in ["/metrics", "/readyz", "/v1/rotation"] {
        let answer = platform.ask("GET", path, &[]).await.unwrap();
        assert!(!String::from_utf8(answer.body).unwrap().contains("127.0.0.1"), "{path}");
    }
    service.stop().await;
}
