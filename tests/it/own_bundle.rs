//! From authority files to the bundle endpoint, across changes, mistakes and restarts.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use rustls::time_provider::{DefaultTimeProvider, TimeProvider as _};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::process::until;
use crate::publisher::{Publisher, fetch, publishes, sequence};
use crate::support::ca::Ca;

#[tokio::test]
async fn a_kubernetes_volume_that_swaps_its_link_is_republished_within_two_seconds_under_a_higher_sequence() {
    let publisher = Publisher::new(&[], "");
    let first = Ca::of("a.example");
    swap(&publisher, "..1", &first);
    symlink("..data/ca.pem", publisher.home.path("ca/ca.pem")).unwrap();
    let (service, address) = publisher.start().await;
    let mut last = sequence(&publishes(address, &[&first]).await);
    let mut fastest = Duration::MAX;
    for version in ["..2", "..3", "..4"] {
        let next = Ca::of("a.example");
        let swapped = Instant::now();
        swap(&publisher, version, &next);
        let answer = publishes(address, &[&next]).await;
        fastest = fastest.min(swapped.elapsed());
        assert!(sequence(&answer) > last, "{version}");
        last = sequence(&answer);
    }
    assert!(fastest < Duration::from_secs(2), "{fastest:?}");
    service.stop().await;
}

/// Writes a new version beside the old one and lets `..data` lead to it in one step.
fn swap(publisher: &Publisher, version: &str, ca: &Ca) {
    publisher.home.write(&format!("ca/{version}/ca.pem"), ca.pem());
    symlink(version, publisher.home.path("ca/..next")).unwrap();
    fs::rename(publisher.home.path("ca/..next"), publisher.home.path("ca/..data")).unwrap();
}

#[tokio::test]
async fn files_come_and_go_and_a_wrong_one_changes_nothing_but_is_named() {
    let (one, two) = (Ca::of("a.example"), Ca::of("a.example"));
    let publisher = Publisher::new(&[("one.pem", &one.pem())], "");
    let (mut service, address) = publisher.start().await;
    let before = sequence(&publishes(address, &[&one]).await);
    publisher.home.write("ca/two.pem", two.pem());
    let both = publishes(address, &[&one, &two]).await;
    assert!(sequence(&both) > before);

    let key = publisher.identity.key_pem();
    let leaf = one.svid("spiffe://a.example/web").chain_pem();
    let foreign = Ca::of("b.example").pem();
    for (name, contents, code) in [
        ("two.pem", &two.pem()[..300], "malformed-pem"),
        ("garbage.pem", "\u{0}\u{1}garbage", "no-certificate"),
        ("ca.key", &key, "private-key"),
        ("leaf.pem", &leaf, "not-a-ca"),
        ("foreign.pem", &foreign, "mis-wired"),
    ] {
        let from = service.log().len();
        publisher.home.write(&format!("ca/{name}"), contents);
        let line = service.logged(from, |line| line["code"] == code).await;
        assert!(line["file"].as_str().unwrap().contains(name), "{line}");
        assert_eq!(fetch(address).await, both, "{name}");
    }
    let warnings = publisher.home.admin("GET", "/v1/status").await.json()["warnings"].to_string();
    for name in ["two.pem", "garbage.pem", "ca.key", "leaf.pem", "foreign.pem"] {
        assert!(warnings.contains(name), "{name} is not in {warnings}");
    }
    assert!(!service.log().join("\n").contains(key.lines().nth(1).unwrap()), "key material is never logged");

    fs::remove_file(publisher.home.path("ca/two.pem")).unwrap();
    let less = publishes(address, &[&one]).await;
    assert!(sequence(&less) > sequence(&both));
    service.stop().await;
}

#[tokio::test]
async fn the_last_key_is_not_revoked_by_an_empty_folder_nor_by_a_restart_with_one() {
    let one = Ca::of("a.example");
    let publisher = Publisher::new(&[("one.pem", &one.pem())], "");
    let (mut service, address) = publisher.start().await;
    let before = publishes(address, &[&one]).await;
    fs::remove_file(publisher.home.path("ca/one.pem")).unwrap();
    service.logged(0, |line| line["code"] == "no-authorities").await;
    assert_eq!(fetch(address).await.body, before.body);
    service.stop().await;
    let (service, address) = publisher.start().await;
    assert_eq!(fetch(address).await.body, before.body);
    service.stop().await;
}

