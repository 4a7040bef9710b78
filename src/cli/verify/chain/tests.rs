use super::*;
use crate::support::ca::{Ca, KeyType, authority, pem};

fn code(bytes: &[u8]) -> Result<usize, &'static str> {
    match certificates(bytes) {
        Ok(chain) => Ok(chain.len()),
        Err(ChainError::Malformed { .. }) => Err("malformed"),
        Err(ChainError::PrivateKey(_)) => Err("private key"),
    }
}

#[test]
fn a_chain_is_pem_with_text_around_it_or_der_one_after_the_other() {
    let ca = Ca::of("b.example").intermediate(authority("CA", &[]), KeyType::P256);
    let svid = ca.svid("spiffe://b.example/web");
    let chain: Vec<_> = svid.chain.iter().map(|der| der.to_vec()).collect();
    let (pems, der) = (svid.chain_pem(), chain.concat());
    let crlf = pems.replace('\n', "\r\n");
    let around = format!("0 s:CN = leaf\n{}\u{e9}", pems.replace("-----BEGIN", "# next\n-----BEGIN"));
    for (name, bytes) in [
        ("PEM", pems.as_bytes()),
        ("CRLF", crlf.as_bytes()),
        ("text around", around.as_bytes()),
        ("DER", der.as_slice()),
    ] {
        assert_eq!(certificates(bytes), Ok(chain.clone()), "{name}");
    }
    let key = svid.key_pem();
    let encrypted =
        key.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED");
    for (name, bytes, expected) in [
        ("one", svid.leaf().to_vec(), Ok(1)),
        ("any sequence, which is read later", vec![0x30, 0], Ok(1)),
        ("empty", vec![], Err("malformed")),
        ("white", b" \n".to_vec(), Err("malformed")),
        ("text", b"0 certificates".to_vec(), Err("malformed")),
        ("cut DER", der[..der.len() - 1].to_vec(), Err("malformed")),
        ("more behind DER", [&der[..], b"\n"].concat(), Err("malformed")),
        ("cut PEM", pems.as_bytes()[..pems.len() - 30].to_vec(), Err("malformed")),
        ("no Base64", pems.replace("MII", "M!I").into_bytes(), Err("malformed")),
        ("a request", pem("CERTIFICATE REQUEST", svid.leaf()).into_bytes(), Err("malformed")),
        ("a key behind", (pems.clone() + &key).into_bytes(), Err("private key")),
        ("a key before", (encrypted + &pems).into_bytes(), Err("private key")),
    ] {
        assert_eq!(code(&bytes), expected, "{name}");
    }
}
