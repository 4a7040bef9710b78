mod waits;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use rustls::RootCertStore;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio::sync::{oneshot, watch};

use super::two_routes::Served;
use super::*;
use crate::federation::endpoint_client::{ClientLimits, FetchRecord};
use crate::federation::offered::Offered;
use crate::federation::outcome::PollError;
use crate::federation::parameters::Parameters;
use crate::federation::pollers::{Handles, Pollers, Relationships};
use crate::federation::relationship::{BundleEndpoint, ChangeControl, EndpointProfile, PollPolicy};
use crate::federation::trust_feed::Trusted;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::document::render::{WitAuthorities, digest, render};
use crate::spiffe::fixtures::FIXTURES;
use crate::spiffe::trust_domain::TrustDomain;
use crate::store;
use crate::verify::policy::Policy;

const NOW: u64 = 1_800_000_000;
const STALENESS: u64 = 3_600;
const FIRST: &str = "https://b.example/";
const SECOND: &str = "https://2.example/";

/// Wall time in Unix seconds, which tests set.
#[derive(Debug)]
struct Hand(AtomicU64);

impl TimeProvider for Hand {
    fn current_time(&self) -> Option<UnixTime> {
        Some(Timestamp::from_secs(self.0.load(Ordering::Relaxed)).into())
    }
}

struct Bench {
    hand: Arc<Hand>,
    shared: Arc<Shared>,
    orders: mpsc::Sender<Box<Order>>,
    poller: Poller,
}

impl Bench {
    /// A poller of a relationship that exists in a store in memory, without network.
    async fn new() -> Self {
        let trust_domain: TrustDomain = "b.example".parse().unwrap();
        let hand = Arc::new(Hand(AtomicU64::new(NOW)));
        let clock = Arc::new(Clock::new(hand.clone(), None));
        let shared = Arc::new(Shared {
            client: EndpointClient::new(ClientLimits::default(), Arc::new(RootCertStore::empty()), clock.clone()),
            store: store::open("memory:", &"a.example".parse().unwrap()).await.unwrap(),
            feed: Arc::new(TrustFeed::new()),
            clock,
            counters: Counters::default(),
            early_polls: EarlyPolls::default(),
            places: Places::default(),
        });
        let endpoint = BundleEndpoint {
            url: "https://b.example/".parse().unwrap(),
            fallbacks: Vec::new(),
            profile: EndpointProfile::HttpsWeb { roots: None },
            redirects: 0,
            allow_link_local: false,
            proxy: None,
        };
        let created = shared.store.create(&trust_domain, &Parameters::of(&endpoint).to_string()).await.unwrap();
        let relationship = Arc::new(FederationRelationship {
            trust_domain,
            endpoint,
            bootstrap: None,
            change_control: ChangeControl::Automatic,
            two_routes: false,
            wait: true,
            key_notice: None,
            maximum_staleness: Some(Duration::from_secs(STALENESS)),
            poll: PollPolicy::default(),
            policy: Arc::default(),
        });
        let mut known = Known::begin(created);
        known.progress.last_attempt = Some(Timestamp::from_secs(NOW));
        let seen = Arc::new(ArcSwap::from_pointee(Progressed::first(known.into())));
        let (orders, receiver) = mpsc::channel(4);
        let poller = Poller::new(relationship, shared.clone(), seen, receiver);
        Self { hand, shared, orders, poller }
    }

    /// With a second URL, where new keys have to be too.
    async fn with_two_routes() -> Self {
        let mut bench = Self::new().await;
        let mut relationship = FederationRelationship::clone(&bench.poller.relationship);
        relationship.two_routes = true;
        relationship.endpoint.fallbacks.push(SECOND.parse().unwrap());
        bench.poller.known = Known::clone(&bench.poller.known).under(Parameters::of(&relationship.endpoint)).into();
        bench.poller.relationship = Arc::new(relationship);
        bench
    }

