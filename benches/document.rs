//! Reading and writing a bundle document of ten keys: five X.509 and five JWT authorities.

use comity::{
    Authority, Bundle, BundleDocument, JwtAuthority, TrustDomain, WitAuthorities, X509Authority, render_bundle,
};
use divan::{AllocProfiler, Bencher};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = KINDS)]
fn decode(bencher: Bencher<'_, '_>, kind: &str) {
    let document = render_bundle(&bundle(kind), WitAuthorities::Omit);
    bencher.bench(|| BundleDocument::parse(&domain(), divan::black_box(&document)).expect("we rendered it"));
}

#[divan::bench(args = KINDS)]
fn encode(bencher: Bencher<'_, '_>, kind: &str) {
    let bundle = bundle(kind);
    bencher.bench(|| render_bundle(divan::black_box(&bundle), WitAuthorities::Omit));
}

const KINDS: [&str; 2] = ["P-256", "RSA-2048"];

fn domain() -> TrustDomain {
    "b.example".parse().expect("a valid name")
}

fn bundle(kind: &str) -> Bundle {
    let authorities = (0..5).flat_map(|i| {
        let ca = ca(kind);
        let jwt = JwtAuthority::new(&format!("key-{i}"), ca.key().clone()).expect("a key ID that is not empty");
        [Authority::X509(ca), Authority::Jwt(jwt)]
    });
    Bundle::new(domain(), authorities.collect(), Some(1), None)
}

fn ca(kind: &str) -> X509Authority {
    let algorithm = if kind == "P-256" { &PKCS_ECDSA_P256_SHA256 } else { &PKCS_RSA_SHA256 };
    let key = KeyPair::generate_for(algorithm).expect("aws-lc makes both kinds of key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    X509Authority::from_der(params.self_signed(&key).expect("valid parameters").der()).expect("a CA certificate")
}
