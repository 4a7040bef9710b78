//! What holds for every chain, whatever it is.

use std::sync::Arc;

use fastrand::Rng;
use proptest::prelude::*;

use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;

use super::super::policy::{Policy, SvidChecks};
use super::super::rejection::Rejection;
use super::super::snapshot::{DomainTrust, TrustSnapshot};
use super::super::testing::time;
use super::super::verified::Verified;
use super::keys::{Kind, key};
use super::mint::{Draft, SUBJECT_ALT_NAME, URI, names};
use super::random::Sample;

type Verdict = Result<Verified, Rejection>;

fn trust(trust_domain: &str, authorities: &[Vec<u8>], checks: SvidChecks) -> DomainTrust {
    let authorities = authorities.iter().filter_map(|der| X509Authority::from_der(der).ok());
    let authorities = authorities.map(Authority::X509).collect();
    let bundle = Bundle::new(trust_domain.parse().unwrap(), authorities, None, None);
    let policy = Policy { svid_checks: checks, ..Policy::default() };
    DomainTrust::new(Arc::new(bundle), 1).with_policy(Arc::new(policy))
}

fn checks(rng: &mut Rng) -> SvidChecks {
    if rng.bool() { SvidChecks::Strict } else { SvidChecks::Compatible }
}

fn verdict(snapshot: &TrustSnapshot, sample: &Sample) -> Verdict {
    let sent: Vec<_> = sample.sent.iter().map(Vec::as_slice).collect();
    snapshot.verify_x509(&sample.leaf, &sent, sample.usage, time(sample.at))
}

/// Under the authorities that it was made for.
fn own_verdict(sample: &Sample, checks: SvidChecks) -> Verdict {
    verdict(&TrustSnapshot::new(1, [trust(sample.trust_domain, &sample.authorities, checks)]), sample)
}

fn code(verdict: &Verdict) -> &'static str {
    verdict.as_ref().map_or_else(Rejection::code, |_| "accepted")
}

/// A verdict with its certificates by what they are, not by where they were sent.
fn told<'s>(verdict: &Verdict, sample: &'s Sample) -> (String, Vec<Option<&'s [u8]>>) {
    match verdict {
        Ok(verified) => (verified.spiffe_id.to_string(), verified.path.iter().map(|at| sample.at(*at)).collect()),
        Err(Rejection::Certificate { place, fault, .. }) => (fault.to_string(), vec![sample.at(*place)]),
        Err(Rejection::UnknownAuthority { place, .. }) => ("unknown".to_owned(), vec![sample.at(*place)]),
        Err(other) => (other.to_string(), Vec::new()),
    }
}

/// A sample that is accepted, reduced to the path that it is accepted by.
fn accepted(mut seed: u64) -> Sample {
    loop {
        let sample = Sample::new(seed);
        if let Ok(verified) = own_verdict(&sample, SvidChecks::Strict) {
            let path: Vec<_> = verified.path.iter().filter_map(|at| sample.at(*at)).map(<[u8]>::to_vec).collect();
            return sample.narrowed(&path);
        }
        seed = seed.wrapping_add(1);
    }
}

/// Signed by B, in its own name or in A's.
fn of_b(seed: u64) -> Sample {
    if seed.is_multiple_of(2) { Sample::naming("spiffe://b.test/x", seed) } else { Sample::new(seed) }
}

