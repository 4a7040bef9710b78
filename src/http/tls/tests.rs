use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::DefaultTimeProvider;
use rustls::{ClientConnection, ServerConnection};
use tokio::task::JoinSet;

use super::*;
use crate::http::fixtures::{Files, HOST, Minted, careless_client, mint, svid, web_leaf};
use crate::support::ca::Leaf;

#[test]
fn fes_07_a_web_certificate_names_a_host_and_fits_its_key() {
    let ip = Leaf { addresses: vec![[127, 0, 0, 1].into()], ..Leaf::default() };
    let uri = Leaf { uris: vec!["spiffe://a.example/x".into()], ..Leaf::default() };
    let expired = Leaf { hosts: vec!["a.example".into()], not_after: YEAR_2021, ..Leaf::default() };
    let other_key = Minted { private_key: web_leaf().private_key, ..web_leaf() };
    let no_key = Minted { private_key: "nothing".into(), ..web_leaf() };
    let garbled = Minted { certificate: web_leaf().certificate.replacen("MI", "AA", 1), ..web_leaf() };
    let cut = Minted { certificate: web_leaf().certificate[..200].into(), ..web_leaf() };
    for (name, minted, expected) in [
        ("DNS name", web_leaf(), None),
        ("IP address", mint(ip), None),
        ("common name only", mint(Leaf::default()), Some("certificate-without-host")),
        ("URI only", mint(uri), Some("certificate-without-host")),
        ("expired", mint(expired), Some("certificate-expired")),
        ("another key", other_key, Some("private-key-mismatch")),
        ("no key", no_key, Some("private-key-missing")),
        ("garbled", garbled, Some("malformed-certificate")),
        ("half written", cut, Some("malformed-certificate")),
        ("empty", Minted { certificate: String::new(), ..web_leaf() }, Some("no-certificate")),
    ] {
        assert_eq!(Files::with(&minted).web().err().map(|error| error.code()), expected, "{name}");
    }
}

#[test]
fn fes_08_an_svid_is_one_of_our_trust_domain() {
    let named = |names: &[&str]| Leaf { uris: names.iter().map(|&name| name.into()).collect(), ..Leaf::default() };
    let two = mint(named(&["spiffe://a.example/x", "spiffe://a.example/y"]));
    let ca = mint(Leaf { is_ca: true, ..named(&["spiffe://a.example/x"]) });
    for (name, minted, expected) in [
        ("ours", svid("spiffe://a.example/comity"), None),
        ("foreign", svid("spiffe://b.example/comity"), Some("foreign-svid")),
        ("root path", svid("spiffe://a.example"), Some("not-an-svid")),
        ("two URIs", two, Some("not-an-svid")),
        ("no URI", web_leaf(), Some("not-an-svid")),
        ("CA", ca, Some("not-an-svid")),
    ] {
        assert_eq!(Files::with(&minted).spiffe("a.example").err().map(|error| error.code()), expected, "{name}");
    }
}

#[test]
fn a_key_that_others_may_write_is_refused() {
    let files = Files::with(&web_leaf());
    for (mode, expected) in [
        (0o600, None),
        (0o644, None),
        (0o620, Some("file-writable-by-others")),
        (0o602, Some("file-writable-by-others")),
    ] {
        fs::set_permissions(files.private_key(), Permissions::from_mode(mode)).unwrap();
        assert_eq!(files.web().err().map(|error| error.code()), expected, "{mode:o}");
    }
    fs::remove_file(files.private_key()).unwrap();
    assert_eq!(files.web().unwrap_err().code(), "file-unreadable");
}

#[test]
fn fes_02_only_forward_secret_aead_suites_are_offered() {
    let tls = Files::with(&web_leaf()).web().unwrap();
    let config = tls.server_config().unwrap();
    let suites = &config.crypto_provider().cipher_suites;
    assert!(!suites.is_empty());
    for suite in suites {
        let name = format!("{:?}", suite.suite());
        let intermediate = name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_");
        assert!(intermediate && (name.contains("_GCM_") || name.contains("_CHACHA20_")), "{name}");
    }
}

