//! Public keys as key material, independent of how a certificate or JWK spells them.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_RSASSAPSS, OID_SIG_ED25519,
};
use x509_parser::x509::SubjectPublicKeyInfo;

/// A public key of a kind that SPIFFE bundles carry between today's implementations (OUT-01).
///
/// Equal values are equal key material: the same key in two certificates, or in a certificate and a
/// JWK, compares equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublicKey {
    /// RSA of 512 to 8192 bits with an odd exponent under 2^32; big-endian without leading zeros.
    Rsa {
        /// Modulus.
        n: Box<[u8]>,
        /// Exponent.
        e: Box<[u8]>,
    },
    /// A point on a NIST curve, in full-width coordinates.
    Ec {
        /// Which curve.
        curve: Curve,
        /// First coordinate.
        x: Box<[u8]>,
        /// Second coordinate.
        y: Box<[u8]>,
    },
    /// An Ed25519 key.
    Ed25519 {
        /// The encoded point.
        x: [u8; 32],
    },
}

/// A NIST curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Curve {
    /// secp256r1
    P256,
    /// secp384r1
    P384,
    /// secp521r1
    P521,
}

impl Curve {
    /// Name in a JWK's `crv` (RFC 7518 §6.2.1.1).
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The curve of a JWK's `crv`, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::P256, Self::P384, Self::P521].into_iter().find(|curve| curve.name() == name)
    }

    /// Bytes of one coordinate.
    pub fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::P384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::P521 => &signature::ECDSA_P521_SHA512_FIXED,
        }
    }
}

impl PublicKey {
    /// Largest RSA modulus in bits.
    pub const MAX_RSA_BITS: usize = 8192;

    /// An RSA key from big-endian numbers; leading zeros are dropped.
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Self, PublicKeyError> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let bits = bit_length(n);
        if bits > Self::MAX_RSA_BITS {
            return Err(PublicKeyError::RsaTooLarge { bits });
        }
        if e.len() > 4 || e.last().is_none_or(|last| last % 2 == 0) || e == [1] {
            return Err(PublicKeyError::RsaExponent);
        }
        if bits < MIN_RSA_BITS || n.last().is_none_or(|last| last % 2 == 0) {
            return Err(PublicKeyError::RsaModulus);
        }
        Ok(Self::Rsa { n: n.into(), e: e.into() })
    }

    /// A point on a curve, from full-width coordinates (RFC 7518 §6.2.1.2).
    pub fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, PublicKeyError> {
        if x.len() != curve.coordinate_bytes() || y.len() != curve.coordinate_bytes() {
            return Err(PublicKeyError::NotOnCurve);
        }
        let point = [&[UNCOMPRESSED], x, y].concat();
        ParsedPublicKey::new(curve.algorithm(), point).map_err(|_| PublicKeyError::NotOnCurve)?;
        Ok(Self::Ec { curve, x: x.into(), y: y.into() })
    }

    /// An Ed25519 key from its 32 bytes (RFC 8037 §2).
    pub fn ed25519(x: &[u8]) -> Result<Self, PublicKeyError> {
        let x: [u8; 32] = x.try_into().map_err(|_| PublicKeyError::NotOnCurve)?;
        ParsedPublicKey::new(&signature::ED25519, x).map_err(|_| PublicKeyError::NotOnCurve)?;
        Ok(Self::Ed25519 { x })
    }

    /// The key of a certificate. Explicit curve parameters and compressed points are refused.
    pub fn from_spki(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, PublicKeyError> {
        let algorithm = &spki.algorithm.algorithm;
        if *algorithm == OID_SIG_ED25519 {
            return Self::ed25519(&spki.subject_public_key.data);
        }
        if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            let parameters = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            let curve = parameters.and_then(|oid| {
                let named =
                    [(OID_EC_P256, Curve::P256), (OID_NIST_EC_P384, Curve::P384), (OID_NIST_EC_P521, Curve::P521)];
                named.into_iter().find(|(known, _)| *known == oid).map(|(_, curve)| curve)
            });
            let curve = curve.ok_or(PublicKeyError::Unsupported)?;
            return match spki.subject_public_key.data.split_first() {
                Some((&UNCOMPRESSED, point)) if point.len() == 2 * curve.coordinate_bytes() => {
                    let (x, y) = point.split_at(curve.coordinate_bytes());
                    Self::ec(curve, x, y)
                }
                _ => Err(PublicKeyError::NotOnCurve),
            };
        }
        if *algorithm == OID_PKCS1_RSAENCRYPTION || *algorithm == OID_PKCS1_RSASSAPSS {
            return match spki.parsed() {
                Ok(x509_parser::public_key::PublicKey::RSA(key)) => Self::rsa(key.modulus, key.exponent),
                _ => Err(PublicKeyError::RsaModulus),
            };
        }
        Err(PublicKeyError::Unsupported)
    }

    /// The JWK members of the key in the order of RFC 7638, `kty` included, base64url where encoded.
    pub fn to_jwk_members(&self) -> Vec<(&'static str, String)> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa { n, e } => vec![("e", encode(e)), ("kty", "RSA".into()), ("n", encode(n))],
            Self::Ec { curve, x, y } => {
                vec![("crv", curve.name().into()), ("kty", "EC".into()), ("x", encode(x)), ("y", encode(y))]
            }
            Self::Ed25519 { x } => vec![("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", encode(x))],
        }
    }

    /// SHA-256 thumbprint of the key as a JWK (RFC 7638).
    pub fn thumbprint(&self) -> Fingerprint {
        let members: Vec<_> =
            self.to_jwk_members().iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
        Fingerprint::of(format!("{{{}}}", members.join(",")).as_bytes())
    }

    /// Kind and size for people, as in `RSA-2048`, `P-256` or `Ed25519`.
    pub fn kind(&self) -> String {
        match self {
            Self::Rsa { n, .. } => format!("RSA-{}", bit_length(n)),
            Self::Ec { curve, .. } => curve.name().into(),
            Self::Ed25519 { .. } => "Ed25519".into(),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.thumbprint())
    }
}

