use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::*;
use crate::cli::samples;

/// Answers each connection with the next of the canned answers and hands back what was asked.
struct CannedService {
    folder: tempfile::TempDir,
    answers: JoinSet<Vec<String>>,
}

impl CannedService {
    fn start(answers: Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("admin.sock")).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                asked.push(String::from_utf8_lossy(&request[..read]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        Self { folder, answers: tasks }
    }

    fn client(&self) -> AdminClient {
        client(&self.folder.path().join("admin.sock"))
    }

    async fn asked(mut self) -> Vec<String> {
        self.answers.join_next().await.unwrap().unwrap()
    }
}

fn client(socket: &Path) -> AdminClient {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    AdminClient::new(socket.to_owned()).unwrap()
}

fn answer(status: &str, body: &impl Serialize) -> String {
    let body = serde_json::to_string(body).unwrap();
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn every_order_is_one_request_over_the_socket() {
    let status = samples::current();
    let service = CannedService::start(vec![
        answer("200 OK", &json!({ "relationships": [status] })),
        answer("200 OK", &status),
        answer("200 OK", &status),
        answer("200 OK", &status),
        answer("200 OK", &json!({ "bundles": [] })),
    ]);
    let client = service.client();
    let td = &status.trust_domain;
    assert_eq!(client.relationships().await.unwrap(), std::slice::from_ref(&status));
    assert_eq!(client.relationship(td).await.unwrap(), status);
    assert_eq!(client.refresh(td).await.unwrap(), status);
    assert_eq!(client.decide(td, Decision::Accept, Fingerprint::of(b"x")).await.unwrap(), status);
    assert_eq!(client.bundles().await.unwrap(), []);
    let asked = service.asked().await;
    let lines: Vec<_> = asked.iter().map(|request| request.lines().next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/relationships HTTP/1.1",
            "GET /v1/relationships/bank-b.example HTTP/1.1",
            "POST /v1/relationships/bank-b.example/refresh HTTP/1.1",
            "POST /v1/bundles/bank-b.example/accept HTTP/1.1",
            "GET /v1/bundles HTTP/1.1",
        ]
    );
    assert!(asked[3].ends_with(&format!("{{\"digest\":\"{}\"}}", Fingerprint::of(b"x"))), "{}", asked[3]);
}

#[tokio::test]
async fn a_refusal_is_shown_as_the_service_words_it() {
    let refusal = json!({ "code": "unknown-trust-domain", "title": "T", "status": 404, "detail": "no relationship" });
    let service = CannedService::start(vec![
        answer("404 Not Found", &refusal),
        answer("500 Internal Server Error", &json!("?")),
        answer("200 OK", &json!({ "trust_domain": 1 })),
    ]);
    let client = service.client();
    for (code, text) in [
        ("unknown-trust-domain", "no relationship"),
        ("unexplained-status", "the service answered with status 500 Internal Server Error and no explanation"),
        ("malformed-answer", "the service's answer is not what this version of comity expects"),
    ] {
        let error = client.service().await.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().starts_with(text), "{error}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let error = client(&socket).service().await.unwrap_err();
    assert_eq!(error.code(), "no-socket");
    assert!(error.to_string().contains("is `comity serve` running?"), "{error}");

    drop(UnixListener::bind(&socket).unwrap());
    assert_eq!(client(&socket).service().await.unwrap_err().code(), "nobody-listens");

    fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).unwrap();
    let code = client(&socket).service().await.unwrap_err().code().to_owned();
    // The superuser may use any socket.
    assert!(["permission-denied", "nobody-listens"].contains(&code.as_str()), "{code}");
}

#[test]
fn names_that_a_url_would_drop_are_not_asked_for() {
    for (name, expected) in [("..", false), (".", false), ("a..b", true), ("-rf", true), ("...", true)] {
        assert_eq!(url_of(&format!("/v1/relationships/{name}")).is_ok(), expected, "{name}");
    }
}
