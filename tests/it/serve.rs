//! `comity serve` as an operator meets it: how it starts, reloads, logs and stops.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use serde_json::Value;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::process::{Home, until, within};
use crate::scripted::Partner;
use crate::support::answer::Answer;
use crate::support::ca::Ca;
use crate::wire::Connection;

#[tokio::test]
async fn all_mistakes_of_the_configuration_are_told_at_once() {
    let home = Home::new(
        r#"
log.level = "loud"
nonsense = 1
[endpoint.https_web]
listen = "here"
[federation."b.example"]
endpoint_url = "http://b.example/"
profile = "https_web"
[federation."spiffe://c.example"]
endpoint_url = "https://c.example/"
profile = "https_spiffe"
"#,
    );
    let (status, said) = home.launch(&["--set", "store.url=postgres://x"]).ended().await;
    assert_eq!(status.code(), Some(64), "{said}");
    assert!(said.starts_with("error: config-rejected: "), "{said}");
    for key in [
        "log.level",
        "nonsense",
        "endpoint.https_web.listen",
        "endpoint.https_web.certificate",
        "endpoint.https_web.private_key",
        "store.url",
        "federation.\"b.example\".endpoint_url",
        "federation.\"spiffe://c.example\"",
        "known here: store, authorities, endpoint, operations, admin, authorization, outputs, log, federation, trust_domain",
    ] {
        assert!(said.contains(key), "{key} is not in\n{said}");
    }
}

#[tokio::test]
async fn a_store_has_one_service_at_a_time() {
    let partner = Partner::start().await;
    let home = partner.home("");
    let _first = home.start().await;
    let second = format!("admin.socket={}", home.path("other.sock").display());
    let (status, said) = home.launch(&["--set", &second]).ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    let store = home.path("comity.db");
    assert!(said.contains("error: store-locked: ") && said.contains(store.to_str().unwrap()), "{said}");
    assert!(said.contains("is in use by process "), "{said}");
    assert_eq!(home.admin("GET", "/v1/status").await.status, 200, "the first one goes on");
}

#[tokio::test]
async fn a_signal_stops_the_service_within_the_grace_period_while_answers_are_in_flight() {
    for signal in ["TERM", "INT"] {
        let partner = Partner::start().await;
        partner.peer.answer(Answer::silent());
        let home = partner.home("");
        let service = home.start().await;
        let mut order = Connection::unix(&home.path("admin.sock")).await.unwrap();
        order.write(b"POST /v1/relationships/b.example/refresh HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut half = Connection::unix(&home.path("admin.sock")).await.unwrap();
        half.write(b"GET /v1/sta").await.unwrap();
        within(partner.peer.saw_requests(1)).await;

        service.signal(signal).await;
        let answer = within(order.read("POST")).await.unwrap();
        assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (503, "interrupted"), "{signal}");
        let (status, log) = service.ended().await;
        assert!(status.success() && log.contains("\"stopped\""), "{signal}: {status}\n{log}");
        assert!(!log.contains("outlived the grace period"), "{log}");
        assert!(!home.path("admin.sock").exists(), "{signal}");
    }
}

#[tokio::test]
async fn relationships_follow_the_file_and_a_hangup_without_a_restart() {
    let partner = Partner::start().await;
    partner.publishes(1, &[&Ca::of("b.example")]);
    let home = partner.home("");
    let mut service = home.start().await;
    assert_eq!(names(&home).await, ["b.example"]);

    let c = "[federation.\"c.example\"]\nendpoint_url = \"https://127.0.0.1:1/\"\nprofile = \"https_web\"\n";
    home.configure(&(partner.relationship("change_control = \"manual\"") + c));
    until(async || names(&home).await, |names| *names == ["b.example", "c.example"]).await;
    let changed = home.admin("GET", "/v1/relationships/b.example").await.json();
    assert_eq!(changed["change_control"], "manual");

    home.configure(&partner.relationship(""));
    service.signal("HUP").await;
    until(async || names(&home).await, |names| *names == ["b.example"]).await;

    let before = service.log().len();
    service.signal("HUP").await;
    service.logged(before, |line| line["message"] == "configuration reloaded").await;
    service.stop().await;
}

