//! A day of polls in minutes: the wall clock is moved from poll to poll, while peers rotate, fall silent, lie and come back.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::runtime::Handle;

use crate::partner::{Partner, Relationship};
use crate::seeded::{open_files, resident_kilobytes};
use crate::service::Service;
use crate::support::answer::{Answer, Delivery};
use crate::support::ca::Ca;

#[tokio::test]
async fn a_day_of_rotations_outages_and_lies_leaves_every_state_right_and_everything_bounded() {
    let nightly = std::env::var_os("COMITY_NIGHTLY").is_some();
    let ticks = if nightly { DAY } else { BRIEF };
    let mut peers = join_all((0..PEERS).map(Story::new)).await;
    let relationships: Vec<_> = peers.iter().map(Story::relationship).collect();
    let relationships: [_; PEERS] = relationships.try_into().unwrap_or_else(|_| unreachable!());
    let mut service = Service::with(relationships).await;
    let mut held = Vec::new();
    for tick in 1..=ticks {
        service.advance(POLL);
        let polls = peers.iter_mut().map(|peer| peer.live(tick, nightly, &service));
        join_all(polls).await;
        if tick % HOUR == 0 {
            for peer in &peers {
                peer.is_seen_as_it_is(tick, &service).await;
            }
            held.push((Handle::current().metrics().num_alive_tasks(), open_files(), resident_kilobytes()));
        }
        if tick == ticks / 2 {
            service.restart().await;
        }
    }
    println!("tasks, descriptors and memory in KiB by the hour: {held:?}");
    let (first, last) = (held[0], held[held.len() - 1]);
    assert!(last.0 <= first.0 + 10, "tasks are left behind: {held:?}");
    if nightly {
        // Only there does the process run nothing else.
        assert!(last.1 <= first.1 + 10, "descriptors are left behind: {held:?}");
        assert!(last.2 <= held[held.len() / 2].2 + 16 * 1024, "memory grows: {held:?}");
    }
    service.stop().await;
    histories_are_bounded(&service, &peers).await;
}

async fn histories_are_bounded(service: &Service, peers: &[Story]) {
    let store = service.path("comity.db");
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&store)).await.unwrap();
    let count = "SELECT trust_domain, count(*), sum(length(bundle)) FROM revisions GROUP BY trust_domain";
    let rows = sqlx::query(count).fetch_all(&pool).await.unwrap();
    let kept: BTreeMap<String, (i64, i64)> = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    for peer in peers {
        let (revisions, bytes) = kept[&peer.name];
        assert_eq!(revisions, i64::try_from(peer.accepted_ever.min(1_000)).unwrap(), "{}", peer.name);
        assert!(bytes <= 16 << 20, "{}: {bytes}", peer.name);
    }
    let size = fs::metadata(&store).unwrap().len();
    let used: i64 = kept.values().map(|(_, bytes)| bytes).sum();
    println!("store of {size} bytes for documents of {used}: {kept:?}");
    assert!(size <= 2 * u64::try_from(used).unwrap() + (1 << 20), "{size} for {used}");
}

/// One peer, and what must be thought of it.
struct Story {
    number: usize,
    name: String,
    partner: Partner,
    /// The oldest is not published any more, the last two are.
    cas: Vec<Ca>,
    sequence: u64,
    /// Documents that had to be accepted.
    accepted_ever: usize,
    accepted: u64,
    /// The tick of the last poll that confirmed the accepted bundle.
    confirmed: usize,
    outcome: &'static str,
}

/// What a peer does at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Rotates,
    Rests,
    FallsSilent,
    /// Serves its very first bundle again.
    Replays,
    Babbles,
}

impl Story {
    async fn new(number: usize) -> Self {
        let name = format!("peer{number}.example");
        let cas = vec![Ca::of(&name), Ca::of(&name), Ca::of(&name)];
        let partner = Partner::publishing(&name, 1, &[&cas[1], &cas[2]]).await;
        let (sequence, accepted, accepted_ever) = (1, 1, 1);
        Self { number, name, partner, cas, sequence, accepted_ever, accepted, confirmed: 0, outcome: "current" }
    }

