//! Connections that open and stall, beside clients that must not notice.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::process::{Service, until, within};
use crate::publisher::{Publisher, publishes, sequence};
use crate::support::ca::Ca;
use crate::wire::{Connection, Response};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fes_16_connections_that_stall_are_shed_and_nobody_else_waits_for_them() {
    let load = if std::env::var_os("COMITY_NIGHTLY").is_some() { NIGHTLY } else { BRIEF };
    let ca = Ca::of("a.example");
    let publisher = Publisher::new(&[("ca.pem", &ca.pem())], "[operations]\nlisten = \"127.0.0.1:0\"\n");
    let (mut service, address) = publisher.start().await;
    let document = publishes(address, &[&ca]).await;
    let operations = service.address("operations").await;
    let idle = service.resources();

    let (stalled, mut stalling) = watch::channel(0);
    let mut stallers = JoinSet::new();
    for how in Stall::ALL.into_iter().cycle().take(load.stallers) {
        stallers.spawn(stall_again_and_again(address, how, stalled.clone()));
    }
    within(stalling.wait_for(|count| *count >= load.stallers)).await.unwrap();
    let mut clients = JoinSet::new();
    for _ in 0..KEEPERS {
        clients.spawn(ask(address, false, load, document.clone()));
    }
    let seldom = Load { asks: load.asks / SELDOM, pace: load.pace * 10, ..load };
    for _ in 0..RENEWERS {
        clients.spawn(ask(address, true, seldom, document.clone()));
    }
    let (mut waits, mut connections) = (Vec::new(), 0);
    let mut busy = idle;
    while let Some(asked) = clients.join_next().await {
        let (waited, connected) = asked.unwrap();
        waits.extend(waited);
        connections += connected;
        busy = (busy.0.max(service.resources().0), busy.1.max(service.resources().1));
    }
    assert_eq!(waits.len(), KEEPERS * load.asks + RENEWERS * seldom.asks, "every request was answered");
    let times_stalled = *stalling.borrow();
    stallers.shutdown().await;
    println!("{connections} connections for {} answers beside {times_stalled} stalls", waits.len());
    report(&mut waits, [idle, busy, service.resources()]);

    for how in Stall::ALL {
        stallers.spawn(stall(address, how, stalled.clone()));
    }
    while let Some(shed) = within(stallers.join_next()).await {
        shed.unwrap();
    }
    until(async || open_connections(operations).await, |open| *open == 0).await;
    let (files, memory) = service.resources();
    assert!(files <= idle.0 + 20, "descriptors: {idle:?}, then {files}");
    assert!(memory <= idle.1 + 64 * 1024, "memory: {idle:?}, then {memory}");
    service.stop().await;
}

#[tokio::test]
async fn fes_16_a_service_without_descriptors_to_spare_goes_on_when_it_has_some() {
    let ca = Ca::of("a.example");
    let publisher = Publisher::new(&[("ca.pem", &ca.pem())], "");
    let mut service = publisher.home.start_with_files(FEW_FILES).await;
    let told = service.logged(0, |line| line["code"] == "few-open-files").await;
    assert_eq!((&told["allowed"], &told["needed"]), (&json!(FEW_FILES), &json!(2048)), "connections, and the rest");
    let address = service.address("https_web").await;
    let number = sequence(&publishes(address, &[&ca]).await);
    let mut held = Vec::new();
    for _ in 0..2 * FEW_FILES {
        held.push(within(TcpStream::connect(address)).await.unwrap());
    }
    until(async || service.resources().0, |files| *files >= FEW_FILES).await;
    let new = Ca::of("a.example");
    publisher.home.write("ca/new.pem", new.pem());
    drop(held);
    assert!(sequence(&publishes(address, &[&ca, &new]).await) > number);
    stops_well(service).await;
}

async fn stops_well(service: Service) {
    service.signal("TERM").await;
    let (status, log) = service.ended().await;
    assert!(status.success() && !log.contains("panicked"), "{status}\n{log}");
}

/// What a connection does instead of asking.
#[derive(Clone, Copy, Debug)]
enum Stall {
    /// Nothing at all.
    Mute,
    /// The first bytes of a ClientHello.
    HalfHello,
    /// The first line of a request, after the handshake.
    FirstLine,
    /// A request, a byte per second.
    Drip,
    /// Many requests, and none of the answers is read, with hardly any room for them.
    SlowReader,
}

impl Stall {
    const ALL: [Self; 5] = [Self::Mute, Self::HalfHello, Self::FirstLine, Self::Drip, Self::SlowReader];
}

async fn stall_again_and_again(address: SocketAddr, how: Stall, stalled: watch::Sender<usize>) {
    loop {
        stall(address, how, stalled.clone()).await;
    }
}

