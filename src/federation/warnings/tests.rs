use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::spiffe::authority::Authority;
use crate::spiffe::bundle::Bundle;
use crate::support::ca::{Ca, KeyType, authority, valid};

const START: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const HINT: Duration = Duration::from_secs(300);

#[test]
fn unscoped_sharing_is_warned_of_as_long_as_it_is_configured() {
    let shared =
        Policy { shared_keys: [crate::spiffe::public_key::Fingerprint::of(b"key")].into(), ..Policy::default() };
    for (name, policy, expected) in [
        ("default", Policy::default(), None),
        ("shared", shared.clone(), None),
        ("unscoped", Policy { shared_unscoped: true, ..shared }, Some("shared-unscoped")),
        ("unscoped, of nothing", Policy { shared_unscoped: true, ..Policy::default() }, None),
    ] {
        assert_eq!(of_policy(&policy).map(|warning| warning.code).as_deref(), expected, "{name}");
    }
}

/// CAs that are valid between these seconds after the start.
fn authorities(lives: &[(u64, u64)]) -> Authorities {
    let ca = |(from, to)| Ca::root(valid(authority("ca", &[]), START + from, START + to), KeyType::P256);
    lives.iter().map(|life| Authority::X509(X509Authority::from_der(ca(*life).der()).unwrap())).collect()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(START + seconds)
}

fn codes(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().map(|warning| warning.code.as_str()).collect()
}

#[test]
fn fes_11_a_new_key_of_ours_is_announced_until_it_has_been_public_for_three_hints() {
    let keys = authorities(&[(0, DAY), (0, DAY)]);
    let since: BTreeMap<_, _> = keys.ids().cloned().zip([at(0), at(1000)]).collect();
    let bundle = Arc::new(Bundle::new("a.example".parse().unwrap(), keys, Some(1), Some(HINT)));
    let own = |since| OwnKeys {
        bundle: bundle.clone(),
        progress: OwnProgress { begun: at(0), since },
        first: BTreeMap::new(),
    };
    let replaced = since.iter().filter(|(_, since)| **since == at(1000)).map(|(id, at)| (id.clone(), *at)).collect();
    assert_eq!(codes(&of_own(&own(replaced), at(1000))), ["own-key-new"], "in the place of all that were known");
    let own = own(since);
    for (now, expected) in [(1000, vec!["own-key-new"]), (1899, vec!["own-key-new"]), (1900, vec![])] {
        let warnings = of_own(&own, at(now));
        assert_eq!(codes(&warnings), expected, "{now}");
        assert!(warnings.iter().all(|warning| warning.detail.contains(&at(1900).to_string())));
    }
}

#[test]
fn a_peers_outage_is_seen_before_it_comes() {
    for (name, lives, now, expected) in [
        ("a long life", &[(0, 60 * DAY)][..], DAY, vec![]),
        ("its end is near", &[(0, 60 * DAY)], 54 * DAY, vec!["no-successor"]),
        ("with a successor", &[(0, 60 * DAY), (50 * DAY, 120 * DAY)], 54 * DAY, vec![]),
        ("less than three polls", &[(0, 899), (0, 60 * DAY)], 10, vec!["authority-lifetime-short"]),
        ("three polls", &[(0, 900), (0, 60 * DAY)], 10, vec![]),
        ("over", &[(0, 899), (0, 60 * DAY)], 900, vec![]),
    ] {
        assert_eq!(codes(&of_peer(&authorities(lives), HINT, at(now))), expected, "{name}");
    }
}
