//! What may be answered, how much of it, and how slowly (FEC-23 to FEC-28).

use std::time::Instant;

use crate::spiffe::public_key::Fingerprint;
use crate::support::answer::Answer;
use crate::support::answer::Delivery;
use crate::support::jwks::document_of;

use super::super::error::Stage;
use super::*;

#[tokio::test]
async fn fec_23_only_200_brings_a_bundle_whatever_the_body_says() {
    let (peer, fetch) = web_peer().await;
    let body = document_of(1, &[&Ca::of("b.example")]);
    for status in [201, 202, 203, 206, 300, 400, 401, 403, 404, 410, 429, 500, 502, 503, 599] {
        peer.answer(Answer::status(status, body.clone()));
        let (record, result) = fetch.run().await;
        assert_eq!(result, Err(FetchError::UnexpectedStatus { status }));
        assert_eq!(record.status, Some(status));
    }
    for status in [204, 205] {
        peer.answer(Answer::bare(status));
        assert_eq!(fetch.error().await, FetchError::UnexpectedStatus { status });
    }
}

#[tokio::test]
async fn fec_23_304_is_an_answer_only_to_a_conditional_request() {
    let (peer, fetch) = web_peer().await;
    peer.answer(Answer::bare(304).header("ETag", "\"7\""));
    assert_eq!(fetch.error().await, FetchError::NotModifiedUnasked);
    assert_eq!(fetch.run_with(Some("\"7\"")).await.1, Ok(Body::NotModified));
    let asked: Vec<_> =
        peer.requests().into_iter().map(|request| request.headers.get("if-none-match").cloned()).collect();
    assert_eq!(asked, [None, Some("\"7\"".into())]);
}

#[tokio::test]
async fn a_request_carries_nothing_but_what_it_must() {
    let (peer, fetch) = web_peer().await;
    fetch.run().await.1.unwrap();
    let request = peer.requests().remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/"));
    let mut names: Vec<_> = request.headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
    assert_eq!(request.headers["accept-encoding"], "gzip");
}

#[tokio::test]
async fn fec_24_the_content_type_does_not_matter() {
    let (peer, fetch) = web_peer().await;
    for kind in ["text/plain", "application/json", "application/jwk-set+json", "image/png; charset=\"", ""] {
        peer.answer(Answer::ok("bundle").header("Content-Type", kind));
        assert_eq!(fetch.document().await, b"bundle", "{kind}");
    }
}

#[tokio::test]
async fn only_a_well_formed_entity_tag_is_kept() {
    let (peer, fetch) = web_peer().await;
    for (tag, expected) in [
        ("\"a\"", true),
        ("W/\"a\"", true),
        ("\"\"", true),
        ("a", false),
        ("\"", false),
        ("\"a\"b\"", false),
        ("\"a\", \"b\"", false),
        (&format!("\"{}\"", "a".repeat(300)), false),
    ] {
        peer.answer(Answer::ok("bundle").header("ETag", tag));
        let expected = Body::Document { bytes: b"bundle".to_vec(), etag: expected.then(|| tag.to_owned()) };
        assert_eq!(fetch.run().await.1, Ok(expected), "{tag}");
    }
}

#[tokio::test]
async fn fec_25_gzip_is_undone_and_nothing_else_is_accepted() {
    let (peer, fetch) = web_peer().await;
    peer.answer(Answer::gzip(b"bundle"));
    let (record, result) = fetch.run().await;
    assert!(matches!(result, Ok(Body::Document { bytes, .. }) if bytes == b"bundle"));
    assert_eq!((record.bytes, record.digest), (6, Some(Fingerprint::of(b"bundle"))));
    for encoding in ["br", "zstd", "deflate", "compress", "aes128gcm", "gzip, gzip"] {
        peer.answer(Answer::ok("bundle").header("Content-Encoding", encoding));
        let error = fetch.error().await;
        assert!(matches!(error.code(), "unknown-encoding" | "body-failed"), "{encoding}: {error}");
    }
    peer.answer(Answer::ok("not gzip").header("Content-Encoding", "gzip"));
    assert_eq!(fetch.error().await.code(), "body-failed");
}

