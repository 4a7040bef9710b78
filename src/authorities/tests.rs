use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::files::AuthorityFiles;
use super::{AuthorityProblem, LoadedAuthorities};
use crate::spiffe::authority::SvidType;
use crate::spiffe::trust_domain::TrustDomain;

fn domain() -> TrustDomain {
    "a.example".parse().unwrap()
}

fn ca(name: &str, uri: Option<&str>) -> (String, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().unwrap())));
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn pem(name: &str) -> String {
    ca(name, None).0
}

fn leaf() -> String {
    CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// A JWK with the members of `more`, its key made for it.
fn jwk(more: &str) -> String {
    let key = KeyPair::generate().unwrap();
    let (x, y) = key.public_key_raw()[1..].split_at(32);
    let encode = |bytes: &[u8]| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, bytes);
    format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"{more}}}"#, encode(x), encode(y))
}

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn x509(path: &Path) -> AuthorityFiles {
    AuthorityFiles::new(vec![path.to_owned()], vec![])
}

fn codes(problems: &[AuthorityProblem]) -> Vec<(String, &'static str)> {
    let name = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
    problems.iter().map(|problem| (name(&problem.file), problem.code)).collect()
}

#[test]
fn several_folders_and_files_make_one_set() {
    let two = pem("one") + "text between\n" + &pem("two");
    let folder = folder_with(&[("a.pem", &two), ("b.crt", &pem("three")), (".hidden", "not a certificate")]);
    let keys = format!(r#"{{"keys":[{},{}]}}"#, jwk(r#","kid":"1""#), jwk(r#","kid":"2","use":"sig","alg":"ES256""#));
    let other = folder_with(&[("ca.pem", &pem("four")), ("jwt.json", &keys)]);
    let x509 = vec![folder.path().to_owned(), other.path().join("ca.pem")];
    let loaded = AuthorityFiles::new(x509, vec![other.path().join("jwt.json")]).load(&domain()).unwrap();
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.authorities.count(SvidType::X509Svid), 4);
    assert_eq!(loaded.authorities.count(SvidType::JwtSvid), 2);
}

#[test]
fn what_is_no_ca_certificate_of_ours_is_refused_by_name() {
    let (certificate, key) = ca("own", Some("spiffe://a.example"));
    let folder = folder_with(&[
        ("0-own.pem", &certificate),
        ("1-foreign.pem", &ca("foreign", Some("SPIFFE://b.example")).0),
        ("2-key.pem", &key),
        ("3-leaf.pem", &leaf()),
        ("4-empty.pem", ""),
        ("5-cut.pem", &certificate[..certificate.len() / 2]),
        ("6-both.pem", &(pem("x") + &leaf())),
        ("7-request.pem", &certificate.replace("CERTIFICATE", "CERTIFICATE REQUEST")),
    ]);
    let loaded = x509(folder.path()).load(&domain()).unwrap();
    let expected = [
        ("1-foreign.pem", "mis-wired"),
        ("2-key.pem", "private-key"),
        ("3-leaf.pem", "not-a-ca"),
        ("4-empty.pem", "no-certificate"),
        ("5-cut.pem", "malformed-pem"),
        ("6-both.pem", "not-a-ca"),
        ("7-request.pem", "not-a-certificate"),
    ];
    assert_eq!(codes(&loaded.problems), expected.map(|(file, code)| (file.to_owned(), code)));
    assert_eq!(loaded.authorities.len(), 1);
    assert!(!format!("{:?}", loaded.problems).contains("BEGIN"), "no key material in what is shown");
}

