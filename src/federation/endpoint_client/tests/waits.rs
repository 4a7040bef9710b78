use std::sync::atomic::{AtomicBool, Ordering};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use super::*;
use crate::federation::endpoint_client::error::Stage;
use crate::federation::endpoint_client::{Authentication, Wait, Waited};
use crate::support::answer::{Answer, Delivery};
use crate::support::ca::Leaf;
use crate::support::peer::SeenRequest;
use crate::verify::presented::Then;

impl Fetch {
    /// Asks the peer to wait for so many seconds; whether nothing was left but to wait.
    async fn wait(&self, seconds: u64) -> (FetchRecord, Result<Body, FetchError>, bool) {
        let authentication = self.client.authentication(&self.endpoint.profile, self.trust.as_ref()).unwrap();
        let begun = Arc::new(AtomicBool::default());
        let noted = begun.clone();
        let begins = Then(Arc::new(move || noted.store(true, Ordering::Relaxed)));
        let (record, body) = self
            .client
            .fetch(&Request {
                endpoint: &self.endpoint,
                url: &self.endpoint.url,
                authentication,
                etag: Some("\"e\""),
                bearer: None,
                wait: Some(Wait { at_most: Duration::from_secs(seconds), begins }),
            })
            .await;
        (record, body, begun.load(Ordering::Relaxed))
    }

    fn within(mut self, total: Duration) -> Self {
        self.client.limits.total = total;
        self
    }
}

#[tokio::test]
async fn a_wait_is_asked_for_in_one_header_and_what_came_of_it_is_recorded() {
    for (field, is_applied, granted) in [
        (None, false, None),
        (Some("wait"), true, None),
        (Some("wait=9"), true, Some(9)),
        (Some("return=minimal, wait=5"), true, Some(5)),
        (Some("awaited"), false, None),
    ] {
        let (peer, fetch) = web_peer().await;
        let answer = Answer::status(304, "");
        peer.answer(field.iter().fold(answer, |answer, field| answer.header("Preference-Applied", field)));
        let (record, body, begun) = fetch.wait(9).await;
        assert_eq!((body, begun), (Ok(Body::NotModified), true));
        assert_eq!(peer.requests()[0].headers["prefer"], "wait=9");
        let Waited { is_applied: applied, granted: said, .. } = record.waited.unwrap();
        assert_eq!((applied, said), (is_applied, granted.map(Duration::from_secs)), "{field:?}");
    }
    let (peer, fetch) = web_peer().await;
    let (record, _) = fetch.run_with(Some("\"e\"")).await;
    assert_eq!((record.waited, peer.requests()[0].headers.get("prefer")), (None, None), "a plain one");
}

#[tokio::test]
async fn fec_26_the_deadline_is_the_usual_one_after_the_wait() {
    let total = Duration::from_millis(300);
    for (name, answer, stage) in [
        ("never answers", Answer::silent(), Stage::Waiting),
        (
            "trickles",
            Answer::truncated(vec![b' '; 100], 100).by(Delivery::Drip(Duration::from_millis(200))),
            Stage::Reading,
        ),
        ("stalls", Answer::truncated("{", 100).by(Delivery::Stall), Stage::Reading),
    ] {
        let (peer, fetch) = web_peer().await;
        peer.answer(answer);
        let (record, body, _) = fetch.within(total).wait(1).await;
        let error = body.unwrap_err();
        assert_eq!(error, FetchError::TimedOut { stage, limit: Duration::from_millis(1_300) }, "{name}");
        assert!(record.elapsed >= Duration::from_millis(1_300), "{name}");
        assert!(record.cut_off(&error).is_some(), "{name}");
    }
}

#[tokio::test]
async fn only_the_configured_endpoint_is_asked_to_wait() {
    let (peer, fetch) = web_peer().await;
    peer.answer_at("/", Answer::redirect(302, "/next"));
    peer.answer_at("/next", Answer::status(304, ""));
    fetch.wait(9).await.1.unwrap();
    let asked: Vec<_> = peer.requests().iter().map(SeenRequest::wait).collect();
    assert_eq!(asked, [Some(9), None]);
}