/// Goes on until the server ends it.
async fn stall(address: SocketAddr, how: Stall, stalled: watch::Sender<usize>) {
    let socket = TcpSocket::new_v4().unwrap();
    if matches!(how, Stall::SlowReader) {
        socket.set_recv_buffer_size(1024).unwrap();
    }
    let mut stream = socket.connect(address).await.unwrap();
    stalled.send_modify(|count| *count += 1);
    match how {
        Stall::Mute => drop(stream.read_u8().await),
        Stall::HalfHello => {
            drop(stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await);
            drop(stream.read_u8().await);
        }
        Stall::FirstLine => beyond_the_handshake(stream, b"GET / HTTP/1.1\r\n", Duration::ZERO).await,
        Stall::Drip => beyond_the_handshake(stream, b"GET / HTTP/1.1\r\nHost: localhost\r\n", SECOND).await,
        Stall::SlowReader => {
            let requests = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(PIPELINED);
            let Ok(mut connection) = Connection::tls_on(stream).await else { return };
            drop(connection.write(&requests).await);
            // Reading would make room; that the server has had enough shows when it takes nothing more.
            while connection.write(b" ").await.is_ok() {
                tokio::time::sleep(SECOND).await;
            }
        }
    }
}

/// Whoever waited too long for the handshake was shed before it.
async fn beyond_the_handshake(stream: TcpStream, bytes: &[u8], pause: Duration) {
    let Ok(mut connection) = Connection::tls_on(stream).await else { return };
    for byte in bytes {
        if connection.write(&[*byte]).await.is_err() {
            return;
        }
        if !pause.is_zero() && tokio::time::timeout(pause, connection.ends()).await.is_ok() {
            return;
        }
    }
    connection.ends().await;
}

/// A client that asks at its pace over one connection, or over a new one each time; how long each answer took, and the
/// number of connections.
async fn ask(address: SocketAddr, renews: bool, load: Load, document: Response) -> (Vec<Duration>, usize) {
    let mut pace = interval(load.pace);
    let (mut kept, mut connections, mut waits) = (None, 0, Vec::new());
    for turn in 0..load.asks {
        pace.tick().await;
        let began = Instant::now();
        let known = [("If-None-Match", document.header("etag"))];
        let headers = if turn % 2 == 0 { &known[..0] } else { &known[..] };
        let answer = within(answer(address, &mut kept, headers, &mut connections)).await;
        waits.push(began.elapsed());
        match turn % 2 {
            0 => assert_eq!((answer.status, &answer.body), (200, &document.body)),
            _ => assert_eq!((answer.status, answer.body.len()), (304, 0)),
        }
        assert_eq!(answer.header("etag"), document.header("etag"));
        kept = kept.filter(|_| !renews);
    }
    (waits, connections)
}

/// As every client does, asks again over a new connection where one ends before an answer begins: on a machine as slow as
/// that, its own part of a handshake or the next request can come too late.
async fn answer(
    address: SocketAddr,
    kept: &mut Option<Connection>,
    headers: &[(&str, &str)],
    connections: &mut usize,
) -> Response {
    loop {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => {
                *connections += 1;
                let Ok(connection) = Connection::tls(address).await else { continue };
                connection
            }
        };
        if connection.request("GET", "/", headers).await.is_ok() && connection.begins_to_answer().await {
            let answer = connection.read("GET").await.expect("an answer that begins is whole");
            *kept = Some(connection);
            return answer;
        }
    }
}

/// What the endpoint counts after the handshake.
async fn open_connections(operations: SocketAddr) -> usize {
    let metrics = Connection::tcp(operations).await.unwrap().ask("GET", "/metrics", &[]).await.unwrap();
    let text = String::from_utf8(metrics.body).unwrap();
    let line = text.lines().find(|line| line.starts_with("comity_endpoint_open_connections{")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn report(waits: &mut [Duration], [idle, busy, after]: [(usize, u64); 3]) {
    waits.sort();
    let [median, high, longest] = [50, 99, 100].map(|percent| waits[(waits.len() - 1) * percent / 100]);
    println!("median {median:?}, 99th percentile {high:?}, longest {longest:?}");
    println!("descriptors and memory in KiB: idle {idle:?}, at most {busy:?}, after {after:?}");
}

/// How many stall at a time, and what each client asks.
#[derive(Clone, Copy)]
struct Load {
    stallers: usize,
    asks: usize,
    pace: Duration,
}

const BRIEF: Load = Load { stallers: 100, asks: 50, pace: Duration::from_millis(20) };
/// 500 requests per second for half a minute.
const NIGHTLY: Load = Load { stallers: 1000, asks: 750, pace: Duration::from_millis(40) };
/// Clients that ask over one connection, and those that open a new one for each of fewer requests.
const KEEPERS: usize = 20;
const RENEWERS: usize = 4;
const SELDOM: usize = 10;
/// More than the server answers ahead of a reader.
const PIPELINED: usize = 64;
const SECOND: Duration = Duration::from_secs(1);
/// A little more than an idle service has open.
const FEW_FILES: usize = 80;
