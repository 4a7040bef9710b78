use super::*;
use crate::support::ca::{Ca, pem};

#[test]
fn the_leaf_is_one_certificate_and_hash_is_its_digest() {
    let ca = Ca::of("b.example");
    let [one, two] = ["spiffe://b.example/one", "spiffe://b.example/two"].map(|id| ca.svid(id));
    let [one_pem, two_pem, ca_pem] =
        [one.leaf(), two.leaf(), ca.der()].map(|der| Some(pem("CERTIFICATE", der).into_bytes()));
    let joined = |first: &Option<Vec<u8>>, second: &Option<Vec<u8>>| {
        Some([first.clone(), second.clone()].map(Option::unwrap).concat())
    };
    let (long, two_leaves) = (joined(&one_pem, &ca_pem), joined(&one_pem, &two_pem));
    let hash = Some(Fingerprint::of(one.leaf()).to_string());
    let upper = hash.clone().map(|hash| hash.to_uppercase());
    let key = Some(pem("PRIVATE KEY", b"secret").into_bytes());
    let cut = one_pem.clone().map(|pem| pem[..pem.len() - 40].to_vec());
    for (name, hash, cert, chain, expected) in [
        ("Cert", &hash, &one_pem, &None, Ok(0)),
        ("Chain", &hash, &None, &long, Ok(1)),
        ("both", &hash, &one_pem, &long, Ok(1)),
        ("of other certificates", &hash, &one_pem, &joined(&two_pem, &one_pem), Err("xfcc-ambiguous")),
        ("the same in another order", &hash, &one_pem, &joined(&ca_pem, &one_pem), Err("xfcc-ambiguous")),
        ("two in Cert", &hash, &two_leaves, &None, Err("xfcc-malformed")),
        ("no hash", &None, &one_pem, &None, Err("xfcc-hash-missing")),
        ("an empty hash", &Some(String::new()), &one_pem, &None, Err("xfcc-hash-mismatch")),
        ("another hash", &hash, &two_pem, &None, Err("xfcc-hash-mismatch")),
        ("the hash of a later one", &hash, &None, &joined(&two_pem, &one_pem), Err("xfcc-hash-mismatch")),
        ("the hash in capitals", &upper, &one_pem, &None, Err("xfcc-hash-mismatch")),
        ("a key", &hash, &key, &None, Err("xfcc-malformed")),
        ("cut off", &hash, &cut, &None, Err("xfcc-malformed")),
        ("a good Cert, a bad Chain", &hash, &one_pem, &cut, Err("xfcc-malformed")),
    ] {
        let element = Element { hash: hash.clone(), cert: cert.clone(), chain: chain.clone() };
        let read = ForwardedChain::read(&element, true);
        assert!(read.as_ref().map_or(true, |chain| *chain.leaf == *one.leaf()), "{name}");
        assert_eq!(read.map(|chain| chain.intermediates.len()).map_err(XfccError::code), expected, "{name}");
    }
    let without = Element { hash: None, cert: one_pem.clone(), chain: None };
    assert!(ForwardedChain::read(&without, false).is_ok());
    let wrong = Element { hash, cert: two_pem, chain: None };
    assert_eq!(ForwardedChain::read(&wrong, false).unwrap_err().code(), "xfcc-hash-mismatch", "if it is there");
}
