use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::support::ca::{Ca, pem};

fn read(answer: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>, &'static str> {
    let read = authorities(&"a.example".parse().unwrap(), answer.as_ref()).map_err(|error| error.code())?;
    let authorities = read.into_iter().map(|authority| match authority {
        Authority::X509(certificate) => certificate.der().to_vec(),
        _ => panic!("only certificates"),
    });
    Ok(authorities.collect())
}

#[test]
fn pem_consuls_roots_and_vaults_certificate_are_read() {
    let (one, two) = (Ca::web("one"), Ca::of("a.example"));
    let (first, second) = (one.pem(), two.pem());
    let both = Ok(vec![one.der().to_vec(), two.der().to_vec()]);
    let roots = json!([{ "RootCert": first.trim_end(), "Active": true }, { "RootCert": second, "Active": false }]);
    for (name, answer) in [
        ("PEM", first.clone() + &second),
        ("Consul", json!({ "ActiveRootID": "1", "TrustDomain": "a.example", "Roots": roots }).to_string()),
        ("Vault", json!({ "request_id": "1", "data": { "certificate": first + &second } }).to_string()),
    ] {
        assert_eq!(read(answer), both, "{name}");
    }
}

#[test]
fn what_is_no_ca_certificate_of_ours_is_refused() {
    let (ours, theirs) = (Ca::of("a.example"), Ca::of("b.example").pem());
    let svid = ours.svid("spiffe://a.example/web");
    let (key, leaf, pem) = (svid.key_pem(), svid.chain_pem(), ours.pem());
    let consul = |certificate: &str| json!({ "Roots": [{ "RootCert": certificate }] }).to_string();
    for (answer, expected) in [
        (String::new(), "no-certificate"),
        ("<html>404</html>".into(), "no-certificate"),
        (pem[..200].to_owned(), "malformed-pem"),
        (pem.clone() + &key, "private-key"),
        (pem.clone() + &leaf, "not-a-ca"),
        (theirs.clone(), "mis-wired"),
        (pem.repeat(257), "too-many-authorities"),
        ("{}".into(), "malformed-ca-answer"),
        ("{".into(), "malformed-ca-answer"),
        (consul(""), "no-certificate"),
        (consul(&theirs), "mis-wired"),
        (consul(&key), "private-key"),
        (json!({ "data": { "certificate": pem, "private_key": key } }).to_string(), "private-key"),
        (json!({ "data": { "private_key": "s", "certificate": "" } }).to_string(), "private-key"),
        (json!({ "Roots": [{ "RootCert": pem, "SigningKey": key }] }).to_string(), "private-key"),
        (json!({ "Roots": [] }).to_string(), "no-certificate"),
        (json!({ "Roots": null, "TrustDomain": "" }).to_string(), "mis-wired"),
        (json!({ "TrustDomain": "b.example", "Roots": [{ "RootCert": pem }] }).to_string(), "mis-wired"),
        (json!({ "data": null, "wrap_info": { "token": "s.x" } }).to_string(), "malformed-ca-answer"),
        (json!({ "data": { "certificate": "" } }).to_string(), "no-certificate"),
        (format!(r#"{{"data":{{"certificate":"","certificate":"{theirs}"}}}}"#), "malformed-ca-answer"),
        ("{\"data\":".repeat(10_000), "malformed-ca-answer"),
    ] {
        assert_eq!(read(&answer), Err(expected), "{:?}", answer.get(..80).unwrap_or(&answer));
    }
}

#[test]
fn what_a_block_says_it_is_is_cut_and_escaped() {
    for answer in [
        include_bytes!("../../../tests/vectors/ca_answers/long-label.pem").as_slice(),
        include_bytes!("../../../tests/vectors/ca_answers/controls-in-label.pem"),
    ] {
        let error = authorities(&"a.example".parse().unwrap(), answer).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.code(), "not-a-certificate", "{text}");
        assert!(text.len() < 400 && !text.contains(char::is_control), "{text:?}");
    }
}

/// An answer in each of its three spellings.
static ANSWERS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let (one, two) = (Ca::web("one").pem(), Ca::of("a.example").pem());
    let roots = json!({ "TrustDomain": "a.example", "Roots": [{ "RootCert": one }, { "RootCert": two }] });
    let vault = json!({ "data": { "certificate": format!("{one}{two}") } });
    [format!("{one}{two}"), roots.to_string(), vault.to_string()].map(String::into_bytes)
});

proptest! {
    #[test]
    fn whatever_is_read_of_a_mutilated_answer_is_read_again_as_pem(
        spelling in 0..3_usize,
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<Index>()),
    ) {
        let mut answer = ANSWERS[spelling].clone();
        changes.iter().for_each(|(place, byte)| *place.get_mut(&mut answer) = *byte);
        answer.truncate(cut.map_or(usize::MAX, |place| place.index(answer.len())));
        if let Ok(found) = read(&answer) {
            prop_assert!(!found.is_empty());
            prop_assert_eq!(read(found.iter().map(|der| pem("CERTIFICATE", der)).collect::<String>()), Ok(found));
        }
    }
}