#[test]
fn bad_files_leave_the_last_good_pair_and_say_so() {
    let (old, new) = (web_leaf(), web_leaf());
    let files = Files::with(&old);
    let tls = files.web().unwrap();
    assert!(!tls.reload().unwrap());
    fs::write(files.certificate(), &new.certificate).unwrap();
    assert_eq!(tls.reload().unwrap_err().code(), "private-key-mismatch");
    assert_eq!(tls.problem().unwrap().code, "private-key-mismatch");
    assert_eq!(tls.chain(), [old.der]);
    fs::write(files.private_key(), &new.private_key).unwrap();
    assert!(tls.reload().unwrap());
    assert_eq!(tls.problem(), None);
    assert_eq!(tls.chain(), [new.der]);
}

#[test]
fn a_bad_pair_taken_back_is_no_problem_any_more() {
    let old = web_leaf();
    let files = Files::with(&old);
    let tls = files.web().unwrap();
    fs::write(files.certificate(), "half").unwrap();
    assert_eq!(tls.reload().unwrap_err().code(), "no-certificate");
    files.write(&old);
    assert!(!tls.reload().unwrap());
    assert_eq!(tls.problem(), None);
}

#[test]
fn an_svid_is_served_also_if_the_stream_failed_right_after_it() {
    let [first, second] = [(); 2].map(|()| svid("spiffe://a.example/comity"));
    let problem = SvidProblem { code: "workload-api-denied", detail: "gone".into() };
    let (_svids, tls) = awaiting(clock());
    assert!(tls.renew(&SvidState { svid: Some(streamed(&first)), problem: None }).unwrap());
    let told = tls.renew(&SvidState { svid: Some(streamed(&second)), problem: Some(problem) });
    assert_eq!((told.unwrap_err().code(), tls.chain()), ("workload-api-denied", vec![second.der]));
}

#[tokio::test]
async fn a_rewritten_file_is_served_within_two_seconds() {
    let files = Files::with(&web_leaf());
    let new = web_leaf();
    let tls = files.web().unwrap();
    watched(&tls, &new, || files.write(&new)).await;
}

