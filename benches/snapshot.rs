//! What a change of one bundle costs, by the number of domains, and what one verification costs.

use std::sync::Arc;
use std::time::Duration;

use comity::{Authority, Bundle, DomainTrust, TrustDomain, TrustSnapshot, Usage, X509Authority};
use divan::{AllocProfiler, Bencher, black_box};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::UnixTime;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = [10, 1_000, 10_000])]
fn rebuild_with_one_changed(bencher: Bencher<'_, '_>, domains: u64) {
    let trust = |n: u64, revision| {
        let authority = Authority::X509(X509Authority::from_der(&Signer::new(&format!("root {n}")).der).expect("a CA"));
        let name: TrustDomain = format!("d{n}.example").parse().expect("a valid name");
        let bundle = Bundle::new(name, [authority].into_iter().collect(), Some(revision), None);
        DomainTrust::new(Arc::new(bundle), revision)
    };
    let snapshot = TrustSnapshot::new(1, (0..domains).map(|n| trust(n, 1)));
    let changed = trust(domains / 2, 2);
    let name = changed.bundle().trust_domain().clone();
    bencher.bench(|| snapshot.updated(2, [(name.clone(), Some(changed.clone()))]));
}

#[divan::bench]
fn verify_leaf_and_intermediate(bencher: Bencher<'_, '_>) {
    let root = Signer::new("root");
    let intermediate = root.certify("intermediate");
    let authority = Authority::X509(X509Authority::from_der(&root.der).expect("a CA"));
    let name = "a.example".parse().expect("a valid name");
    let bundle = Bundle::new(name, [authority].into_iter().collect(), None, None);
    let leaf = intermediate.leaf("spiffe://a.example/web");
    let at = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
    let domain = DomainTrust::new(Arc::new(bundle), 1);
    bencher.bench(|| {
        let verdict = domain.verify_x509(black_box(&leaf), &[&intermediate.der], Usage::Server, at);
        assert!(verdict.is_ok());
    });
}

struct Signer {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
}

impl Signer {
    fn new(name: &str) -> Self {
        let (params, key) = (ca_params(name), KeyPair::generate().expect("a key"));
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        Self { params, key, der }
    }

    fn certify(&self, name: &str) -> Self {
        let (params, key) = (ca_params(name), KeyPair::generate().expect("a key"));
        let der = self.sign(&params, &key);
        Self { params, key, der }
    }

    fn leaf(&self, uri: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("ASCII"))];
        self.sign(&params, &KeyPair::generate().expect("a key"))
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(key, &issuer).expect("a certificate").der().to_vec()
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}
