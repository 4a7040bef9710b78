//! CA certificates in PEM.

use x509_parser::pem::Pem;

use crate::spiffe::authority::{X509Authority, X509AuthorityError};
use crate::verify::text::shown;

/// The CA certificates of a PEM text: all of it or nothing, so that a half-written file is noticed.
pub(crate) fn ca_certificates(pem: &[u8]) -> Result<Vec<X509Authority>, PemError> {
    let read = |(position, der): (usize, Vec<u8>)| {
        X509Authority::from_der(&der).map_err(|reason| PemError::Certificate { position, reason })
    };
    (1..).zip(certificates(pem)?).map(read).collect()
}

/// The certificates of a PEM text in DER, at least one; they are not read. Text around the blocks is overlooked.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    // Before all else: an encrypted key has lines that are no Base64.
    let mut labels = (1..).zip(pem.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"-----BEGIN ")));
    if let Some((position, _)) = labels.find(|(_, line)| String::from_utf8_lossy(line).contains("PRIVATE KEY")) {
        return Err(PemError::PrivateKey { position });
    }
    let blocks = (1..).zip(Pem::iter_from_buffer(pem));
    let certificates: Vec<_> =
        blocks.map(|(position, block)| certificate(position, block)).collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(PemError::Empty) } else { Ok(certificates) }
}

fn certificate(position: usize, block: Result<Pem, x509_parser::error::PEMError>) -> Result<Vec<u8>, PemError> {
    let block = block.map_err(|_| PemError::Malformed { position })?;
    match block.label.as_str() {
        "CERTIFICATE" => Ok(block.contents),
        label => Err(PemError::Label { position, label: shown(label.as_bytes()) }),
    }
}

/// Why a PEM text is not used. Positions count blocks from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PemError {
    /// No block at all, as in an empty or DER file.
    #[error("holds no PEM certificate (for a DER file: openssl x509 -inform DER -in FILE)")]
    Empty,
    /// No end line, or not Base64.
    #[error("PEM block {position} is cut off or is not Base64")]
    Malformed {
        /// Which block.
        position: usize,
    },
    /// A secret that has no business here.
    #[error(
        "PEM block {position} is a private key; only public certificates belong here, and nobody but its owner should read that key"
    )]
    PrivateKey {
        /// Which block.
        position: usize,
    },
    /// A certificate that is none of a CA, or none that we can use.
    #[error("PEM block {position}: {reason}")]
    Certificate {
        /// Which block.
        position: usize,
        /// Why.
        #[source]
        reason: X509AuthorityError,
    },
    /// Something else, such as a request or a revocation list.
    #[error("PEM block {position} is a {label}, not a CERTIFICATE")]
    Label {
        /// Which block.
        position: usize,
        /// What it says it is, escaped and cut.
        label: String,
    },
}

impl PemError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Empty => "no-certificate",
            Self::Malformed { .. } => "malformed-pem",
            Self::PrivateKey { .. } => "private-key",
            Self::Certificate { reason, .. } => reason.code(),
            Self::Label { .. } => "not-a-certificate",
        }
    }
}
