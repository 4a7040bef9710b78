//! Our own bundle in a bucket and in a folder: the very bytes of the endpoint, and never an older one over a newer.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::partner::Partner;
use crate::process::until;
use crate::publisher::fetch;
use crate::service::Service;
use crate::sources::sample;
use crate::support::ca::Ca;
use crate::support::jwks::document_of;

/// What an S3 server may do wrong, or what others may do there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Silent,
    Fails(u16),
    /// An object that never ends.
    Endless,
    /// Less than it promised.
    Truncated,
    /// Somebody else writes between our look and our write.
    Raced,
}

#[derive(Default)]
struct Contents {
    object: Option<Vec<u8>>,
    /// Of which the entity tag is made.
    version: u64,
    mood: Option<Mood>,
    /// The headers of each write that was accepted.
    writes: Vec<HashMap<String, String>>,
}

/// The part of S3 that concerns one object; it is gone when dropped.
struct Bucket {
    address: SocketAddr,
    contents: Arc<Mutex<Contents>>,
    _server: JoinSet<()>,
}

impl Bucket {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, contents) = (listener.local_addr().unwrap(), Arc::<Mutex<Contents>>::default());
        let (mut server, shared) = (JoinSet::new(), contents.clone());
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let contents = shared.clone();
                connections.spawn(async move { drop(serve(stream, contents).await) });
            }
        });
        Self { address, contents, _server: server }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Contents) -> T) -> T {
        look(&mut self.contents.lock().unwrap())
    }

    /// As docs/object-storage.md has it, with the credentials elsewhere and this server in place of Amazon's.
    fn output(&self) -> String {
        let page = sample("object-storage.md", "[[outputs.object_storage]]");
        let output = page.replace("/etc/comity/s3.env", "{folder}/s3.env");
        assert_ne!(output, page);
        format!("{output}endpoint = \"http://{}\"\n", self.address)
    }
}

async fn serve(stream: TcpStream, contents: Arc<Mutex<Contents>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let mut words = line.split(' ').map(str::to_owned);
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let mood = contents.lock().unwrap().mood;
        match mood {
            Some(Mood::Silent) => std::future::pending().await,
            Some(Mood::Endless) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 99999999999\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b' '; 4096]).await?;
                }
            }
            Some(Mood::Truncated) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 900\r\n\r\n{\"keys").await?;
                return Ok(());
            }
            _ => {}
        }
        let (status, body, version) = contents.lock().unwrap().answer(&method, &path, headers, body);
        let head = format!(
            "HTTP/1.1 {status} x\r\nETag: \"{version}\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
    }
}

impl Contents {
    fn answer(
        &mut self,
        method: &str,
        path: &str,
        headers: HashMap<String, String>,
        body: Vec<u8>,
    ) -> (u16, Vec<u8>, u64) {
        assert_eq!(path, "/bank-a/spiffe/bundle.json");
        let signed = headers
            .get("authorization")
            .is_some_and(|it| it.contains("Credential=AKIA") && it.contains("eu-central-1"));
        let wants = (headers.get("if-match"), headers.get("if-none-match").map(String::as_str));
        let tag = format!("\"{}\"", self.version);
        match (self.mood, method) {
            _ if !signed => (403, b"<Error/>".to_vec(), 0),
            (Some(Mood::Fails(status)), _) => (status, b"<Error/>".to_vec(), 0),
            (mood, "GET") => {
                let (object, version) = (self.object.clone(), self.version);
                self.version += u64::from(mood == Some(Mood::Raced));
                object.map_or((404, Vec::new(), 0), |object| (200, object, version))
            }
            (_, "PUT") => match (wants, &self.object) {
                ((Some(wanted), None), Some(_)) if *wanted == tag => self.write(headers, body),
                ((None, Some("*")), None) => self.write(headers, body),
                _ => (412, b"<Error/>".to_vec(), 0),
            },
            _ => (405, Vec::new(), 0),
        }
    }