#[tokio::test]
async fn fec_25_a_body_of_1_mib_is_read_and_not_a_byte_more() {
    let (peer, fetch) = web_peer().await;
    let largest = vec![b'a'; 1 << 20];
    peer.answer(Answer::ok(largest.clone()));
    assert_eq!(fetch.document().await, largest);
    for (name, answer) in [
        ("one byte more", Answer::ok(vec![b'a'; (1 << 20) + 1])),
        ("without a length", Answer::bare(200).with_body(vec![b'a'; (1 << 20) + 1])),
        ("endless", Answer::endless()),
        ("gzip bomb of 100 MB", Answer::gzip_bomb(100_000_000)),
    ] {
        peer.answer(answer);
        let (record, result) = fetch.run().await;
        assert_eq!(result, Err(FetchError::BodyTooLarge { limit: 1 << 20 }), "{name}");
        assert!(record.bytes <= 1 << 20 && record.digest.is_none(), "{name}");
    }
}

#[tokio::test]
async fn fec_25_an_endless_head_is_cut_off() {
    let (peer, fetch) = web_peer().await;
    for head in ["X: y\r\n".repeat(200), format!("X: {}\r\n", "y".repeat(1_000_000))] {
        peer.answer(Answer::raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n")));
        assert_eq!(fetch.error().await.code(), "bad-response");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_an_error() {
    let (peer, fetch) = web_peer().await;
    for bytes in ["", "SSH-2.0-OpenSSH_9.9\r\n", "HTTP/1.1 999999 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le"] {
        peer.answer(Answer::raw(bytes));
        let error = fetch.error().await;
        assert_eq!(error.code(), "bad-response", "{bytes}: {error}");
    }
}

#[tokio::test]
async fn fec_25_a_body_that_breaks_off_brings_nothing() {
    let (peer, fetch) = web_peer().await;
    for (name, answer) in [
        ("less than promised", Answer::truncated("bundle", 100)),
        ("less than promised, cut off", Answer::truncated("bundle", 100).by(Delivery::CutOff)),
        ("no length, cut off", Answer::bare(200).with_body("bundle").by(Delivery::CutOff)),
        ("chunk cut off", Answer::bare(200).header("Transfer-Encoding", "chunked").with_body("9\r\nbundle")),
        ("no last chunk", Answer::bare(200).header("Transfer-Encoding", "chunked").with_body("6\r\nbundle\r\n")),
    ] {
        peer.answer(answer);
        let (record, result) = fetch.run().await;
        let error = result.unwrap_err();
        assert_eq!(error.code(), "body-failed", "{name}: {error}");
        assert_eq!((record.status, record.digest), (Some(200), None), "{name}");
    }
    let mut gzip = Answer::gzip(&[b'a'; 1000]);
    gzip.body.truncate(500);
    peer.answer(Answer::bare(200).header("Content-Encoding", "gzip").with_body(gzip.body));
    assert_eq!(fetch.error().await.code(), "body-failed");
}

#[tokio::test]
async fn fec_26_a_slow_peer_is_left_at_the_deadline_and_delays_nobody() {
    let (slow, mut fetch) = web_peer().await;
    let (healthy, other) = web_peer().await;
    healthy.answer(Answer::ok("bundle"));
    fetch.client.limits.total = Duration::from_millis(300);
    for (name, answer, stage) in [
        ("never answers", Answer::silent(), Stage::Waiting),
        ("stops after the head", Answer::truncated("", 100).by(Delivery::Stall), Stage::Reading),
        ("drips", Answer::truncated("bundle", 6).by(Delivery::Drip(Duration::from_millis(100))), Stage::Reading),
    ] {
        slow.answer(answer);
        let started = Instant::now();
        let (late, fine) = tokio::join!(fetch.run(), async {
            let found = other.document().await;
            (found, started.elapsed())
        });
        assert_eq!(late.1, Err(FetchError::TimedOut { stage, limit: Duration::from_millis(300) }), "{name}");
        assert!(late.0.elapsed >= Duration::from_millis(300), "{name}");
        assert_eq!(fine.0, b"bundle", "{name}");
        assert!(fine.1 < late.0.elapsed, "{name}: the healthy one had to wait");
    }
}

#[tokio::test]
async fn fec_26_the_deadline_covers_all_hops_together() {
    let (peer, mut fetch) = web_peer().await;
    fetch.client.limits.total = Duration::from_millis(300);
    peer.answer_at("/", Answer::redirect(302, "/silent"));
    peer.answer_at("/silent", Answer::silent());
    let (record, result) = fetch.run().await;
    assert_eq!(result.unwrap_err().code(), "timed-out");
    assert_eq!(record.final_url, peer.url("localhost", "/silent"));
}

#[tokio::test]
async fn fec_26_a_server_that_never_shakes_hands_and_a_hanging_resolver_time_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_peer, mut fetch) = web_peer().await;
    fetch.client.limits.connect = Duration::from_millis(200);
    let fetch = fetch.at(&format!("https://{}/", listener.local_addr().unwrap()));
    let expected = |stage| FetchError::TimedOut { stage, limit: Duration::from_millis(200) };
    assert!(matches!(fetch.error().await, FetchError::TimedOut { stage: Stage::Connecting, .. }));
    let mut fetch = fetch.at("https://hanging.test/");
    fetch.client.names = Arc::new(Hanging);
    assert_eq!(fetch.error().await, expected(Stage::Resolving));
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_apart() {
    let (_peer, fetch) = web_peer().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fetch = fetch.at(&format!("https://{closed}/"));
    assert_eq!(fetch.error().await.code(), "connect-failed");
    let fetch = fetch.at("https://nowhere.test/");
    assert_eq!(fetch.error().await.code(), "name-not-resolved");
    let fetch = fetch.at(&format!("https://{}/", plain.local_addr().unwrap()));
    let (error, ()) = tokio::join!(fetch.error(), async {
        let (mut stream, _) = plain.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    assert_eq!(error.code(), "tls-failed", "{error}");
}

#[tokio::test]
async fn fec_28_the_record_of_a_fetch_says_what_happened() {
    let (peer, fetch) = web_peer().await;
    peer.answer(Answer::ok("bundle").header("Age", "120"));
    let (record, _) = fetch.run().await;
    assert_eq!(record.url, peer.url("localhost", "/"));
    assert_eq!(record.final_url, record.url);
    assert_eq!(record.address, Some(peer.address()));
    assert_eq!(record.status, Some(200));
    assert_eq!(record.bytes, 6);
    assert_eq!(record.digest, Some(Fingerprint::of(b"bundle")));
    assert_eq!(record.age, Some(Duration::from_secs(120)));
    assert!(record.elapsed > Duration::ZERO);
}

#[tokio::test]
async fn an_age_that_is_no_number_says_nothing() {
    let (peer, fetch) = web_peer().await;
    for (age, expected) in [("-1", None), ("x", None), ("18446744073709551616", None), ("0", Some(0)), ("7", Some(7))] {
        peer.answer(Answer::ok("bundle").header("Age", age));
        assert_eq!(fetch.run().await.0.age, expected.map(Duration::from_secs), "{age}");
    }
}

#[tokio::test]
async fn fec_27_proxies_of_the_environment_are_ignored() {
    let test = "federation::endpoint_client::tests::bodies::fec_28_the_record_of_a_fetch_says_what_happened";
    let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        again.env(name, "http://127.0.0.1:1");
    }
    let output = again.args(["--exact", test]).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

struct Hanging;

impl Resolve for Hanging {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(std::future::pending())
    }
}
