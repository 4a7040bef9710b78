//! Certificates, files and clients for the tests of this folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::DefaultTimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tempfile::TempDir;

use crate::federation::relationship::ChangeControl;
use crate::federation::status::{
    AuthoritySummary, ErrorStatus, HeldStatus, IgnoredStatus, RelationshipState, RelationshipStatus, UrlStatus,
    Warning, WithheldAuthority,
};
use crate::federation::timestamp::Timestamp;
use crate::spiffe::public_key::Fingerprint;
use crate::support::ca::{Ca, Leaf};

use super::key_pair::provider;
use super::tls::{EndpointTls, TlsFileError};

/// A leaf with its key, and the CA that a client trusts for it.
pub(super) struct Minted {
    pub(super) certificate: String,
    pub(super) private_key: String,
    pub(super) der: CertificateDer<'static>,
    pub(super) root: CertificateDer<'static>,
}

pub(super) fn web_leaf() -> Minted {
    mint(Leaf { hosts: vec![HOST.into()], ..Leaf::default() })
}

pub(super) fn svid(id: &str) -> Minted {
    mint(Leaf { uris: vec![id.into()], ..Leaf::default() })
}

pub(super) fn mint(leaf: Leaf) -> Minted {
    let ca = Ca::web("CA");
    let identity = ca.issue(leaf);
    let (certificate, private_key) = (identity.chain_pem(), identity.key_pem());
    Minted { certificate, private_key, der: identity.chain[0].clone(), root: ca.certificate }
}

/// A folder with a certificate and a key.
pub(super) struct Files {
    folder: TempDir,
}

impl Files {
    pub(super) fn with(minted: &Minted) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write(minted);
        files
    }

    pub(super) fn write(&self, minted: &Minted) {
        fs::write(self.certificate(), &minted.certificate).unwrap();
        fs::write(self.private_key(), &minted.private_key).unwrap();
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    pub(super) fn private_key(&self) -> PathBuf {
        self.folder.path().join("tls.key")
    }

    pub(super) fn web(&self) -> Result<EndpointTls, TlsFileError> {
        EndpointTls::web(&self.certificate(), &self.private_key(), Arc::new(DefaultTimeProvider))
    }

    pub(super) fn spiffe(&self, trust_domain: &str) -> Result<EndpointTls, TlsFileError> {
        let clock = Arc::new(DefaultTimeProvider);
        EndpointTls::spiffe(trust_domain.parse().unwrap(), &self.certificate(), &self.private_key(), clock)
    }
}

/// Trusts the issuers of exactly these leaves.
pub(super) fn client_config(trusted: &[&Minted]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for minted in trusted {
        roots.add(minted.root.clone()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A client that speaks these protocols and looks at nothing: what proves a name has an extension that rustls doesn't
/// know.
pub(super) fn careless_client(alpn: &[&str], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().into()).collect();
    config
}

#[derive(Debug)]
struct Careless;

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// openapi.yaml, as JSON.
pub(super) fn openapi() -> serde_json::Value {
    let file = config::File::from_str(include_str!("../../openapi.yaml"), config::FileFormat::Yaml);
    config::Config::builder().add_source(file).build().unwrap().try_deserialize().unwrap()
}

/// Everything that can be absent is, or nothing.
pub(super) fn relationship(full: bool) -> RelationshipStatus {
    let (at, digest) = (Timestamp::from_secs(1_800_000_000), Fingerprint::of(b""));
    let (code, detail) = ("some-code".to_owned(), "words".to_owned());
    let id = format!("jwt:{digest}:a key").parse().unwrap();
    let authority = AuthoritySummary {
        id,
        key_thumbprint: digest,
        kind: "P-256".into(),
        subject: None,
        not_before: Some(at),
        not_after: None,
    };
    let added = vec![authority.clone()];
    let held = HeldStatus {
        digest,
        code: code.clone(),
        detail: detail.clone(),
        sequence: Some(7),
        first_seen: at,
        last_seen: at,
        added,
        removed: vec![],
    };
    RelationshipStatus {
        trust_domain: "b.example".parse().unwrap(),
        endpoint_url: "https://b.example/".into(),
        urls: vec![url(full)],
        served_by: full.then(|| "https://b.example/".into()),
        profile: "https_spiffe".into(),
        endpoint_spiffe_id: full.then(|| "spiffe://b.example/comity".into()),
        via: full.then(|| "hub.example".parse().unwrap()).into_iter().collect(),
        change_control: ChangeControl::Manual,
        maximum_staleness_seconds: full.then_some(86_400),
        state: RelationshipState::NeedsBootstrap,
        since: at,
        age_seconds: full.then_some(1),
        sequence: full.then_some(u64::MAX),
        revision: full.then_some(1),
        digest: full.then_some(digest),
        refresh_hint_seconds: full.then_some(300),
        last_success: full.then_some(at),
        last_attempt: full.then_some(at),
        last_error: full.then(|| ErrorStatus { code: code.clone(), detail: detail.clone(), at }),
        consecutive_failures: 0,
        next_poll: full.then_some(at),
        next_poll_reason: full.then(|| code.clone()),
        soonest_authority_expiry: full.then_some(at),
        x509_authorities: 1,
        jwt_authorities: 0,
        held: vec![held; usize::from(full)],
        withheld: vec![WithheldAuthority {
            id: authority.id,
            code: code.clone(),
            detail: detail.clone(),
            owner: "a.example".parse().unwrap(),
        }],
        ignored: vec![IgnoredStatus { index: 0, code: code.clone(), detail: detail.clone(), alarm: true }],
        warnings: vec![Warning { code, detail }],
    }
}

fn url(full: bool) -> UrlStatus {
    let at = Timestamp::from_secs(1_800_000_000);
    UrlStatus {
        url: "https://b.example/".into(),
        known: true,
        sequence: full.then_some(7),
        last_asked: full.then_some(at),
        last_error: full.then(|| ErrorStatus { code: "some-code".into(), detail: "words".into(), at }),
    }
}

pub(super) const HOST: &str = "bundle.a.example";
