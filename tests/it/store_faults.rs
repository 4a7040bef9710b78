//! The store is locked, exchanged or taken away: under a running service, or before it starts.

use std::fs;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor as _, Row as _};

use crate::process::{Service, until};
use crate::publisher::{Publisher, fetch, publishes, sequence};
use crate::scripted::Partner;
use crate::support::ca::Ca;
use crate::wire::Connection;

#[tokio::test]
async fn while_another_process_has_the_store_locked_nothing_is_accepted_and_nothing_lost() {
    let world = World::new().await;
    let (service, address) = world.publisher.start().await;
    world.accepts(1).await;
    let mut visitor = world.visitor().await;
    visitor.execute("BEGIN IMMEDIATE").await.unwrap();
    world.partner.publishes(2, &[&world.foreign]);
    let before = sequence(&fetch(address).await);
    let (_, status) = tokio::join!(world.own_keys("second"), world.publisher.home.refreshed());
    assert_eq!((&status["state"], &status["sequence"]), (&json!("failing"), &json!(1)), "{status}");
    assert_eq!(status["last_error"]["code"], "store-unavailable");
    assert_eq!(sequence(&fetch(address).await), before, "what is not stored is not published");

    visitor.execute("ROLLBACK").await.unwrap();
    let published = until(async || sequence(&fetch(address).await), |now| *now > before).await;
    world.accepts(2).await;
    service.kill().await;
    let (service, address) = world.publisher.start().await;
    assert_eq!((world.accepted().await, sequence(&fetch(address).await)), (json!(2), published));
    service.stop().await;
}

#[tokio::test]
async fn a_store_that_is_locked_at_the_start_is_waited_for_and_then_told() {
    let world = World::new().await;
    world.publisher.start().await.0.stop().await;
    let home = &world.publisher.home;
    let lock = async || {
        let mut visitor = world.visitor().await;
        visitor.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").await.unwrap();
        visitor
    };
    let visitor = lock().await;
    let (status, said) = home.launch(&[]).ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("error: store-unavailable: ") && said.contains("database is locked"), "{said}");
    visitor.close().await.unwrap();

    let visitor = lock().await;
    let starts = home.start();
    let leaves = async {
        until(async || home.path("comity.db.lock").exists(), |there| *there).await;
        visitor.close().await.unwrap();
    };
    let (service, ()) = tokio::join!(starts, leaves);
    service.stop().await;
}

#[tokio::test]
async fn a_backup_that_is_moved_over_the_open_store_is_noticed_and_nothing_goes_back() {
    let world = World::new().await;
    let home = &world.publisher.home;
    let (mut service, address) = world.publisher.start().await;
    world.accepts(1).await;
    let backup = format!("VACUUM INTO '{}'", home.path("backup.db").display());
    world.visitor().await.execute(sqlx::AssertSqlSafe(backup)).await.unwrap();
    world.accepts(2).await;
    let second = world.own_keys("second").await;
    let published = sequence(&publishes(address, &[&second]).await);

    fs::rename(home.path("backup.db"), home.path("comity.db")).unwrap();
    world.is_not_ready(&mut service).await;
    let mut platform = Connection::tcp(service.address("operations").await).await.unwrap();
    let readiness = platform.ask("GET", "/readyz", &[]).await.unwrap();
    assert_eq!((readiness.status, &readiness.json()["reasons"]), (503, &json!([REPLACED])));
    world.refuses(3, 2).await;
    let before = service.log().len();
    let third = world.own_keys("third").await;
    service.logged(before, |line| line["message"] == "own keys not published yet" && line["code"] == REPLACED).await;
    assert_eq!(sequence(&fetch(address).await), published);
    let told = service.log().iter().filter(|line| line.contains("not in its place")).count();
    assert_eq!(told, 1, "once, not at each look");
    service.stop().await;

    let (mut service, address) = world.publisher.start().await;
    service.logged(0, |line| line["code"] == "store-wal-set-aside").await;
    assert!(home.path("comity.db-wal.replaced").exists());
    assert_eq!(world.accepted().await, 1, "it begins from the backup");
    assert!(sequence(&publishes(address, &[&third]).await) > published);
    world.accepts(3).await;
    let checked = world.visitor().await.fetch_one("PRAGMA integrity_check").await.unwrap();
    assert_eq!(checked.get::<String, _>(0), "ok");
    service.stop().await;
}

