//! Caches between us and a peer can't pin, hide or rejuvenate a bundle.

use std::time::Duration;

use crate::partner::Partner;
use crate::service::Service;
use crate::support::answer::Answer;
use crate::support::ca::Ca;
use crate::support::jwks::document_of;

/// For each request so far, whether it was conditional.
fn conditional(b: &Partner) -> Vec<bool> {
    b.peer.requests().iter().map(|request| request.headers.contains_key("if-none-match")).collect()
}

#[tokio::test]
async fn an_endpoint_that_answers_304_for_ever_is_found_out_at_the_8th_poll() {
    let ca = Ca::of("b.example");
    let b = Partner::web("b.example").await;
    b.peer.answer(Answer::ok(document_of(1, &[&ca])).header("ETag", "\"poisoned\""));
    let service = Service::with([b.relationship()]).await;
    service.refresh("b.example").await;
    b.peer.answer(Answer::bare(304));
    for poll in 1..=7 {
        assert_eq!(service.refresh("b.example").await["state"], "current", "conditional poll {poll}");
    }
    let status = service.refresh("b.example").await;
    assert_eq!(status["last_error"]["code"], "not-modified-unasked");
    let expected = [[false, false].as_slice(), &[true; 7], &[false]].concat();
    assert_eq!(conditional(&b), expected, "unconditional after an acceptance and every 8th time");
}

#[tokio::test]
async fn an_entity_tag_that_stays_the_same_delays_a_rotation_by_seven_polls_at_most() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::web("b.example").await;
    b.peer.answer(Answer::ok(document_of(1, &[&old])).header("ETag", "\"same\""));
    b.peer.answer_conditional(Answer::bare(304));
    let service = Service::with([b.relationship()]).await;
    service.refresh("b.example").await;
    b.peer.answer(Answer::ok(document_of(2, &[&new])).header("ETag", "\"same\""));
    let mut polls = 0;
    while service.refresh("b.example").await["revision"] == 1 {
        polls += 1;
    }
    assert_eq!(polls, 7);
    assert_eq!(service.verdict(&old.svid("spiffe://b.example/web")), "unknown-authority");
}

#[tokio::test]
async fn after_an_acceptance_the_next_poll_takes_no_tag_for_an_answer() {
    let (real, evil) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::web("b.example").await;
    b.peer.answer_conditional(Answer::bare(304));
    b.peer.answer(Answer::ok(document_of(1, &[&evil])).header("ETag", "\"same\""));
    let service = Service::with([b.relationship()]).await;
    b.peer.answer(Answer::ok(document_of(2, &[&real])).header("ETag", "\"same\""));
    service.refresh("b.example").await;
    assert_eq!(service.verdict(&evil.svid("spiffe://b.example/web")), "unknown-authority");
}

#[tokio::test]
async fn an_answer_from_a_cache_is_as_old_as_it_says() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = Service::with([b.relationship()]).await;
    for (age_header, age) in [("301", 100), ("4000000000000000000", 200), ("300", 0), ("0", 0)] {
        service.advance(Duration::from_secs(100));
        b.peer.answer(Answer::ok(document_of(1, &[&ca])).header("Age", age_header));
        assert_eq!(service.refresh("b.example").await["age_seconds"], age, "Age: {age_header}");
    }
}