    /// Both URLs answer with CA certificates of these fixtures; says which are trusted then.
    async fn serve_both(&mut self, first: (u64, &BTreeSet<usize>), second: (u64, &BTreeSet<usize>)) -> BTreeSet<usize> {
        let domain = &self.poller.relationship.trust_domain;
        let [first, second] = [(FIRST, first), (SECOND, second)].map(|(url, (sequence, keys))| {
            let authorities = keys.iter().map(|key| FIXTURES[*key].x509()).collect();
            let bundle = Bundle::new(domain.clone(), authorities, Some(sequence), None);
            let document = BundleDocument::parse(domain, &render(&bundle, WitAuthorities::Omit)).unwrap();
            Served { record: FetchRecord { url: url.into(), ..record() }, document }
        });
        drop(self.poller.judge_both(&first, &second).await);
        let trusted = self.poller.known.accepted.authorities.clone().unwrap_or_default();
        (0..5).filter(|key| trusted.contains(&FIXTURES[*key].x509().id())).collect()
    }

    async fn serve(&mut self, sequence: u64, fixture: usize) -> Result<&'static str, PollError> {
        let record = record();
        let document =
            BundleDocument::parse(&self.poller.relationship.trust_domain, &document(sequence, fixture)).unwrap();
        let outcome =
            self.poller.consider(&record, &Offered::alone(&document, &record.url), Some("\"e\"".into())).await;
        outcome.map(|outcome| outcome.code())
    }

    fn generation(&self) -> u64 {
        self.shared.feed.snapshot().generation()
    }

    /// The order to go on until the end of this second.
    fn until(&self, last: u64) -> Order {
        let policy = Policy { not_after: Some(Timestamp::from_secs(last).into()), ..Policy::default() };
        let relationship = FederationRelationship::clone(&self.poller.relationship);
        Order::Policy(Arc::new(FederationRelationship { policy: Arc::new(policy), ..relationship }))
    }

    /// Somebody else writes a revision.
    async fn overtake(&self) {
        let known = &self.poller.known;
        let next = known.bootstrapped(&bundle(9, 3), Timestamp::from_secs(NOW));
        let domain = &self.poller.relationship.trust_domain;
        let commit = known.commit(&next, domain, Origin::Operator, Timestamp::from_secs(NOW));
        self.shared.store.commit(&commit).await.unwrap();
    }
}

/// A fetch that brought something.
fn record() -> FetchRecord {
    FetchRecord {
        url: "https://b.example/".into(),
        proxy: None,
        final_url: String::new(),
        first_address: None,
        address: None,
        peer: None,
        shown: None,
        shown_before: Vec::new(),
        visited: Vec::new(),
        status: Some(200),
        bytes: 0,
        digest: None,
        age: None,
        clock_ahead: None,
        waited: None,
        elapsed: Duration::ZERO,
    }
}

fn bundle(sequence: u64, fixture: usize) -> Bundle {
    let authorities = [FIXTURES[fixture].x509()].into_iter().collect();
    Bundle::new("b.example".parse().unwrap(), authorities, Some(sequence), None)
}

fn document(sequence: u64, fixture: usize) -> Vec<u8> {
    render(&bundle(sequence, fixture), WitAuthorities::Omit)
}

#[tokio::test]
async fn what_the_store_refuses_is_not_trusted() {
    let mut bench = Bench::new().await;
    bench.serve(1, 1).await.unwrap();
    bench.overtake().await;
    let before = bench.poller.known.clone();
    assert_eq!(bench.serve(2, 2).await.unwrap_err().code(), "store-revision-not-next");
    assert_eq!(bench.poller.known, before);
    let snapshot = bench.shared.feed.snapshot();
    let trust = snapshot.domain(&bench.poller.relationship.trust_domain).unwrap();
    assert_eq!(**trust.bundle(), bundle(1, 1));
}

#[tokio::test]
async fn a_poller_ends_when_the_store_goes_on_without_it() {
    for overtaken in [true, false] {
        let mut bench = Bench::new().await;
        bench.serve(5, 1).await.unwrap();
        assert_eq!(bench.serve(1, 2).await.unwrap(), "sequence-rollback");
        if overtaken {
            bench.overtake().await;
        } else {
            bench.shared.store.end(&bench.poller.relationship.trust_domain).await.unwrap();
        }
        let (done, answer) = oneshot::channel();
        bench.orders.send(Order::Accept(digest(&bundle(1, 2)), done).into()).await.unwrap();
        bench.poller.run(CancellationToken::new()).await;
        assert!(matches!(answer.await.unwrap(), Err(OrderError::Store(_))), "{overtaken}");
    }
}