#[test]
fn jwt_keys_need_a_key_id_and_a_fitting_use() {
    for (members, expected) in [
        (r#","kid":"a""#, None),
        (r#","kid":"a","use":"jwt-svid""#, None),
        (r#","kid":"a","use":"x509-svid""#, Some("wrong-use")),
        (r#","kid":"a","use":"enc""#, Some("wrong-use")),
        (r#","kid":"a","d":"AA""#, Some("private-key")),
        (r#","kid":"""#, Some("unusable-key")),
        ("", Some("unusable-key")),
    ] {
        let folder = folder_with(&[("ca.pem", &pem("a")), ("jwt.json", &format!(r#"{{"keys":[{}]}}"#, jwk(members)))]);
        let files = AuthorityFiles::new(vec![folder.path().join("ca.pem")], vec![folder.path().join("jwt.json")]);
        let loaded = files.load(&domain()).unwrap();
        assert_eq!(loaded.problems.first().map(|problem| problem.code), expected, "{members}");
        assert_eq!(loaded.authorities.count(SvidType::JwtSvid), usize::from(expected.is_none()), "{members}");
    }
}

#[test]
fn wit_04_out_02_wit_keys_come_only_from_files_that_are_asked_for_them() {
    for (name, members, expected) in [
        ("jwt", r#","kid":"a","use":"wit-svid""#, Err("wrong-use")),
        ("wit", r#","kid":"a","use":"wit-svid""#, Ok(1)),
        ("wit", r#","kid":"a""#, Ok(1)),
        ("wit", r#","kid":"a","use":"jwt-svid""#, Err("wrong-use")),
        ("wit", "", Err("unusable-key")),
    ] {
        let folder = folder_with(&[("ca.pem", &pem("a")), ("keys.json", &format!(r#"{{"keys":[{}]}}"#, jwk(members)))]);
        let (ca, keys) = (vec![folder.path().join("ca.pem")], vec![folder.path().join("keys.json")]);
        let files = match name {
            "jwt" => AuthorityFiles::new(ca, keys),
            _ => AuthorityFiles::new(ca, vec![]).with_wit(keys),
        };
        let loaded = files.load(&domain()).unwrap();
        let found = match loaded.problems.first() {
            Some(problem) => Err(problem.code),
            None => Ok(loaded.authorities.count(SvidType::WitSvid)),
        };
        assert_eq!(found, expected, "{name} {members}");
    }
}

#[test]
fn nothing_to_publish_at_start_says_what_would_be_right() {
    let folder = folder_with(&[]);
    for path in [folder.path().to_owned(), folder.path().join("none.pem")] {
        let error = x509(&path).load(&domain()).unwrap_err();
        assert_eq!(error.code(), "no-authorities");
        assert!(error.to_string().contains("CA certificates in PEM"), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    assert!(AuthorityFiles::default().load(&domain()).unwrap().authorities.is_empty(), "nothing configured");
}

#[test]
fn a_file_that_breaks_keeps_its_own_last_good_keys() {
    let folder = folder_with(&[("a.pem", &pem("a")), ("b.pem", &pem("b"))]);
    let files = x509(folder.path());
    let first = files.load(&domain()).unwrap();
    fs::write(folder.path().join("a.pem"), &pem("c")[..100]).unwrap();
    fs::write(folder.path().join("b.pem"), pem("d")).unwrap();
    let second = files.reload(&domain(), &first);
    assert_eq!(codes(&second.problems), [("a.pem".to_owned(), "malformed-pem")]);
    let kept = second.authorities.ids().filter(|id| first.authorities.contains(id)).count();
    assert_eq!((second.authorities.len(), kept), (2, 1));
    let third = files.reload(&domain(), &second);
    assert_eq!(third.authorities, second.authorities, "last good even after several looks");
}

#[test]
fn a_file_made_writable_for_others_keeps_its_last_good_keys() {
    let folder = folder_with(&[("a.pem", &pem("a")), ("b.pem", &pem("b"))]);
    let first = x509(folder.path()).load(&domain()).unwrap();
    fs::write(folder.path().join("a.pem"), pem("evil")).unwrap();
    fs::set_permissions(folder.path().join("a.pem"), fs::Permissions::from_mode(0o666)).unwrap();
    let second = x509(folder.path()).reload(&domain(), &first);
    assert_eq!(codes(&second.problems), [("a.pem".to_owned(), "file-writable-by-others")]);
    assert_eq!(second.authorities, first.authorities);
}

#[test]
fn keys_go_with_their_file_but_never_all_of_them() {
    let folder = folder_with(&[("a.pem", &pem("a")), ("b.pem", &pem("b"))]);
    let files = x509(folder.path());
    let first = files.load(&domain()).unwrap();
    fs::remove_file(folder.path().join("a.pem")).unwrap();
    let second = files.reload(&domain(), &first);
    assert_eq!((second.authorities.len(), second.problems.len()), (1, 0));
    fs::remove_file(folder.path().join("b.pem")).unwrap();
    let third = files.reload(&domain(), &second);
    assert_eq!(third.authorities, second.authorities);
    assert_eq!(third.problems[0].code, "no-authorities");
    fs::remove_dir(folder.path()).unwrap();
    let fourth = files.reload(&domain(), &third);
    assert_eq!(fourth.authorities, second.authorities);
    assert_eq!(fourth.problems[0].code, "file-unreadable");
}

#[test]
fn more_keys_than_a_peer_reads_are_not_published() {
    let folder = folder_with(&[("a.pem", &pem("a"))]);
    let first = x509(folder.path()).load(&domain()).unwrap();
    let keys: Vec<String> = (0..257).map(|kid| jwk(&format!(r#","kid":"{kid}""#))).collect();
    fs::write(folder.path().join("1.json"), format!(r#"{{"keys":[{}]}}"#, keys[..200].join(","))).unwrap();
    fs::write(folder.path().join("2.json"), format!(r#"{{"keys":[{}]}}"#, keys[200..].join(","))).unwrap();
    let jwt = vec![folder.path().join("1.json"), folder.path().join("2.json")];
    let loaded = AuthorityFiles::new(vec![folder.path().join("a.pem")], jwt).reload(&domain(), &first);
    assert_eq!(loaded.problems[0].code, "too-many-authorities");
    assert_eq!(loaded.authorities, first.authorities);
}

/// Runs the watcher and waits until it has sent what `done` wants; how long that took.
async fn watch_until(
    files: AuthorityFiles,
    change: impl AsyncFnOnce(),
    done: impl FnMut(&LoadedAuthorities) -> bool,
) -> Duration {
    let (sender, mut receiver) = watch::channel(files.load(&domain()).unwrap());
    let stop = CancellationToken::new();
    let watching = files.watch(domain(), sender, stop.clone());
    let test = async {
        // The watcher must have looked once, or the change is part of its first look.
        tokio::time::sleep(Duration::from_millis(300)).await;
        change().await;
        let start = Instant::now();
        timeout(Duration::from_secs(10), receiver.wait_for(done)).await.unwrap().unwrap();
        stop.cancel();
        start.elapsed()
    };
    tokio::join!(watching, test).1
}

#[tokio::test]
async fn a_kubernetes_volume_that_swaps_is_noticed_within_two_seconds() {
    let folder = folder_with(&[]);
    let version = |name: &str, text: &str| {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("ca.crt"), text).unwrap();
    };
    version("..1", &pem("old"));
    symlink("..1", folder.path().join("..data")).unwrap();
    symlink("..data/ca.crt", folder.path().join("ca.crt")).unwrap();
    for path in [folder.path().to_owned(), folder.path().join("ca.crt")] {
        let name = format!("..{}", path.as_os_str().len());
        let old = x509(&path).load(&domain()).unwrap().authorities;
        let swap = async || {
            version(&name, &pem("new"));
            symlink(&name, folder.path().join("..data_tmp")).unwrap();
            fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        };
        let took = watch_until(x509(&path), swap, |loaded| loaded.authorities != old).await;
        assert!(took < Duration::from_secs(2), "{took:?} for {}", path.display());
    }
}

#[tokio::test]
async fn a_change_behind_a_link_into_another_folder_is_noticed() {
    let (folder, elsewhere) = (folder_with(&[]), folder_with(&[("ca.pem", &pem("old"))]));
    symlink(elsewhere.path().join("ca.pem"), folder.path().join("ca.pem")).unwrap();
    let old = x509(folder.path()).load(&domain()).unwrap().authorities;
    let change = async || fs::write(elsewhere.path().join("ca.pem"), pem("new")).unwrap();
    watch_until(x509(folder.path()), change, |loaded| loaded.authorities != old && loaded.problems.is_empty()).await;
}

#[tokio::test]
async fn a_half_written_file_is_reported_while_watched() {
    let folder = folder_with(&[("ca.pem", &pem("a"))]);
    let path = folder.path().join("ca.pem");
    let broken = async || fs::write(&path, "half").unwrap();
    watch_until(x509(folder.path()), broken, |loaded| codes(&loaded.problems) == [("ca.pem".into(), "no-certificate")])
        .await;
}