#[tokio::test]
async fn a_wait_that_was_cut_off_is_told_from_one_that_never_began() {
    let ca = Ca::web("root");
    let (peer, fetch) = web_peer().await;
    for (name, answer) in [
        ("ends", Answer::raw("")),
        ("breaks off", Answer::truncated("{", 100)),
        ("gateway timeout", Answer::status(504, "")),
        ("no HTTP", Answer::raw("hello\r\n\r\n")),
    ] {
        peer.answer(answer);
        let (record, body, _) = fetch.wait(9).await;
        assert!(record.cut_off(&body.unwrap_err()).is_some(), "{name}");
    }
    let gone = Fetch::web(&peer, &ca).at("https://localhost:1/");
    let stranger = Fetch::web(&peer, &ca);
    for (name, fetch) in [("nobody is there", gone), ("somebody else is there", stranger)] {
        let (record, body, begun) = fetch.wait(9).await;
        assert_eq!((record.cut_off(&body.unwrap_err()), begun), (None, false), "{name}");
    }
}

#[tokio::test]
async fn fec_16_what_was_proven_at_the_beginning_of_a_wait_is_proven_again_at_its_end() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let leaf = Leaf { uris: vec![ENDPOINT_ID.into()], not_after: IN_A_WHILE, ..Leaf::default() };
    let (peer, mut fetch) = spiffe_peer(&old.issue(leaf), &[&old]).await;
    peer.answer(Answer::nothing_new());
    let (record, _, _) = fetch.wait(9).await;
    let by =
        |authorities: &[&Ca], id: &str| Authentication::spiffe(id.parse().unwrap(), &trust("b.example", authorities));
    let code = |fetch: &Fetch, by: &Authentication| match fetch.client.still_proven(&record, by) {
        Ok(()) => "proven",
        Err(FetchError::CertificateOutlived { rejection, .. }) => rejection,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(code(&fetch, &by(&[&old], ENDPOINT_ID)), "proven");
    assert_eq!(code(&fetch, &by(&[&old, &new], ENDPOINT_ID)), "proven");
    assert_eq!(code(&fetch, &by(&[&new], ENDPOINT_ID)), "unknown-authority");
    assert_ne!(code(&fetch, &by(&[&old], "spiffe://b.example/another")), "proven");
    assert_ne!(code(&fetch, &Authentication::Web(roots(&[&new]))), "proven");
    fetch.client.clock = Arc::new(At(IN_A_WHILE + 1));
    assert_eq!(code(&fetch, &by(&[&old], ENDPOINT_ID)), "expired");
}

#[tokio::test]
async fn fec_16_whoever_redirects_after_a_wait_must_still_prove_who_it_is() {
    let ca = Ca::web("root");
    let leaf = Leaf { hosts: vec!["localhost".into()], not_after: IN_A_WHILE, ..Leaf::default() };
    let (first, second) = (Peer::start(&ca.issue(leaf)).await, Peer::start(&ca.server("localhost")).await);
    first.answer(Answer::redirect(302, &second.url("localhost", "/")));
    second.answer(Answer::nothing_new());
    let mut fetch = Fetch::web(&first, &ca);
    let (record, body, _) = fetch.wait(9).await;
    assert_eq!((body, record.visited.len()), (Ok(Body::NotModified), 2));
    let by = Authentication::Web(roots(&[&ca]));
    assert_eq!(fetch.client.still_proven(&record, &by), Ok(()));
    fetch.client.clock = Arc::new(At(IN_A_WHILE + 1));
    let error = fetch.client.still_proven(&record, &by).unwrap_err();
    assert!(matches!(error, FetchError::CertificateOutlived { rejection: "expired", .. }), "{error}");
}

#[tokio::test]
async fn fec_16_so_must_everybody_on_the_way_to_the_answer() {
    let ca = Ca::web("root");
    let leaf = Leaf { hosts: vec!["localhost".into()], not_after: IN_A_WHILE, ..Leaf::default() };
    let (first, last) = (Peer::start(&ca.server("localhost")).await, Peer::start(&ca.server("localhost")).await);
    let between = Peer::start(&ca.issue(leaf)).await;
    first.answer(Answer::redirect(302, &between.url("localhost", "/")));
    between.answer(Answer::redirect(302, &last.url("localhost", "/")));
    last.answer(Answer::nothing_new());
    let mut fetch = Fetch::web(&first, &ca);
    let (record, body, _) = fetch.wait(9).await;
    assert_eq!((body, record.visited.len()), (Ok(Body::NotModified), 3));
    let by = Authentication::Web(roots(&[&ca]));
    assert_eq!(fetch.client.still_proven(&record, &by), Ok(()));
    fetch.client.clock = Arc::new(At(IN_A_WHILE + 1));
    let error = fetch.client.still_proven(&record, &by).unwrap_err();
    assert!(matches!(error, FetchError::CertificateOutlived { rejection: "expired", .. }), "{error}");
}

#[derive(Debug)]
struct At(u64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

/// Unix seconds, long after every run of this test.
const IN_A_WHILE: u64 = 4_000_000_000;
