use std::sync::{LazyLock, Mutex};

use proptest::prelude::*;

use super::super::policy::{Policy, SvidChecks};
use super::super::snapshot::DomainTrust;
use super::super::testing::{Ca, NOW, bundle, ca_params, leaf_params, time};
use super::super::trust::TrustWriter;
use super::*;
use rcgen::date_time_ymd;

/// 2031-01-01, when the short-lived ones have expired.
const LATER: u64 = 1_925_000_000;

struct Fixture {
    a: Ca,
    b: Ca,
    /// Leaf and intermediate.
    chains: Vec<(Vec<u8>, Vec<u8>)>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let (a, b) = (Ca::root("root a"), Ca::root("root b"));
    let mut short = ca_params("short");
    short.not_after = date_time_ymd(2030, 1, 1);
    let mut compatible = leaf_params(&["spiffe://a/lapse"]);
    compatible.key_usages.clear();
    let (of_a, of_b, short) = (a.intermediate("of a"), b.intermediate("of b"), a.intermediate_with(short));
    let chains = vec![
        (of_a.leaf("spiffe://a/x"), of_a.der.clone()),
        (of_a.leaf("spiffe://b/x"), of_a.der.clone()),
        (of_b.leaf("spiffe://b/x"), of_b.der.clone()),
        (short.leaf("spiffe://a/x"), short.der.clone()),
        (of_a.leaf_with(compatible), of_a.der.clone()),
        (Ca::root("stranger").leaf("spiffe://a/x"), of_a.der.clone()),
    ];
    Fixture { a, b, chains }
});

fn trust_in(name: &str, ca: &Ca) -> DomainTrust {
    DomainTrust::new(bundle(name, &[ca]).into(), 1)
}

/// Snapshots that differ in one thing each, and share what they can.
fn snapshots() -> Vec<TrustSnapshot> {
    let Fixture { a, b, .. } = &*FIXTURE;
    let (in_a, in_b) = (trust_in("a", a), trust_in("b", b));
    let compatible = Policy { svid_checks: SvidChecks::Compatible, ..Policy::default() };
    let both = TrustSnapshot::new(1, [in_a.clone(), in_b.clone()]);
    vec![
        both.updated(1, [("b".parse().unwrap(), None)]),
        both.updated(1, [("a".parse().unwrap(), Some(trust_in("a", b)))]),
        both.updated(1, [("a".parse().unwrap(), Some(in_a.clone().with_policy(Arc::new(compatible))))]),
        both.updated(1, [("a".parse().unwrap(), Some(in_a.with_trusted_until(Some(time(NOW + 10)))))]),
        both.updated(1, [("b".parse().unwrap(), Some(trust_in("b", &Ca::root("new"))))]),
        both,
    ]
}

fn ask(verifier: &Verifier, chain: usize, usage: Usage, at: u64) -> Result<Verified, Rejection> {
    let (leaf, intermediate) = &FIXTURE.chains[chain];
    verifier.verify_x509(leaf, &[intermediate], usage, time(at))
}

#[test]
fn a_verdict_is_reached_once_and_forgotten_with_what_it_rests_on() {
    let all = snapshots();
    let writer = TrustWriter::new(all[5].clone());
    let verifier = Verifier::new(writer.trust());
    let known = |verifier: &Verifier| verifier.statistics().0.hits;
    for (name, snapshot, at, code, is_hit) in [
        ("first", 5, NOW, "valid", false),
        ("again", 5, NOW, "valid", true),
        ("another domain changed", 4, NOW, "valid", true),
        ("stale", 3, NOW + 10, "bundle-stale", false),
        ("same bundle, bounded", 3, NOW + 9, "valid", true),
        ("other terms", 2, NOW, "valid", false),
        ("the authority is gone", 1, NOW, "unknown-authority", false),
        ("gone still", 1, NOW, "unknown-authority", true),
        ("back", 5, NOW, "valid", false),
    ] {
        writer.store(all[snapshot].clone());
        let before = known(&verifier);
        let verdict = ask(&verifier, 0, Usage::Server, at);
        assert_eq!(verdict.as_ref().map_or_else(Rejection::code, |_| "valid"), code, "{name}");
        assert_eq!(known(&verifier) - before, u64::from(is_hit), "{name}");
    }
}

#[test]
fn rejections_by_time_are_reached_each_time() {
    let verifier = Verifier::new(Trust::fixed(snapshots().remove(5)));
    for _ in 0..2 {
        assert_eq!(ask(&verifier, 3, Usage::Server, LATER).unwrap_err().code(), "expired");
    }
    assert_eq!(verifier.statistics().0, CacheStatistics { misses: 2, ..CacheStatistics::default() });
}

#[test]
fn a_known_verdict_has_the_bounds_of_the_trust_of_the_moment() {
    let trust = trust_in("a", &FIXTURE.a);
    let until = |seconds| TrustSnapshot::new(1, [trust.clone().with_trusted_until(Some(time(seconds)))]);
    let writer = TrustWriter::new(until(NOW + 10));
    let verifier = Verifier::new(writer.trust());
    let first = ask(&verifier, 0, Usage::Server, NOW).unwrap();
    writer.store(until(NOW + 20));
    let later = ask(&verifier, 0, Usage::Server, NOW).unwrap();
    assert_eq!(verifier.statistics().0.hits, 1);
    assert_eq!((first.not_after, later.not_after), (time(NOW + 9), time(NOW + 19)));
    assert_eq!(first.still_valid(&writer.trust().load(), time(NOW + 15)), Ok(()), "the trust was renewed");
    assert_eq!(first.still_valid(&until(NOW + 10), time(NOW + 15)).unwrap_err().code(), "bundle-stale");
}

#[test]
fn only_an_unknown_key_of_a_known_domain_asks_for_an_early_poll() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let asked = asked.clone();
        move |domain: &TrustDomain| asked.lock().unwrap().push(domain.to_string())
    };
    let verifier = Verifier::new(Trust::fixed(snapshots().remove(0))).on_unknown_key(hook);
    for (chain, code, expected) in [
        (0, "valid", &[][..]),
        (2, "unknown-trust-domain", &[]),
        (4, "leaf-key-usage", &[]),
        (5, "unknown-authority", &["a"]),
        (5, "unknown-authority", &["a"]),
    ] {
        asked.lock().unwrap().clear();
        let verdict = ask(&verifier, chain, Usage::Server, NOW);
        assert_eq!(verdict.as_ref().map_or_else(Rejection::code, |_| "valid"), code);
        assert_eq!(*asked.lock().unwrap(), expected, "{code}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever was asked before, under whatever snapshot and at whatever instant: memory changes no verdict.
    #[test]
    fn what_is_remembered_never_changes_a_verdict(
        questions in prop::collection::vec((0usize..6, 0usize..6, 0usize..2, 0usize..4), 1..40)
    ) {
        let all = snapshots();
        let writer = TrustWriter::new(all[0].clone());
        let (verifier, fresh) = (Verifier::new(writer.trust()), Verifier::without_cache(writer.trust()));
        for (snapshot, chain, usage, at) in questions {
            writer.store(all[snapshot].clone());
            let (usage, at) = ([Usage::Server, Usage::Client][usage], [NOW, NOW + 9, NOW + 10, LATER][at]);
            prop_assert_eq!(ask(&verifier, chain, usage, at), ask(&fresh, chain, usage, at));
        }
    }
}