/// Why key material is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// A kind of key or curve that we do not know.
    #[error("key type is none of RSA, EC P-256, P-384, P-521 and Ed25519")]
    Unsupported,
    /// Beyond what we promise to process; in a bundle this fails the whole document.
    #[error("RSA modulus of {bits} bits exceeds {}", PublicKey::MAX_RSA_BITS)]
    RsaTooLarge {
        /// Its size.
        bits: usize,
    },
    /// Even, 1, or 2^32 and more; in a bundle this fails the whole document.
    #[error("RSA exponent is not an odd number from 3 to 2^32 - 1")]
    RsaExponent,
    /// Even, absent or tiny.
    #[error("RSA modulus is not an odd number of at least 512 bits")]
    RsaModulus,
    /// Not a point of its curve in the uncompressed form.
    #[error("coordinates are not a full-width point on the curve")]
    NotOnCurve,
}

impl PublicKeyError {
    /// Whether the key exceeds a limit, rather than being broken or unknown.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::RsaTooLarge { .. } | Self::RsaExponent)
    }
}

/// A SHA-256 digest, printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(out)
    }

    /// The digest itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        let mut out = [0; 32];
        if digits.len() != 64 {
            return Err(FingerprintError);
        }
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| FingerprintError)?;
            *byte = u8::from_str_radix(pair, 16).ok().filter(|_| !pair.starts_with('+')).ok_or(FingerprintError)?;
        }
        Ok(Self(out))
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that is not 64 hexadecimal digits, with or without `sha256:` before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest is 64 hexadecimal digits, with or without \"sha256:\" before them")]
pub struct FingerprintError;

const UNCOMPRESSED: u8 = 4;
const MIN_RSA_BITS: usize = 512;

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

fn bit_length(number: &[u8]) -> usize {
    let leading: usize = number.first().map_or(0, |first| usize::try_from(first.leading_zeros()).unwrap_or(0));
    number.len() * 8 - leading
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rsa_key_is_its_numbers_and_has_bounds() {
        let modulus = |bytes: usize| [vec![0x80], vec![1; bytes - 1]].concat();
        assert_eq!(PublicKey::rsa(&modulus(256), &[1, 0, 1]).unwrap().kind(), "RSA-2048");
        assert_eq!(
            PublicKey::rsa(&[vec![0, 0], modulus(256)].concat(), &[0, 1, 0, 1]),
            PublicKey::rsa(&modulus(256), &[1, 0, 1])
        );
        for (name, n, e, expected) in [
            ("8192 bits", modulus(1024), vec![3], None),
            ("8200 bits", modulus(1025), vec![3], Some(PublicKeyError::RsaTooLarge { bits: 8200 })),
            ("even exponent", modulus(256), vec![2], Some(PublicKeyError::RsaExponent)),
            ("exponent 1", modulus(256), vec![1], Some(PublicKeyError::RsaExponent)),
            ("exponent 2^32 + 1", modulus(256), vec![1, 0, 0, 0, 1], Some(PublicKeyError::RsaExponent)),
            ("no exponent", modulus(256), vec![], Some(PublicKeyError::RsaExponent)),
            ("even modulus", [modulus(255), vec![2]].concat(), vec![3], Some(PublicKeyError::RsaModulus)),
            ("tiny modulus", vec![5], vec![3], Some(PublicKeyError::RsaModulus)),
        ] {
            assert_eq!(PublicKey::rsa(&n, &e).err(), expected, "{name}");
        }
    }

    #[test]
    fn points_off_the_curve_are_refused() {
        assert_eq!(PublicKey::ec(Curve::P256, &[1; 32], &[1; 32]), Err(PublicKeyError::NotOnCurve));
        assert_eq!(PublicKey::ec(Curve::P256, &[1; 31], &[1; 32]), Err(PublicKeyError::NotOnCurve));
        assert_eq!(PublicKey::ed25519(&[1; 31]), Err(PublicKeyError::NotOnCurve));
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        // The key and the thumbprint of RFC 7638 §3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = PublicKey::rsa(&URL_SAFE_NO_PAD.decode(n).unwrap(), &[1, 0, 1]).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(key.thumbprint().as_bytes()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn fingerprints_read_what_they_print() {
        let fingerprint = Fingerprint::of(b"x");
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(format!("sha256:{fingerprint}").parse(), Ok(fingerprint));
        for text in ["", "00", &"zz".repeat(32), &"+1".repeat(32), &"é".repeat(32)] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError), "{text}");
        }
    }
}
