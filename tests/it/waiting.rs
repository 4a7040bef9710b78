//! Waiting instead of polling: changes that reach us at once, and endpoints that lie about it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::partner::{Partner, Relationship};
use crate::process::until;
use crate::service::{START, Service};
use crate::support::answer::Answer;
use crate::support::ca::{Ca, Leaf};
use crate::support::jwks::document_of;
use crate::support::peer::{Peer, SeenRequest};

#[tokio::test]
async fn a_rotation_reaches_a_service_that_waits_and_the_next_one_too() {
    let b = Service::of("b.example").await;
    let service = Service::with([b.relationship()]).await;
    let mut revision = waits_on(&service, &b).await["revision"].as_u64().unwrap();
    for _ in 0..2 {
        let next = Ca::of("b.example");
        let svid = next.svid("spiffe://b.example/web");
        b.write("ca.pem", next.pem().as_bytes());
        service.becomes("b.example", |status| status["revision"].as_u64() > Some(revision)).await;
        assert_eq!(service.verdict(&svid), "accepted");
        revision += 1;
        waits_again(&service, &b).await;
    }
}

#[tokio::test]
async fn while_it_waits_a_service_says_so_and_its_data_grow_older() {
    let b = Service::of("b.example").await;
    let service = Service::with([b.relationship()]).await;
    let before = waits_on(&service, &b).await;
    service.advance(Duration::from_secs(30));
    let now = service.status("b.example").await;
    assert_eq!((&now["next_poll_reason"], &now["state"]), (&json!("waiting"), &json!("current")));
    assert_eq!(now["last_success"], before["last_success"]);
    assert_eq!(now["age_seconds"].as_u64().unwrap(), before["age_seconds"].as_u64().unwrap() + 30);
}

#[tokio::test]
async fn a_stop_of_the_endpoint_ends_waits_without_a_failure() {
    let mut b = Service::of("b.example").await;
    let service = Service::with([b.relationship()]).await;
    waits_on(&service, &b).await;
    let confirmed = fetches(&service, "unchanged").await;
    b.stop().await;
    until(async || fetches(&service, "unchanged").await, |now| *now > confirmed).await;
    let status = service.status("b.example").await;
    assert_eq!((&status["consecutive_failures"], &status["state"]), (&json!(0), &json!("current")));
}