#[tokio::test]
async fn rel_08_the_end_and_the_return_of_trust_are_new_generations() {
    let mut bench = Bench::new().await;
    bench.serve(1, 1).await.unwrap();
    let accepted = bench.generation();
    assert!(bench.poller.lapse().is_some());
    bench.poller.announce_lapse();
    assert_eq!(bench.generation(), accepted, "not yet");
    bench.hand.0.store(NOW + STALENESS, Ordering::Relaxed);
    assert!(bench.poller.lapse().is_some_and(|at| at <= Instant::now()), "it came while a poll took its time");
    bench.poller.announce_lapse();
    assert_eq!((bench.generation(), bench.poller.lapse()), (accepted + 1, None), "once");
    assert_eq!(bench.serve(1, 1).await.unwrap(), "unchanged");
    assert_eq!(bench.generation(), accepted + 2, "trusted again");
    assert_eq!(bench.serve(1, 1).await.unwrap(), "unchanged");
    assert_eq!(bench.generation(), accepted + 2, "a confirmation in time is none");
    assert!(bench.poller.lapse().is_some());
}

#[tokio::test]
async fn the_end_of_a_relationship_is_a_new_generation_whenever_its_date_is_told() {
    let mut bench = Bench::new().await;
    bench.serve(1, 1).await.unwrap();
    let orders = [bench.until(NOW + 9), bench.until(NOW + 20)];
    let accepted = bench.generation();
    for (order, (last, generation)) in orders.into_iter().zip([(NOW + 9, accepted + 1), (NOW + 20, accepted + 2)]) {
        assert_eq!(bench.poller.obey(order).await, None, "no poll comes of it");
        bench.hand.0.store(last, Ordering::Relaxed);
        bench.poller.announce_lapse();
        assert_eq!(bench.generation(), generation - 1, "its last second");
        bench.hand.0.store(last + 1, Ordering::Relaxed);
        assert!(bench.poller.lapse().is_some_and(|at| at <= Instant::now()));
        bench.poller.announce_lapse();
        bench.poller.announce_lapse();
        assert_eq!(bench.generation(), generation, "once");
    }
    bench.hand.0.store(NOW + STALENESS, Ordering::Relaxed);
    bench.poller.announce_lapse();
    assert_eq!((bench.generation(), bench.poller.lapse()), (accepted + 3, None), "and too old besides");
}

#[tokio::test(start_paused = true)]
async fn a_relationship_that_is_over_is_not_polled_until_it_is_prolonged() {
    let mut bench = Bench::new().await;
    bench.serve(1, 1).await.unwrap();
    // Nobody is asked for the name of an address, and nobody listens there.
    let endpoint =
        BundleEndpoint { url: "https://127.0.0.1:1/".parse().unwrap(), ..bench.poller.relationship.endpoint.clone() };
    let relationship = FederationRelationship::clone(&bench.poller.relationship);
    bench.poller.relationship = Arc::new(FederationRelationship { endpoint, ..relationship });
    let (short, long) = (bench.until(NOW + 9), bench.until(NOW + 999));
    bench.hand.0.store(NOW + 10, Ordering::Relaxed);
    assert_eq!(bench.poller.obey(short).await, None);
    let Bench { poller, orders, .. } = bench;
    let (seen, stop) = (poller.seen.clone(), CancellationToken::new());
    let attempt = || seen.load().known.progress.last_attempt.unwrap().as_secs() - NOW;
    let journey = async {
        orders.send(Order::Early.into()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(7_200)).await;
        assert_eq!(attempt(), 0, "long overdue");
        orders.send(long.into()).await.unwrap();
        while attempt() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.cancel();
    };
    tokio::join!(poller.run(stop.clone()), journey);
    assert_eq!(attempt(), 10);
}

