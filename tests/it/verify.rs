//! `comity verify`, with the real program: a contract that scripts rely on.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PublicKeyData as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::partner::Partner;
use crate::process::{Finished, Home, comity, fed, run, within};
use crate::service::{START, Service};
use crate::support::ca::{Ca, Identity, KeyType, Leaf, authority};
use crate::support::jwks::{document, document_of, jwt_element, x509_element};

const WEB: &str = "spiffe://b.example/web";

/// A folder with what bank B publishes and a workload of it.
struct Files {
    home: Home,
    ca: Ca,
    svid: Identity,
}

impl Files {
    fn new() -> Self {
        let ca = Ca::of("b.example");
        let svid = ca.intermediate(authority("intermediate", &[]), KeyType::P256).svid(WEB);
        let files = Self { home: Home::new(""), ca, svid };
        files.home.write("svid.pem", files.svid.chain_pem());
        files.home.write("svid.der", der(&files.svid).concat());
        files.home.write("b.json", document_of(7, &[&files.ca]));
        files.home.write("b.pem", files.ca.pem());
        files.home.write("c.pem", Ca::of("c.example").pem());
        files
    }

    fn path(&self, name: &str) -> String {
        self.home.path(name).to_str().unwrap().to_owned()
    }

    /// `comity verify`, in which `{}` is the folder.
    async fn verify(&self, arguments: &str) -> Finished {
        let arguments = arguments.replace("{}", &self.path(""));
        run(&[&["verify"], &*arguments.split_whitespace().collect::<Vec<_>>()].concat()).await
    }

    async fn json(&self, arguments: &str) -> (Option<i32>, Value) {
        let finished = self.verify(&format!("{arguments} --output json")).await;
        (finished.code, last_line(&finished))
    }
}

fn der(svid: &Identity) -> Vec<Vec<u8>> {
    svid.chain.iter().map(|der| der.to_vec()).collect()
}

fn base64(svid: &Identity) -> Vec<String> {
    svid.chain.iter().map(|der| STANDARD.encode(der)).collect()
}

/// The object on the last line.
fn last_line(finished: &Finished) -> Value {
    let line = finished.out.lines().last().unwrap_or_else(|| panic!("no output: {finished:?}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {finished:?}"))
}

#[track_caller]
fn is_rejected(answer: &(Option<i32>, Value), code: &str, certificate: Option<u64>) {
    let (exit, verdict) = answer;
    assert_eq!((*exit, verdict["verdict"].as_str()), (Some(1), Some("rejected")), "{verdict}");
    assert_eq!((&verdict["reason"]["code"], &verdict["reason"]["certificate"]), (&json!(code), &json!(certificate)));
    assert_eq!(verdict["authority"], Value::Null, "{verdict}");
}

#[tokio::test]
async fn a_chain_is_accepted_from_every_kind_of_file() {
    let files = Files::new();
    files
        .home
        .write("map.json", json!({"trust_domains": {"b.example": body(&document_of(7, &[&files.ca]))}}).to_string());
    let (code, first) =
        files.json("x509 --chain {}svid.pem --bundle b.example={}b.json --at 2027-01-15T08:00:00Z").await;
    assert_eq!(code, Some(0), "{first}");
    let authority = format!("x509:{}", comity::Fingerprint::of(files.ca.der()));
    for (member, expected) in [
        ("verdict", json!("accepted")),
        ("spiffe_id", json!(WEB)),
        ("trust_domain", json!("b.example")),
        ("authority", json!(authority)),
        ("reason", Value::Null),
        ("path", json!([0, 1])),
        ("sequence", json!(7)),
        ("revision", Value::Null),
        ("at", json!("2027-01-15T08:00:00Z")),
    ] {
        assert_eq!(first[member], expected, "{member}");
    }
    for arguments in [
        "x509 --chain {}svid.der --bundle b.example={}b.json --at 2027-01-15T10:00:00+02:00",
        "x509 --chain {}svid.pem --bundle-map {}map.json --at 2027-01-15T08:00:00.5Z --usage client",
        "x509 --chain {}svid.der --bundle-map {}map.json --bundle c.example={}c.pem --at 2027-01-15T08:00:00Z",
    ] {
        assert_eq!(files.json(arguments).await, (Some(0), first.clone()), "{arguments}");
    }
    let pem = files.json("x509 --chain {}svid.pem --bundle b.example={}b.pem --usage server").await;
    assert_eq!((pem.0, &pem.1["sequence"]), (Some(0), &Value::Null), "PEM has no number");
    let bundle = format!("b.example={}", files.path("b.json"));
    for input in [files.svid.chain_pem().into_bytes(), der(&files.svid).concat()] {
        let piped = fed(&["verify", "x509", "--chain", "-", "--bundle", &bundle, "--output", "json"], &input).await;
        assert_eq!((piped.code, &last_line(&piped)["verdict"]), (Some(0), &json!("accepted")), "{piped:?}");
    }
}

