//! Peers that lie at random, by a seed that a failure names, beside nine that are well and must not notice.

use std::fs;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;

use crate::partner::Partner;
use crate::service::Service;
use crate::support::answer::{Answer, Delivery};
use crate::support::ca::{Ca, Identity, Leaf};
use crate::support::jwks::document_of;

const HEALTHY: usize = 9;
const LIARS: usize = 50;
/// At night a thousand seeds.
const NIGHTLY_ROUNDS: usize = 20;
/// Far below the time after which a fetch is given up.
const PROMPT: Duration = Duration::from_secs(8);

#[tokio::test]
async fn fec_25_26_liars_by_seed_harm_nobody_and_prove_nothing() {
    let rounds = std::env::var_os("COMITY_NIGHTLY").map_or(1, |_| NIGHTLY_ROUNDS);
    let (cas, healthy) = domains::<HEALTHY>("well").await;
    let (liar_cas, liars) = domains::<LIARS>("liar").await;
    healthy.iter().zip(&cas).for_each(|(partner, ca)| partner.publishes(1, &[ca]));
    let relationships: Vec<_> = healthy.iter().chain(&liars).map(Partner::relationship).collect();
    let relationships: [_; HEALTHY + LIARS] = relationships.try_into().unwrap_or_else(|_| unreachable!());
    let service = Service::started(relationships).await;
    let mut resources = Vec::new();
    for round in 0..rounds {
        for (number, (liar, ca)) in liars.iter().zip(&liar_cas).enumerate() {
            script(round * LIARS + number, liar, ca);
        }
        let lies = join_all((0..LIARS).map(|number| refresh(&service, number, round)));
        let (_, ()) = tokio::join!(lies, stay_well(&service, &healthy, &cas, round));
        believed_by_nobody(&service, &liar_cas);
        resources.push((open_files(), resident_kilobytes()));
    }
    let ((files, _), (last_files, last_memory)) = (resources[0], resources[resources.len() - 1]);
    let memory = resources[..resources.len().div_ceil(2)].iter().map(|(_, memory)| *memory).max().unwrap_or(0);
    assert!(last_files <= files + 20, "file descriptors grow: {resources:?}");
    assert!(last_memory <= memory + 16 * 1024, "memory grows: {resources:?}");
    println!("descriptors and memory: {resources:?}");
}

async fn domains<const N: usize>(name: &str) -> ([Ca; N], [Partner; N]) {
    let names: [String; N] = std::array::from_fn(|number| format!("{name}{number}.example"));
    let partners = join_all(names.iter().map(|name| Partner::web(name))).await;
    (names.map(|name| Ca::of(&name)), partners.try_into().unwrap_or_else(|_| unreachable!()))
}

/// Each fetch ends, however it may, and its status is told.
async fn refresh(service: &Service, number: usize, round: usize) {
    let name = format!("liar{number}.example");
    let status = timeout(Duration::from_secs(45), service.refresh(&name)).await;
    let status = status.unwrap_or_else(|_| panic!("seed {}: the fetch does not end", round * LIARS + number));
    let code = &status["last_error"]["code"];
    assert!(code.is_null() || code.as_str().is_some_and(|code| code.contains('-')), "{status}");
}

