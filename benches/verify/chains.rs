//! Chains to verify, minted afresh for each run.

use std::sync::Arc;
use std::time::Duration;

use comity::{Authority, Bundle, DomainTrust, TrustSnapshot, X509Authority};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SanType, date_time_ymd,
};
use rustls::pki_types::UnixTime;

/// 2026-01-01.
pub(crate) const AT: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
pub(crate) const ID: &str = "spiffe://a.example/web";

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    P256,
    Rsa2048,
}

/// A root and an intermediate of one domain.
pub(crate) struct Pki {
    kind: Kind,
    root: Ca,
    intermediate: Ca,
}

struct Ca {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
}

/// What a peer sends, and the root that it leads to.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) leaf: Vec<u8>,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) root: Vec<u8>,
    /// Certificates of the path above the leaf, the root last.
    pub(crate) signers: Vec<Vec<u8>>,
}

impl Pki {
    /// With `permitted`, the intermediate may name only that host in URIs.
    pub(crate) fn new(kind: Kind, permitted: Option<&str>) -> Self {
        let root = Ca::new(kind, "root", None, None);
        let intermediate = Ca::new(kind, "intermediate", permitted, Some(&root));
        Self { kind, root, intermediate }
    }

    pub(crate) fn direct(&self) -> Chain {
        let (leaf, root) = (self.root.leaf(self.kind), self.root.der.clone());
        Chain { leaf, sent: Vec::new(), signers: vec![root.clone()], root }
    }

    pub(crate) fn chain(&self) -> Chain {
        let (leaf, intermediate, root) =
            (self.intermediate.leaf(self.kind), self.intermediate.der.clone(), self.root.der.clone());
        Chain { leaf, sent: vec![intermediate.clone()], signers: vec![intermediate, root.clone()], root }
    }

    pub(crate) fn chains(&self, count: usize) -> Vec<Chain> {
        (0..count).map(|_| self.chain()).collect()
    }
}

impl Chain {
    pub(crate) fn intermediates(&self) -> Vec<&[u8]> {
        self.sent.iter().map(Vec::as_slice).collect()
    }

    /// Intermediates of other names, sent before those that count.
    pub(crate) fn with_useless(mut self, count: usize) -> Self {
        let stranger = Ca::new(Kind::P256, "stranger", None, None);
        let useless = (0..count).map(|i| Ca::new(Kind::P256, &format!("useless {i}"), None, Some(&stranger)).der);
        self.sent = useless.chain(self.sent).collect();
        self
    }

    pub(crate) fn snapshot(&self) -> TrustSnapshot {
        self.snapshot_among(1)
    }

    /// The domain of the chain among others, which all have the same root.
    pub(crate) fn snapshot_among(&self, domains: usize) -> TrustSnapshot {
        let names = (1..domains).map(|i| format!("d{i}.example")).chain(["a.example".to_owned()]);
        snapshot_of(names, &self.root)
    }
}

/// Domains that all have this root.
pub(crate) fn snapshot_of(names: impl IntoIterator<Item = String>, root: &[u8]) -> TrustSnapshot {
    let root = Authority::X509(X509Authority::from_der(root).expect("a CA certificate"));
    let trust = names.into_iter().map(|name| {
        let authorities = [root.clone()].into_iter().collect();
        let bundle = Bundle::new(name.parse().expect("a valid name"), authorities, Some(1), None);
        DomainTrust::new(Arc::new(bundle), 1)
    });
    TrustSnapshot::new(1, trust)
}

impl Ca {
    fn new(kind: Kind, name: &str, permitted: Option<&str>, parent: Option<&Self>) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.custom_extensions = permitted.into_iter().map(permitted_uri).collect();
        let key = kind.key();
        let der = match parent {
            Some(parent) => params.signed_by(&key, &parent.issuer()),
            None => params.self_signed(&key),
        };
        let der = der.expect("valid parameters").der().to_vec();
        Self { params, key, der }
    }

    fn leaf(&self, kind: Kind) -> Vec<u8> {
        let mut params = params("workload");
        params.subject_alt_names = vec![SanType::URI(ID.try_into().expect("ASCII"))];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.signed_by(&kind.key(), &self.issuer()).expect("valid parameters").der().to_vec()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

impl Kind {
    fn key(self) -> KeyPair {
        let algorithm = match self {
            Self::P256 => &PKCS_ECDSA_P256_SHA256,
            Self::Rsa2048 => &PKCS_RSA_SHA256,
        };
        KeyPair::generate_for(algorithm).expect("aws-lc makes both kinds of key")
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(2034, 1, 1));
    params.use_authority_key_identifier_extension = true;
    params
}

/// nameConstraints with one permitted URI (RFC 5280 §4.2.1.10).
fn permitted_uri(host: &str) -> CustomExtension {
    let wrap =
        |tag: u8, contents: &[u8]| [&[tag, u8::try_from(contents.len()).expect("a short name")][..], contents].concat();
    let subtree = wrap(0x30, &wrap(0x86, host.as_bytes()));
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], wrap(0x30, &wrap(0xa0, &subtree)));
    extension.set_criticality(true);
    extension
}
