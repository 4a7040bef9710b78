//! What survives when the service is killed again and again while its peer rotates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::task::JoinSet;

use crate::process::{Home, within};
use crate::publisher::{Publisher, fetch, sequence};
use crate::scripted::Partner;
use crate::support::ca::Ca;
use crate::wire::Response;

#[tokio::test]
async fn kill_9_never_takes_back_what_was_reported_as_accepted() {
    let partner = Arc::new(Partner::start().await);
    let home = partner.home("minimum_interval = \"1s\"");
    let mut rotation = JoinSet::new();
    partner.publishes(1, &[&Ca::of("b.example")]);
    rotation.spawn(rotate_on_every_fetch(partner.clone()));

    let mut reported = Reported::default();
    for round in 0..KILLS {
        killed_while_it_starts(&home).await;
        let service = home.start().await;
        reported.add(&home.admin("GET", "/v1/relationships/b.example").await.json());
        reported.add(&home.refreshed().await);
        let after = Duration::from_millis(fastrand::u64(0..LONGEST_LIFE));
        let _ = tokio::time::timeout(after, reported.poll_for_ever(&home)).await;
        assert!(service.log().iter().all(|line| !line.contains("\"level\":\"ERROR\"")), "round {round}");
        service.kill().await;
    }

    let service = home.start().await;
    for _ in 0..3 {
        reported.add(&home.refreshed().await);
    }
    service.stop().await;
    assert!(reported.accepted.len() >= 3, "{reported:?}");
    reported.is_stored(&home).await;
}

async fn killed_while_it_starts(home: &Home) {
    let service = home.launch(&[]);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..LONGEST_START))).await;
    service.kill().await;
}

/// Each answer is another bundle than the one before: the current key, and the next one.
async fn rotate_on_every_fetch(partner: Arc<Partner>) {
    let mut current = Ca::of("b.example");
    for sequence in 2.. {
        let fetches = usize::try_from(sequence).unwrap() - 1;
        partner.peer.saw_requests(fetches).await;
        let next = Ca::of("b.example");
        partner.publishes(sequence, &[&current, &next]);
        current = next;
    }
}

/// Everything that the service ever said it accepted: the sequence by revision.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    pub(crate) accepted: BTreeMap<u64, u64>,
}

impl Reported {
    async fn poll_for_ever(&mut self, home: &Home) {
        loop {
            let status = within(home.refreshed()).await;
            self.add(&status);
        }
    }

    pub(crate) fn add(&mut self, status: &Value) {
        let (Some(revision), Some(sequence)) = (status["revision"].as_u64(), status["sequence"].as_u64()) else {
            assert!(self.accepted.is_empty(), "{status} after {self:?}");
            return;
        };
        if let Some((last_revision, last_sequence)) = self.accepted.last_key_value() {
            assert!(revision >= *last_revision && sequence >= *last_sequence, "{status} after {self:?}");
            assert_eq!(revision == *last_revision, sequence == *last_sequence, "{status} after {self:?}");
        }
        self.accepted.insert(revision, sequence);
    }

    /// All of it is in the history.
    pub(crate) async fn is_stored(&self, home: &Home) {
        let stored = stored(home).await;
        for (revision, sequence) in &self.accepted {
            assert_eq!(stored.get(revision), Some(sequence), "revision {revision} of {self:?}");
        }
    }
}

#[tokio::test]
async fn seq_02_kill_9_never_takes_back_a_bundle_of_ours_that_somebody_saw() {
    let publisher = Publisher::new(&[("ca.pem", &Ca::of("a.example").pem())], "");
    let mut seen: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for round in 0..KILLS {
        let (service, address) = publisher.start().await;
        let mut see = |answer: Response| {
            let number = sequence(&answer);
            assert!(seen.keys().all(|before| *before <= number), "round {round}: {number} after {:?}", seen.keys());
            let bytes = seen.entry(number).or_insert_with(|| answer.body.clone());
            assert_eq!(*bytes, answer.body, "round {round}: {number} was used twice");
        };
        see(fetch(address).await);
        publisher.home.write("ca/ca.pem", Ca::of("a.example").pem());
        let after = Duration::from_millis(fastrand::u64(0..LONGEST_ROTATION));
        let looking = async {
            loop {
                see(fetch(address).await);
            }
        };
        let _ = tokio::time::timeout(after, looking).await;
        service.kill().await;
    }
    publisher.start().await.0.stop().await;
}

/// The sequence of every revision in the history.
async fn stored(home: &Home) -> BTreeMap<u64, u64> {
    let options = SqliteConnectOptions::new().filename(home.path("comity.db"));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let rows = sqlx::query("SELECT number, bundle FROM revisions").fetch_all(&pool).await.unwrap();
    let read = |row: &sqlx::sqlite::SqliteRow| {
        let document: Value = serde_json::from_slice(row.get("bundle")).unwrap();
        (u64::try_from(row.get::<i64, _>("number")).unwrap(), document["spiffe_sequence"].as_u64().unwrap())
    };
    rows.iter().map(read).collect()
}

/// Rounds, in each of which it is killed at its start and later.
const KILLS: usize = 15;
/// Milliseconds from the start to the kill, at most.
const LONGEST_START: u64 = 100;
/// Milliseconds from the first answer to the kill, at most.
const LONGEST_LIFE: u64 = 300;
/// Milliseconds from a change of our keys to the kill, at most; the change is noticed in between.
const LONGEST_ROTATION: u64 = 600;