#[tokio::test]
async fn a_kubernetes_symlink_swap_is_served_within_two_seconds() {
    let (old, new) = (Files::with(&web_leaf()), web_leaf());
    let replacement = Files::with(&new);
    let mount = tempfile::tempdir().unwrap();
    let at = |name: &str| mount.path().join(name);
    symlink(old.folder(), at("..data")).unwrap();
    symlink("..data/tls.crt", at("tls.crt")).unwrap();
    symlink("..data/tls.key", at("tls.key")).unwrap();
    let clock = Arc::new(DefaultTimeProvider);
    let tls = EndpointTls::web(&at("tls.crt"), &at("tls.key"), clock).unwrap();
    watched(&tls, &new, || {
        symlink(replacement.folder(), at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    })
    .await;
}

#[test]
fn no_session_outlives_its_connection() {
    let config = Files::with(&web_leaf()).web().unwrap().server_config().unwrap();
    assert_eq!(config.send_tls13_tickets, 0);
    assert!(!config.session_storage.can_cache());
    assert!(!config.ticketer.enabled());
}

#[test]
fn a_validation_alone_is_shown_the_proof_and_only_while_it_is_looked_for() {
    let (tls, web) = (issued(), web_leaf());
    assert_eq!(codes(&tls), (None, vec!["certificate-awaited"]));
    let proof = tls.challenges().answer(HOST, "token.thumbprint").unwrap();
    let shown = tls.challenges().proof(Some(HOST)).unwrap().cert[0].clone();
    assert!(handshake(&tls, HOST, &["h2"]).is_err(), "nothing else is there yet");
    install(&tls, &web).unwrap();
    assert_eq!(codes(&tls), (None, vec![]));
    for (name, host, alpn, expected) in [
        ("validation", HOST, &["acme-tls/1"][..], Some(&shown)),
        ("validation in capitals", "BUNDLE.a.example", &["acme-tls/1"], Some(&shown)),
        ("validation of another name", "other.a.example", &["acme-tls/1"], None),
        ("HTTP", HOST, &["h2", "http/1.1"], Some(&web.der)),
        ("no ALPN", HOST, &[], Some(&web.der)),
        ("another name", "other.a.example", &["h2"], Some(&web.der)),
        ("both", HOST, &["acme-tls/1", "h2"], Some(&web.der)),
        ("both, the other way round", HOST, &["h2", "acme-tls/1"], Some(&web.der)),
        ("unknown", HOST, &["acme-tls/2"], None),
    ] {
        assert_eq!(handshake(&tls, host, alpn).ok().as_ref(), expected, "{name}");
    }
    drop(proof);
    assert!(handshake(&tls, HOST, &["acme-tls/1"]).is_err(), "none is looked for any more");
    assert_eq!(handshake(&tls, HOST, &["h2"]).unwrap(), web.der);
}

#[test]
fn certificates_in_files_answer_no_validation() {
    let tls = Files::with(&web_leaf()).web().unwrap();
    let _proof = tls.challenges().answer(HOST, "token.thumbprint").unwrap();
    assert!(handshake(&tls, HOST, &["acme-tls/1"]).is_err());
}

#[test]
fn the_proof_holds_the_digest_of_the_key_authorization_and_names_nothing_else() {
    use x509_parser::prelude::FromDer as _;
    let tls = issued();
    let _proof = tls.challenges().answer(HOST, "token.thumbprint").unwrap();
    let shown = tls.challenges().proof(Some(HOST)).unwrap().cert[0].clone();
    let (_, proof) = x509_parser::certificate::X509Certificate::from_der(&shown).unwrap();
    let identifier = proof.extensions().iter().find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
    let digest = Fingerprint::of(b"token.thumbprint");
    assert!(identifier.critical);
    assert_eq!(identifier.value, [&[4, 32], &digest.as_bytes()[..]].concat());
    let names = proof.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    assert_eq!(names, [x509_parser::extensions::GeneralName::DNSName(HOST)]);
}

#[test]
fn what_was_issued_is_held_to_the_rules_of_files_and_replaces_nothing_if_it_breaks_one() {
    let (tls, good) = (issued(), web_leaf());
    install(&tls, &good).unwrap();
    tls.report_problem("acme-refused", "no".into());
    let expired = mint(Leaf { hosts: vec![HOST.into()], not_after: YEAR_2021, ..Leaf::default() });
    let other_key = Minted { private_key: web_leaf().private_key, ..web_leaf() };
    for (minted, code) in [
        (expired, "certificate-expired"),
        (begins_in(600), "certificate-not-yet-valid"),
        (other_key, "private-key-mismatch"),
        (mint(Leaf::default()), "certificate-without-host"),
        (Minted { certificate: "<html>".into(), ..web_leaf() }, "no-certificate"),
    ] {
        assert_eq!(install(&tls, &minted).unwrap_err().code(), code);
        assert_eq!(tls.chain(), std::slice::from_ref(&good.der));
        assert_eq!(tls.problem().unwrap().code, "acme-refused");
    }
    let other_key = Minted { private_key: web_leaf().private_key, ..web_leaf() };
    let words = install(&tls, &other_key).unwrap_err().to_string();
    assert_eq!(words, "the key that was made for it is not the key of what the ACME server issued");
    install(&tls, &good).unwrap();
    assert_eq!(tls.problem(), None);
    install(&tls, &begins_in(240)).unwrap();
}

fn begins_in(seconds: u64) -> Minted {
    let not_before = UnixTime::now().as_secs() + seconds;
    mint(Leaf { hosts: vec![HOST.into()], not_before, ..Leaf::default() })
}

#[test]
fn what_acme_issued_is_asked_for_again_behind_an_open_door_once_it_expired() {
    let clock = Arc::new(Hand::default());
    let (tls, leaf) = (EndpointTls::issued(clock.clone()), web_leaf());
    install(&tls, &leaf).unwrap();
    tls.report_problem("acme-refused", "no".into());
    assert_eq!(codes(&tls), (None, vec!["acme-refused"]));
    clock.0.store(true, Ordering::Relaxed);
    assert_eq!(codes(&tls), (None, vec!["acme-refused", "certificate-expired"]));
}

#[test]
fn fes_08_an_svid_that_is_awaited_or_expired_closes_no_other_listener() {
    let clock = Arc::new(Hand::default());
    let (_svids, tls) = awaiting(clock.clone());
    assert_eq!(codes(&tls), (None, vec!["certificate-awaited"]));
    let foreign = SvidState { svid: Some(streamed(&svid("spiffe://b.example/comity"))), problem: None };
    assert!(tls.noted(tls.renew(&foreign)).is_err());
    assert_eq!(codes(&tls), (None, vec!["foreign-svid", "certificate-awaited"]));
    let ours = SvidState { svid: Some(streamed(&svid("spiffe://a.example/comity"))), problem: None };
    assert!(tls.noted(tls.renew(&ours)).unwrap());
    assert_eq!(codes(&tls), (None, vec![]));
    clock.0.store(true, Ordering::Relaxed);
    assert_eq!(codes(&tls), (None, vec!["certificate-expired"]));
}

/// Of a clock that jumps ahead by a thousand years.
#[derive(Debug, Default)]
struct Hand(AtomicBool);

impl TimeProvider for Hand {
    fn current_time(&self) -> Option<UnixTime> {
        let years = if self.0.load(Ordering::Relaxed) { 1000 } else { 0 };
        let ahead = Duration::from_secs(years * 365 * 86_400);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + ahead))
    }
}

