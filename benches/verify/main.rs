//! What a verdict costs beside its bare signature checks, rustls-webpki and OpenSSL, in one run.
//!
//! `cargo bench --bench verify [-- WORD...]`: the rows whose names have a WORD, else all; each the median of interleaved
//! rounds on one thread; the ratio is ours by theirs. `--chains=FOLDER` is for `benches/go_spiffe.sh`.

mod chains;
mod files;
mod judges;
mod measure;
mod tokens;

use std::hint::black_box;
use std::path::PathBuf;

use chains::{AT, Chain, ID, Kind, Pki};
use comity::{Audiences, Trust, TrustSnapshot, Usage, Verifier};
use measure::{Case, compare, threads};
use tokens::{AUDIENCE, Tokens};

fn main() {
    if let Some(folder) = std::env::args().find_map(|argument| argument.strip_prefix("--chains=").map(PathBuf::from)) {
        return files::verify_folder(&folder);
    }
    let p256 = Pki::new(Kind::P256, None);
    let rsa = Pki::new(Kind::Rsa2048, None);
    let constrained = Pki::new(Kind::P256, Some("a.example"));
    chain("leaf alone, P-256", &p256.direct());
    chain("leaf and intermediate, P-256", &p256.chain());
    chain("leaf and intermediate, RSA-2048", &rsa.chain());
    chain("the same among 20 useless intermediates, P-256", &p256.chain().with_useless(20));
    constrained_chain(&constrained.chain());
    known_intermediate(&p256);
    cached(&p256.chain());
    domains(&p256.chain());
    token("JWT-SVID, ES256", &Tokens::new(Kind::P256));
    token("JWT-SVID, RS256", &Tokens::new(Kind::Rsa2048));
}

/// A token beside the one signature check that it needs.
fn token(name: &'static str, tokens: &Tokens) {
    let ours = Audiences::new([AUDIENCE]).expect("one audience");
    compare(
        name,
        &mut [
            Case::new("comity", || {
                let verdict = tokens.trust.verify_jwt(black_box(&tokens.token), &ours, AT);
                assert_eq!(verdict.expect("a valid token").verified.spiffe_id.to_string(), ID);
            }),
            Case::new("bare signature check", || tokens.check()),
        ],
    );
}

/// An unconstrained chain, which every judge can verify.
fn chain(name: &'static str, chain: &Chain) {
    let (webpki, openssl) = (judges::Webpki::new(chain), judges::OpenSsl::new(chain));
    let (bare, snapshot) = (judges::Bare::new(chain), chain.snapshot());
    compare(
        name,
        &mut [
            Case::new("comity", || ours(&snapshot, chain)),
            Case::new("bare signature checks", || bare.verify()),
            Case::new("rustls-webpki", || webpki.verify()),
            Case::new("OpenSSL", || openssl.verify()),
        ],
    );
}

/// rustls-webpki refuses every chain with a URI constraint.
fn constrained_chain(chain: &Chain) {
    let (bare, openssl, snapshot) = (judges::Bare::new(chain), judges::OpenSsl::new(chain), chain.snapshot());
    compare(
        "leaf and intermediate under URI name constraints, P-256",
        &mut [
            Case::new("comity", || ours(&snapshot, chain)),
            Case::new("bare signature checks", || bare.verify()),
            Case::new("OpenSSL", || openssl.verify()),
        ],
    );
}

/// Each verdict is about a leaf never seen before.
fn known_intermediate(pki: &Pki) {
    let chains = pki.chains(NEW_LEAVES);
    let verifier = Verifier::new(Trust::fixed(chains[0].snapshot()));
    let bare: Vec<judges::Bare> = chains.iter().map(judges::Bare::new).collect();
    let (mut ours, mut theirs) = (chains.iter().cycle(), bare.iter().cycle());
    // The cache would know a leaf that comes round again.
    const { assert!(NEW_LEAVES > measure::MOST_RUNS, "leaves must not repeat") };
    compare(
        "a new leaf under a known intermediate, P-256",
        &mut [
            Case::new("comity", || verify(&verifier, ours.next().expect("endless"))),
            Case::new("bare signature checks", || theirs.next().expect("endless").verify()),
        ],
    );
}

/// More than one measurement takes.
const NEW_LEAVES: usize = 15_000;

fn cached(chain: &Chain) {
    let verifier = Verifier::new(Trust::fixed(chain.snapshot()));
    compare("a verdict from the cache", &mut [Case::new("comity", || verify(&verifier, chain))]);
    threads("verdicts from the cache", || verify(&verifier, chain));
}

fn domains(chain: &Chain) {
    let snapshots: [TrustSnapshot; 2] = [10, 10_000].map(|count| chain.snapshot_among(count));
    let [few, many] = snapshots.map(|snapshot| Verifier::new(Trust::fixed(snapshot)));
    compare(
        "a verdict from the cache, 10,000 domains beside 10",
        &mut [Case::new("10,000 domains", || verify(&many, chain)), Case::new("10 domains", || verify(&few, chain))],
    );
}

fn ours(snapshot: &TrustSnapshot, chain: &Chain) {
    let verdict = snapshot.verify_x509(black_box(&chain.leaf), &chain.intermediates(), Usage::Server, AT);
    assert_eq!(verdict.expect("a valid chain").spiffe_id.to_string(), ID);
}

fn verify(verifier: &Verifier, chain: &Chain) {
    let verdict = verifier.verify_x509(black_box(&chain.leaf), &chain.intermediates(), Usage::Server, AT);
    assert!(verdict.is_ok());
}
