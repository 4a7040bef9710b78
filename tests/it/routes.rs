//! Several URLs of one bundle: they stand in for each other, are compared, and never put together.

use std::time::Duration;

use serde_json::{Value, json};

use crate::partner::Relationship;
use crate::service::Service;
use crate::support::answer::Answer;
use crate::support::ca::Ca;
use crate::support::jwks::document_of;
use crate::support::peer::Peer;

const WEB: &str = "spiffe://b.example/web";

/// Endpoints of b.example under one Web CA.
struct Mirrors<const N: usize> {
    web: Ca,
    peers: [Peer; N],
}

impl<const N: usize> Mirrors<N> {
    /// All of them serve this.
    async fn serving(sequence: u64, authorities: &[&Ca]) -> Self {
        let web = Ca::web("web");
        let mut peers = Vec::new();
        for _ in 0..N {
            let peer = Peer::start(&web.server("127.0.0.1")).await;
            peer.answer(Answer::ok(document_of(sequence, authorities)));
            peers.push(peer);
        }
        Self { web, peers: peers.try_into().ok().unwrap() }
    }

    fn serve(&self, peer: usize, sequence: u64, authorities: &[&Ca]) {
        self.peers[peer].answer(Answer::ok(document_of(sequence, authorities)));
    }

    /// Redirects to another one.
    fn lead(&self, from: usize, to: usize) {
        self.peers[from].answer(Answer::redirect(302, &self.url(to)));
    }

    fn fail(&self, peer: usize) {
        self.peers[peer].answer(Answer::status(503, "busy"));
    }

    fn url(&self, peer: usize) -> String {
        self.peers[peer].url("127.0.0.1", "/")
    }

    /// The first `count` of them.
    fn relationship(&self, count: usize) -> Relationship {
        let fallbacks: Vec<_> = (1..count).map(|peer| self.url(peer)).collect();
        Relationship::web("b.example", self.url(0), &self.web.pem()).with("fallback_urls", json!(fallbacks))
    }

    fn requests(&self) -> [usize; N] {
        std::array::from_fn(|peer| self.peers[peer].requests().len())
    }
}

fn warnings(status: &Value) -> Vec<&str> {
    status["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_next_url_is_asked_within_the_poll_when_a_fetch_fails() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    for (name, failure, code) in [
        ("busy", Answer::status(503, ""), "unexpected-status"),
        ("no bundle", Answer::ok("<html>"), "malformed-json"),
        ("somewhere else", Answer::redirect(302, "http://b.example/"), "redirect-refused"),
        ("no HTTP", Answer::raw("SSH-2.0-x\r\n\r\n"), "bad-response"),
    ] {
        let mirrors = Mirrors::<3>::serving(1, &[&old]).await;
        let mut service = Service::with([mirrors.relationship(3)]).await;
        assert_eq!(mirrors.requests(), [1, 0, 0], "{name}: the first one is enough");
        mirrors.peers[0].answer(failure);
        mirrors.serve(1, 2, &[&old, &new]);
        let status = service.refresh("b.example").await;
        assert_eq!((&status["state"], &status["revision"]), (&json!("current"), &json!(2)), "{name}: {status:#}");
        assert_eq!(status["served_by"], mirrors.url(1), "{name}");
        assert_eq!(status["urls"][0]["last_error"]["code"], code, "{name}: {status:#}");
        assert_eq!(warnings(&status), ["endpoint-failing"], "{name}");
        assert_eq!(mirrors.requests()[2], 0, "{name}");
        assert_eq!(service.verdict(&new.svid(WEB)), "accepted", "{name}");
        service.restart().await;
        let status = service.status("b.example").await;
        assert_eq!(status["served_by"], mirrors.url(1), "{name}, after a restart");

        mirrors.serve(0, 2, &[&old, &new]);
        let status = service.refresh("b.example").await;
        assert_eq!((&status["served_by"], warnings(&status)), (&json!(mirrors.url(0)), vec![]), "{name}");
    }
}

