//! CAs, chains and malformed certificates for the tests of this module.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SigningKey, date_time_ymd,
};
use rustls::pki_types::UnixTime;

use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;

use super::der::{BIT_STRING, Reader, SEQUENCE};
use super::moment::Moment;
use super::path::Means;
use super::policy::{Policy, SvidChecks};
use super::rejection::Rejection;
use super::snapshot::DomainTrust;
use super::verified::Verified;
use super::x509::{Svid, Usage};

/// 2026-01-01; certificates made here are valid from 2024 through 2033 unless a test says otherwise.
pub(super) const NOW: u64 = 1_767_225_600;

pub(super) fn time(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

pub(super) struct Ca {
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
    pub(super) der: Vec<u8>,
}

impl Ca {
    pub(super) fn root(name: &str) -> Self {
        Self::root_with(ca_params(name))
    }

    pub(super) fn root_with(params: CertificateParams) -> Self {
        Self::root_of(params, KeyPair::generate().unwrap())
    }

    /// An authority with this key.
    pub(super) fn root_of(params: CertificateParams, key: KeyPair) -> Self {
        let der = der(params.self_signed(&key));
        Self { params, key, der }
    }

    pub(super) fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(ca_params(name))
    }

    pub(super) fn intermediate_with(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = self.sign(&params, &key);
        Self { params, key, der }
    }

    /// `other`'s name and key, certified by this CA.
    pub(super) fn cross_sign(&self, other: &Self) -> Vec<u8> {
        self.sign(&other.params, &other.key)
    }

    pub(super) fn leaf(&self, uri: &str) -> Vec<u8> {
        self.leaf_with(leaf_params(&[uri]))
    }

    pub(super) fn leaf_with(&self, params: CertificateParams) -> Vec<u8> {
        self.sign(&params, &KeyPair::generate().unwrap())
    }

    pub(super) fn sign(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Vec<u8> {
        der(params.signed_by(key, &Issuer::from_params(&self.params, &self.key)))
    }

    /// Replaces bytes of what the signature covers by as many others, and signs again.
    pub(super) fn patch(&self, certificate: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut outer = Reader::only(certificate, SEQUENCE, "certificate").unwrap();
        let signed = replace(outer.expect(SEQUENCE).unwrap().whole, from, to);
        let algorithm = replace(outer.expect(SEQUENCE).unwrap().whole, from, to);
        self.seal(signed, algorithm)
    }

    /// Replaces one field of what the signature covers, and signs again.
    pub(super) fn with_field(&self, certificate: &[u8], field: Field, der: &[u8]) -> Vec<u8> {
        let mut outer = Reader::only(certificate, SEQUENCE, "certificate").unwrap();
        let mut fields = Reader::new(outer.expect(SEQUENCE).unwrap().contents, "certificate fields");
        let mut signed = Vec::new();
        for number in 0.. {
            match fields.next() {
                Ok(_) if number == field.number() => signed.extend_from_slice(der),
                Ok(field) => signed.extend_from_slice(field.whole),
                Err(_) => break,
            }
        }
        self.seal(element(SEQUENCE, &signed), outer.expect(SEQUENCE).unwrap().whole.to_vec())
    }

    fn seal(&self, signed: Vec<u8>, algorithm: Vec<u8>) -> Vec<u8> {
        let signature = [vec![0], self.key.sign(&signed).unwrap()].concat();
        element(SEQUENCE, &[signed, algorithm, element(BIT_STRING, &signature)].concat())
    }

    pub(super) fn authority(&self) -> Authority {
        Authority::X509(X509Authority::from_der(&self.der).unwrap())
    }
}

/// A field of a TBSCertificate (RFC 5280 §4.1).
#[derive(Clone, Copy)]
pub(super) enum Field {
    Serial,
    Issuer,
    Subject,
    Extensions,
}

impl Field {
    fn number(self) -> usize {
        match self {
            Self::Serial => 1,
            Self::Issuer => 3,
            Self::Subject => 5,
            Self::Extensions => 7,
        }
    }
}

/// An RSA key of so many bits that nobody has.
pub(super) struct RsaKey(Vec<u8>);

impl RsaKey {
    pub(super) fn of_bits(bits: usize) -> Self {
        let modulus = [vec![0, 0x80], vec![1; bits / 8 - 1]].concat();
        Self(element(SEQUENCE, &[element(2, &modulus), element(2, &[1, 0, 1])].concat()))
    }
}

impl PublicKeyData for RsaKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

pub(super) fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(super) fn leaf_params(uris: &[&str]) -> CertificateParams {
    let mut params = params("workload");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = uris.iter().map(|uri| self::uri(uri)).collect();
    params
}

pub(super) fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

/// An extension 2.5.29.`number`.
pub(super) fn extension(number: u64, is_critical: bool, content: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, number], content.to_vec());
    extension.set_criticality(is_critical);
    extension
}