    /// Its own schedule, which real time drives, stays out of the way.
    fn relationship(&self) -> Relationship {
        let staleness = POLL * u32::try_from(STALE).unwrap();
        let relationship = self.partner.relationship().with("minimum_interval", "1h");
        relationship.with("maximum_staleness", format!("{}s", staleness.as_secs()))
    }

    /// By five characters: always at it, hourly, with outages, a liar and a babbler.
    fn act(&self, tick: usize) -> Act {
        let tick = tick + self.number;
        match self.number % 5 {
            0 => Act::Rotates,
            2 if tick / (2 * HOUR) % 3 == 1 => Act::FallsSilent,
            3 if tick / HOUR % 4 == 2 => Act::Replays,
            4 if tick / (HOUR / 2) % 3 == 1 => Act::Babbles,
            _ if tick.is_multiple_of(HOUR) => Act::Rotates,
            _ => Act::Rests,
        }
    }

    /// Does it, and is polled.
    async fn live(&mut self, tick: usize, nightly: bool, service: &Service) {
        let act = self.act(tick);
        let turns = if nightly && self.number == 0 { RESTLESS } else { 1 };
        for _ in 0..turns {
            self.perform(act, tick);
            service.refresh(&self.name).await;
        }
    }

    fn perform(&mut self, act: Act, tick: usize) {
        match act {
            Act::Rotates => {
                self.cas.remove(0);
                self.cas.push(Ca::of(&self.name));
                self.sequence += 1;
                self.accepted_ever += 1;
            }
            Act::Rests => {}
            Act::FallsSilent => {
                self.partner.peer.answer([Answer::status(503, "down"), cut_off()][tick % 2].clone());
                self.outcome = "failing";
                return;
            }
            Act::Replays => {
                self.partner.publishes(self.sequence - 1, &[&self.cas[0], &self.cas[1]]);
                self.outcome = "held";
                return;
            }
            Act::Babbles => {
                self.partner.answers(["{}", "{\"keys\":7}", "[", "<html>"][tick % 4]);
                self.outcome = "failing";
                return;
            }
        }
        self.partner.publishes(self.sequence, &[&self.cas[1], &self.cas[2]]);
        (self.accepted, self.confirmed, self.outcome) = (self.sequence, tick, "current");
    }

    async fn is_seen_as_it_is(&self, tick: usize, service: &Service) {
        let status = service.status(&self.name).await;
        let age = tick - self.confirmed;
        let state = if age >= STALE { "stale" } else { self.outcome };
        let seen = ["state", "age_seconds", "sequence"].map(|field| &status[field]);
        let seconds = POLL.as_secs() * u64::try_from(age).unwrap();
        let expected = [json!(state), json!(seconds), json!(self.accepted)];
        assert_eq!(seen, expected.each_ref(), "{} at tick {tick}: {status:#}", self.name);
        assert!(status["held"].as_array().unwrap().len() <= 1, "{status:#}");
        let svid = |ca: &Ca| ca.svid(&format!("spiffe://{}/web", self.name));
        let verdicts = [2, 1, 0].map(|at| service.verdict(&svid(&self.cas[at])));
        match state {
            "stale" => assert_eq!(verdicts, ["bundle-stale"; 3], "{} at tick {tick}", self.name),
            _ => {
                assert_eq!(verdicts[..2], ["accepted"; 2], "{} at tick {tick}", self.name);
                assert_ne!(verdicts[2], "accepted", "{} at tick {tick}", self.name);
            }
        }
    }
}

fn cut_off() -> Answer {
    Answer::truncated("{", 100).by(Delivery::CutOff)
}

/// Time between two polls by the peers' hint.
const POLL: Duration = Duration::from_secs(300);
/// Polls in an hour, and in a day.
const HOUR: usize = 12;
const DAY: usize = 24 * HOUR;
const BRIEF: usize = 3 * HOUR;
/// Polls without a confirmation after which a bundle is stale.
const STALE: usize = 18;
const PEERS: usize = 20;
/// Polls per tick of one peer at night, enough to outgrow the history.
const RESTLESS: usize = 4;