#[tokio::test]
async fn an_entity_tag_counts_only_for_a_document_that_brought_nothing_new() {
    let mut bench = Bench::new().await;
    for (sequence, fixture, expected) in
        [(2, 1, None), (2, 1, Some("\"e\"")), (1, 2, None), (2, 1, Some("\"e\"")), (3, 2, None)]
    {
        bench.serve(sequence, fixture).await.unwrap();
        let tag = bench.poller.etags.values().next().map(|etag| etag.tag.as_str());
        assert_eq!(tag, expected, "{sequence} {fixture}");
    }
}

#[tokio::test]
async fn fec_21_what_is_stored_is_what_is_known() {
    let mut bench = Bench::new().await;
    for (sequence, fixture) in [(2, 1), (2, 1), (1, 2), (3, 2), (3, 3)] {
        bench.serve(sequence, fixture).await.unwrap();
        let stored = bench.shared.store.load().await.unwrap().relationships.remove(0);
        let history = bench.shared.store.history(&stored.trust_domain, None, 1_000).await.unwrap();
        assert_eq!(Known::restore(stored, &history), *bench.poller.known, "{sequence} {fixture}");
    }
}

#[tokio::test]
async fn fec_12_the_end_of_the_host_is_the_end_of_polling() {
    let mut bench = Bench::new().await;
    let hub: TrustDomain = "hub.example".parse().unwrap();
    let mut relationship = FederationRelationship::clone(&bench.poller.relationship);
    relationship.endpoint.profile =
        EndpointProfile::HttpsSpiffe { endpoint_id: "spiffe://hub.example/e".parse().unwrap() };
    bench.poller.relationship = Arc::new(relationship);
    let code = |bench: &Bench| bench.poller.proof().err().map(|error| error.code());
    assert_eq!(code(&bench), Some("no-endpoint-bundle"));
    let bundle = Bundle::new(hub.clone(), [FIXTURES[1].x509()].into_iter().collect(), Some(1), None);
    let until = Some(Timestamp::from_secs(NOW + 10));
    let trusted =
        Trusted { bundle: Arc::new(bundle), revision: 1, via: None, until, since: vec![Timestamp::from_secs(NOW)] };
    bench.shared.feed.begin(&hub, Arc::default(), Some(trusted));
    assert_eq!(code(&bench), None);
    bench.hand.0.store(NOW + 10, Ordering::Relaxed);
    assert_eq!(code(&bench), Some("endpoint-host-untrusted"));
    bench.hand.0.store(NOW, Ordering::Relaxed);
    bench.shared.feed.remove(&hub);
    assert_eq!(code(&bench), Some("no-endpoint-bundle"));
}

/// What a poll costs while nothing goes on is paid for each of thousands of relationships.
#[tokio::test]
async fn a_poller_at_rest_is_small() {
    let size = size_of_val(&Bench::new().await.poller.run(CancellationToken::new()));
    assert!(size <= 4_096, "{size}");
}

#[tokio::test(start_paused = true)]
async fn a_poller_that_ended_goes_on_from_the_store() {
    let mut bench = Bench::new().await;
    bench.serve(5, 1).await.unwrap();
    bench.serve(1, 2).await.unwrap();
    let (domain, relationship) = (bench.poller.relationship.trust_domain.clone(), bench.poller.relationship.clone());
    let (handles, stop) = (Handles::default(), CancellationToken::new());
    let mut pollers = Pollers::new(bench.shared.clone(), handles.clone(), stop.clone());
    let wanted: Relationships = Arc::new([(domain.clone(), relationship)].into());
    let stored = bench.shared.store.load().await.unwrap().relationships;
    pollers.resume(stored, &wanted).await.unwrap();
    bench.overtake().await;
    let (_wanted, wanted) = watch::channel(wanted);
    let running = pollers.run(wanted);
    let journey = async {
        let (done, answer) = oneshot::channel();
        let order = Order::Accept(digest(&bundle(1, 2)), done);
        handles.get(&domain).unwrap().orders.send(order.into()).await.ok().unwrap();
        assert!(matches!(answer.await.unwrap(), Err(OrderError::Store(_))));
        let mut generation = bench.shared.feed.subscribe();
        while bench.shared.feed.snapshot().domain(&domain).unwrap().revision() != 2 {
            generation.changed().await.unwrap();
        }
        assert_eq!(**bench.shared.feed.snapshot().domain(&domain).unwrap().bundle(), bundle(9, 3));
        assert_eq!(handles.get(&domain).unwrap().seen.load().known.revision, Some(2));
        stop.cancel();
    };
    tokio::join!(running, journey);
}

