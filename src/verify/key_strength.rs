//! How strong keys are, in bits of security.

use std::fmt;

use crate::spiffe::public_key::{Curve, PublicKey};

/// A floor under keys: each level is at least so many bits of security (NIST SP 800-57, part 1, table 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeyStrength {
    /// RSA from 2048 bits on and every curve.
    #[default]
    Bits112,
    /// RSA from 3072 bits on and every curve.
    Bits128,
    /// RSA from 7680 bits on, P-384 and P-521.
    Bits192,
    /// P-521; RSA keys of that strength are longer than we accept.
    Bits256,
}

impl KeyStrength {
    /// All levels, the weakest first.
    pub const ALL: [Self; 4] = [Self::Bits112, Self::Bits128, Self::Bits192, Self::Bits256];

    /// The level that a key reaches; none if it is below all of them.
    pub fn of(key: &PublicKey) -> Option<Self> {
        match key {
            PublicKey::Rsa { n, .. } => {
                let padding = n.first().map_or(0, |first| usize::try_from(first.leading_zeros()).unwrap_or(0));
                let bits = n.len() * 8 - padding;
                [(7680, Self::Bits192), (3072, Self::Bits128), (2048, Self::Bits112)]
                    .into_iter()
                    .find_map(|(least, strength)| (bits >= least).then_some(strength))
            }
            PublicKey::Ec { curve: Curve::P384, .. } => Some(Self::Bits192),
            PublicKey::Ec { curve: Curve::P521, .. } => Some(Self::Bits256),
            PublicKey::Ec { curve: Curve::P256, .. } | PublicKey::Ed25519 { .. } => Some(Self::Bits128),
        }
    }

    /// Its bits of security.
    pub fn bits(self) -> u64 {
        match self {
            Self::Bits112 => 112,
            Self::Bits128 => 128,
            Self::Bits192 => 192,
            Self::Bits256 => 256,
        }
    }
}

impl fmt::Display for KeyStrength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bits", self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_strong_as_nist_says() {
        let rsa = |bits: usize| {
            let first = u8::try_from(1 << ((bits - 1) % 8)).unwrap();
            PublicKey::rsa(&[vec![first], vec![1; (bits - 1) / 8]].concat(), &[1, 0, 1]).unwrap()
        };
        let ec = |curve: Curve| {
            let coordinate: Box<[u8]> = vec![1; curve.coordinate_bytes()].into();
            PublicKey::Ec { curve, x: coordinate.clone(), y: coordinate }
        };
        for (name, key, expected) in [
            ("RSA-2047", rsa(2047), None),
            ("RSA-2048", rsa(2048), Some(112)),
            ("RSA-3071", rsa(3071), Some(112)),
            ("RSA-3072", rsa(3072), Some(128)),
            ("RSA-7679", rsa(7679), Some(128)),
            ("RSA-7680", rsa(7680), Some(192)),
            ("RSA-8192", rsa(8192), Some(192)),
            ("P-256", ec(Curve::P256), Some(128)),
            ("P-384", ec(Curve::P384), Some(192)),
            ("P-521", ec(Curve::P521), Some(256)),
            ("Ed25519", PublicKey::Ed25519 { x: [1; 32] }, Some(128)),
        ] {
            assert_eq!(KeyStrength::of(&key).map(KeyStrength::bits), expected, "{name}");
        }
        assert!(KeyStrength::ALL.is_sorted() && KeyStrength::ALL.is_sorted_by_key(|level| level.bits()));
    }
}