fn body(document: &[u8]) -> Value {
    serde_json::from_slice(document).unwrap()
}

#[tokio::test]
async fn a_rejection_exits_with_1_and_names_code_and_certificate() {
    let files = Files::new();
    let foreign = Ca::of("c.example").svid(WEB);
    let client = files.ca.issue(Leaf {
        uris: vec![WEB.into()],
        extended_key_usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
        ..Leaf::default()
    });
    for (name, contents) in [
        ("foreign.pem", foreign.chain_pem().into_bytes()),
        ("client.pem", client.chain_pem().into_bytes()),
        ("empty", vec![]),
        ("text", b"0 certificates".to_vec()),
        ("cut.der", files.svid.leaf()[..200].to_vec()),
        ("cut.pem", files.svid.chain_pem().into_bytes()[..300].to_vec()),
        ("sequence", vec![0x30, 0]),
        ("large", vec![b' '; (1 << 20) + 1]),
    ] {
        files.home.write(name, contents);
    }
    for (arguments, code, certificate) in [
        ("--chain {}svid.pem --bundle c.example={}c.pem", "unknown-trust-domain", None),
        ("--chain {}foreign.pem --bundle b.example={}b.json", "unknown-authority", Some(0)),
        ("--chain {}svid.pem --bundle b.example={}b.pem --at 2019-01-01T00:00:00Z", "not-yet-valid", Some(0)),
        ("--chain {}svid.pem --bundle b.example={}b.pem --at 2101-01-01T00:00:00Z", "expired", Some(0)),
        ("--chain {}client.pem --bundle b.example={}b.pem", "extended-key-usage", Some(0)),
        ("--chain {}empty --bundle b.example={}b.pem", "malformed-chain", None),
        ("--chain {}text --bundle b.example={}b.pem", "malformed-chain", None),
        ("--chain {}cut.der --bundle b.example={}b.pem", "malformed-chain", None),
        ("--chain {}cut.pem --bundle b.example={}b.pem", "malformed-chain", None),
        ("--chain {}large --bundle b.example={}b.pem", "malformed-chain", None),
        ("--chain {}sequence --bundle b.example={}b.pem", "malformed-certificate", Some(0)),
    ] {
        is_rejected(&files.json(&format!("x509 {arguments}")).await, code, certificate);
        let text = files.verify(&format!("x509 {arguments}")).await;
        assert_eq!(text.code, Some(1), "{text:?}");
        assert!(text.out.starts_with("rejected: ") && text.out.contains(&format!("[{code}]\n")), "{text:?}");
    }
}

