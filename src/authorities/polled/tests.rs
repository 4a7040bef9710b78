use std::net::Ipv4Addr;
use std::sync::Mutex;

use async_trait::async_trait;
use rustls::time_provider::DefaultTimeProvider;
use tokio::time::Instant;

use super::*;
use crate::authorities::get::{Got, Referrer};
use crate::authorities::source::{Board, board};
use crate::support::ca::Ca;

/// Answers in turn: the CAs that each has, or a failure.
struct Script {
    answers: Vec<Option<&'static [usize]>>,
    cas: [Ca; 2],
    board: Board,
    /// At each request the time since the last, in ten seconds rounded up, and how many keys are known.
    seen: Mutex<Vec<(u64, usize)>>,
    last: Mutex<Instant>,
    stop: CancellationToken,
}

#[async_trait]
impl Get for Script {
    async fn get(&self, _: &Wanted<'_>) -> Result<Got, NotGot> {
        let waited = std::mem::replace(&mut *self.last.lock().unwrap(), Instant::now()).elapsed();
        let known = self.board.borrow()[0].authorities.as_ref().map_or(0, |authorities| authorities.len());
        let answer = {
            let mut seen = self.seen.lock().unwrap();
            seen.push((waited.as_secs().div_ceil(10), known));
            self.answers.get(seen.len() - 1).copied()
        };
        match answer {
            Some(Some(cas)) => {
                let body = cas.iter().map(|place| self.cas[*place].pem()).collect::<String>().into();
                let referrer = Referrer { address: Ipv4Addr::LOCALHOST.into(), left: Duration::ZERO };
                Ok(Got { body, referrer })
            }
            Some(None) => Err(NotGot { code: "connect-failed", detail: String::new() }),
            None => {
                self.stop.cancel();
                std::future::pending().await
            }
        }
    }
}

/// Asks once a minute, until there are no more answers.
async fn followed(answers: &[Option<&'static [usize]>]) -> Arc<Script> {
    let url = "https://a.example/".to_owned();
    let script = Arc::new(Script {
        answers: answers.to_vec(),
        cas: [Ca::web("first"), Ca::web("second")],
        board: board([(url.clone(), SvidType::X509Svid)]),
        seen: Mutex::default(),
        last: Mutex::new(Instant::now()),
        stop: CancellationToken::new(),
    });
    let (origin, interval) = (Origin::Certificates(url), Duration::from_secs(60));
    let source = PolledSource { origin, root_certificates: None, bearer_token: None, interval };
    let report = Reporter::new(script.board.clone(), 0, Arc::new(DefaultTimeProvider));
    source.follow("a.example".parse().unwrap(), script.clone(), report, script.stop.clone()).await;
    script
}

/// What no parser should do.
struct Panics;

#[async_trait]
impl Get for Panics {
    async fn get(&self, _: &Wanted<'_>) -> Result<Got, NotGot> {
        panic!("at what it was told");
    }
}

#[tokio::test]
async fn a_panic_is_the_failure_of_the_source() {
    let origin = Origin::Certificates("https://a.example/".into());
    let interval = Duration::from_secs(60);
    let source = PolledSource { origin, root_certificates: None, bearer_token: None, interval };
    let board = board([(source.name().to_owned(), source.svid_type())]);
    let (mut seen, stop) = (board.subscribe(), CancellationToken::new());
    let report = Reporter::new(board, 0, Arc::new(DefaultTimeProvider));
    let following = source.follow("a.example".parse().unwrap(), Arc::new(Panics), report, stop.clone());
    let failed = async {
        seen.wait_for(|board| board[0].problem.as_ref().is_some_and(|why| why.code == "source-panicked"))
            .await
            .unwrap();
        stop.cancel();
    };
    tokio::join!(following, failed);
}

#[tokio::test(start_paused = true)]
async fn servers_behind_one_name_that_know_different_keys_retire_none() {
    let (first, second, both): (&[usize], &[usize], &[usize]) = (&[0], &[1], &[0, 1]);
    for (answers, expected) in [
        (vec![Some(both), Some(first), Some(both), Some(first)], [(0, 0), (1, 2), (1, 2), (6, 2), (1, 2)]),
        (vec![Some(both), Some(first), None, Some(first)], [(0, 0), (1, 2), (1, 2), (1, 2), (6, 1)]),
        (vec![Some(first), Some(both), Some(second), Some(second)], [(0, 0), (1, 1), (6, 2), (1, 2), (6, 1)]),
    ] {
        assert_eq!(*followed(&answers).await.seen.lock().unwrap(), expected, "{answers:?}");
    }
}

#[test]
fn a_query_is_in_no_name_and_each_name_is_there_once() {
    let source = |url: &str| PolledSource {
        origin: Origin::Certificates(url.into()),
        root_certificates: None,
        bearer_token: None,
        interval: Duration::from_secs(60),
    };
    let sources = ["https://a.example/ca?token=s3cret", "https://b.example/", "https://a.example/ca?dc=2"];
    let names = PolledSource::names(&sources.map(source));
    assert_eq!(names, ["https://a.example/ca", "https://b.example/", "https://a.example/ca#2"]);
}

#[test]
fn what_was_never_read_is_asked_soon_and_then_less_often() {
    let minute = Duration::from_secs(60);
    for (attempts, has_been_read, expected) in
        [(1, false, 1), (2, false, 2), (4, false, 8), (7, false, 60), (u32::MAX, false, 60), (1, true, 60)]
    {
        assert_eq!(wait(minute, attempts, has_been_read), Duration::from_secs(expected), "{attempts}");
    }
    assert_eq!(wait(FIRST / 2, 1, false), FIRST / 2);
}
