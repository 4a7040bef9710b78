use h2::client::{Connection, SendRequest};
use h2::{Reason, client};

use super::*;

type Http2 = (SendRequest<Bytes>, Connection<TlsStream<TcpStream>, Bytes>);

async fn http2(endpoint: &Endpoint, client: &client::Builder) -> Http2 {
    let mut config = client_config(&[&endpoint.leaf]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = handshake(endpoint.tcp().await, config).await.unwrap();
    client.handshake(stream).await.unwrap()
}

fn request(endpoint: &Endpoint) -> http::Request<()> {
    http::Request::get(endpoint.url("/bundle")).body(()).unwrap()
}

async fn until_closed(endpoint: &Endpoint) {
    while endpoint.metrics.open_connections("https_web") > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn fes_16_a_head_that_is_too_large_is_refused() {
    let endpoint = Endpoint::start(DOCUMENT);
    for protocol in ["h2", "http/1.1"] {
        let client = endpoint.client_that_speaks(&[protocol]);
        for (bytes, status) in [(8 << 10, 200), (17 << 10, 431)] {
            let request = client.get(endpoint.url("/bundle")).header("x-large", "x".repeat(bytes));
            assert_eq!(request.send().await.unwrap().status(), status, "{protocol}: {bytes} bytes");
        }
    }
}

#[tokio::test]
async fn fes_16_a_connection_has_so_many_streams_and_no_more() {
    let endpoint = Endpoint::start(DOCUMENT);
    let (mut requests, mut connection) = http2(&endpoint, &client::Builder::new()).await;
    let (answer, _) = requests.send_request(request(&endpoint), true).unwrap();
    tokio::select! {
        ended = &mut connection => panic!("{ended:?}"),
        answer = answer => assert_eq!(answer.unwrap().status(), 200),
    }
    assert_eq!(connection.max_concurrent_send_streams(), 16);
    assert_eq!(requests.current_max_send_streams(), 16);
}

#[tokio::test]
async fn fes_16_a_connection_that_asks_nothing_ends_though_somebody_is_there() {
    let head_timeout = Duration::from_millis(200);
    let endpoint = Endpoint::limited(DOCUMENT, ListenerLimits { head_timeout, ..Default::default() });
    let (mut requests, mut connection) = http2(&endpoint, &client::Builder::new()).await;
    let (answer, _) = requests.send_request(request(&endpoint), true).unwrap();
    tokio::select! {
        ended = &mut connection => panic!("{ended:?}"),
        answer = answer => assert_eq!(answer.unwrap().status(), 200),
    }
    // The server may be gone before the client's farewell.
    drop(connection.await);
    until_closed(&endpoint).await;
    // And one that doesn't even begin to speak it.
    let mut config = client_config(&[&endpoint.leaf]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut silent = handshake(endpoint.tcp().await, config).await.unwrap();
    drop(silent.read_to_end(&mut Vec::new()).await);
}

#[tokio::test]
async fn fes_16_an_answer_that_is_never_read_is_dropped() {
    let short = Duration::from_millis(200);
    let limits = ListenerLimits { head_timeout: short, answer_timeout: short, ..Default::default() };
    let endpoint = Endpoint::limited(DOCUMENT, limits);
    let (mut requests, connection) = http2(&endpoint, client::Builder::new().initial_window_size(0)).await;
    let (answer, _) = requests.send_request(request(&endpoint), true).unwrap();
    let mut connection = JoinSet::from_iter([connection]);
    assert_eq!(answer.await.unwrap().status(), 200);
    until_closed(&endpoint).await;
    drop(connection.join_next().await);
}

#[tokio::test]
async fn a_stop_takes_leave_and_answers_what_was_asked() {
    let mut endpoint = Endpoint::start(DOCUMENT);
    let (requests, connection) = http2(&endpoint, &client::Builder::new()).await;
    let mut connection = JoinSet::from_iter([connection]);
    endpoint.stop.cancel();
    let mut answered = 0;
    let refused = loop {
        let asked = async {
            let (answer, _) = requests.clone().ready().await?.send_request(request(&endpoint), true)?;
            answer.await
        };
        match asked.await {
            Ok(answer) => assert_eq!(answer.status(), 200),
            Err(error) => break error,
        }
        answered += 1;
    };
    assert!(answered > 0);
    // Whoever hears this may ask again elsewhere: nothing was made of the request (RFC 9113 §6.8).
    assert!(refused.is_go_away() && refused.reason() == Some(Reason::NO_ERROR), "{refused:?}");
    drop(requests);
    drop(connection.join_next().await);
    endpoint.tasks.join_next().await.unwrap().unwrap().unwrap();
}