pub(super) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    match contents.len() {
        0 => vec![tag, 0],
        1..0x80 => [&[tag], length, contents].concat(),
        _ => [&[tag, 0x80 | u8::try_from(length.len()).unwrap()], length, contents].concat(),
    }
}

pub(super) fn bundle(trust_domain: &str, cas: &[&Ca]) -> Bundle {
    let authorities = cas.iter().map(|ca| ca.authority()).collect();
    Bundle::new(trust_domain.parse::<TrustDomain>().unwrap(), authorities, None, None)
}

/// What a peer sends, and what it is verified against.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) bundle: Bundle,
    pub(super) leaf: Vec<u8>,
    pub(super) intermediates: Vec<Vec<u8>>,
    pub(super) usage: Usage,
    pub(super) at: u64,
    pub(super) policy: Policy,
}

impl Case {
    pub(super) fn new(bundle: Bundle, leaf: Vec<u8>) -> Self {
        Self { bundle, leaf, intermediates: Vec::new(), usage: Usage::Server, at: NOW, policy: Policy::default() }
    }

    pub(super) fn with(mut self, intermediates: &[&[u8]]) -> Self {
        self.intermediates = intermediates.iter().map(|der| der.to_vec()).collect();
        self
    }

    pub(super) fn under(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    pub(super) fn compatibly(self) -> Self {
        self.under(Policy { svid_checks: SvidChecks::Compatible, ..Policy::default() })
    }

    pub(super) fn at(mut self, at: u64) -> Self {
        self.at = at;
        self
    }

    pub(super) fn verdict(&self) -> Result<Verified, Rejection> {
        let intermediates: Vec<&[u8]> = self.intermediates.iter().map(Vec::as_slice).collect();
        let domain = DomainTrust::new(Arc::new(self.bundle.clone()), 1).with_policy(Arc::new(self.policy.clone()));
        domain.verify_x509(&self.leaf, &intermediates, self.usage, time(self.at))
    }

    /// The verdict, and the steps, signature checks and name comparisons that it took.
    pub(super) fn work(&self) -> (Result<Verified, Rejection>, (usize, usize, usize)) {
        let intermediates: Vec<&[u8]> = self.intermediates.iter().map(Vec::as_slice).collect();
        let domain = DomainTrust::new(Arc::new(self.bundle.clone()), 1).with_policy(Arc::new(self.policy.clone()));
        let mut means = Means::default();
        let svid = Svid::read(&self.leaf, &intermediates).unwrap();
        let verdict = domain.judge(&svid, self.usage, &Moment::new(time(self.at)), &mut means);
        (verdict, means.budget.spent())
    }

    #[track_caller]
    pub(super) fn is_accepted(&self) {
        assert_eq!(self.verdict().map(drop), Ok(()));
    }

    #[track_caller]
    pub(super) fn is_refused(&self, code: &str) {
        let rejection = self.verdict().expect_err("must be refused");
        assert_eq!(rejection.code(), code, "{rejection}");
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(2034, 1, 1));
    params.use_authority_key_identifier_extension = true;
    params
}

fn der(certificate: Result<Certificate, rcgen::Error>) -> Vec<u8> {
    certificate.unwrap().der().to_vec()
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}