#[tokio::test]
async fn a_configuration_that_is_written_in_place_or_swapped_by_kubernetes_is_followed() {
    let partner = Partner::start().await;
    let home = partner.home("");
    let with = |policy: &str| {
        home.configure(&partner.relationship(policy));
        fs::read(home.config()).unwrap()
    };
    let versions = ["manual", "overlapping", "automatic", "manual"].map(|mode| (mode, mode_line(mode)));
    let versions = versions.map(|(mode, line)| (mode, with(&line)));
    home.write("..1/comity.toml", &versions[2].1);
    home.write("..2/comity.toml", &versions[3].1);
    let _service = home.start().await;
    let mode = async || home.admin("GET", "/v1/relationships/b.example").await.json()["change_control"].clone();
    for (expected, bytes) in &versions[..2] {
        fs::write(home.config(), bytes).unwrap();
        until(mode, |mode| mode == expected).await;
    }
    symlink("..1", home.path("..data")).unwrap();
    symlink("..data/comity.toml", home.path("link")).unwrap();
    fs::rename(home.path("link"), home.config()).unwrap();
    until(mode, |mode| mode == "automatic").await;
    symlink("..2", home.path("link")).unwrap();
    fs::rename(home.path("link"), home.path("..data")).unwrap();
    until(mode, |mode| mode == "manual").await;
}

fn mode_line(mode: &str) -> String {
    format!("change_control = \"{mode}\"")
}

#[tokio::test]
async fn a_clock_behind_the_highest_time_seen_is_no_readiness_until_the_mark_is_reset() {
    let partner = Partner::start().await;
    partner.publishes(1, &[&Ca::of("b.example")]);
    let home = partner.home("");
    home.configure(&(partner.relationship("") + "[operations]\nlisten = \"127.0.0.1:0\"\n"));
    home.start().await.stop().await;
    let store = SqliteConnectOptions::new().filename(home.path("comity.db"));
    let mut store = SqliteConnection::connect_with(&store).await.unwrap();
    sqlx::query("UPDATE store SET clock_mark = unixepoch() + 3600").execute(&mut store).await.unwrap();
    store.close().await.unwrap();

    for (arguments, ready) in [(&[][..], false), (&["--reset-clock"], true), (&[], true)] {
        let mut service = home.launch(arguments);
        let mut platform = Connection::tcp(service.address("operations").await).await.unwrap();
        let mut answer = async || platform.ask("GET", "/readyz", &[]).await.unwrap().json();
        let clock = |answer: &Value| answer["reasons"].to_string().contains("clock-went-back");
        assert_eq!(clock(&answer().await), !ready, "{arguments:?}");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_file_with_a_mistake_keeps_the_running_configuration_and_says_so() {
    let partner = Partner::start().await;
    let home = partner.home("");
    let mut service = home.start().await;
    let key = "federation.\"b.example\".minimum_interval";
    for (name, config, expected) in [
        ("wrong value", partner.relationship("minimum_interval = \"soon\""), key),
        ("no TOML", "[federation".to_owned(), ""),
    ] {
        let before = service.log().len();
        home.configure(&config);
        let line = service.logged(before, |line| line["code"] == "config-rejected").await;
        assert_eq!(line["key"], expected, "{name}");
        assert_eq!(line["level"], "ERROR", "{name}");
        assert_eq!(names(&home).await, ["b.example"], "{name}");
    }
    let before = service.log().len();
    home.configure(&(partner.relationship("") + "[operations]\nlisten = \"127.0.0.1:0\"\n"));
    let line = service.logged(before, |line| line["code"] == "restart-needed").await;
    assert_eq!(line["keys"], "operations");
    service.stop().await;
}

#[tokio::test]
async fn what_others_may_write_is_not_trusted() {
    let partner = Partner::start().await;
    let home = partner.home("");
    home.start().await.stop().await;
    for (file, mode, exit, code) in [
        ("comity.toml", 0o620, 64, "config-rejected"),
        ("comity.toml", 0o602, 64, "config-rejected"),
        ("web.pem", 0o660, 64, "config-rejected"),
        ("comity.db", 0o620, 1, "file-writable-by-others"),
        ("comity.db", 0o602, 1, "file-writable-by-others"),
    ] {
        home.chmod(file, mode);
        let (status, said) = home.launch(&[]).ended().await;
        home.chmod(file, 0o600);
        assert_eq!(status.code(), Some(exit), "{file} {mode:o}: {said}");
        assert!(said.contains(code) && said.contains(file), "{file} {mode:o}: {said}");
    }
    home.chmod("", 0o770);
    let (status, said) = home.launch(&[]).ended().await;
    home.chmod("", 0o700);
    assert_eq!(status.code(), Some(64), "{said}");
    home.start().await.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let partner = Partner::start().await;
    let home = partner.home("");
    let (status, said) = home.launch(&["--set", &format!("operations.listen={address}")]).ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("error: address-not-bound: can't listen on {address}: ")), "{said}");
    assert!(!home.path("admin.sock").exists());
}