#[tokio::test]
async fn without_an_answer_it_exits_with_2() {
    let files = Files::new();
    files.home.write("key.pem", files.svid.chain_pem() + &files.svid.key_pem());
    files.home.write("broken.json", "{");
    files.home.write("bad.toml", "[federation.\"b.example\"]\nsvid_types = [\"all\"]\n");
    let no_service = format!("x509 --chain {{}}svid.pem --socket {}", files.path("none.sock"));
    for (arguments, error) in [
        ("", "Usage: comity verify"),
        ("x509", "--chain <FILE>"),
        ("x509 --chain", "a value is required"),
        ("x509 --chain {}svid.pem --batch {}svid.pem", "cannot be used with"),
        ("x509 --chain {}svid.pem --policy {}bad.toml", "--bundle"),
        ("x509 --chain {}svid.pem --bundle b.example", "TRUST_DOMAIN=FILE"),
        ("x509 --chain {}svid.pem --bundle B.example={}b.pem", "upper-case letter"),
        ("x509 --chain {}svid.pem --bundle b.example={}b.pem --at yesterday", "not an instant"),
        ("x509 --chain {}svid.pem --bundle b.example={}b.pem --usage peer", "possible values: server, client"),
        ("x509 --chain {}svid.pem --bundle b.example={}b.pem --output xml", "possible values: text, json"),
        ("jwt --token {}svid.pem --bundle b.example={}b.pem", "--audience"),
        ("x509 --chain {}none --bundle b.example={}b.pem", "error: file-unreadable: "),
        ("x509 --chain {} --bundle b.example={}b.pem", "error: file-unreadable: "),
        ("x509 --batch {}none --bundle b.example={}b.pem", "error: file-unreadable: "),
        ("x509 --batch {} --bundle b.example={}b.pem", "error: file-unreadable: "),
        ("x509 --chain {}key.pem --bundle b.example={}b.pem", "error: private-key: "),
        ("x509 --chain {}svid.pem --bundle b.example={}none", "error: file-unreadable: "),
        ("x509 --chain {}svid.pem --bundle b.example={}broken.json", "error: malformed-json: "),
        ("x509 --chain {}svid.pem --bundle b.example={}svid.pem", "error: not-a-ca: "),
        ("x509 --chain {}svid.pem --bundle-map {}b.json", "error: no-trust-domains: "),
        ("x509 --chain {}svid.pem --bundle b.example={}b.pem --bundle b.example={}b.pem", "error: two-bundles: "),
        ("x509 --chain {}svid.pem --bundle b.example={}b.pem --policy {}bad.toml", "error: config-rejected: "),
        (&no_service, "error: no-socket: "),
    ] {
        let answer = files.verify(arguments).await;
        assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""), "{arguments}: {answer:?}");
        assert!(answer.err.contains(error), "{arguments}: {answer:?}");
    }
}

#[tokio::test]
async fn a_policy_counts_as_it_does_in_the_service() {
    let files = Files::new();
    for (name, rule) in [("open.toml", "spiffe_ids = [\"/web\"]"), ("narrow.toml", "spiffe_ids = [\"/db\"]")] {
        files.home.write(name, format!("[federation.\"b.example\"]\n{rule}\n"));
    }
    let arguments = "x509 --chain {}svid.pem --bundle b.example={}b.json --policy {}";
    assert_eq!(files.json(&format!("{arguments}open.toml")).await.0, Some(0));
    let (code, verdict) = files.json(&format!("{arguments}narrow.toml")).await;
    assert_eq!(code, Some(1), "{verdict}");
    assert!(verdict["reason"]["code"].as_str().unwrap().starts_with("policy-"), "{verdict}");
}

#[tokio::test]
async fn what_was_tried_is_a_tree_before_the_object() {
    let files = Files::new();
    let bundle = document(Some(1), None, &[x509_element(&files.ca), x509_element(&Ca::of("b.example"))]);
    files.home.write("two.json", bundle);
    let text = files.verify("x509 --chain {}svid.pem --bundle b.example={}two.json --explain").await;
    assert_eq!(text.code, Some(0), "{text:?}");
    let lines: Vec<_> = text.out.lines().collect();
    assert!(
        lines[1].starts_with("leaf (CN=leaf): names spiffe://b.example/web, issued by CN=intermediate"),
        "{text:?}"
    );
    assert!(lines[2].starts_with("  intermediate 0 (CN=intermediate): signed it"), "{text:?}");
    assert!(text.out.contains("    authority ") && text.out.contains("the path holds"), "{text:?}");
    assert!(text.out.contains("\n\naccepted: spiffe://b.example/web\n"), "{text:?}");
    let (_, verdict) = files.json("x509 --chain {}svid.pem --bundle b.example={}two.json --explain").await;
    assert_eq!(verdict["explanation"][1]["place"], "intermediate 0", "{verdict}");
    let late =
        files.verify("x509 --chain {}svid.pem --bundle b.example={}b.json --at 2101-01-01T00:00:00Z --explain").await;
    assert!(late.out.contains("was valid until 2100-01-01T00:00:00Z, before 2101-01-01T00:00:00Z"), "{late:?}");
}