    fn write(&mut self, headers: HashMap<String, String>, body: Vec<u8>) -> (u16, Vec<u8>, u64) {
        self.object = Some(body);
        self.version += 1;
        self.writes.push(headers);
        (200, Vec::new(), self.version)
    }
}

async fn status(service: &Service, fits: impl Fn(&Value) -> bool) -> Value {
    until(async || service.get("/v1/status").await["outputs"][0].clone(), fits).await
}

async fn has_code(service: &Service, code: &str) {
    status(service, |output| output["last_error"]["code"] == code).await;
}

async fn is_well(service: &Service) -> Value {
    status(service, |output| output["last_error"].is_null() && output["pushes"].as_u64() > Some(0)).await
}

/// What the endpoint serves now, to the byte.
async fn served(service: &Service) -> Vec<u8> {
    fetch(service.address("https_web")).await.body
}

/// Another CA for the service.
fn rotate(service: &Service) {
    service.write("ca.pem", Ca::of("a.example").pem().as_bytes());
}

fn service(output: &str) -> Service {
    let service = Service::new("a.example");
    service.write("s3.env", b"# of a test\nAWS_ACCESS_KEY_ID=AKIA\nAWS_SECRET_ACCESS_KEY=geheim\n");
    service.configure_with([], output);
    service
}

#[tokio::test]
async fn the_bucket_has_what_the_endpoint_serves_and_tells_caches_to_ask_again() {
    let bucket = Bucket::start().await;
    let mut service = service(&bucket.output());
    service.start().await.unwrap();
    let told = is_well(&service).await;
    assert_eq!((&told["kind"], &told["target"]), (&json!("object_storage"), &json!("s3://bank-a/spiffe/bundle.json")));
    let first = served(&service).await;
    assert_eq!(bucket.with(|contents| contents.object.clone()), Some(first.clone()));
    let header = |name: &str| bucket.with(|contents| contents.writes[0].get(name).cloned());
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!(header("cache-control").as_deref(), Some("public, max-age=30, must-revalidate"));

    rotate(&service);
    until(async || bucket.with(|contents| contents.object.clone()), |object| *object != Some(first.clone())).await;
    assert_eq!(bucket.with(|contents| contents.object.clone()), Some(served(&service).await));
    service.restart().await;
    is_well(&service).await;
    assert_eq!(bucket.with(|contents| contents.writes.len()), 2, "a restart changes nothing");
    service.stop().await;
}

#[tokio::test]
async fn what_others_publish_is_no_reason_to_look_at_the_bucket() {
    let bucket = Bucket::start().await;
    let partner = Partner::publishing("b.example", 1, &[&Ca::of("b.example")]).await;
    let mut service = service(&bucket.output());
    service.configure_with([partner.relationship()], &bucket.output());
    service.start().await.unwrap();
    service.becomes("b.example", |status| !status["last_success"].is_null()).await;
    let before = is_well(&service).await["pushes"].clone();
    bucket.with(|contents| contents.mood = Some(Mood::Fails(500)));
    partner.publishes(2, &[&Ca::of("b.example")]);
    service.refresh("b.example").await;
    let generation = service.get("/v1/status").await["snapshot_generation"].clone();
    let after = status(&service, |output| output["generation"] == generation || !output["last_error"].is_null()).await;
    assert_eq!((&after["pushes"], &after["last_error"]), (&before, &Value::Null));
    service.stop().await;
}

#[tokio::test]
async fn an_object_that_is_newer_or_no_bundle_is_never_overwritten() {
    let bucket = Bucket::start().await;
    let mut service = service(&bucket.output());
    let newer = document_of(u64::MAX, &[&service.own]);
    for (there, code) in [(newer, "object-newer"), (b"<html>".to_vec(), "object-not-a-bundle")] {
        bucket.with(|contents| contents.object = Some(there.clone()));
        service.start().await.unwrap();
        has_code(&service, code).await;
        rotate(&service);
        status(&service, |output| output["failures"].as_u64() > Some(1)).await;
        assert_eq!(bucket.with(|contents| contents.object.clone()), Some(there));
        service.stop().await;
    }
    bucket.with(|contents| contents.object = Some(document_of(1, &[&service.own])));
    service.start().await.unwrap();
    is_well(&service).await;
    assert_eq!(bucket.with(|contents| contents.object.clone()), Some(served(&service).await));
    service.stop().await;
}