#[tokio::test]
async fn the_next_url_is_asked_after_a_wait_that_brought_no_bundle() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<2>::serving(1, &[&old]).await;
    let first = &mirrors.peers[0];
    first.answer(Answer::ok(document_of(1, &[&old])).header("ETag", "\"1\""));
    first.answer_conditional(Answer::held());
    let service = Service::with([mirrors.relationship(2)]).await;
    service.refresh("b.example").await;
    first.saw_waits(1).await;
    mirrors.serve(1, 2, &[&old, &new]);
    first.answer_conditional(Answer::ok("<html>").header("Preference-Applied", "wait"));
    let status = service.becomes("b.example", |status| status["sequence"] == 2).await;
    assert_eq!((&status["served_by"], &status["consecutive_failures"]), (&json!(mirrors.url(1)), &json!(0)));
}

#[tokio::test]
async fn fec_20_when_all_urls_fail_each_is_asked_once_and_each_says_why() {
    let ca = Ca::of("b.example");
    let mirrors = Mirrors::<2>::serving(1, &[&ca]).await;
    let service = Service::with([mirrors.relationship(2)]).await;
    mirrors.fail(0);
    mirrors.peers[1].answer(Answer::ok("{}"));
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["consecutive_failures"]), (&json!("failing"), &json!(1)));
    assert_eq!(status["last_error"]["code"], "unexpected-status");
    let codes = [0, 1].map(|url: usize| status["urls"][url]["last_error"]["code"].clone());
    assert_eq!(codes, ["unexpected-status", "no-keys"]);
    assert_eq!((mirrors.requests(), warnings(&status)), ([2, 1], vec![]), "the state says it");
    assert_eq!(service.verdict(&ca.svid(WEB)), "accepted");
}

#[tokio::test]
async fn a_document_that_is_refused_or_held_ends_the_poll() {
    let (ca, foreign) = (Ca::of("b.example"), Ca::of("c.example"));
    for (name, document, state, code) in [
        ("refused", document_of(9, &[&ca, &foreign]), "failing", "mis-wired"),
        ("held", document_of(7, &[&ca]), "held", "sequence-rollback"),
    ] {
        let mirrors = Mirrors::<2>::serving(8, &[&ca]).await;
        let service = Service::with([mirrors.relationship(2)]).await;
        mirrors.peers[0].answer(Answer::ok(document));
        let status = service.refresh("b.example").await;
        assert_eq!(status["state"], state, "{name}");
        let told = [&status["last_error"]["code"], &status["held"][0]["code"]];
        assert!(told.contains(&&json!(code)), "{name}: {status:#}");
        assert_eq!(mirrors.requests(), [2, 0], "{name}");
    }
}

#[tokio::test]
async fn an_entity_tag_is_never_sent_to_another_url() {
    let ca = Ca::of("b.example");
    let mirrors = Mirrors::<2>::serving(1, &[&ca]).await;
    let tagged = |tag: &str| Answer::ok(document_of(1, &[&ca])).header("ETag", tag);
    mirrors.peers[0].answer(tagged("\"a\""));
    mirrors.peers[1].answer(tagged("\"b\""));
    let service = Service::with([mirrors.relationship(2)]).await;
    service.refresh("b.example").await;
    mirrors.peers[0].answer_conditional(Answer::bare(304));
    mirrors.peers[1].answer_conditional(Answer::bare(304));
    assert_eq!(service.refresh("b.example").await["state"], "current");
    mirrors.peers[0].answer_conditional(Answer::status(503, ""));
    for _ in 0..2 {
        service.refresh("b.example").await;
        mirrors.fail(0);
    }
    assert_eq!(service.status("b.example").await["served_by"], mirrors.url(1));
    let tags = |peer: usize| {
        let requests = mirrors.peers[peer].requests();
        requests.iter().map(|one| one.headers.get("if-none-match").cloned().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(tags(0), ["", "", "\"a\"", "\"a\"", ""]);
    assert_eq!(tags(1), ["", "\"b\""]);
}

#[tokio::test]
async fn seq_04_a_copy_that_lags_is_neither_trusted_nor_held() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<3>::serving(7, &[&old]).await;
    let relationship = mirrors.relationship(3).with("maximum_staleness", "2h");
    let service = Service::with([relationship]).await;
    mirrors.serve(0, 8, &[&new]);
    assert_eq!(service.refresh("b.example").await["sequence"], 8);
    mirrors.fail(0);
    service.advance(Duration::from_secs(60));
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["held"]), (&json!("failing"), &json!([])), "{status:#}");
    let codes = [1, 2].map(|url: usize| status["urls"][url]["last_error"]["code"].clone());
    assert_eq!(codes, ["endpoint-behind", "endpoint-behind"], "each was asked");
    assert_eq!(status["age_seconds"], 60, "old contents confirm nothing");
    assert_eq!(service.verdict(&old.svid(WEB)), "unknown-authority");

    mirrors.serve(2, 8, &[&new]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["served_by"]), (&json!("current"), &json!(mirrors.url(2))));
    mirrors.serve(0, 8, &[&new]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], warnings(&status)), (&json!("current"), vec![]), "nothing of it stays");

    mirrors.fail(0);
    mirrors.serve(1, 9, &[&new, &Ca::of("b.example")]);
    assert_eq!(service.refresh("b.example").await["sequence"], 9);
    mirrors.serve(0, 8, &[&new]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["served_by"]), (&json!("current"), &json!(mirrors.url(1))));
    assert_eq!(warnings(&status), ["endpoint-behind"], "the first one should lead");
    mirrors.serve(1, 8, &[&old]);
    let status = service.refresh("b.example").await;
    assert_eq!(status["held"][0]["code"], "sequence-rollback", "its own number went back: {status:#}");
}

