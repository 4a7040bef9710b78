//! Certificate and private key of a listener, from files to something that can be served.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::authorities::workload_api::svid::StreamedSvid;
use crate::federation::timestamp::Timestamp;
use crate::files::trusted::{self, FileError};
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::x509::check_svid;

/// Where a certificate chain (leaf first) and its key are, both PEM, and what the leaf must be.
#[derive(Clone, Debug)]
pub(super) struct KeyFiles {
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
    pub(super) rule: LeafRule,
}

/// What a leaf must be, by profile.
#[derive(Clone, Debug)]
pub(super) enum LeafRule {
    /// Names a host in a subject alternative name (FES-07).
    Web,
    /// An X509-SVID of this trust domain (FES-08).
    Svid(TrustDomain),
}

/// A chain with its key, checked, and when its leaf is valid.
#[derive(Debug)]
pub(super) struct KeyPair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// Of the bytes it was made from: tells whether they changed.
    pub(super) digest: Fingerprint,
}

/// The bytes of both files; dropped as soon as they are parsed.
pub(super) struct KeyFileBytes {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
    everybody_reads_key: bool,
}

impl KeyFileBytes {
    /// What was issued to us and lies in no file.
    pub(super) fn issued(certificate: &[u8], private_key: &[u8]) -> Self {
        Self { certificate: certificate.into(), private_key: private_key.into(), everybody_reads_key: false }
    }

    pub(super) fn digest(&self) -> Fingerprint {
        let digests = [Fingerprint::of(&self.certificate), Fingerprint::of(&self.private_key)];
        Fingerprint::of(&digests.map(|digest| *digest.as_bytes()).concat())
    }
}

impl KeyFiles {
    /// A pair that lies in no file, by the name under which its errors speak of it.
    pub(super) fn issued() -> Self {
        Self { certificate: ISSUED.into(), private_key: MADE.into(), rule: LeafRule::Web }
    }

    /// Reads both files, up to 1 MiB each; the key must not be writable by group or others.
    pub(super) fn read(&self) -> Result<KeyFileBytes, TlsFileError> {
        let (certificate, _) = read(&self.certificate)?;
        let (private_key, metadata) = read(&self.private_key)?;
        trusted::check_mode(&self.private_key, &metadata).map_err(|source| at(&self.private_key, source))?;
        let everybody_reads_key = trusted::everybody_reads(&metadata);
        Ok(KeyFileBytes { certificate, private_key, everybody_reads_key })
    }

    /// Checks what was read, at `now`.
    pub(super) fn check(&self, bytes: &KeyFileBytes, now: UnixTime) -> Result<KeyPair, TlsFileError> {
        let key = || {
            PrivateKeyDer::from_pem_slice(&bytes.private_key)
                .map_err(|_| TlsFileError::NoPrivateKey { file: self.private_key.clone() })
        };
        let pair = self.check_pair(self.chain(&bytes.certificate)?, key, bytes.digest(), now)?;
        if bytes.everybody_reads_key {
            let file = self.private_key.display();
            tracing::warn!(%file, code = "private-key-readable", "private key is readable by every user");
        }
        Ok(pair)
    }

    /// The same for an SVID from a Workload API, whose socket stands in for the files.
    pub(super) fn check_streamed(&self, svid: &StreamedSvid, now: UnixTime) -> Result<KeyPair, TlsFileError> {
        self.check_pair(svid.chain(), || Ok(svid.private_key()), digest_of(svid), now)
    }

    /// First the leaf, whose faults explain more than the key's.
    fn check_pair(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: impl FnOnce() -> Result<PrivateKeyDer<'static>, TlsFileError>,
        digest: Fingerprint,
        now: UnixTime,
    ) -> Result<KeyPair, TlsFileError> {
        let leaf = chain.first().ok_or_else(|| TlsFileError::NoCertificate { file: self.certificate.clone() })?;
        let (not_before, not_after) = self.check_leaf(leaf, now)?;
        Ok(KeyPair { certified: Arc::new(self.certify(chain, key()?)?), not_before, not_after, digest })
    }

