use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;
use crate::http::fixtures::{Files, Minted, mint, svid, web_leaf};
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
    let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
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
