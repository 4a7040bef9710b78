//! Public keys as SPIRE wants them: a SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7).

use asn1::{BigUint, BitString, ObjectIdentifier, SequenceWriter};

use crate::spiffe::public_key::{Curve, PublicKey};

/// The key in DER.
pub(super) fn key_info(key: &PublicKey) -> Vec<u8> {
    match key {
        PublicKey::Rsa { n, e } => rsa(n, e),
        PublicKey::Ec { curve, x, y } => [ec_prefix(*curve), &[UNCOMPRESSED], x, y].concat(),
        PublicKey::Ed25519 { x } => [ED25519_PREFIX, x].concat(),
    }
}

fn rsa(n: &[u8], e: &[u8]) -> Vec<u8> {
    // A DER integer is signed, so a number with its highest bit set begins with a zero.
    let unsigned = |number: &[u8]| match number.first() {
        Some(0x80..) => [&[0], number].concat(),
        _ => number.to_vec(),
    };
    let (n, e) = (unsigned(n), unsigned(e));
    let integer = |number| BigUint::new(number).expect("without leading zeros, and positive");
    let key = asn1::write(|writer| {
        writer.write_element(&SequenceWriter::new(&|writer| {
            writer.write_element(&integer(&n))?;
            writer.write_element(&integer(&e))
        }))
    });
    let key = key.expect("writing to memory does not fail");
    let info = asn1::write(|writer| {
        writer.write_element(&SequenceWriter::new(&|writer| {
            writer.write_element(&SequenceWriter::new(&|writer| {
                writer.write_element(&RSA_ENCRYPTION)?;
                writer.write_element(&())
            }))?;
            writer.write_element(&BitString::new(&key, 0).expect("no bits are unused"))
        }))
    });
    info.expect("writing to memory does not fail")
}

/// All of it before the point.
fn ec_prefix(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => {
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
        }
        Curve::P384 => b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
        Curve::P521 => {
            b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00"
        }
    }
}

const ED25519_PREFIX: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const RSA_ENCRYPTION: ObjectIdentifier = asn1::oid!(1, 2, 840, 113549, 1, 1, 1);
const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData as _;

    use super::*;
    use crate::spiffe::fixtures::FIXTURES;

    #[test]
    fn every_kind_of_key_is_written_as_certificates_have_it() {
        for fixture in FIXTURES.iter() {
            let kind = fixture.ca.key().kind();
            assert_eq!(key_info(fixture.ca.key()), fixture.key.subject_public_key_info(), "{kind}");
        }
    }
}