#[tokio::test]
async fn an_order_ends_a_wait_at_once() {
    let (b, service) = held().await;
    let waits = b.peer.requests().len();
    let status = service.refresh("b.example").await;
    assert_eq!(status["state"], "current", "answered though the wait was not");
    let requests = b.peer.saw_waits(count(&b.peer.requests()[..waits]) + 1).await;
    assert!(requests[waits..].len() >= 2, "it goes on to wait after that");
    service.configure([]);
    service.forgets("b.example").await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_wait_is_polled_as_ever() {
    let b = publishing("b.example").await;
    b.peer.answer_conditional(Answer::status(304, ""));
    let service = Service::with([b.relationship()]).await;
    service.refresh("b.example").await;
    b.peer.saw_waits(1).await;
    let polled = |status: &Value| status["next_poll_reason"] == "refresh-hint";
    let status = service.becomes("b.example", polled).await;
    assert_eq!(status["state"], "current");
    assert_eq!(b.peer.requests().len(), 3);
}

#[tokio::test]
async fn nothing_is_waited_for_where_that_is_switched_off() {
    let b = publishing("b.example").await;
    b.peer.answer_conditional(Answer::nothing_new());
    let service = Service::with([every_second(b.relationship()).with("wait", false)]).await;
    b.peer.saw_requests(4).await;
    let requests = b.peer.requests();
    assert!(requests.iter().any(SeenRequest::is_conditional));
    assert_eq!(count(&requests), 0);
    assert_ne!(service.status("b.example").await["next_poll_reason"], "waiting");
}

/// Between the answers of one that lies there is at least a second, and ever more.
#[tokio::test]
async fn an_endpoint_that_only_says_it_waits_does_not_make_us_spin() {
    let b = publishing("b.example").await;
    b.peer.answer_conditional(Answer::nothing_new());
    let service = Service::with([b.relationship()]).await;
    service.refresh("b.example").await;
    let requests = b.peer.saw_waits(4).await;
    assert_slower(&requests.into_iter().filter(|request| request.wait().is_some()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_endpoint_that_changes_without_end_does_not_make_us_spin() {
    let b = publishing("b.example").await;
    let (document, tag) = (|at: u64| document_of(at, &[&Ca::of("b.example")]), |at: u64| format!("\"{at}\""));
    b.peer.answer_conditional(Answer::held());
    let service = Service::with([b.relationship()]).await;
    service.refresh("b.example").await;
    b.peer.saw_waits(1).await;
    let first = b.peer.requests().len();
    for at in 0..4 {
        // Another one for each request, conditional or not.
        let changed = Answer::ok(document(10 + 2 * at)).header("ETag", &tag(at));
        b.peer.answer_conditional(changed.clone().header("Preference-Applied", "wait"));
        b.peer.answer(Answer::ok(document(11 + 2 * at)).header("ETag", &tag(at)));
        b.peer.saw_requests(first + usize::try_from(at).unwrap() + 1).await;
    }
    assert_slower(&b.peer.requests()[first - 1..]);
}

#[tokio::test]
async fn one_poll_in_eight_believes_no_entity_tag_waiting_or_not() {
    let b = publishing("b.example").await;
    b.peer.answer_conditional(Answer::nothing_new());
    let _service = Service::with([every_second(b.relationship())]).await;
    b.peer.saw_waits(8).await;
    let requests = b.peer.requests();
    let runs: Vec<_> = requests.split(|request| !request.is_conditional()).map(<[_]>::len).collect();
    assert!(runs.contains(&7) && runs.iter().all(|run| *run <= 7), "{runs:?}");
}

#[tokio::test]
async fn a_wait_that_something_cuts_off_is_no_failure() {
    for cut in [Answer::raw(""), Answer::status(504, ""), Answer::status(400, ""), Answer::truncated("{", 100)] {
        let b = publishing("b.example").await;
        b.peer.answer_conditional(cut.clone());
        let service = Service::with([b.relationship()]).await;
        service.refresh("b.example").await;
        b.peer.saw_waits(1).await;
        let polled = |status: &Value| status["next_poll_reason"] == "refresh-hint";
        let status = service.becomes("b.example", polled).await;
        assert_eq!((&status["state"], &status["consecutive_failures"]), (&json!("current"), &json!(0)), "{cut:?}");
        let requests = b.peer.requests();
        assert_eq!(requests.last().map(SeenRequest::is_conditional), Some(false), "polled plainly at once: {cut:?}");
        assert_eq!(requests.len(), 4, "and then as scheduled: {cut:?}");
        assert_eq!(fetches(&service, "wait-cut-off").await, 1, "{cut:?}");
    }
}

#[tokio::test]
async fn fec_16_what_a_certificate_proved_when_a_wait_began_it_must_still_prove_at_its_end() {
    let web = Ca::web("web");
    let leaf = Leaf { addresses: vec!["127.0.0.1".parse().unwrap()], not_after: START + 100, ..Leaf::default() };
    let peer = Peer::start(&web.issue(leaf)).await;
    let (accepted, evil) = (Ca::of("b.example"), Ca::of("b.example"));
    peer.answer(Answer::ok(document_of(7, &[&accepted])).header("ETag", "\"7\""));
    peer.answer_conditional(Answer::held());
    let b = Relationship::web("b.example", peer.url("127.0.0.1", "/"), &web.pem());
    let service = Service::with([b]).await;
    service.refresh("b.example").await;
    peer.saw_waits(1).await;
    service.advance(Duration::from_secs(200));
    peer.answer_conditional(Answer::ok(document_of(8, &[&evil])).header("Preference-Applied", "wait"));
    let status = service.becomes("b.example", |status| status["state"] == "failing").await;
    assert_eq!(status["last_error"]["code"], "certificate-rejected", "as a poll would be that begins now");
    assert_eq!((&status["sequence"], fetches(&service, "certificate-outlived").await), (&json!(7), 1));
    assert_eq!(service.verdict(&evil.svid("spiffe://b.example/web")), "unknown-authority");
}

#[tokio::test]
async fn fec_12_an_answer_that_was_waited_for_is_held_to_the_hosts_bundle_of_today() {
    let (old, new, b_ca, evil) =
        (Ca::of("hub.example"), Ca::of("hub.example"), Ca::of("b.example"), Ca::of("b.example"));
    let hub = Partner::spiffe("hub.example", &old).await;
    let speaker = Peer::start(&old.svid("spiffe://hub.example/endpoint")).await;
    speaker.answer(Answer::ok(document_of(7, &[&b_ca])).header("ETag", "\"7\""));
    speaker.answer_conditional(Answer::held());
    let via = Relationship::via("b.example", "hub.example", speaker.url("127.0.0.1", "/"));
    let service = Service::with([via.with("change_control", "automatic"), hub.relationship()]).await;
    service.refresh("b.example").await;
    speaker.saw_waits(1).await;
    hub.publishes(2, &[&new]);
    service.refresh("hub.example").await;
    speaker.answer_conditional(Answer::ok(document_of(8, &[&evil])).header("Preference-Applied", "wait"));
    let status = service.becomes("b.example", |status| status["state"] == "failing").await;
    assert_eq!((&status["sequence"], fetches(&service, "certificate-outlived").await), (&json!(7), 1));
    assert_eq!(service.verdict(&evil.svid("spiffe://b.example/web")), "unknown-authority");
}

#[tokio::test]
async fn a_wait_keeps_every_rule_of_acceptance() {
    let (b, service) = held().await;
    let other = Ca::of("b.example");
    b.peer.answer_conditional(Answer::ok(document_of(1, &[&other])).header("Preference-Applied", "wait"));
    let status = service.becomes("b.example", |status| status["state"] == "held").await;
    assert_eq!((&status["held"][0]["code"], &status["sequence"]), (&json!("sequence-rollback"), &json!(7)));
    assert_eq!(status["next_poll_reason"], "refresh-hint", "nothing is waited for while a document is held");
}

/// A partner whose document, number 7, has an entity tag.
async fn publishing(trust_domain: &str) -> Partner {
    let partner = Partner::web(trust_domain).await;
    let document = document_of(7, &[&Ca::of(trust_domain)]);
    partner.peer.answer(Answer::ok(document).header("ETag", "\"7\""));
    partner
}

/// One that waits for its script to change, and a service that waits on it.
async fn held() -> (Partner, Service) {
    let b = publishing("b.example").await;
    b.peer.answer_conditional(Answer::held());
    let service = Service::with([b.relationship()]).await;
    service.refresh("b.example").await;
    b.peer.saw_waits(1).await;
    // Now it is known to wait.
    b.peer.answer_conditional(Answer::nothing_new());
    b.peer.answer_conditional(Answer::held());
    b.peer.saw_waits(1).await;
    (b, service)
}

/// Waits until `service` waits on `b`, of which nobody knows that it waits.
async fn waits_on(service: &Service, b: &Service) -> Value {
    service.refresh("b.example").await;
    waits_again(service, b).await
}

async fn waits_again(service: &Service, b: &Service) -> Value {
    until_waiting(b).await;
    service.becomes("b.example", |status| status["next_poll_reason"] == "waiting").await
}

/// Waits until somebody waits on `b`.
async fn until_waiting(b: &Service) {
    while !b.operations("/metrics").await.1.contains("comity_endpoint_waiting{profile=\"https_web\"} 1") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn every_second(relationship: Relationship) -> Relationship {
    relationship.with("minimum_interval", "1s").with("maximum_interval", "1s")
}

/// Requests that would rather wait.
fn count(requests: &[SeenRequest]) -> usize {
    requests.iter().filter(|request| request.wait().is_some()).count()
}

/// One second at least lies between the first two, and twice as much between any two as between those before.
fn assert_slower(requests: &[SeenRequest]) {
    assert!(requests.len() >= 4, "{requests:?}");
    let gaps: Vec<_> = requests.windows(2).map(|two| (two[1].at - two[0].at).as_secs_f64()).collect();
    for (gap, least) in gaps.iter().zip([1.0, 2.0, 4.0]) {
        assert!(*gap >= least, "{gaps:?}");
    }
}

/// How many fetches of b.example ended with this code.
async fn fetches(service: &Service, code: &str) -> u64 {
    let (_, metrics) = service.operations("/metrics").await;
    let line = format!("comity_fetches_total{{trust_domain=\"b.example\",code=\"{code}\"}} ");
    let found = metrics.lines().find_map(|found| found.strip_prefix(&line));
    found.map_or_else(|| panic!("no {line} in {metrics}"), |number| number.parse().unwrap())
}