    fn chain(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
        CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsFileError::MalformedCertificate { file: self.certificate.clone() })
    }

    fn check_leaf(&self, der: &CertificateDer<'_>, now: UnixTime) -> Result<(Timestamp, Timestamp), TlsFileError> {
        let malformed = || TlsFileError::MalformedCertificate { file: self.certificate.clone() };
        let (_, leaf) = X509Certificate::from_der(der).map_err(|_| malformed())?;
        let (begin, end) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
        let (not_before, not_after) = (Timestamp::from_signed(begin), Timestamp::from_signed(end));
        if not_after < Timestamp::from(now) {
            return Err(TlsFileError::Expired { file: self.certificate.clone(), not_after });
        }
        match &self.rule {
            LeafRule::Web if !names_a_host(&leaf) => Err(TlsFileError::NoHostName { file: self.certificate.clone() }),
            LeafRule::Svid(trust_domain) => self.check_svid(der, trust_domain, now).map(|()| (not_before, not_after)),
            LeafRule::Web => Ok((not_before, not_after)),
        }
    }

    fn check_svid(
        &self,
        leaf: &CertificateDer<'_>,
        trust_domain: &TrustDomain,
        now: UnixTime,
    ) -> Result<(), TlsFileError> {
        let file = self.certificate.clone();
        match check_svid(leaf, now) {
            Ok(id) if id.trust_domain() == trust_domain => Ok(()),
            Ok(id) => Err(TlsFileError::ForeignSvid { file, id: id.to_string(), trust_domain: trust_domain.clone() }),
            Err(reason) => Err(TlsFileError::NotAnSvid { file, reason: reason.to_string() }),
        }
    }

    fn certify(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<CertifiedKey, TlsFileError> {
        match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(certified) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsFileError::KeyMismatch {
                certificate: self.certificate.clone(),
                private_key: self.private_key.clone(),
            }),
            Err(source) => Err(TlsFileError::UnusableKey { file: self.private_key.clone(), source }),
        }
    }
}

/// Tells one SVID from the next, which has another certificate.
pub(super) fn digest_of(svid: &StreamedSvid) -> Fingerprint {
    let bytes: Vec<u8> = svid.chain().iter().flat_map(|one| one.to_vec()).collect();
    Fingerprint::of(&bytes)
}

/// The one crypto provider.
pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// Why certificate or key files can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TlsFileError {
    #[error("{} {source}", file.display())]
    File { file: PathBuf, source: FileError },
    #[error("{}: no PEM certificate in it", file.display())]
    NoCertificate { file: PathBuf },
    #[error("{}: a certificate in it is malformed", file.display())]
    MalformedCertificate { file: PathBuf },
    #[error("{}: no unencrypted PEM private key in it", file.display())]
    NoPrivateKey { file: PathBuf },
    #[error("{}: {source}", file.display())]
    UnusableKey { file: PathBuf, source: rustls::Error },
    #[error("{} is not the key of {}", private_key.display(), certificate.display())]
    KeyMismatch { certificate: PathBuf, private_key: PathBuf },
    #[error("{}: the certificate expired at {not_after}", file.display())]
    Expired { file: PathBuf, not_after: Timestamp },
    #[error("{}: the certificate is valid from {not_before} on only", file.display())]
    NotYetValid { file: PathBuf, not_before: Timestamp },
    #[error("{}: the certificate has no DNS name or IP address as subject alternative name", file.display())]
    NoHostName { file: PathBuf },
    #[error("{}: not an X509-SVID: {reason}", file.display())]
    NotAnSvid { file: PathBuf, reason: String },
    #[error("{}: the SVID's ID is {id}, outside our trust domain {trust_domain}", file.display())]
    ForeignSvid { file: PathBuf, id: String, trust_domain: TrustDomain },
    #[error("{}: {detail}", socket.display())]
    WorkloadApi { socket: PathBuf, code: &'static str, detail: String },
    #[error("the clock gives no time")]
    NoTime,
}

impl TlsFileError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::File { source, .. } => source.code(),
            Self::NoCertificate { .. } => "no-certificate",
            Self::MalformedCertificate { .. } => "malformed-certificate",
            Self::NoPrivateKey { .. } => "private-key-missing",
            Self::UnusableKey { .. } => "private-key-unusable",
            Self::KeyMismatch { .. } => "private-key-mismatch",
            Self::Expired { .. } => "certificate-expired",
            Self::NotYetValid { .. } => "certificate-not-yet-valid",
            Self::NoHostName { .. } => "certificate-without-host",
            Self::NotAnSvid { .. } => "not-an-svid",
            Self::ForeignSvid { .. } => "foreign-svid",
            Self::WorkloadApi { code, .. } => code,
            Self::NoTime => "no-time",
        }
    }
}

/// Contents and metadata of one and the same file.
fn read(path: &Path) -> Result<(Vec<u8>, Metadata), TlsFileError> {
    let file = File::open(path).map_err(|source| at(path, FileError::Unreadable(source)))?;
    let metadata = file.metadata().map_err(|source| at(path, FileError::Unreadable(source)))?;
    let bytes = trusted::read_open(&file, MAX_FILE_BYTES).map_err(|source| at(path, source))?;
    Ok((bytes, metadata))
}

fn at(file: &Path, source: FileError) -> TlsFileError {
    TlsFileError::File { file: file.to_owned(), source }
}

/// Clients ignore the common name, so a name there counts for nothing.
fn names_a_host(leaf: &X509Certificate<'_>) -> bool {
    let names = leaf.subject_alternative_name().ok().flatten();
    names.is_some_and(|extension| {
        let mut names = extension.value.general_names.iter();
        names.any(|name| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_)))
    })
}

const ISSUED: &str = "what the ACME server issued";
const MADE: &str = "the key that was made for it";
const MAX_FILE_BYTES: usize = 1 << 20;