#[tokio::test]
async fn a_file_that_breaks_while_the_service_is_down_keeps_its_keys_and_one_that_goes_takes_them() {
    let (one, two) = (Ca::of("a.example"), Ca::of("a.example"));
    let publisher = Publisher::new(&[("one.pem", &one.pem()), ("two.pem", &two.pem())], "");
    let (service, address) = publisher.start().await;
    let before = publishes(address, &[&one, &two]).await;
    service.stop().await;

    publisher.home.write("ca/two.pem", "half of it");
    let (service, address) = publisher.start().await;
    assert_eq!(fetch(address).await, before);
    service.stop().await;

    fs::remove_file(publisher.home.path("ca/two.pem")).unwrap();
    let (service, address) = publisher.start().await;
    let after = fetch(address).await;
    assert_eq!(after.json()["keys"].as_array().unwrap().len(), 1);
    assert!(sequence(&after) > sequence(&before));
    service.stop().await;
}

#[tokio::test]
async fn a_key_that_is_taken_out_is_retired_even_if_another_file_was_never_readable() {
    let (one, two) = (Ca::of("a.example"), Ca::of("a.example"));
    let files = [("README", "not a key"), ("one.pem", &one.pem()), ("two.pem", &two.pem())];
    let publisher = Publisher::new(&files, "");
    for run in ["first run", "after a restart"] {
        publisher.home.write("ca/two.pem", two.pem());
        let (service, address) = publisher.start().await;
        let before = publishes(address, &[&one, &two]).await;
        fs::remove_file(publisher.home.path("ca/two.pem")).unwrap();
        assert!(sequence(&publishes(address, &[&one]).await) > sequence(&before), "{run}");
        service.stop().await;
    }
}

#[tokio::test]
async fn seq_02_the_number_survives_restarts_and_rises_with_the_refresh_hint_and_after_a_lost_store() {
    let one = Ca::of("a.example");
    let publisher = Publisher::new(&[("one.pem", &one.pem())], "");
    let started = unix_time();
    let (service, address) = publisher.start().await;
    let first = publishes(address, &[&one]).await;
    assert!(sequence(&first) >= started);
    service.stop().await;

    let (service, address) = publisher.start().await;
    let again = fetch(address).await;
    assert_eq!((&again.body, again.header("etag")), (&first.body, first.header("etag")));
    service.kill().await;

    publisher.configure("refresh_hint = \"10m\"", "");
    let (service, address) = publisher.start().await;
    let hinted = fetch(address).await;
    assert_eq!(hinted.json()["spiffe_refresh_hint"], 600);
    assert!(sequence(&hinted) > sequence(&first));
    assert_ne!(hinted.header("etag"), first.header("etag"));
    service.stop().await;

    publisher.home.wipe_store();
    until(async || unix_time(), |now| *now > sequence(&hinted)).await;
    let (service, address) = publisher.start().await;
    assert!(sequence(&fetch(address).await) > sequence(&hinted));
    service.stop().await;
}

#[tokio::test]
async fn a_busy_store_delays_what_is_new_and_never_what_is_public() {
    let (one, two) = (Ca::of("a.example"), Ca::of("a.example"));
    let publisher = Publisher::new(&[("one.pem", &one.pem())], "");
    let (mut service, address) = publisher.start().await;
    let before = publishes(address, &[&one]).await;

    let mut visitor = visitor(&publisher).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut visitor).await.unwrap();
    publisher.home.write("ca/two.pem", two.pem());
    service.logged(0, |line| line["message"] == "own keys not published yet").await;
    assert_eq!(fetch(address).await, before);
    let warnings = publisher.home.admin("GET", "/v1/status").await.json()["warnings"].to_string();
    assert!(warnings.contains("store-unavailable"), "{warnings}");

    sqlx::query("ROLLBACK").execute(&mut visitor).await.unwrap();
    let after = publishes(address, &[&one, &two]).await;
    assert!(sequence(&after) > sequence(&before));
    service.stop().await;
}

async fn visitor(publisher: &Publisher) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(publisher.home.path("comity.db"));
    SqliteConnection::connect_with(&options).await.unwrap()
}

#[tokio::test]
async fn a_store_that_turns_to_garbage_takes_nothing_off_the_endpoint_and_is_refused_at_the_next_start() {
    let one = Ca::of("a.example");
    let publisher = Publisher::new(&[("one.pem", &one.pem())], "");
    let (service, address) = publisher.start().await;
    let before = publishes(address, &[&one]).await;
    publisher.home.wipe_store();
    publisher.home.write("comity.db", vec![b'x'; 8192]);
    assert_eq!(fetch(address).await, before);
    service.kill().await;
    let (status, said) = publisher.home.launch(&[]).ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("error: store-corrupt: "), "{said}");
    assert_eq!(fs::read(publisher.home.path("comity.db")).unwrap(), vec![b'x'; 8192], "it is left for a person");
}

fn unix_time() -> u64 {
    DefaultTimeProvider.current_time().unwrap().as_secs()
}