#[tokio::test]
async fn seq_06_other_keys_under_the_accepted_number_at_another_url_are_an_alarm_and_never_a_union() {
    let (ours, theirs) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<2>::serving(7, &[&ours]).await;
    let mut service = Service::with([mirrors.relationship(2)]).await;
    mirrors.serve(1, 7, &[&ours, &theirs]);
    mirrors.fail(0);
    service.refresh("b.example").await;
    for when in ["before a restart", "after it"] {
        let status = service.status("b.example").await;
        assert_eq!(status["held"][0]["code"], "endpoints-disagree", "{when}");
        assert!(warnings(&status).contains(&"endpoints-disagree"), "{when}: {status:#}");
        assert_eq!(status["revision"], 1, "{when}");
        assert_eq!(service.verdict(&theirs.svid(WEB)), "unknown-authority", "{when}");
        assert_eq!(service.verdict(&ours.svid(WEB)), "accepted", "{when}");
        service.restart().await;
    }
    mirrors.serve(0, 7, &[&ours]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["held"]), (&json!("current"), &json!([])));
    assert_eq!(warnings(&status), ["endpoints-disagree"], "nobody has explained it yet");
    mirrors.serve(0, 8, &[&ours]);
    assert_eq!(warnings(&service.refresh("b.example").await), [""; 0]);
}

#[tokio::test]
async fn rel_10_a_url_that_was_added_counts_once_it_has_served_the_accepted_keys() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<2>::serving(7, &[&old]).await;
    let mut service = Service::with([mirrors.relationship(1)]).await;
    service.configure([mirrors.relationship(2)]);
    service.becomes("b.example", |status| status["urls"][1]["known"] == false).await;
    let status = service.refresh("b.example").await;
    assert_eq!((&status["urls"][1]["known"], warnings(&status)), (&json!(true), vec![]), "{status:#}");
    service.restart().await;
    service.refresh("b.example").await;
    assert_eq!(mirrors.requests()[1], 1, "it is not asked again");

    mirrors.fail(0);
    mirrors.serve(1, 8, &[&old, &new]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["sequence"]), (&json!("current"), &json!(8)), "{status:#}");
}

