use super::*;

/// A request that would rather wait; what it is answered.
async fn wait(endpoint: &Endpoint, protocol: &str, prefer: &str) -> Response {
    let client = endpoint.client_that_speaks(&[protocol]);
    let request = client.get(endpoint.url("/bundle")).header("accept-encoding", "identity");
    request.header("if-none-match", etag()).header("prefer", prefer).send().await.unwrap()
}

fn etag() -> String {
    published(DOCUMENT).document.identity.etag.clone()
}

async fn until_waiting(endpoint: &Endpoint, waits: i64) {
    while endpoint.metrics.waits("https_web") != waits {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_wait_ends_with_the_next_bundle() {
    for protocol in PROTOCOLS {
        let endpoint = Endpoint::start(DOCUMENT);
        let (response, ()) = tokio::join!(wait(&endpoint, protocol, "respond-async, wait=\"50\""), async {
            until_waiting(&endpoint, 1).await;
            endpoint.bundle.send_replace(Some(published(DOCUMENT)));
            endpoint.bundle.send_replace(Some(published(b"{}")));
        });
        assert_eq!((response.status().as_u16(), header(&response, "preference-applied")), (200, Some("wait=50")));
        assert_eq!(response.text().await.unwrap(), "{}", "{protocol}");
        until_waiting(&endpoint, 0).await;
    }
}

#[tokio::test]
async fn a_wait_outlasts_every_other_limit_and_ends_when_its_time_is_over() {
    // Shorter ones are lost in the clock that the server keeps for them.
    let short = Duration::from_secs(1);
    let limits = ListenerLimits { head_timeout: short, ..ListenerLimits::default() };
    for protocol in PROTOCOLS {
        let endpoint = Endpoint::limited(DOCUMENT, limits);
        let response = wait(&endpoint, protocol, "wait=3").await;
        assert_eq!((response.status().as_u16(), header(&response, "preference-applied")), (304, Some("wait=3")));
        assert_eq!(header(&response, "etag"), Some(etag().as_str()));
        assert_eq!(header(&response, "vary"), Some("Accept-Encoding, Prefer"));
        assert_eq!(header(&response, "cache-control"), Some("no-cache"), "{protocol}");
    }
}

#[tokio::test]
async fn a_wait_is_cut_to_what_it_may_be_and_said_so() {
    let endpoint = Endpoint::start(DOCUMENT);
    let (response, ()) = tokio::join!(wait(&endpoint, "h2", "wait=86400"), async {
        until_waiting(&endpoint, 1).await;
        endpoint.bundle.send_replace(Some(published(b"{}")));
    });
    assert_eq!(header(&response, "preference-applied"), Some("wait=60"));
}

#[tokio::test]
async fn whatever_there_is_to_say_at_once_is_said_at_once() {
    let endpoint = Endpoint::start(DOCUMENT);
    let tag = etag();
    let (wait, known) = (("prefer", "wait=50"), ("if-none-match", tag.as_str()));
    for (name, method, path, headers, status) in [
        ("unconditional", "GET", "/bundle", vec![wait], 200),
        ("another document", "GET", "/bundle", vec![wait, ("if-none-match", "\"x\"")], 200),
        ("any document", "GET", "/bundle", vec![wait, ("if-none-match", "*")], 304),
        ("HEAD", "HEAD", "/bundle", vec![wait, known], 304),
        ("POST", "POST", "/bundle", vec![wait, known], 405),
        ("another path", "GET", "/", vec![wait, known], 404),
        ("no wait", "GET", "/bundle", vec![("prefer", "wait=0"), known], 304),
        ("no number", "GET", "/bundle", vec![("prefer", "wait=soon"), known], 304),
        ("something else", "GET", "/bundle", vec![("prefer", "respond-async"), known], 304),
    ] {
        for protocol in PROTOCOLS {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = endpoint.client_that_speaks(&[protocol]).request(method, endpoint.url(path));
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let response = request.header("accept-encoding", "identity").send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{name}");
            assert_eq!(header(&response, "preference-applied"), None, "{name}");
        }
    }
}

#[tokio::test]
async fn more_waits_than_may_be_are_answered_at_once_until_a_client_hangs_up_fes_16() {
    for protocol in PROTOCOLS {
        let endpoint = Endpoint::start(DOCUMENT);
        let mut first = Box::pin(wait(&endpoint, protocol, "wait=50"));
        let second = Box::pin(wait(&endpoint, protocol, "wait=50"));
        let journey = async {
            until_waiting(&endpoint, 2).await;
            let third = wait(&endpoint, protocol, "wait=50").await;
            assert_eq!((third.status().as_u16(), header(&third, "preference-applied")), (304, None), "{protocol}");
        };
        tokio::select! {
            _ = &mut first => panic!("{protocol}: answered"),
            () = async { drop(tokio::join!(second, journey)) } => panic!("{protocol}: the second one was answered"),
            // Dropped, the second client hangs up.
            () = has_refused(&endpoint) => {}
        }
        tokio::select! {
            _ = &mut first => panic!("{protocol}: answered"),
            () = until_waiting(&endpoint, 1) => {}
        }
        drop(first);
        until_waiting(&endpoint, 0).await;
    }
}

/// Until somebody has been told 304.
async fn has_refused(endpoint: &Endpoint) {
    while endpoint.metrics.requests("https_web", 304) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn waits_over_one_connection_count_as_over_many() {
    let endpoint = Endpoint::start(DOCUMENT);
    let client = endpoint.client_that_speaks(&["h2"]);
    // So that all share it.
    client.get(endpoint.url("/bundle")).send().await.unwrap();
    let request = || client.get(endpoint.url("/bundle")).header("accept-encoding", "identity");
    let wait = || request().header("if-none-match", etag()).header("prefer", "wait=50").send();
    tokio::select! {
        _ = wait() => panic!("answered"),
        _ = wait() => panic!("answered"),
        () = async {
            until_waiting(&endpoint, 2).await;
            assert_eq!(header(&wait().await.unwrap(), "preference-applied"), None);
        } => {}
    }
    // The client took both requests back, over a connection that goes on.
    until_waiting(&endpoint, 0).await;
    assert_eq!(endpoint.metrics.open_connections("https_web"), 1);
}

#[tokio::test]
async fn what_is_sent_behind_a_wait_is_answered_after_it() {
    let endpoint = Endpoint::start(DOCUMENT);
    let mut tls = endpoint.connect().await;
    let wait = format!(
        "GET /bundle HTTP/1.1\r\nhost: x\r\naccept-encoding: identity\r\nif-none-match: {}\r\nprefer: wait=50\r\n\r\n",
        etag()
    );
    tls.write_all(wait.as_bytes()).await.unwrap();
    tls.write_all(&b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000)).await.unwrap();
    tls.write_all(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    until_waiting(&endpoint, 1).await;
    endpoint.bundle.send_replace(Some(published(b"{}")));
    let mut answers = Vec::new();
    tls.read_to_end(&mut answers).await.unwrap();
    let answers = String::from_utf8(answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 200 OK"), "{answers:.100}");
    assert_eq!(answers.matches("HTTP/1.1 404 Not Found").count(), 2_001);
}

#[tokio::test]
async fn a_stop_answers_all_that_wait() {
    for protocol in PROTOCOLS {
        let mut endpoint = Endpoint::start(DOCUMENT);
        let begun = Instant::now();
        let (response, ()) = tokio::join!(wait(&endpoint, protocol, "wait=50"), async {
            until_waiting(&endpoint, 1).await;
            endpoint.stop.cancel();
        });
        assert_eq!(response.status(), 304, "{protocol}");
        assert_eq!(header(&response, "connection"), (protocol == "http/1.1").then_some("close"));
        endpoint.tasks.join_next().await.unwrap().unwrap().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(50), "{protocol}");
    }
}

const PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];
