//! Certification authorities that issue what a test asks for, proper or not.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, RsaKeySize, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Kinds of key that bundles and SVIDs have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    Rsa2048,
    Rsa4096,
    P256,
    P384,
    P521,
    Ed25519,
}

impl KeyType {
    pub(crate) const ALL: [Self; 6] = [Self::Rsa2048, Self::Rsa4096, Self::P256, Self::P384, Self::P521, Self::Ed25519];

    pub(crate) fn generate(self) -> KeyPair {
        match self {
            Self::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
            Self::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::P521 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
            Self::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        }
        .unwrap()
    }
}

/// A certification authority with its key: a root, or an intermediate below one.
pub(crate) struct Ca {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key_type: KeyType,
    issuer: Issuer<'static, KeyPair>,
    /// Certificates between this one, included, and the root, excluded.
    chain: Vec<CertificateDer<'static>>,
}

impl Ca {
    /// The CA of a trust domain, with its root ID.
    pub(crate) fn of(trust_domain: &str) -> Self {
        Self::with_key(trust_domain, KeyType::P256)
    }

    /// The same with another kind of key.
    pub(crate) fn with_key(trust_domain: &str, key_type: KeyType) -> Self {
        Self::root(authority(trust_domain, &[&format!("spiffe://{trust_domain}")]), key_type)
    }

    /// A CA without a SPIFFE ID, as the Web and many enterprises have it.
    pub(crate) fn web(name: &str) -> Self {
        Self::root(authority(name, &[]), KeyType::P256)
    }

    /// A self-signed CA with any parameters.
    pub(crate) fn root(params: CertificateParams, key_type: KeyType) -> Self {
        let key = key_type.generate();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, key_type, issuer: Issuer::new(params, key), chain: Vec::new() }
    }

    /// A CA below this one, with any parameters.
    pub(crate) fn intermediate(&self, params: CertificateParams, key_type: KeyType) -> Self {
        let key = key_type.generate();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let chain = [vec![certificate.clone()], self.chain.clone()].concat();
        Self { certificate, key_type, issuer: Issuer::new(params, key), chain }
    }

    /// Another self-signed certificate of the same key.
    pub(crate) fn reissued(&self, params: CertificateParams) -> Self {
        let key = KeyPair::try_from(self.issuer.key().serialize_der()).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, key_type: self.key_type, issuer: Issuer::new(params, key), chain: Vec::new() }
    }

    /// The DER of its certificate.
    pub(crate) fn der(&self) -> &[u8] {
        &self.certificate
    }

    /// Its certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The public key as X.509 carries it: a point, an RSAPublicKey, or the Ed25519 bytes.
    pub(crate) fn public_key(&self) -> &[u8] {
        self.issuer.key().der_bytes()
    }

    /// A proper X509-SVID.
    pub(crate) fn svid(&self, spiffe_id: &str) -> Identity {
        self.issue(Leaf { uris: vec![spiffe_id.into()], ..Leaf::default() })
    }

    /// A certificate for a Web server: a DNS name or an IP address.
    pub(crate) fn server(&self, host: &str) -> Identity {
        match host.parse() {
            Ok(address) => self.issue(Leaf { addresses: vec![address], ..Leaf::default() }),
            Err(_) => self.issue(Leaf { hosts: vec![host.into()], ..Leaf::default() }),
        }
    }

    /// Whatever is asked for.
    pub(crate) fn issue(&self, leaf: Leaf) -> Identity {
        let key = leaf.key_type.generate();
        let certificate = leaf.into_params().signed_by(&key, &self.issuer).unwrap();
        let chain = [vec![certificate.der().clone()], self.chain.clone()].concat();
        Identity { chain, key: key.serialize_der() }
    }
}

/// What a leaf certificate says; the default is a valid one that names nobody.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) uris: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) common_name: String,
    pub(crate) key_type: KeyType,
    /// Validity in Unix seconds.
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) is_ca: bool,
    pub(crate) key_usages: Vec<KeyUsagePurpose>,
    pub(crate) extended_key_usages: Vec<ExtendedKeyUsagePurpose>,
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            uris: Vec::new(),
            hosts: Vec::new(),
            addresses: Vec::new(),
            common_name: "leaf".into(),
            key_type: KeyType::P256,
            not_before: YEAR_2020,
            not_after: YEAR_2100,
            is_ca: false,
            key_usages: vec![KeyUsagePurpose::DigitalSignature],
            extended_key_usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        }
    }
}

impl Leaf {
    fn into_params(self) -> CertificateParams {
        let mut params = named(&self.common_name);
        let uris = self.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        let hosts = self.hosts.iter().map(|host| SanType::DnsName(host.as_str().try_into().unwrap()));
        let addresses = self.addresses.iter().map(|address| SanType::IpAddress(*address));
        params.subject_alt_names = uris.chain(hosts).chain(addresses).collect();
        params.is_ca = if self.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.key_usages = self.key_usages;
        params.extended_key_usages = self.extended_key_usages;
        valid(params, self.not_before, self.not_after)
    }
}

/// A certificate chain, leaf first, with the leaf's key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// PKCS #8.
    pub(crate) key: Vec<u8>,
}

impl Identity {
    /// The leaf's DER.
    pub(crate) fn leaf(&self) -> &[u8] {
        &self.chain[0]
    }

    /// The chain in PEM, leaf first.
    pub(crate) fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    /// The key in PEM.
    pub(crate) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }

    /// The key as rustls takes it.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

/// Parameters of a proper signing certificate, for tests that go on to spoil them.
pub(crate) fn authority(name: &str, uris: &[&str]) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    valid(params, YEAR_2020, YEAR_2100)
}

/// The same certificate with another validity, in Unix seconds.
pub(crate) fn valid(mut params: CertificateParams, not_before: u64, not_after: u64) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(not_before);
    params.not_after = epoch + Duration::from_secs(not_after);
    params
}

/// PEM with lines of 64 characters.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(fastrand::u64(1..)));
    params.use_authority_key_identifier_extension = true;
    params
}

const YEAR_2020: u64 = 1_577_836_800;
const YEAR_2100: u64 = 4_102_444_800;