#[tokio::test]
async fn variables_that_kubernetes_sets_for_a_service_of_our_name_are_no_configuration() {
    let partner = Partner::start().await;
    let home = partner.home("");
    let service = home.start().await;
    assert!(!service.log().join("\n").contains("SERVICE_HOST"));
    service.stop().await;
}

#[tokio::test]
async fn every_fetch_leaves_one_line_with_all_that_is_known_of_it() {
    let partner = Partner::start().await;
    partner.publishes(7, &[&Ca::of("b.example")]);
    let home = partner.home("");
    let mut service = home.start().await;
    let fetched = |line: &Value| line["message"] == "bundle fetched";
    let line = service.logged(0, fetched).await;
    let address = partner.peer.address().to_string();
    for (field, expected) in [
        ("level", "INFO"),
        ("trust_domain", "b.example"),
        ("code", "accepted"),
        ("url", &partner.peer.url("127.0.0.1", "/bundle")),
        ("final_url", &partner.peer.url("127.0.0.1", "/bundle")),
        ("address", &address),
    ] {
        assert_eq!(line[field], expected, "{field} in {line}");
    }
    assert_eq!(line["status"], 200);
    assert!(line["bytes"].as_u64().unwrap() > 500 && line["elapsed_ms"].is_u64(), "{line}");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    assert!(line["peer"].as_str().unwrap().starts_with("sha256:"), "{line}");
    assert_eq!(line["digest"].as_str().unwrap().len(), 64, "{line}");

    partner.peer.answer(Answer::status(500, "\u{1b}[2Jno"));
    home.refreshed().await;
    let failed = service.logged(0, |line| fetched(line) && line["status"] == 500).await;
    assert_eq!((&failed["trust_domain"], &failed["digest"]), (&line["trust_domain"], &Value::Null));
    assert!(failed["code"] != "ok" && failed["error"].is_string(), "{failed}");
    let lines = service.log().iter().filter(|line| line.contains("bundle fetched")).count();
    assert_eq!(lines, partner.peer.requests().len());
    service.stop().await;
}

async fn names(home: &Home) -> Vec<String> {
    let answer = home.admin("GET", "/v1/relationships").await.json();
    let relationships = answer["relationships"].as_array().unwrap().iter();
    relationships.map(|one| one["trust_domain"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_ephemeral_service_leaves_nothing_behind() {
    let partner = Partner::start().await;
    let home = partner.home("");
    let mut service = home.launch(&["--ephemeral"]);
    service.logged(0, |line| line["message"] == "bundle fetched").await;
    service.stop().await;
    let left: Vec<_> = fs::read_dir(home.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "comity.toml" || name == "web.pem"), "{left:?}");
}
