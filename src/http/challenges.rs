//! What an ACME server is shown that looks for proof that a name is ours (TLS-ALPN-01, RFC 8737).

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

use crate::spiffe::public_key::Fingerprint;

use super::key_pair::provider;

/// The protocol that a validation speaks, and that carries nothing.
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";

/// The proofs that are being looked for now, by name. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Challenges(Arc<ArcSwap<Proofs>>);

type Proofs = BTreeMap<String, Arc<CertifiedKey>>;

impl Challenges {
    /// Shows the proof for a name in lower case until the guard is dropped.
    pub(crate) fn answer(&self, name: &str, key_authorization: &str) -> Result<Answering, ChallengeError> {
        let proof = Arc::new(proof(name, key_authorization)?);
        self.0.rcu(|proofs| {
            let mut proofs = Proofs::clone(proofs);
            proofs.insert(name.to_owned(), proof.clone());
            proofs
        });
        Ok(Answering { challenges: self.clone(), name: name.to_owned() })
    }

    /// The proof for the name in the handshake, while there is one.
    pub(super) fn proof(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.0.load().get(&server_name?.to_ascii_lowercase()).cloned()
    }
}

/// A proof that is being shown.
#[derive(Debug)]
pub(crate) struct Answering {
    challenges: Challenges,
    name: String,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.challenges.0.rcu(|proofs| {
            let mut proofs = Proofs::clone(proofs);
            proofs.remove(&self.name);
            proofs
        });
    }
}

/// Whether a handshake is a validation: it offers that protocol and no other (RFC 8737 §3).
pub(super) fn is_validation(hello: &ClientHello<'_>) -> bool {
    let mut offered = hello.alpn().into_iter().flatten();
    offered.next() == Some(ACME_TLS) && offered.next().is_none()
}

/// A self-signed certificate for the name alone, with the digest of the key authorization as a critical extension.
fn proof(name: &str, key_authorization: &str) -> Result<CertifiedKey, ChallengeError> {
    let digest = Fingerprint::of(key_authorization.as_bytes());
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_bytes())];
    let key = KeyPair::generate()?;
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let key = provider().key_provider.load_private_key(PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    // The checked constructor would refuse the critical extension.
    Ok(CertifiedKey::new(chain, key))
}

/// Why a certificate or a request for one can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ChallengeError {
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Key(#[from] rustls::Error),
}
