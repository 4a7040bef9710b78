//! Others that verify the same chains.

use std::hint::black_box;

use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{X509, X509StoreContext};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::FromDer;
use x509_parser::x509::AlgorithmIdentifier;

use super::chains::{AT, Chain};

/// The signature checks of the path and nothing else.
pub(crate) struct Bare(Vec<Check>);

struct Check {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Bare {
    pub(crate) fn new(chain: &Chain) -> Self {
        let signed = std::iter::once(&chain.leaf).chain(&chain.signers);
        Self(signed.zip(&chain.signers).map(|(signed, signer)| check(signed, signer)).collect())
    }

    pub(crate) fn verify(&self) {
        for Check { algorithm, key, message, signature } in &self.0 {
            algorithm.verify_signature(black_box(key), message, signature).expect("a valid signature");
        }
    }
}

fn check(signed: &[u8], signer: &[u8]) -> Check {
    let parse = |der| x509_parser::parse_x509_certificate(der).expect("a certificate").1;
    let (signed, signer) = (parse(signed), parse(signer));
    let raw = |id: &AlgorithmIdentifier<'_>| id.algorithm.as_bytes().to_vec();
    let names = (raw(&signed.signature_algorithm), raw(&signer.public_key().algorithm));
    let all = default_provider().signature_verification_algorithms.all;
    let fits = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
        let oid =
            |id: &[u8]| x509_parser::der_parser::oid::Oid::from_der(id).expect("an identifier").1.as_bytes().to_vec();
        let (signature, key) = (algorithm.signature_alg_id(), algorithm.public_key_alg_id());
        (oid(&signature), oid(&key)) == names && curve_fits(&key, &signer)
    };
    let algorithm = *all.iter().find(fits).expect("a supported algorithm");
    Check {
        algorithm,
        key: signer.public_key().subject_public_key.data.to_vec(),
        message: signed.tbs_certificate.as_ref().to_vec(),
        signature: signed.signature_value.data.to_vec(),
    }
}

fn curve_fits(algorithm: &[u8], signer: &x509_parser::certificate::X509Certificate<'_>) -> bool {
    let spki = signer.public_key().raw;
    spki.windows(algorithm.len()).any(|bytes| bytes == algorithm)
}

/// rustls-webpki, its trust anchor made beforehand, the certificates parsed each time.
pub(crate) struct Webpki<'c> {
    leaf: CertificateDer<'c>,
    intermediates: Vec<CertificateDer<'c>>,
    anchor: TrustAnchor<'static>,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
}

impl<'c> Webpki<'c> {
    pub(crate) fn new(chain: &'c Chain) -> Self {
        let root = CertificateDer::from(chain.root.as_slice());
        Self {
            leaf: chain.leaf.as_slice().into(),
            intermediates: chain.sent.iter().map(|der| der.as_slice().into()).collect(),
            anchor: webpki::anchor_from_trusted_cert(&root).expect("a CA certificate").to_owned(),
            algorithms: default_provider().signature_verification_algorithms.all,
        }
    }

    pub(crate) fn verify(&self) {
        let leaf = EndEntityCert::try_from(black_box(&self.leaf)).expect("a certificate");
        let (anchors, usage) = (std::slice::from_ref(&self.anchor), KeyUsage::server_auth());
        leaf.verify_for_usage(self.algorithms, anchors, &self.intermediates, AT, usage, None, None)
            .expect("a valid chain");
    }
}

/// OpenSSL, its store made beforehand, the certificates parsed each time.
pub(crate) struct OpenSsl<'c> {
    chain: &'c Chain,
    store: X509Store,
}

impl<'c> OpenSsl<'c> {
    pub(crate) fn new(chain: &'c Chain) -> Self {
        let mut store = X509StoreBuilder::new().expect("memory");
        store.add_cert(X509::from_der(&chain.root).expect("a certificate")).expect("a new certificate");
        let mut param = X509VerifyParam::new().expect("memory");
        param.set_time(i64::try_from(AT.as_secs()).expect("a sane time"));
        store.set_param(&param).expect("valid parameters");
        Self { chain, store: store.build() }
    }

    pub(crate) fn verify(&self) {
        let leaf = X509::from_der(black_box(&self.chain.leaf)).expect("a certificate");
        let mut sent = Stack::new().expect("memory");
        for der in &self.chain.sent {
            sent.push(X509::from_der(der).expect("a certificate")).expect("memory");
        }
        let mut context = X509StoreContext::new().expect("memory");
        let verdict = context.init(&self.store, &leaf, &sent, |context| context.verify_cert());
        assert!(verdict.expect("a verdict"), "OpenSSL refused the chain");
    }
}
