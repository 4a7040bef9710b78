//! Who decides about new keys, and that nothing comes in another way.

use std::time::Duration;

use serde_json::json;

use crate::partner::Partner;
use crate::service::Service;
use crate::support::ca::{Ca, authority};
use crate::support::jwks::{document, x509_element};

const WEB: &str = "spiffe://b.example/web";

#[tokio::test]
async fn manual_holds_the_first_bundle_and_each_addition_until_it_is_accepted() {
    let (first, second) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&first]).await;
    let mut service = Service::with([b.relationship().with("change_control", "manual")]).await;
    service.restart().await;
    let status = service.status("b.example").await;
    assert_eq!((&status["state"], &status["held"][0]["code"]), (&json!("held"), &json!("approval-required")));
    assert_eq!(service.verdict(&first.svid(WEB)), "unknown-trust-domain");
    assert_eq!(service.accept_held("b.example").await["state"], "current");
    assert_eq!(service.verdict(&first.svid(WEB)), "accepted");

    b.publishes(2, &[&first, &second]);
    assert_eq!(service.refresh("b.example").await["state"], "held");
    assert_eq!(service.verdict(&second.svid(WEB)), "unknown-authority");
    service.accept_held("b.example").await;
    assert_eq!(service.verdict(&second.svid(WEB)), "accepted");

    b.publishes(3, &[&second]);
    assert_eq!(service.refresh("b.example").await["state"], "current");
    assert_eq!(service.verdict(&first.svid(WEB)), "unknown-authority", "removals apply at once");
}

#[tokio::test]
async fn manual_lets_removals_through_while_additions_wait() {
    let [stays, goes, comes] = [(); 3].map(|()| Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&stays, &goes]).await;
    let mut service = Service::with([b.relationship().with("change_control", "manual")]).await;
    service.accept_held("b.example").await;
    b.publishes(2, &[&stays, &comes]);
    service.refresh("b.example").await;
    for when in ["before a restart", "after it"] {
        let verdicts = [&stays, &goes, &comes].map(|ca| service.verdict(&ca.svid(WEB)));
        assert_eq!(verdicts, ["accepted", "unknown-authority", "unknown-authority"], "{when}");
        assert_eq!(service.status("b.example").await["state"], "held", "{when}");
        service.restart().await;
    }
}

#[tokio::test]
async fn a_held_full_replacement_keeps_the_old_keys_until_they_lapse() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&old]).await;
    let relationship = b.relationship().with("change_control", "manual").with("maximum_staleness", "2h");
    let service = Service::with([relationship]).await;
    service.accept_held("b.example").await;
    b.publishes(2, &[&new]);
    service.refresh("b.example").await;
    assert_eq!(service.verdict(&old.svid(WEB)), "accepted");
    service.advance(Duration::from_secs(7200));
    service.refresh("b.example").await;
    assert_eq!(service.verdict(&old.svid(WEB)), "bundle-stale");
    service.accept_held("b.example").await;
    assert_eq!(service.verdict(&new.svid(WEB)), "accepted");
}

#[tokio::test]
async fn overlapping_accepts_a_key_that_was_public_long_enough_beside_a_known_one() {
    let (known, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&known]).await;
    let mut service = Service::with([b.relationship().with("change_control", "overlapping")]).await;
    b.publishes(2, &[&known, &new]);
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "key-notice");
    service.advance(Duration::from_secs(899));
    service.restart().await;
    assert_eq!(service.refresh("b.example").await["state"], "held");
    service.advance(Duration::from_secs(1));
    assert_eq!(service.refresh("b.example").await["state"], "current");
    assert_eq!(service.verdict(&new.svid(WEB)), "accepted");
}

#[tokio::test]
async fn overlapping_forgets_the_notice_of_a_key_that_was_away() {
    let (known, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&known]).await;
    let service = Service::with([b.relationship().with("change_control", "overlapping")]).await;
    b.publishes(2, &[&known, &new]);
    service.refresh("b.example").await;
    service.advance(Duration::from_secs(600));
    b.publishes(3, &[&known]);
    assert_eq!(service.refresh("b.example").await["state"], "current");
    service.advance(Duration::from_secs(600));
    b.publishes(4, &[&known, &new]);
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "key-notice");
    assert_eq!(service.verdict(&new.svid(WEB)), "unknown-authority");
}

#[tokio::test]
async fn overlapping_takes_no_new_key_for_a_known_one() {
    let [first, second, third] = [(); 3].map(|()| Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&first]).await;
    let service = Service::with([b.relationship().with("change_control", "overlapping")]).await;
    b.publishes(2, &[&first, &second]);
    service.refresh("b.example").await;
    service.advance(Duration::from_secs(900));
    service.refresh("b.example").await;

    b.publishes(3, &[&second, &third]);
    service.refresh("b.example").await;
    service.advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "no-overlap");
    let verdicts = [&first, &second, &third].map(|ca| service.verdict(&ca.svid(WEB)));
    assert_eq!(verdicts, ["unknown-authority", "accepted", "unknown-authority"]);
    service.advance(Duration::from_secs(1));
    assert_eq!(service.refresh("b.example").await["state"], "current");
}

#[tokio::test]
async fn another_certificate_of_a_known_key_is_an_addition() {
    let known = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&known]).await;
    let service = Service::with([b.relationship().with("change_control", "manual")]).await;
    service.accept_held("b.example").await;
    b.publishes(2, &[&known.reissued(authority("b.example", &[]))]);
    let status = service.refresh("b.example").await;
    assert_eq!(status["held"][0]["code"], "approval-required");
    assert_eq!(status["revision"], 1);
}

#[tokio::test]
async fn a_stricter_policy_counts_from_the_next_poll_and_keeps_the_bundle() {
    let (known, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&known]).await;
    let service = Service::with([b.relationship()]).await;
    service.configure([b.relationship().with("change_control", "manual")]);
    service.becomes("b.example", |status| status["change_control"] == "manual").await;
    assert_eq!(service.verdict(&known.svid(WEB)), "accepted");
    b.publishes(2, &[&known, &new]);
    assert_eq!(service.refresh("b.example").await["state"], "held");
}

#[tokio::test]
async fn overlapping_lets_nobody_in_through_an_emptied_domain_or_a_short_hint() {
    let (known, evil) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&known]).await;
    let service = Service::with([b.relationship().with("change_control", "overlapping")]).await;
    b.answers(document(Some(2), Some(1), &[x509_element(&known), x509_element(&evil)]));
    service.refresh("b.example").await;
    service.advance(Duration::from_secs(899));
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "key-notice", "a hint of 1 s shortens nothing");

    b.publishes(3, &[]);
    service.refresh("b.example").await;
    service.advance(Duration::from_secs(10));
    service.refresh("b.example").await;
    b.publishes(4, &[&evil]);
    service.refresh("b.example").await;
    service.advance(Duration::from_secs(48 * 3600));
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "no-overlap");
    assert_eq!(service.verdict(&evil.svid(WEB)), "domain-revoked");
}