/// A CA of domain A, and what else A may have signed for others to send along.
fn of_a(rng: &mut Rng) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (own, theirs) = (key(Kind::P256, 30), key(Kind::P256, 0));
    let name = if rng.bool() { "ca 0" } else { "root of a" };
    let root = Draft::ca(name, own);
    let with_uri = |mut draft: Draft, uri: &str| {
        draft.set(SUBJECT_ALT_NAME, false, &names(&[(URI, uri.as_bytes())]));
        draft
    };
    let sign = |draft: &Draft, signer: &super::keys::Key| draft.sign(signer, signer.kind.scheme());
    let sent = [
        sign(&root, own),
        // Its own intermediate, and one of its workloads.
        sign(&Draft::ca("ca 1", key(Kind::P256, 31)).issued_by(name, own), own),
        sign(&Draft::leaf("workload", key(Kind::P256, 32)).issued_by(name, own), own),
        // B's root, named as what it is.
        sign(&with_uri(Draft::ca("ca 0", theirs).issued_by(name, own), "spiffe://b.test"), own),
        // A's root by B, and B's intermediates that say they are A.
        sign(&root.clone().issued_by("ca 0", theirs), theirs),
        sign(&with_uri(Draft::ca("ca 1", key(Kind::P256, 1)).issued_by("ca 0", theirs), "spiffe://a.test"), theirs),
        sign(&with_uri(Draft::ca(name, key(Kind::P256, 1)).issued_by("ca 0", theirs), "spiffe://a.test"), theirs),
    ];
    (vec![sign(&root, own)], sent.into_iter().filter(|_| rng.bool()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn x5_21_order_and_duplicates_of_intermediates_change_no_verdict(seed: u64) {
        let (sample, mut rng) = (Sample::new(seed), Rng::with_seed(seed));
        let checks = checks(&mut rng);
        let mut other = sample.clone();
        let again: Vec<_> = sample.sent.iter().filter(|_| rng.bool()).cloned().collect();
        other.sent.extend(again);
        rng.shuffle(&mut other.sent);
        let (one, another) = (own_verdict(&sample, checks), own_verdict(&other, checks));
        prop_assert_eq!(told(&one, &sample), told(&another, &other), "{}", sample.dump());
    }

    /// B's CAs sign what they like, and send what they find: it names nobody but B.
    #[test]
    fn rel_04_x5_15_what_b_signs_names_nobody_outside_b(seed: u64) {
        let (mut sample, mut rng) = (of_b(seed), Rng::with_seed(seed));
        let (a, sent) = of_a(&mut rng);
        sample.sent.extend(sent);
        rng.shuffle(&mut sample.sent);
        let domains = [trust("a.test", &a, checks(&mut rng)), trust("b.test", &sample.authorities, checks(&mut rng))];
        let verdict = verdict(&TrustSnapshot::new(1, domains), &sample);
        if let Ok(verified) = verdict {
            prop_assert_eq!(verified.spiffe_id.trust_domain().as_str(), "b.test", "{}", sample.dump());
        }
    }

    #[test]
    fn rel_02_another_domains_bundle_changes_no_verdict(seed: u64) {
        let (sample, mut rng) = (Sample::new(seed), Rng::with_seed(seed));
        let checks = checks(&mut rng);
        let own = if rng.u8(..4) == 0 { Vec::new() } else { sample.authorities.clone() };
        let others = if rng.bool() { sample.authorities.clone() } else { of_a(&mut rng).0 };
        let alone = TrustSnapshot::new(1, [trust("a.test", &own, checks)]);
        let among = TrustSnapshot::new(1, [trust("a.test", &own, checks), trust("b.test", &others, checks)]);
        let (one, another) = (verdict(&alone, &sample), verdict(&among, &sample));
        match (code(&one), code(&another)) {
            ("unknown-trust-domain", _) | ("unknown-authority", "foreign-authority") => {}
            _ => prop_assert_eq!(told(&one, &sample), told(&another, &sample), "{}", sample.dump()),
        }
    }

    #[test]
    fn x5_12_a_bit_of_any_accepted_chain_changed_is_refused(seed: u64, at: prop::sample::Index, bit in 0u8..8) {
        let mut sample = accepted(seed);
        let certificates = std::iter::once(&mut sample.leaf).chain(&mut sample.sent);
        let mut bytes: Vec<_> = certificates.flatten().collect();
        let at = at.index(bytes.len());
        *bytes[at] ^= 1u8 << bit;
        prop_assert_ne!(code(&own_verdict(&sample, SvidChecks::Compatible)), "accepted", "{}", sample.dump());
    }
}

/// The authority is left out: it is what the bundle says, and its own signature counts for nothing.
#[test]
fn x5_12_each_bit_of_a_chain_counts() {
    for kind in [Kind::P256, Kind::Ed25519] {
        let [leaf, middle, root] = [0, 1, 2].map(|number| key(kind, number));
        let sample = Sample {
            leaf: Draft::leaf("workload", leaf).issued_by("middle", middle).sign(middle, kind.scheme()),
            sent: vec![Draft::ca("middle", middle).issued_by("root", root).sign(root, kind.scheme())],
            authorities: vec![Draft::ca("root", root).sign(root, kind.scheme())],
            ..Sample::new(0)
        };
        let snapshot = TrustSnapshot::new(1, [trust("a.test", &sample.authorities, SvidChecks::Compatible)]);
        assert_eq!(code(&verdict(&snapshot, &sample)), "accepted");
        for at in 0..8 * (sample.leaf.len() + sample.sent[0].len()) {
            let mut changed = sample.clone();
            let mut bytes = changed.leaf.iter_mut().chain(&mut changed.sent[0]);
            *bytes.nth(at / 8).unwrap() ^= 1 << (at % 8);
            assert_ne!(code(&verdict(&snapshot, &changed)), "accepted", "{kind:?}, bit {at}\n{}", changed.dump());
        }
    }
}

/// The properties above are worth something: what they are about does occur.
#[test]
fn samples_are_of_every_kind() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..400 {
        let sample = of_b(seed);
        let trusts = trust("b.test", &sample.authorities, SvidChecks::Strict);
        let snapshot =
            TrustSnapshot::new(1, [trust("a.test", &of_a(&mut Rng::with_seed(seed)).0, SvidChecks::Strict), trusts]);
        *seen.entry(code(&verdict(&snapshot, &sample))).or_insert(0) += 1;
    }
    for expected in ["accepted", "foreign-authority", "unknown-authority"] {
        assert!(seen.contains_key(expected), "{expected} never occurs: {seen:?}");
    }
}