#[tokio::test]
async fn a_store_that_is_moved_away_and_put_back_has_lost_nothing() {
    let world = World::new().await;
    let home = &world.publisher.home;
    let (mut service, _) = world.publisher.start().await;
    world.accepts(1).await;
    fs::rename(home.path("comity.db"), home.path("away.db")).unwrap();
    world.is_not_ready(&mut service).await;
    world.refuses(2, 1).await;

    fs::rename(home.path("away.db"), home.path("comity.db")).unwrap();
    service.logged(0, |line| line["message"] == "the store is in its place again").await;
    assert_eq!(world.not_ready().await, json!([]));
    world.accepts(2).await;
    service.kill().await;
    let service = home.start().await;
    assert_eq!(world.accepted().await, 2);
    service.stop().await;
}

#[tokio::test]
async fn files_of_the_store_that_are_removed_are_missed() {
    for (name, kept) in [("comity.db-wal", json!(2)), ("comity.db.lock", json!(2)), ("comity.db", Value::Null)] {
        let world = World::new().await;
        let (mut service, address) = world.publisher.start().await;
        world.accepts(1).await;
        world.accepts(2).await;
        let published = sequence(&fetch(address).await);
        fs::remove_file(world.publisher.home.path(name)).unwrap();
        world.is_not_ready(&mut service).await;
        world.refuses(3, 2).await;
        assert_eq!(sequence(&fetch(address).await), published, "{name}");
        service.stop().await;

        let (service, address) = world.publisher.start().await;
        assert!(sequence(&fetch(address).await) >= published, "{name}");
        let accepted = world.accepted().await;
        assert!(accepted == kept || kept.is_null(), "{name}: {accepted}");
        world.accepts(3).await;
        service.stop().await;
    }
}

/// `a.example` with a key of its own, federated with `b.example`.
struct World {
    publisher: Publisher,
    partner: Partner,
    foreign: Ca,
}

impl World {
    async fn new() -> Self {
        let partner = Partner::start().await;
        let foreign = Ca::of("b.example");
        partner.publishes(1, &[&foreign]);
        let operations = "\n[operations]\nlisten = \"127.0.0.1:0\"\n";
        let more = partner.relationship("") + operations;
        let publisher = Publisher::new(&[("ca.pem", &Ca::of("a.example").pem())], "");
        publisher.home.write("web.pem", partner.web_pem());
        publisher.configure("", &more);
        Self { publisher, partner, foreign }
    }

    /// Another process at the store.
    async fn visitor(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.publisher.home.path("comity.db"));
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// Replaces our own key.
    async fn own_keys(&self, name: &str) -> Ca {
        let ca = Ca::of("a.example");
        self.publisher.home.write(&format!("next/{name}.pem"), ca.pem());
        fs::rename(self.publisher.home.path(&format!("next/{name}.pem")), self.publisher.home.path("ca/ca.pem"))
            .unwrap();
        ca
    }

    /// The partner's next bundle is accepted.
    async fn accepts(&self, sequence: u64) {
        self.partner.publishes(sequence, &[&self.foreign]);
        let status = self.publisher.home.refreshed().await;
        assert_eq!((&status["state"], &status["sequence"]), (&json!("current"), &json!(sequence)), "{status}");
    }

    /// The partner's next bundle is not, and that is said.
    async fn refuses(&self, sequence: u64, accepted: u64) {
        self.partner.publishes(sequence, &[&self.foreign]);
        let status = self.publisher.home.refreshed().await;
        assert_eq!((&status["state"], &status["sequence"]), (&json!("failing"), &json!(accepted)), "{status}");
        assert_eq!(status["last_error"]["code"], REPLACED, "{status}");
    }

    /// The sequence of what is accepted, without asking the partner.
    async fn accepted(&self) -> Value {
        self.publisher.home.admin("GET", "/v1/relationships/b.example").await.json()["sequence"].clone()
    }

    async fn not_ready(&self) -> Value {
        self.publisher.home.admin("GET", "/v1/status").await.json()["not_ready"].clone()
    }

    async fn is_not_ready(&self, service: &mut Service) {
        until(async || self.not_ready().await, |reasons| *reasons == json!([REPLACED])).await;
        let line = service.logged(0, |line| line["code"] == REPLACED && line["level"] == "ERROR").await;
        assert_eq!(line["message"], "the store is not in its place");
        let status = self.publisher.home.admin("GET", "/v1/status").await.json();
        assert_eq!(status["warnings"][0]["code"], REPLACED, "{status}");
    }
}

const REPLACED: &str = "store-file-replaced";
