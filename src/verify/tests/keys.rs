//! Keys of every kind, made once, and the ways to sign with them.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use openssl::ec::{EcGroup, EcKey};
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer};

use super::super::der::{OID, SEQUENCE};
use super::super::testing::element;

/// Kinds of key that a certificate may have, welcome or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa2048,
    Rsa1024,
    Secp256k1,
}

/// Ways to sign, welcome or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Ecdsa(Digest),
    Ed25519,
    Pkcs1(Digest),
    Pss { digest: Digest, salt: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

pub(super) struct Key {
    pub(super) kind: Kind,
    /// SubjectPublicKeyInfo.
    pub(super) info: Vec<u8>,
    /// What a subjectKeyIdentifier says of it.
    pub(super) id: Vec<u8>,
    pair: PKey<Private>,
}

/// The same key for the same number, in every test of this process.
pub(super) fn key(kind: Kind, number: usize) -> &'static Key {
    static KEYS: LazyLock<Mutex<BTreeMap<(Kind, usize), &'static Key>>> = LazyLock::new(Mutex::default);
    KEYS.lock().unwrap().entry((kind, number)).or_insert_with(|| Box::leak(Box::new(Key::new(kind))))
}

impl Key {
    fn new(kind: Kind) -> Self {
        let curve = |nid| PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(nid).unwrap()).unwrap());
        let rsa = |bits| PKey::from_rsa(Rsa::generate(bits).unwrap());
        let pair = match kind {
            Kind::P256 => curve(Nid::X9_62_PRIME256V1),
            Kind::P384 => curve(Nid::SECP384R1),
            Kind::P521 => curve(Nid::SECP521R1),
            Kind::Secp256k1 => curve(Nid::SECP256K1),
            Kind::Ed25519 => PKey::generate_ed25519(),
            Kind::Rsa2048 => rsa(2048),
            Kind::Rsa1024 => rsa(1024),
        };
        let pair = pair.unwrap();
        let info = pair.public_key_to_der().unwrap();
        let id = hash(MessageDigest::sha256(), &info).unwrap()[..20].to_vec();
        Self { kind, info, id, pair }
    }

    pub(super) fn sign(&self, scheme: Scheme, message: &[u8]) -> Vec<u8> {
        let Some(digest) = scheme.digest() else {
            return Signer::new_without_digest(&self.pair).unwrap().sign_oneshot_to_vec(message).unwrap();
        };
        let mut signer = Signer::new(digest.message_digest(), &self.pair).unwrap();
        if let Scheme::Pss { salt, .. } = scheme {
            signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::custom(salt.into())).unwrap();
        }
        signer.sign_oneshot_to_vec(message).unwrap()
    }
}

impl Kind {
    /// How such a key signs unless told otherwise.
    pub(super) fn scheme(self) -> Scheme {
        match self {
            Self::P256 | Self::Secp256k1 => Scheme::Ecdsa(Digest::Sha256),
            Self::P384 => Scheme::Ecdsa(Digest::Sha384),
            Self::P521 => Scheme::Ecdsa(Digest::Sha512),
            Self::Ed25519 => Scheme::Ed25519,
            Self::Rsa2048 | Self::Rsa1024 => Scheme::Pkcs1(Digest::Sha256),
        }
    }
}

impl Scheme {
    fn digest(self) -> Option<Digest> {
        match self {
            Self::Ecdsa(digest) | Self::Pkcs1(digest) | Self::Pss { digest, .. } => Some(digest),
            Self::Ed25519 => None,
        }
    }

    /// AlgorithmIdentifier (RFC 3279, 4055, 5758, 8410).
    pub(super) fn algorithm(self) -> Vec<u8> {
        let parts = match self {
            Self::Ecdsa(Digest::Sha1) => element(OID, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1]),
            Self::Ecdsa(digest) => element(OID, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, digest.number() - 9]),
            Self::Ed25519 => element(OID, &[0x2b, 0x65, 0x70]),
            Self::Pkcs1(digest) => [pkcs1(digest.number()), NULL.to_vec()].concat(),
            Self::Pss { digest, salt } => {
                let hash = element(SEQUENCE, &[element(OID, digest.oid()), NULL.to_vec()].concat());
                let mask = element(SEQUENCE, &[pkcs1(8), hash.clone()].concat());
                let salt = element(2, &[salt]);
                let fields = [element(0xa0, &hash), element(0xa1, &mask), element(0xa2, &salt)].concat();
                [pkcs1(10), element(SEQUENCE, &fields)].concat()
            }
        };
        element(SEQUENCE, &parts)
    }
}

impl Digest {
    /// The last number of the identifier 1.2.840.113549.1.1.n for RSA with it.
    fn number(self) -> u8 {
        match self {
            Self::Md5 => 4,
            Self::Sha1 => 5,
            Self::Sha256 => 11,
            Self::Sha384 => 12,
            Self::Sha512 => 13,
        }
    }

    fn oid(self) -> &'static [u8] {
        match self {
            Self::Md5 => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5],
            Self::Sha1 => &[0x2b, 0x0e, 3, 2, 0x1a],
            Self::Sha256 => &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1],
            Self::Sha384 => &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2],
            Self::Sha512 => &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3],
        }
    }

    fn message_digest(self) -> MessageDigest {
        match self {
            Self::Md5 => MessageDigest::md5(),
            Self::Sha1 => MessageDigest::sha1(),
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha384 => MessageDigest::sha384(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }
}

fn pkcs1(number: u8) -> Vec<u8> {
    element(OID, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, number])
}

const NULL: &[u8] = &[5, 0];