#[tokio::test]
async fn rel_10_a_url_that_was_put_before_a_known_one_does_not_stand_in_its_way() {
    let (ours, theirs) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<2>::serving(7, &[&ours]).await;
    let service = Service::with([mirrors.relationship(1)]).await;
    mirrors.serve(1, 9, &[&theirs]);
    let swapped = Relationship::web("b.example", mirrors.url(1), &mirrors.web.pem());
    service.configure([swapped.with("fallback_urls", json!([mirrors.url(0)]))]);
    service.becomes("b.example", |status| status["endpoint_url"] == mirrors.url(1)).await;
    mirrors.serve(0, 8, &[&ours, &Ca::of("b.example")]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["sequence"]), (&json!("current"), &json!(8)), "{status:#}");
    assert_eq!(warnings(&status), ["endpoint-new"]);
}

#[tokio::test]
async fn rel_10_what_else_an_added_url_brings_is_held_until_a_person_accepts_it() {
    let (ours, theirs) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<2>::serving(7, &[&ours]).await;
    mirrors.serve(1, 9, &[&theirs]);
    let mut service = Service::with([mirrors.relationship(1)]).await;
    service.configure([mirrors.relationship(2)]);
    service.becomes("b.example", |status| status["urls"][1]["known"] == false).await;
    service.restart().await;
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], warnings(&status)), (&json!("current"), vec!["endpoint-new"]), "{status:#}");

    mirrors.fail(0);
    let status = service.refresh("b.example").await;
    assert_eq!(status["held"][0]["code"], "endpoint-changed");
    assert_eq!(service.verdict(&theirs.svid(WEB)), "unknown-authority");
    let status = service.accept_held("b.example").await;
    assert_eq!((&status["state"], &status["urls"][1]["known"]), (&json!("current"), &json!(true)), "{status:#}");
    assert_eq!(service.verdict(&theirs.svid(WEB)), "accepted");
}

#[tokio::test]
async fn two_routes_let_a_new_key_in_once_both_have_it_and_a_removed_one_out_by_either() {
    let [first, second, third] = [(); 3].map(|()| Ca::of("b.example"));
    let mirrors = Mirrors::<2>::serving(1, &[&first]).await;
    mirrors.serve(1, 0, &[&second]);
    let mut service = Service::with([mirrors.relationship(2).with("two_routes", true)]).await;
    for when in ["before a restart", "after it"] {
        let status = service.refresh("b.example").await;
        assert_eq!((&status["state"], &status["revision"]), (&json!("held"), &Value::Null), "{when}: {status:#}");
        assert_eq!(status["held"][0]["code"], "second-route", "{when}, the first bundle included");
        let detail = status["held"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("{} lacks x509:", mirrors.url(1))), "{detail}");
        assert_eq!(service.verdict(&first.svid(WEB)), "unknown-trust-domain", "{when}");
        service.restart().await;
    }
    mirrors.serve(1, 1, &[&first]);
    let requests = mirrors.requests();
    assert_eq!(service.refresh("b.example").await["state"], "current");
    assert_eq!(mirrors.requests(), [requests[0] + 1, requests[1] + 1], "both in one poll");
    assert_eq!(mirrors.peers[1].connections(), requests[1] + 1, "each over a connection of its own");
    assert_eq!(service.verdict(&first.svid(WEB)), "accepted");

    // The first URL is ahead with a key, then both have it.
    mirrors.serve(0, 2, &[&first, &second]);
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "second-route");
    assert_eq!(service.verdict(&second.svid(WEB)), "unknown-authority");
    mirrors.serve(1, 2, &[&first, &second]);
    assert_eq!(service.refresh("b.example").await["state"], "current");
    assert_eq!(service.verdict(&second.svid(WEB)), "accepted");

    // The second one is ahead: what it removes goes, what it adds waits.
    mirrors.serve(1, 3, &[&second, &third]);
    let status = service.refresh("b.example").await;
    assert_eq!(status["held"][0]["code"], "second-route");
    let verdicts = || [&first, &second, &third].map(|ca| service.verdict(&ca.svid(WEB)));
    assert_eq!(verdicts(), ["unknown-authority", "accepted", "unknown-authority"]);
    mirrors.serve(0, 3, &[&second, &third]);
    assert_eq!(service.refresh("b.example").await["state"], "current");
    assert_eq!(verdicts(), ["unknown-authority", "accepted", "accepted"]);
}

