//! A stop under load: what was answered is whole, and nobody waits for a connection that does nothing.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Certificate, Version};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::process::within;
use crate::publisher::{Publisher, publishes};
use crate::support::ca::Ca;
use crate::support::install_crypto;
use crate::wire::{Connection, Response};

#[tokio::test]
async fn fes_16_a_stop_under_load_cuts_no_answer_short() {
    install_crypto();
    let ca = Ca::of("a.example");
    let publisher = Publisher::new(&[("ca.pem", &ca.pem())], "");
    let (service, address) = publisher.start().await;
    let document = publishes(address, &[&ca]).await;
    let (answered, mut answers) = watch::channel(0);
    let (mut one, mut two) = (JoinSet::new(), JoinSet::new());
    for _ in 0..CLIENTS {
        one.spawn(ask_over_http_1(address, document.clone(), answered.clone()));
        two.spawn(ask_over_http_2(address, publisher.web.pem(), document.clone(), answered.clone()));
    }
    let mut waiting = Connection::tls(address).await.unwrap();
    within(answers.wait_for(|count| *count >= 20 * CLIENTS)).await.unwrap();
    waiting.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(waiting.begins_to_answer().await);
    service.signal("TERM").await;
    assert_eq!(waiting.read("GET").await.unwrap().body, document.body);
    let (status, log) = service.ended().await;
    assert!(status.success() && !log.contains("outlived"), "{status}\n{log}");
    for (name, clients) in [("HTTP/1.1", one), ("HTTP/2", two)] {
        let lost: usize = within(clients.join_all()).await.into_iter().sum();
        assert_eq!(lost, 0, "{name} connections that ended before an answer began");
    }
    assert!(TcpStream::connect(address).await.is_err());
}

/// Asks over one connection until it ends; how many requests had no answer. One that begins is whole.
async fn ask_over_http_1(address: SocketAddr, document: Response, answered: watch::Sender<usize>) -> usize {
    let mut connection = within(Connection::tls(address)).await.unwrap();
    loop {
        if connection.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_err() {
            return 0;
        }
        if !within(connection.begins_to_answer()).await {
            return 1;
        }
        let answer = within(connection.read("GET")).await.expect("an answer that begins is whole");
        assert_eq!((answer.status, &answer.body), (200, &document.body));
        answered.send_modify(|count| *count += 1);
        if answer.header("connection") == "close" {
            return 0;
        }
    }
}

/// The same with streams over one connection.
async fn ask_over_http_2(
    address: SocketAddr,
    web: String,
    document: Response,
    answered: watch::Sender<usize>,
) -> usize {
    let client = reqwest::Client::builder()
        .tls_certs_only([Certificate::from_pem(web.as_bytes()).unwrap()])
        .http2_prior_knowledge()
        .resolve("localhost", address)
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/", address.port());
    loop {
        let answer = match client.get(&url).send().await {
            Ok(answer) => answer,
            Err(error) => {
                assert!(!error.is_timeout(), "{error:?}");
                return usize::from(!error.is_connect());
            }
        };
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
        assert_eq!(answer.bytes().await.expect("an answer that begins is whole"), document.body);
        answered.send_modify(|count| *count += 1);
    }
}

const CLIENTS: usize = 4;