#[tokio::test]
async fn nothing_of_a_chain_steers_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\r\u{202e}b";
    let files = Files::new();
    let svid = files.ca.intermediate(authority(evil, &[]), KeyType::P256).issue(Leaf {
        uris: vec![WEB.into(), "https://x".into()],
        common_name: evil.into(),
        ..Leaf::default()
    });
    files.home.write("evil.pem", svid.chain_pem());
    for output in ["text", "json"] {
        let arguments = format!("x509 --chain {{}}evil.pem --bundle b.example={{}}b.json --explain --output {output}");
        let answer = files.verify(&arguments).await;
        assert_eq!(answer.code, Some(1), "{answer:?}");
        let steering = answer.out.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(steering, None, "{answer:?}");
    }
}

/// A key of bank B for tokens, and the element that publishes it.
fn jwt_key() -> (EncodingKey, Value) {
    let key = KeyPair::generate().unwrap();
    let element = jwt_element("k1", &key.subject_public_key_info());
    (EncodingKey::from_ec_der(&key.serialize_der()), element)
}

fn token(key: &EncodingKey, audience: &str, expires: u64) -> String {
    let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, &json!({"sub": WEB, "aud": [audience], "exp": expires, "team": "x"}), key).unwrap()
}

#[tokio::test]
async fn a_token_is_judged_for_its_audience() {
    let files = Files::new();
    let (key, element) = jwt_key();
    files.home.write("b.json", document(Some(9), None, &[element]));
    files.home.write("token", token(&key, "pay", START) + "\n");
    files.home.write("huge", "x".repeat(20_000));
    files.home.write("binary", [0xff, 0xfe]);
    let at = "--bundle b.example={}b.json --at 2027-01-15T07:00:00Z";
    let (code, verdict) = files.json(&format!("jwt --token {{}}token --audience other pay {at}")).await;
    assert_eq!((code, &verdict["spiffe_id"]), (Some(0), &json!(WEB)), "{verdict}");
    assert_eq!((&verdict["path"], &verdict["claims"]["team"]), (&Value::Null, &json!("x")));
    assert!(verdict["authority"].as_str().unwrap().starts_with("jwt:"), "{verdict}");
    let repeated = files.verify(&format!("jwt --token {{}}token --audience a --audience pay {at} --explain")).await;
    assert!(repeated.code == Some(0) && repeated.out.contains("signed it"), "{repeated:?}");
    for (arguments, expected) in [
        ("--token {}token --audience other", "wrong-audience"),
        ("--token {}huge --audience pay", "token-too-large"),
        ("--token {}binary --audience pay", "malformed-token"),
        ("--token {}b.pem --audience pay", "malformed-token"),
    ] {
        is_rejected(&files.json(&format!("jwt {arguments} {at}")).await, expected, None);
    }
    let (_, other) = files.json(&format!("jwt --token {{}}token --audience other {at}")).await;
    assert_eq!((&other["spiffe_id"], &other["claims"]), (&json!(WEB), &Value::Null), "claimed, and no claims told");
    let late =
        files.json("jwt --token {}token --audience pay --bundle b.example={}b.json --at 2027-02-01T00:00:00Z").await;
    is_rejected(&late, "expired", None);

    let good = token(&key, "pay", START);
    let lines = format!(
        "{}\n{}\n{}\n",
        json!({"id": 1, "token": good, "audience": ["pay"]}),
        json!({"id": 2, "token": good}),
        json!({"id": 3, "token": good, "audience": []}),
    );
    files.home.write("lines", &lines);
    for (arguments, expected) in [
        ("", [Value::Null, json!("malformed-input"), json!("malformed-input")]),
        ("--audience other", [Value::Null, json!("wrong-audience"), json!("malformed-input")]),
    ] {
        let answer = files.verify(&format!("jwt --batch {{}}lines {at} {arguments}")).await;
        assert_eq!((answer.code, codes(&answer)), (Some(0), expected.to_vec()), "{answer:?}");
    }
}