#[tokio::test]
async fn two_routes_of_which_one_fails_confirm_what_is_accepted_and_add_nothing() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<3>::serving(1, &[&old]).await;
    let service = Service::with([mirrors.relationship(2).with("two_routes", true)]).await;
    mirrors.fail(0);
    service.advance(Duration::from_secs(60));
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["age_seconds"]), (&json!("current"), &json!(0)), "{status:#}");
    mirrors.serve(1, 2, &[&old, &new]);
    let status = service.refresh("b.example").await;
    assert_eq!(status["held"][0]["code"], "second-route");
    let detail = status["held"][0]["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("{} does not answer (unexpected-status)", mirrors.url(0))), "{detail}");

    // A third one that nobody knows yet vouches for nothing, not even in the same poll.
    mirrors.serve(2, 2, &[&old, &new]);
    service.configure([mirrors.relationship(3).with("two_routes", true)]);
    service.becomes("b.example", |status| status["urls"][2].is_object()).await;
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "second-route");
    assert_eq!(service.verdict(&new.svid(WEB)), "unknown-authority");
}

#[tokio::test]
async fn two_routes_that_lead_through_one_place_are_one_and_vouch_for_no_key() {
    let [first, second] = [(); 2].map(|()| Ca::of("b.example"));
    for (name, leading) in [("both to a third", vec![(0, 2), (1, 2)]), ("one to the other", vec![(1, 0)])] {
        let mirrors = Mirrors::<3>::serving(1, &[&first]).await;
        leading.iter().for_each(|(from, to)| mirrors.lead(*from, *to));
        let mut service = Service::with([mirrors.relationship(2).with("two_routes", true)]).await;
        for when in ["before a restart", "after it"] {
            let status = service.refresh("b.example").await;
            let codes = (&status["state"], &status["held"][0]["code"], warnings(&status));
            assert_eq!(codes, (&json!("held"), &json!("one-route"), vec!["one-route"]), "{name}, {when}: {status:#}");
            let place = mirrors.peers[leading[0].1].address().to_string();
            for told in [&status["held"][0]["detail"], &status["warnings"][0]["detail"]] {
                assert!(told.as_str().unwrap().contains(&format!("through {place}")), "{name}, {when}: {told}");
            }
            assert_eq!(service.verdict(&first.svid(WEB)), "unknown-trust-domain", "{name}, {when}");
            service.restart().await;
        }
        mirrors.serve(0, 1, &[&first]);
        mirrors.serve(1, 1, &[&first]);
        let status = service.refresh("b.example").await;
        assert_eq!((&status["state"], warnings(&status)), (&json!("current"), vec![]), "{name}: {status:#}");

        // What is accepted goes on, and what the one place takes away goes.
        leading.iter().for_each(|(from, to)| mirrors.lead(*from, *to));
        service.advance(Duration::from_secs(60));
        let status = service.refresh("b.example").await;
        let seen = (&status["state"], &status["age_seconds"], warnings(&status));
        assert_eq!(seen, (&json!("current"), &json!(0), vec!["one-route"]), "{name}");
        mirrors.serve(leading[0].1, 2, &[&first, &second]);
        assert_eq!(service.refresh("b.example").await["held"][0]["code"], "one-route", "{name}");
        assert_eq!(service.verdict(&second.svid(WEB)), "unknown-authority", "{name}");
        mirrors.serve(leading[0].1, 3, &[]);
        for _ in 0..2 {
            service.advance(Duration::from_secs(10));
            service.refresh("b.example").await;
        }
        assert_eq!(service.verdict(&first.svid(WEB)), "domain-revoked", "{name}");
    }
}

#[tokio::test]
async fn of_three_urls_two_that_are_one_route_are_one_of_the_two() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<4>::serving(1, &[&old]).await;
    [0, 1].into_iter().for_each(|url| mirrors.lead(url, 3));
    let mut service = Service::with([mirrors.relationship(3).with("two_routes", true)]).await;
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], warnings(&status)), (&json!("current"), vec![]), "{status:#}");
    mirrors.serve(3, 2, &[&old, &new]);
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "second-route");
    assert_eq!(service.verdict(&new.svid(WEB)), "unknown-authority");
    mirrors.serve(2, 2, &[&old, &new]);
    assert_eq!(service.refresh("b.example").await["state"], "current");
    assert_eq!(service.verdict(&new.svid(WEB)), "accepted");

    // Without two_routes nobody asks for routes of their own.
    mirrors.fail(2);
    assert_eq!(warnings(&service.refresh("b.example").await), ["one-route", "endpoint-failing"]);
    service.configure([mirrors.relationship(3)]);
    service.restart().await;
    service.advance(Duration::from_secs(60));
    assert_eq!(warnings(&service.refresh("b.example").await), [""; 0]);
}