/// Changes of the healthy are accepted at once, again and again, while the liars lie.
async fn stay_well(service: &Service, healthy: &[Partner], cas: &[Ca], round: usize) {
    for turn in 1..=3 {
        for (number, (partner, ca)) in healthy.iter().zip(cas).enumerate() {
            let sequence = u64::try_from(3 * round + turn + 1).unwrap();
            partner.publishes(sequence, &[ca]);
            let refresh = timeout(PROMPT, service.refresh(&format!("well{number}.example"))).await;
            let status = refresh.unwrap_or_else(|_| panic!("well{number}.example is kept waiting in round {round}"));
            assert_eq!((&status["state"], &status["sequence"]), (&json!("current"), &json!(sequence)), "{status}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Whatever the liars made us accept, none speaks for another domain.
fn believed_by_nobody(service: &Service, liars: &[Ca]) {
    for ca in liars {
        assert_ne!(service.verdict(&ca.svid("spiffe://well0.example/web")), "accepted");
        assert_ne!(service.verdict(&ca.svid("spiffe://a.example/web")), "accepted");
    }
}

/// What this liar shows and says until the next round.
fn script(seed: usize, liar: &Partner, ca: &Ca) {
    let mut rng = Rng::with_seed(u64::try_from(seed).unwrap());
    if rng.u8(..4) == 0 {
        liar.peer.show(&certificate(&mut rng, ca));
    }
    let document = document_of(rng.u64(1..5), &[ca]);
    liar.peer.answer(answer(&mut rng, document));
}

fn certificate(rng: &mut Rng, ca: &Ca) -> Identity {
    let web = Ca::web("another");
    match rng.u8(..5) {
        0 => web.server("127.0.0.1"),
        1 => web.server("elsewhere.example"),
        2 => ca.svid("spiffe://well0.example/endpoint"),
        3 => ca.issue(Leaf { hosts: vec!["127.0.0.1".into()], not_after: 1_600_000_000, ..Leaf::default() }),
        _ => ca.issue(Leaf { uris: vec!["spiffe://x".into(), "https://y".into()], is_ca: true, ..Leaf::default() }),
    }
}

fn answer(rng: &mut Rng, document: Vec<u8>) -> Answer {
    let status = [200, 200, 200, 200, 200, 200, 204, 206, 301, 304, 404, 500, 999][rng.usize(..13)];
    let body = body(rng, document);
    let answer = Answer::bare(status).with_body(body.clone());
    let answer = match rng.u8(..6) {
        0 => answer,
        1 => answer.header("Content-Length", &rng.u64(..).to_string()),
        2 => answer.header("Transfer-Encoding", "chunked"),
        _ => answer.header("Content-Length", &body.len().to_string()),
    };
    let answer = (0..rng.usize(..3)).fold(answer, |answer, _| header(rng, answer));
    answer.by(delivery(rng))
}

fn header(rng: &mut Rng, answer: Answer) -> Answer {
    match rng.u8(..9) {
        0 => answer.header("Content-Encoding", ["gzip", "br", "deflate", "gzip, gzip", "identity"][rng.usize(..5)]),
        1 => answer.header(
            "Location",
            ["/", "http://127.0.0.1/", "https://169.254.169.254/", "//x", "\u{7f}"][rng.usize(..5)],
        ),
        2 => answer.header("ETag", ["\"a\"", "W/\"b\"", "c", "\"", "\"a b\""][rng.usize(..5)]),
        3 => answer.header("X-Long", &"a".repeat(rng.usize(..600_000))),
        4 => (0..rng.usize(..300)).fold(answer, |answer, number| answer.header(&format!("X-{number}"), "y")),
        5 => answer.header("Age", &rng.i64(..).to_string()),
        6 => answer.header("X-Folded", "a\r\n b"),
        7 => answer.header("X-Control", "\u{1}\u{1b}[31m"),
        _ => answer.header("Content-Length", "7"),
    }
}

fn body(rng: &mut Rng, document: Vec<u8>) -> Vec<u8> {
    match rng.u8(..10) {
        0..=2 => document,
        3 | 4 => {
            let mut mutated = document;
            for _ in 0..rng.usize(1..8) {
                let place = rng.usize(..mutated.len());
                mutated[place] = rng.u8(..);
            }
            mutated
        }
        5 => document[..rng.usize(..document.len())].to_vec(),
        6 => (0..rng.usize(..5000)).map(|_| rng.u8(..)).collect(),
        7 => "[".repeat(rng.usize(..200_000)).into_bytes(),
        8 => vec![b' '; rng.usize(..3 << 20)],
        _ => format!("{{\"keys\":[{}null]}}", "{},".repeat(rng.usize(..20_000))).into_bytes(),
    }
}

fn delivery(rng: &mut Rng) -> Delivery {
    match rng.u8(..20) {
        0 => Delivery::CutOff,
        1 => Delivery::Stall,
        2 => Delivery::Drip(Duration::from_millis(rng.u64(1..900))),
        3 => Delivery::Endless,
        4 => Delivery::Silent,
        _ => Delivery::Whole,
    }
}

pub(crate) fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

pub(crate) fn resident_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