#[tokio::test]
async fn bnd_20_accepting_a_document_of_foreign_keys_does_not_empty_the_domain() {
    let mut bench = Bench::new().await;
    bench.serve(1, 1).await.unwrap();
    let theirs = [FIXTURES[2].x509()].into_iter().collect();
    bench.shared.feed.set_own(Arc::new(Bundle::new("a.example".parse().unwrap(), theirs, Some(1), None)));
    assert_eq!(bench.serve(2, 2).await.unwrap(), "all-refused");
    let refusal = bench.poller.approve(digest(&bundle(2, 2))).await;
    assert!(matches!(refusal, Err(OrderError::NothingUsable)), "{refusal:?}");
    assert_eq!(*bench.poller.known.bundle.clone().unwrap(), bundle(1, 1));
}

#[tokio::test]
async fn numbers_that_one_of_two_routes_uses_up_keep_no_key_alive() {
    for honest_is_first in [true, false] {
        for used_up in [2, 1 << 40] {
            let mut bench = Bench::with_two_routes().await;
            let mut trusted = BTreeSet::new();
            for (honest, hostile) in [
                ((1, [0, 1, 2].as_slice()), (1, [0, 1, 2].as_slice())),
                ((1, &[0, 1, 2]), (used_up, &[1, 2])),
                ((2, &[0, 1]), (used_up, &[1, 2])),
                ((3, &[0, 1]), (0, &[1, 2])),
            ] {
                let [honest, hostile] =
                    [honest, hostile].map(|(number, keys)| (number, BTreeSet::from_iter(keys.to_vec())));
                let (honest, hostile) = ((honest.0, &honest.1), (hostile.0, &hostile.1));
                trusted = match honest_is_first {
                    true => bench.serve_both(honest, hostile).await,
                    false => bench.serve_both(hostile, honest).await,
                };
            }
            assert_eq!(trusted, BTreeSet::from([1]), "{used_up}: 2 is gone, and 0 is what the other one removed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The first or the second URL is honest: its number rises with each document. The other one is in hostile hands.
    #[test]
    fn of_two_routes_one_alone_brings_no_key_and_keeps_none_alive(
        polls in prop::collection::vec(
            (
                prop::collection::btree_set(0usize..5, 1..4),
                prop_oneof![4 => 0u64..12, 1 => Just(1 << 40), 1 => Just(1 << 50), 1 => Just(u64::MAX)],
                prop::collection::btree_set(0usize..5, 0..5),
            ),
            1..10,
        ),
        honest_is_first: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::with_two_routes().await;
            let start = BTreeSet::from([0, 1]);
            let mut trusted = bench.serve_both((1, &start), (1, &start)).await;
            prop_assert_eq!(&trusted, &start);
            for (at, (keys, sequence, theirs)) in (2u64..).zip(&polls) {
                let before = trusted;
                trusted = match honest_is_first {
                    true => bench.serve_both((at, keys), (*sequence, theirs)).await,
                    false => bench.serve_both((*sequence, theirs), (at, keys)).await,
                };
                prop_assert!(trusted.iter().all(|key| before.contains(key) || (keys.contains(key) && theirs.contains(key))));
                // A type that the two together leave without a key is another matter (BND-04).
                let survives = before.iter().any(|key| keys.contains(key) && theirs.contains(key));
                prop_assert!(!survives || trusted.is_subset(keys), "{:?} of {:?}", trusted, keys);
            }
            Ok(())
        })?;
    }
}