#[tokio::test]
async fn two_routes_with_other_keys_under_one_number_are_an_alarm_at_each_poll() {
    let [ours, both, theirs] = [(); 3].map(|()| Ca::of("b.example"));
    let mirrors = Mirrors::<2>::serving(1, &[&ours]).await;
    let service = Service::with([mirrors.relationship(2).with("two_routes", true)]).await;
    mirrors.serve(1, 1, &[&ours, &theirs]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], warnings(&status)), (&json!("held"), vec!["endpoints-disagree"]), "{status:#}");
    let (_, metrics) = service.operations("/metrics").await;
    assert!(metrics.contains("code=\"endpoints-disagree\""), "{metrics}");

    mirrors.serve(0, 2, &[&ours, &both]);
    mirrors.serve(1, 2, &[&ours, &both, &theirs]);
    let status = service.refresh("b.example").await;
    assert_eq!(status["held"][0]["code"], "endpoints-disagree", "not even what both have counts");
    for ca in [&both, &theirs] {
        assert_eq!(service.verdict(&ca.svid(WEB)), "unknown-authority");
    }
    mirrors.serve(1, 2, &[&ours, &both]);
    assert_eq!(warnings(&service.refresh("b.example").await), [""; 0]);
    assert_eq!(service.verdict(&both.svid(WEB)), "accepted");
}

#[tokio::test]
async fn two_routes_come_before_change_control_and_not_in_its_place() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<2>::serving(1, &[&old]).await;
    let relationship = mirrors.relationship(2).with("two_routes", true).with("change_control", "manual");
    let service = Service::with([relationship]).await;
    assert_eq!(service.status("b.example").await["held"][0]["code"], "approval-required");
    service.accept_held("b.example").await;
    mirrors.serve(0, 2, &[&old, &new]);
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "second-route");
    mirrors.serve(1, 2, &[&old, &new]);
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "approval-required");
    assert_eq!(service.verdict(&new.svid(WEB)), "unknown-authority");
    service.accept_held("b.example").await;
    assert_eq!(service.verdict(&new.svid(WEB)), "accepted");
}

#[tokio::test]
async fn whoever_has_one_of_two_routes_in_hand_keeps_no_removed_key_alive() {
    let [stays, goes, evil, foreign] = ["b", "b", "b", "c"].map(|name| Ca::of(&format!("{name}.example")));
    for (name, sequence, keys, held) in [
        ("under a higher number", 9, vec![&stays, &goes, &evil], Some("second-route")),
        ("under a number far ahead", 9 + (2 << 48), vec![&stays, &goes], Some("sequence-jump")),
        ("in a document that is refused", 9, vec![&stays, &goes, &foreign], None),
        ("under the same number", 8, vec![&stays, &goes, &evil], Some("endpoints-disagree")),
        ("under an old number", 6, vec![&stays, &goes, &evil], None),
    ] {
        for (honest, theirs) in [(0, 1), (1, 0)] {
            let mirrors = Mirrors::<2>::serving(7, &[&stays, &goes]).await;
            let mut service = Service::with([mirrors.relationship(2).with("two_routes", true)]).await;
            mirrors.serve(theirs, sequence, &keys);
            service.refresh("b.example").await;
            mirrors.serve(honest, 8, &[&stays]);
            service.advance(Duration::from_secs(60));
            for when in ["before a restart", "after it"] {
                let status = service.refresh("b.example").await;
                let verdicts = [&stays, &goes, &evil].map(|ca| service.verdict(&ca.svid(WEB)));
                assert_eq!(verdicts, ["accepted", "unknown-authority", "unknown-authority"], "{name} {honest}, {when}");
                let alarms = [status["held"][0]["code"].as_str(), warnings(&status).first().copied()];
                assert!(held.is_none() || alarms.contains(&held), "{name} {honest}, {when}: {status:#}");
                service.restart().await;
            }
        }
    }
}

