//! A file with a certificate chain.

use x509_parser::asn1_rs::{Any, FromDer as _, Tag};

use crate::authorities::pem::{self, PemError};

/// The certificates of a file in DER, at least one, none of them read: PEM, or DER one after the other.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ChainError> {
    let malformed = |detail: String, certificate| ChainError::Malformed { detail, certificate };
    match split(bytes) {
        _ if bytes.trim_ascii().is_empty() => Err(malformed("nothing is there".into(), None)),
        Ok(chain) => Ok(chain),
        // DER begins with a zero, as a line of text may.
        Err(_) if bytes.windows(PEM.len()).any(|window| window == PEM) => match pem::certificates(bytes) {
            Ok(chain) => Ok(chain),
            Err(reason @ PemError::PrivateKey { .. }) => Err(ChainError::PrivateKey(reason)),
            Err(reason) => Err(malformed(reason.to_string(), None)),
        },
        Err(0) => Err(malformed("neither PEM nor DER".into(), None)),
        Err(index) => Err(malformed(format!("after {index} in DER follows what is no whole certificate"), Some(index))),
    }
}

const PEM: &[u8] = b"-----BEGIN ";

/// Sequences in DER that fill the file; or which of them is none.
fn split(mut rest: &[u8]) -> Result<Vec<Vec<u8>>, usize> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (behind, element) = Any::from_der(rest).map_err(|_| all.len())?;
        if element.tag() != Tag::Sequence {
            return Err(all.len());
        }
        all.push(rest[..rest.len() - behind.len()].to_vec());
        rest = behind;
    }
    Ok(all)
}

/// Why a file holds no chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ChainError {
    /// It can't be taken apart, at this certificate if any.
    Malformed { detail: String, certificate: Option<usize> },
    /// It has a secret in it.
    PrivateKey(PemError),
}

#[cfg(test)]
mod tests;
