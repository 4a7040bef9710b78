//! What is done to a signature, and to the certificate around it.

use super::super::super::der::{BIT_STRING, SEQUENCE};
use super::super::super::testing::element;
use super::super::keys::{Digest, Kind, Scheme, key};
use super::super::mint::certificate;
use super::Minting;

/// Something done to a signature; none where it can't be done with this kind of key.
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) sign: fn(&Minting) -> Option<Vec<u8>>,
    /// Of any other certificate, and of the authority.
    pub(super) expected: [&'static str; 2],
}

/// Signs by another scheme, where the key can.
fn by(scheme: fn(Kind) -> Option<Scheme>, it: &Minting) -> Option<Vec<u8>> {
    Some(it.draft.sign(it.signer, scheme(it.signer.kind)?))
}

/// What is signed, signed, with its signature changed.
fn changed(it: &Minting, change: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let signed = it.draft.to_be_signed(it.scheme);
    let mut signature = it.signer.sign(it.scheme, &signed);
    change(&mut signature);
    Some(certificate(&signed, &it.scheme.algorithm(), &signature))
}

fn after(it: &Minting, change: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut der = it.sign();
    change(&mut der);
    Some(der)
}

const fn is_rsa(kind: Kind) -> bool {
    matches!(kind, Kind::Rsa2048)
}

pub(super) const SIGNATURES: &[Signature] = &[
    Signature { name: "as it is", sign: |it| Some(it.sign()), expected: ["accepted", "accepted"] },
    Signature {
        name: "one bit another",
        sign: |it| changed(it, |signature| *signature.last_mut().unwrap() ^= 1),
        expected: ["bad-signature", "accepted"],
    },
    Signature {
        name: "of something else",
        sign: |it| {
            Some(certificate(
                &it.draft.to_be_signed(it.scheme),
                &it.scheme.algorithm(),
                &it.signer.sign(it.scheme, b"x"),
            ))
        },
        expected: ["bad-signature", "accepted"],
    },
    Signature {
        name: "by another key",
        sign: |it| Some(it.draft.sign(it.other_key(), it.scheme)),
        expected: ["bad-signature", "accepted"],
    },
    Signature {
        name: "by another kind of key",
        sign: |it| {
            let kind = if it.kind == Kind::P256 { Kind::Ed25519 } else { Kind::P256 };
            Some(it.draft.sign(key(kind, 9), kind.scheme()))
        },
        expected: ["bad-signature", "accepted"],
    },
    Signature { name: "empty", sign: |it| changed(it, Vec::clear), expected: ["bad-signature", "accepted"] },
    Signature {
        name: "cut",
        sign: |it| changed(it, |signature| signature.truncate(signature.len() - 1)),
        expected: ["bad-signature", "accepted"],
    },
    Signature {
        name: "with a byte more",
        sign: |it| changed(it, |signature| signature.push(0)),
        expected: ["bad-signature", "accepted"],
    },
    Signature {
        name: "with SHA-1",
        sign: |it| {
            let scheme = |kind| match kind {
                Kind::Ed25519 => None,
                kind if is_rsa(kind) => Some(Scheme::Pkcs1(Digest::Sha1)),
                _ => Some(Scheme::Ecdsa(Digest::Sha1)),
            };
            by(scheme, it)
        },
        expected: ["unsupported-algorithm", "accepted"],
    },
    Signature {
        name: "with MD5",
        sign: |it| by(|kind| is_rsa(kind).then_some(Scheme::Pkcs1(Digest::Md5)), it),
        expected: ["unsupported-algorithm", "accepted"],
    },
    Signature {
        name: "PSS with another salt",
        sign: |it| by(|kind| is_rsa(kind).then_some(Scheme::Pss { digest: Digest::Sha256, salt: 20 }), it),
        expected: ["unsupported-algorithm", "accepted"],
    },
    Signature {
        name: "PSS with SHA-1",
        sign: |it| by(|kind| is_rsa(kind).then_some(Scheme::Pss { digest: Digest::Sha1, salt: 20 }), it),
        expected: ["unsupported-algorithm", "accepted"],
    },
    Signature {
        name: "PKCS #1 called PSS",
        sign: |it| {
            let pss = Scheme::Pss { digest: Digest::Sha256, salt: 32 };
            let signed = it.draft.to_be_signed(pss);
            let signature = is_rsa(it.kind).then(|| it.signer.sign(Scheme::Pkcs1(Digest::Sha256), &signed))?;
            Some(certificate(&signed, &pss.algorithm(), &signature))
        },
        expected: ["bad-signature", "accepted"],
    },
    Signature {
        name: "an algorithm that nobody knows",
        sign: |it| {
            let unknown = element(SEQUENCE, &[6, 1, 42]);
            let mut draft = it.draft.clone();
            draft.inner_algorithm = Some(unknown.clone());
            Some(certificate(&draft.to_be_signed(it.scheme), &unknown, &[1; 64]))
        },
        expected: ["unsupported-algorithm", "accepted"],
    },
    Signature {
        name: "not of whole bytes",
        sign: |it| {
            let signed = it.draft.to_be_signed(it.scheme);
            let signature = [vec![4], it.signer.sign(it.scheme, &signed), vec![0]].concat();
            Some(element(SEQUENCE, &[signed, it.scheme.algorithm(), element(BIT_STRING, &signature)].concat()))
        },
        expected: ["malformed", "malformed-certificate"],
    },
    Signature {
        name: "a byte after the certificate",
        sign: |it| after(it, |der| der.push(0)),
        expected: ["malformed", "no authority"],
    },
    Signature {
        name: "a byte missing at its end",
        sign: |it| after(it, |der| der.truncate(der.len() - 1)),
        expected: ["malformed", "no authority"],
    },
    Signature {
        name: "an indefinite length",
        sign: |it| {
            let der = it.sign();
            Some([&[0x30, 0x80], &der[4..], &[0, 0]].concat())
        },
        expected: ["malformed", "no authority"],
    },
    Signature {
        name: "a length that is not minimal",
        sign: |it| {
            let der = it.sign();
            Some([&[0x30, 0x83, 0], &der[2..]].concat())
        },
        expected: ["malformed", "malformed-certificate"],
    },
];