/// Why the service is not ready, and what else there is to say.
fn codes(tls: &EndpointTls) -> (Option<&'static str>, Vec<&'static str>) {
    (tls.not_ready(), tls.warnings().iter().map(|warning| warning.code).collect())
}

fn clock() -> Arc<dyn TimeProvider> {
    Arc::new(DefaultTimeProvider)
}

/// An endpoint to which a Workload API has said nothing yet.
fn awaiting(clock: Arc<dyn TimeProvider>) -> (watch::Sender<SvidState>, EndpointTls) {
    let svids = watch::Sender::default();
    let tls = EndpointTls::streamed("a.example".parse().unwrap(), Path::new("/s"), svids.subscribe(), clock);
    (svids, tls)
}

fn streamed(minted: &Minted) -> Arc<StreamedSvid> {
    let private_key = PrivateKeyDer::from_pem_slice(minted.private_key.as_bytes()).unwrap();
    Arc::new(StreamedSvid::new(&minted.der, private_key.secret_der()))
}

fn issued() -> EndpointTls {
    EndpointTls::issued(clock())
}

fn install(tls: &EndpointTls, minted: &Minted) -> Result<(), TlsFileError> {
    tls.install(tls.check(minted.certificate.as_bytes(), minted.private_key.as_bytes())?);
    Ok(())
}

/// The leaf that a client is shown, over no network.
fn handshake(tls: &EndpointTls, host: &str, alpn: &[&str]) -> Result<CertificateDer<'static>, rustls::Error> {
    let mut server = tls.server_config()?;
    // As actix does it.
    server.alpn_protocols = [vec![b"h2".to_vec(), b"http/1.1".to_vec()], server.alpn_protocols].concat();
    let client = careless_client(alpn, &[&TLS13]);
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(client.peer_certificates().unwrap()[0].clone())
}

/// Runs the watcher, makes a change and waits until `expected` is served.
async fn watched(tls: &EndpointTls, expected: &Minted, change: impl FnOnce()) {
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(tls.clone().watch(Metrics::default(), stop.clone()));
    tokio::task::yield_now().await;
    change();
    let served = async {
        while tls.chain() != [expected.der.clone()] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), served).await.unwrap();
    stop.cancel();
    tasks.join_all().await;
}

const YEAR_2021: u64 = 1_609_459_200;