/// The objects of a batch.
fn verdicts(answer: &Finished) -> Vec<Value> {
    answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Their codes, null where accepted.
fn codes(answer: &Finished) -> Vec<Value> {
    verdicts(answer).iter().map(|verdict| verdict["reason"]["code"].clone()).collect()
}

#[tokio::test]
async fn a_batch_goes_on_after_lines_that_make_no_sense() {
    let files = Files::new();
    let chain = base64(&files.svid);
    let good = json!({"id": "good", "chain": chain, "at": "2027-01-15T08:00:00Z", "usage": "server"}).to_string();
    let text = good.as_str();
    let long = format!("{{\"id\":\"long\",\"chain\":[\"{}\"]}}", "A".repeat(300_000));
    let lines = [
        (text, json!("good"), Value::Null),
        ("", Value::Null, json!("malformed-input")),
        ("nonsense", Value::Null, json!("malformed-input")),
        ("[]", Value::Null, json!("malformed-input")),
        (r#"{"id":1}"#, json!(1), json!("malformed-input")),
        (r#"{"id":2,"chain":"x"}"#, json!(2), json!("malformed-input")),
        (r#"{"id":3,"chain":[],"at":"later"}"#, json!(3), json!("malformed-input")),
        (r#"{"id":4,"chain":[],"usage":"peer"}"#, json!(4), json!("malformed-input")),
        (r#"{"id":5,"chain":[],"more":1}"#, json!(5), json!("malformed-input")),
        (r#"{"id":6,"chain":[],"chain":[]}"#, json!(6), json!("malformed-input")),
        (r#"{"id":7,"id":7,"chain":[]}"#, Value::Null, json!("malformed-input")),
        (r#"{"id":{},"chain":[]}"#, Value::Null, json!("malformed-input")),
        (long.as_str(), Value::Null, json!("malformed-input")),
        (r#"{"chain":[]}"#, Value::Null, json!("malformed-chain")),
        (r#"{"id":null,"chain":["?"]}"#, Value::Null, json!("malformed-chain")),
        (r#"{"id":8,"chain":["AAAA"]}"#, json!(8), json!("malformed-certificate")),
        (text, json!("good"), Value::Null),
    ];
    let mut input = b"\xff\n".to_vec();
    input.extend(lines.iter().map(|(line, ..)| *line).collect::<Vec<_>>().join("\n").into_bytes());
    files.home.write("lines", &input);
    let bundle = format!("b.example={}", files.path("b.json"));
    let piped = fed(&["verify", "x509", "--batch", "-", "--bundle", &bundle], &input).await;
    let read = files.verify("x509 --batch {}lines --bundle b.example={}b.json --output text").await;
    for answer in [piped, read] {
        assert_eq!(answer.code, Some(0), "{answer:?}");
        let verdicts = verdicts(&answer);
        assert_eq!(verdicts.len(), 1 + lines.len());
        assert_eq!(verdicts[0]["reason"]["code"], "malformed-input");
        for ((line, id, code), verdict) in lines.iter().zip(&verdicts[1..]) {
            assert_eq!((&verdict["id"], &verdict["reason"]["code"]), (id, code), "{:.60}: {verdict}", line);
            for member in ["verdict", "spiffe_id", "trust_domain", "authority", "reason"] {
                assert!(verdict.get(member).is_some(), "{member}");
            }
        }
    }
    let defaults = files.verify("x509 --batch {}lines --bundle b.example={}b.json --at 2019-01-01T00:00:00Z").await;
    assert_eq!(codes(&defaults)[1], Value::Null, "a line's own instant goes before");
}

#[tokio::test]
async fn ten_thousand_lines_are_answered_in_order() {
    let files = Files::new();
    let (good, other) = (base64(&files.svid), base64(&Ca::of("c.example").svid(WEB)));
    let mut input = String::new();
    for id in 0..10_000 {
        let chain = if id % 3 == 0 { &other } else { &good };
        writeln!(input, "{}", json!({"id": id, "chain": chain})).unwrap();
    }
    files.home.write("lines", &input);
    let answer = files.verify("x509 --batch {}lines --bundle b.example={}b.json").await;
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    let verdicts = verdicts(&answer);
    assert_eq!(verdicts.len(), 10_000);
    for (id, verdict) in (0_u64..).zip(&verdicts) {
        let expected = if id % 3 == 0 { "rejected" } else { "accepted" };
        assert_eq!((verdict["id"].as_u64(), verdict["verdict"].as_str()), (Some(id), Some(expected)));
    }
}

#[tokio::test]
async fn a_batch_answers_before_the_next_question_and_ends_with_its_reader() {
    let files = Files::new();
    let bundle = format!("b.example={}", files.path("b.json"));
    let mut command = comity();
    command.args(["verify", "x509", "--batch", "-", "--bundle", &bundle]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for id in 0..3 {
        let line = json!({"id": id, "chain": base64(&files.svid)}).to_string() + "\n";
        stdin.write_all(line.as_bytes()).await.unwrap();
        let answer: Value = serde_json::from_str(&within(answers.next_line()).await.unwrap().unwrap()).unwrap();
        assert_eq!((&answer["id"], &answer["verdict"]), (&json!(id), &json!("accepted")));
    }
    drop(answers);
    stdin.write_all(b"{}\n{}\n").await.unwrap();
    let ended = within(child.wait_with_output()).await.unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(2), &b""[..]), "it ends quietly");
}

/// `comity verify` against a service of this process, and its verdict.
async fn asked(service: &Service, arguments: &[&str], input: &[u8]) -> (Option<i32>, Vec<Value>) {
    let socket = service.path("admin.sock");
    let fixed = ["verify", "--output", "json", "--socket", socket.to_str().unwrap()];
    let finished = fed(&[&fixed[..], arguments].concat(), input).await;
    assert!(finished.err.is_empty(), "{finished:?}");
    (finished.code, verdicts(&finished))
}

#[tokio::test]
async fn without_bundles_the_service_answers_from_what_it_trusts_now() {
    let (ca, c) = (Ca::of("b.example"), Ca::of("c.example"));
    let (b_partner, c_partner) =
        (Partner::publishing("b.example", 7, &[&ca]).await, Partner::publishing("c.example", 1, &[&c]).await);
    let service =
        Service::with([b_partner.relationship().with("maximum_staleness", "2h"), c_partner.relationship()]).await;
    let svid = ca.svid(WEB);
    let (pem, chain) = (svid.chain_pem(), ["x509", "--chain", "-"]);
    let (code, verdict) = asked(&service, &chain, pem.as_bytes()).await;
    assert_eq!((code, &verdict[0]["verdict"]), (Some(0), &json!("accepted")), "{verdict:?}");
    assert_eq!((&verdict[0]["sequence"], &verdict[0]["revision"]), (&json!(7), &json!(1)), "{verdict:?}");
    assert_eq!(verdict[0]["at"], "2027-01-15T08:00:00Z", "the service's clock counts");
    assert_eq!(verdict[0]["not_after"], "2027-01-15T09:59:59Z", "trust in the bundle ends then");

    let foreign = c.svid(WEB).chain_pem();
    let (code, verdict) = asked(&service, &chain, foreign.as_bytes()).await;
    assert_eq!((code, &verdict[0]["reason"]["code"]), (Some(1), &json!("foreign-authority")), "{verdict:?}");
    assert!(verdict[0]["reason"]["detail"].as_str().unwrap().contains("c.example"), "{verdict:?}");
    let (code, verdict) = asked(&service, &chain, b"nothing").await;
    assert_eq!((code, &verdict[0]["reason"]["code"]), (Some(1), &json!("malformed-chain")));
    let token = ["jwt", "--token", "-", "--audience", "pay"];
    let (code, verdict) = asked(&service, &token, b"x.y.z").await;
    assert_eq!((code, &verdict[0]["reason"]["code"]), (Some(1), &json!("malformed-token")));

    let mut lines = "nonsense\n".to_owned();
    for id in 0..1200 {
        writeln!(lines, "{}", json!({"id": id, "chain": base64(&svid)})).unwrap();
    }
    let (code, verdicts) = asked(&service, &["x509", "--batch", "-"], lines.as_bytes()).await;
    assert_eq!((code, verdicts.len(), &verdicts[0]["reason"]["code"]), (Some(0), 1201, &json!("malformed-input")));
    assert!((0_u64..).zip(&verdicts[1..]).all(|(id, one)| one["id"] == id && one["verdict"] == "accepted"));

    b_partner.answers("nothing");
    service.advance(Duration::from_secs(3 * 3600));
    let (code, verdict) = asked(&service, &chain, pem.as_bytes()).await;
    assert_eq!((code, &verdict[0]["reason"]["code"]), (Some(1), &json!("bundle-stale")), "{verdict:?}");
    let then = [&chain[..], &["--at", "2027-01-15T08:30:00Z"]].concat();
    let (code, verdict) = asked(&service, &then, pem.as_bytes()).await;
    assert_eq!((code, &verdict[0]["verdict"]), (Some(0), &json!("accepted")), "as it was then: {verdict:?}");
}