#[tokio::test]
async fn a_fallback_that_answered_once_with_a_high_number_hides_no_removal() {
    let (stays, goes) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<2>::serving(7, &[&stays, &goes]).await;
    let service = Service::with([mirrors.relationship(2)]).await;
    mirrors.serve(1, 7 + (1 << 47), &[&stays, &goes]);
    mirrors.fail(0);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["sequence"]), (&json!("current"), &json!(7)), "{status:#}");
    mirrors.serve(0, 8, &[&stays]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["sequence"]), (&json!("current"), &json!(8)), "{status:#}");
    assert_eq!(service.verdict(&goes.svid(WEB)), "unknown-authority");

    // With a key of its own, which it may bring, it raises the number: then a person hears of it.
    let more = Ca::of("b.example");
    mirrors.serve(1, 1 << 47, &[&stays, &more]);
    mirrors.fail(0);
    service.refresh("b.example").await;
    mirrors.serve(0, 9, &[&more]);
    let status = service.refresh("b.example").await;
    assert_eq!(status["held"][0]["code"], "sequence-rollback", "{status:#}");
}

#[tokio::test]
async fn what_a_frozen_copy_still_serves_lapses_when_the_other_route_has_replaced_it() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let mirrors = Mirrors::<2>::serving(7, &[&old]).await;
    let service = Service::with([mirrors.relationship(2).with("two_routes", true)]).await;
    mirrors.serve(1, 8, &[&new]);
    service.advance(Duration::from_secs(60));
    let status = service.refresh("b.example").await;
    assert_eq!(
        (&status["held"][0]["code"], &status["age_seconds"]),
        (&json!("second-route"), &json!(60)),
        "{status:#}"
    );
    assert_eq!(service.verdict(&old.svid(WEB)), "accepted", "until then");
}

#[tokio::test]
async fn bnd_04_what_one_route_empties_twice_is_empty_whatever_the_other_serves() {
    for other in [7, 8, 9] {
        let ca = Ca::of("b.example");
        let mirrors = Mirrors::<2>::serving(7, &[&ca]).await;
        let service = Service::with([mirrors.relationship(2).with("two_routes", true)]).await;
        mirrors.serve(0, 8, &[]);
        mirrors.serve(1, other, &[&ca]);
        service.refresh("b.example").await;
        assert_eq!(service.verdict(&ca.svid(WEB)), "accepted", "{other}: once is not enough");
        service.advance(Duration::from_secs(10));
        service.refresh("b.example").await;
        assert_eq!(service.verdict(&ca.svid(WEB)), "domain-revoked", "{other}");
    }
}

#[tokio::test]
async fn seq_04_what_one_of_two_routes_removed_does_not_come_back_under_a_lower_number() {
    let [stays, goes] = [(); 2].map(|()| Ca::of("b.example"));
    let mirrors = Mirrors::<3>::serving(7, &[&stays, &goes]).await;
    let service = Service::with([mirrors.relationship(3).with("two_routes", true)]).await;
    mirrors.serve(0, 9, &[&stays]);
    service.refresh("b.example").await;
    assert_eq!(service.verdict(&goes.svid(WEB)), "unknown-authority");
    mirrors.fail(0);
    for late in [1, 2] {
        mirrors.serve(late, 8, &[&stays, &goes]);
    }
    let status = service.refresh("b.example").await;
    assert_eq!(status["held"][0]["code"], "bundle-replayed", "{status:#}");
    assert_eq!(service.verdict(&goes.svid(WEB)), "unknown-authority");
    for late in [1, 2] {
        mirrors.serve(late, 10, &[&stays, &goes]);
    }
    service.refresh("b.example").await;
    assert_eq!(service.verdict(&goes.svid(WEB)), "accepted", "a higher number may bring it back");
}
