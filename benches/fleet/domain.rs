//! A synthetic trust domain: its CA, its bundle documents, its workloads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use serde_json::json;

use super::HINT;

/// One trust domain with a CA now and another to come.
pub(crate) struct Domain {
    pub(crate) number: usize,
    pub(crate) name: String,
    ca: Authority,
    next: Authority,
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
}

impl Domain {
    pub(crate) fn new(number: usize) -> Self {
        let name = format!("d{number}.example");
        Self { ca: Authority::of(&name), next: Authority::of(&name), number, name }
    }

    pub(crate) fn ca(&self) -> &[u8] {
        &self.ca.der
    }

    /// The bundle document with one authority, or with the next one too.
    pub(crate) fn document(&self, rotated: bool) -> Vec<u8> {
        let authorities = std::iter::once(&self.ca).chain(rotated.then_some(&self.next));
        let keys: Vec<_> = authorities.map(Authority::jwk).collect();
        let sequence = 1 + u64::from(rotated);
        let document = json!({ "keys": keys, "spiffe_sequence": sequence, "spiffe_refresh_hint": HINT.as_secs() });
        document.to_string().into_bytes()
    }

    /// A new workload's certificate, in base64.
    pub(crate) fn leaf(&self) -> String {
        let mut params = CertificateParams::default();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![uri(&format!("spiffe://{}/web", self.name))];
        let issuer = Issuer::from_params(&self.ca.params, &self.ca.key);
        let key = KeyPair::generate().expect("a key");
        STANDARD.encode(params.signed_by(&key, &issuer).expect("a certificate").der())
    }
}

impl Authority {
    fn of(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.subject_alt_names = vec![uri(&format!("spiffe://{name}"))];
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        Self { params, key, der }
    }

    fn jwk(&self) -> serde_json::Value {
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        // An uncompressed point: a byte of form, then both coordinates.
        let (x, y) = self.key.public_key_raw()[1..].split_at(32);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        json!({ "kty": "EC", "crv": "P-256", "use": "x509-svid", "x": x, "y": y, "x5c": [STANDARD.encode(&self.der)] })
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}