#[tokio::test]
async fn whatever_a_storage_does_the_bundle_comes_once_it_behaves() {
    let bucket = Bucket::start().await;
    let mut service = service(&bucket.output());
    service.start().await.unwrap();
    is_well(&service).await;
    for (mood, code) in [
        (Mood::Fails(403), "object-storage-denied"),
        (Mood::Fails(500), "object-storage-failed"),
        (Mood::Raced, "object-changed-meanwhile"),
        (Mood::Endless, "object-not-a-bundle"),
        (Mood::Truncated, "object-storage-failed"),
    ] {
        let (before, pushes) =
            (bucket.with(|contents| contents.object.clone()), is_well(&service).await["pushes"].as_u64());
        bucket.with(|contents| contents.mood = Some(mood));
        rotate(&service);
        has_code(&service, code).await;
        assert_eq!(bucket.with(|contents| contents.object.clone()), before, "{code}");
        bucket.with(|contents| contents.mood = None);
        status(&service, |output| output["pushes"].as_u64() > pushes).await;
        assert_eq!(bucket.with(|contents| contents.object.clone()), Some(served(&service).await), "{code}");
    }
    bucket.with(|contents| contents.mood = Some(Mood::Silent));
    rotate(&service);
    // One that hangs holds up no stop.
    service.stop().await;

    bucket.with(|contents| contents.mood = None);
    service.write("s3.env", b"AWS_ACCESS_KEY_ID");
    service.start().await.unwrap();
    has_code(&service, "object-storage-credentials").await;
    service.write("s3.env", b"AWS_ACCESS_KEY_ID=AKIA\nAWS_SECRET_ACCESS_KEY=geheim\n");
    is_well(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_file_for_a_web_server_is_replaced_as_a_whole_and_never_by_an_older_one() {
    let mut service = service("[[outputs.object_storage]]\nurl = \"file://{folder}/www/bundle.json\"\n");
    fs::create_dir(service.path("www")).unwrap();
    service.start().await.unwrap();
    is_well(&service).await;
    let file = service.path("www/bundle.json");
    let first = served(&service).await;
    assert_eq!(fs::read(&file).unwrap(), first);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    rotate(&service);
    until(async || fs::read(&file).unwrap(), |now| *now != first).await;
    assert_eq!(fs::read(&file).unwrap(), served(&service).await);
    let newer = document_of(u64::MAX, &[&service.own]);
    fs::write(&file, &newer).unwrap();
    rotate(&service);
    has_code(&service, "object-newer").await;
    assert_eq!(fs::read(&file).unwrap(), newer);
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    has_code(&service, "object-not-a-bundle").await;
    fs::remove_file(&file).unwrap();
    fs::write(&file, &newer).unwrap();
    fs::set_permissions(service.path("www"), fs::Permissions::from_mode(0o777)).unwrap();
    for there in [true, false] {
        let before = status(&service, |_| true).await["failures"].as_u64();
        rotate(&service);
        let failed = |output: &Value| output["failures"].as_u64() > before;
        status(&service, |output| failed(output) && output["last_error"]["code"] == "file-writable-by-others").await;
        assert_eq!(fs::read(&file).ok(), there.then(|| newer.clone()));
        drop(fs::remove_file(&file));
    }
    fs::remove_dir_all(service.path("www")).unwrap();
    fs::write(service.path("www"), "in the way").unwrap();
    has_code(&service, "object-storage-failed").await;
    fs::remove_file(service.path("www")).unwrap();
    fs::create_dir(service.path("www")).unwrap();
    is_well(&service).await;
    assert_eq!(fs::read(&file).unwrap(), served(&service).await);
    service.stop().await;
}
