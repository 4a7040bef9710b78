//! What every store does, run against each of them.

use super::Store;
use super::error::StoreError;
use super::memory::MemoryStore;
use super::records::{Commit, HeldDocument, Limits, Origin, Revision, StoredRelationship, StoredState};
use super::sqlite;
use crate::spiffe::authority::{Authority, JwtAuthority};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::public_key::{Fingerprint, PublicKey};
use crate::spiffe::trust_domain::TrustDomain;

/// Tests that hold for any store: each gets an empty one of the trust domain `own.example`.
macro_rules! store_contract {
    ($($behaviour:ident),+ $(,)?) => {
        mod memory_store {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(&super::MemoryStore::new(&super::own(), super::LIMITS)).await;
            })+
        }

        mod sqlite_store {
            $(#[tokio::test]
            async fn $behaviour() {
                let folder = tempfile::tempdir().unwrap();
                let store = super::sqlite::open(&folder.path().join("comity.db"), &super::own(), super::LIMITS).await;
                super::$behaviour(&store.unwrap()).await;
            })+
        }
    };
}

store_contract!(
    a_new_store_is_empty,
    fec_21_an_accepted_bundle_is_loaded_again,
    seq_03_numbers_of_64_bits_survive,
    seq_02_our_sequence_only_rises,
    an_own_bundle_without_a_sequence_or_of_another_domain_is_refused,
    rel_07_a_new_relationship_starts_from_the_beginning,
    an_ended_relationship_is_not_loaded,
    ending_twice_or_what_never_was_is_fine,
    a_late_write_cannot_bring_removed_trust_back,
    a_late_write_cannot_reach_a_later_incarnation,
    a_revision_number_is_never_used_twice,
    a_refused_commit_changes_nothing,
    a_bundle_is_never_filed_under_another_domain,
    history_is_newest_first_and_limited_by_the_caller,
    history_goes_on_before_a_revision,
    history_is_capped_by_count,
    history_is_capped_by_size_but_keeps_the_accepted_bundle,
    an_old_accepted_bundle_stays_while_others_only_report,
    held_documents_are_replaced_as_a_whole_and_keep_their_order,
    of_held_documents_the_last_seen_stay,
    held_documents_are_capped_by_size,
    of_two_held_documents_with_one_digest_the_later_counts,
    what_is_held_is_forgotten_with_its_relationship,
    barred_documents_stay_barred_for_good,
    the_clock_mark_is_the_one_last_written,
    a_secret_is_the_one_last_put_under_its_name,
    domains_do_not_touch_each_other,
);

async fn a_new_store_is_empty(store: &dyn Store) {
    assert_eq!(store.load().await.unwrap(), StoredState::default());
    assert_eq!(store.history(&domain("b"), None, 10).await.unwrap(), []);
}

async fn fec_21_an_accepted_bundle_is_loaded_again(store: &dyn Store) {
    let created = store.create(&domain("b"), "endpoint 1").await.unwrap();
    let commit = Commit {
        endpoint: "endpoint 2".into(),
        progress: "{\"polls\":1}".into(),
        bar: vec![Fingerprint::of(b"evil")],
        held: vec![held(&domain("b"), "waits", 7)],
        ..accepting(&created, 1, "a")
    };
    store.commit(&commit).await.unwrap();
    let expected = StoredRelationship {
        endpoint: commit.endpoint.clone(),
        progress: Some(commit.progress.clone()),
        last_revision: 1,
        accepted: commit.accept.clone(),
        held: commit.held.clone(),
        barred: commit.bar.clone(),
        ..created
    };
    assert_eq!(store.load().await.unwrap().relationships, [expected]);
}

async fn seq_03_numbers_of_64_bits_survive(store: &dyn Store) {
    for sequence in [(1 << 53) + 1, u64::MAX - 1, u64::MAX] {
        let bundle = numbered(&own(), sequence);
        store.put_own(&bundle, "notes").await.unwrap();
        let own = store.load().await.unwrap().own.unwrap();
        assert_eq!((own.bundle, own.progress.as_str()), (bundle, "notes"));
    }
}

async fn seq_02_our_sequence_only_rises(store: &dyn Store) {
    store.put_own(&numbered(&own(), 7), "notes").await.unwrap();
    for offered in [0, 6, 7] {
        let refusal = store.put_own(&numbered(&own(), offered), "notes").await.unwrap_err();
        assert_eq!(refusal.code(), "store-sequence-not-higher", "{offered}");
    }
    store.put_own(&numbered(&own(), 8), "notes").await.unwrap();
    assert_eq!(store.load().await.unwrap().own.unwrap().bundle, numbered(&own(), 8));
}

async fn an_own_bundle_without_a_sequence_or_of_another_domain_is_refused(store: &dyn Store) {
    let unnumbered = Bundle::new(own(), [key("a")].into_iter().collect(), None, None);
    assert_eq!(store.put_own(&unnumbered, "notes").await.unwrap_err().code(), "store-sequence-not-higher");
    let foreign = numbered(&domain("b"), 1);
    assert_eq!(store.put_own(&foreign, "notes").await.unwrap_err().code(), "store-foreign-bundle");
    assert_eq!(store.load().await.unwrap().own, None);
}

async fn rel_07_a_new_relationship_starts_from_the_beginning(store: &dyn Store) {
    let first = store.create(&domain("b"), "one").await.unwrap();
    store.commit(&accepting(&first, 1, "a")).await.unwrap();
    let second = store.create(&domain("b"), "two").await.unwrap();
    assert!(second.incarnation > first.incarnation);
    assert_eq!((second.accepted.as_ref(), second.last_revision), (None, 1));
    assert_eq!(store.load().await.unwrap().relationships, [second]);
    assert_eq!(numbers(store, "b").await, [1]);
}

async fn an_ended_relationship_is_not_loaded(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    store.commit(&accepting(&created, 1, "a")).await.unwrap();
    store.end(&domain("b")).await.unwrap();
    assert_eq!(store.load().await.unwrap().relationships, []);
    assert_eq!(numbers(store, "b").await, [1]);
}

async fn ending_twice_or_what_never_was_is_fine(store: &dyn Store) {
    store.create(&domain("b"), "").await.unwrap();
    for name in ["b", "b", "c"] {
        store.end(&domain(name)).await.unwrap();
    }
}

async fn a_late_write_cannot_bring_removed_trust_back(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    store.end(&domain("b")).await.unwrap();
    let refusal = store.commit(&accepting(&created, 1, "a")).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Superseded { incarnation, .. } if incarnation == created.incarnation));
    assert_eq!(store.load().await.unwrap().relationships, []);
    assert!(numbers(store, "b").await.is_empty());
    let never = StoredRelationship { trust_domain: domain("c"), ..created };
    assert_eq!(store.commit(&accepting(&never, 1, "a")).await.unwrap_err().code(), "store-superseded");
}

async fn a_late_write_cannot_reach_a_later_incarnation(store: &dyn Store) {
    let first = store.create(&domain("b"), "").await.unwrap();
    let again = store.create(&domain("b"), "").await.unwrap();
    store.end(&domain("b")).await.unwrap();
    let last = store.create(&domain("b"), "").await.unwrap();
    for late in [&first, &again] {
        assert_eq!(store.commit(&accepting(late, 1, "a")).await.unwrap_err().code(), "store-superseded");
    }
    assert_eq!(store.load().await.unwrap().relationships, [last]);
}

async fn a_revision_number_is_never_used_twice(store: &dyn Store) {
    let first = store.create(&domain("b"), "").await.unwrap();
    for number in [1, 2] {
        store.commit(&accepting(&first, number, "a")).await.unwrap();
    }
    store.end(&domain("b")).await.unwrap();
    let second = store.create(&domain("b"), "").await.unwrap();
    assert_eq!(second.last_revision, 2);
    for number in [0, 1, 2, 4, u64::MAX] {
        let refusal = store.commit(&accepting(&second, number, "b")).await.unwrap_err();
        assert_eq!(refusal.code(), "store-revision-not-next", "{number}");
    }
    store.commit(&accepting(&second, 3, "b")).await.unwrap();
    assert_eq!(numbers(store, "b").await, [3, 2, 1]);
}

async fn a_refused_commit_changes_nothing(store: &dyn Store) {
    let created = store.create(&domain("b"), "old").await.unwrap();
    store.commit(&accepting(&created, 1, "a")).await.unwrap();
    let before = store.load().await.unwrap();
    let refused = Commit {
        endpoint: "new".into(),
        held: vec![held(&domain("b"), "waits", 1)],
        bar: vec![Fingerprint::of(b"evil")],
        ..accepting(&created, 7, "b")
    };
    store.commit(&refused).await.unwrap_err();
    assert_eq!(store.load().await.unwrap(), before);
    assert_eq!(numbers(store, "b").await, [1]);
}

async fn a_bundle_is_never_filed_under_another_domain(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    let accepts = Commit { accept: Some(revision(&domain("c"), 1, "a")), ..reporting(&created) };
    let holds = Commit { held: vec![held(&domain("c"), "a", 1)], ..reporting(&created) };
    for commit in [accepts, holds] {
        assert_eq!(store.commit(&commit).await.unwrap_err().code(), "store-foreign-bundle");
    }
    assert_eq!(store.load().await.unwrap().relationships, [created]);
}

async fn history_is_newest_first_and_limited_by_the_caller(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    for number in 1..=3 {
        store.commit(&accepting(&created, number, &number.to_string())).await.unwrap();
    }
    let expected: Vec<_> = [3, 2].map(|number| revision(&domain("b"), number, &number.to_string())).into();
    assert_eq!(store.history(&domain("b"), None, 2).await.unwrap(), expected);
    assert_eq!(store.history(&domain("b"), None, 0).await.unwrap(), []);
}

async fn history_goes_on_before_a_revision(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    for number in 1..=4 {
        store.commit(&accepting(&created, number, "a")).await.unwrap();
    }
    store.end(&domain("b")).await.unwrap();
    for (before, limit, expected) in [
        (4, 2, &[3, 2][..]),
        (2, 2, &[1]),
        (1, 2, &[]),
        (0, 2, &[]),
        (5, 1, &[4]),
        (i64::MAX.unsigned_abs(), 9, &[4, 3, 2, 1]),
        (u64::MAX, 9, &[4, 3, 2, 1]),
    ] {
        let history = store.history(&domain("b"), Some(before), limit).await.unwrap();
        assert_eq!(history.iter().map(|revision| revision.number).collect::<Vec<_>>(), expected, "before {before}");
    }
}

async fn history_is_capped_by_count(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    for number in 1..=8 {
        store.commit(&accepting(&created, number, "a")).await.unwrap();
    }
    assert_eq!(numbers(store, "b").await, [8, 7, 6, 5, 4]);
}

async fn history_is_capped_by_size_but_keeps_the_accepted_bundle(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    for (number, kid_bytes, kept) in [
        (1, 10, vec![1]),
        (2, 1_500, vec![2, 1]),
        (3, 1_500, vec![3, 2, 1]),
        (4, 1_500, vec![4, 3]),
        (5, 9_000, vec![5]),
        (6, 10, vec![6]),
    ] {
        store.commit(&accepting(&created, number, &"k".repeat(kid_bytes))).await.unwrap();
        assert_eq!(numbers(store, "b").await, kept, "after {number}");
        let accepted = store.load().await.unwrap().relationships.remove(0).accepted;
        assert_eq!(accepted.map(|revision| revision.number), Some(number));
    }
}

async fn an_old_accepted_bundle_stays_while_others_only_report(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    store.commit(&accepting(&created, 1, "a")).await.unwrap();
    for poll in 0..8 {
        store.commit(&Commit { progress: poll.to_string(), ..reporting(&created) }).await.unwrap();
    }
    let loaded = store.load().await.unwrap().relationships.remove(0);
    assert_eq!(loaded.accepted, Some(revision(&domain("b"), 1, "a")));
    assert_eq!(loaded.progress.as_deref(), Some("7"));
}

async fn held_documents_are_replaced_as_a_whole_and_keep_their_order(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|kid| held(&domain("b"), kid, 5));
    let seen_again = HeldDocument { last_seen: 6, code: "other".into(), detail: "more".into(), ..a.clone() };
    for list in [vec![b.clone(), a.clone()], vec![seen_again, c.clone(), b], vec![c], vec![]] {
        store.commit(&Commit { held: list.clone(), ..reporting(&created) }).await.unwrap();
        assert_eq!(stored_held(store).await, list);
    }
}

async fn of_held_documents_the_last_seen_stay(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    let seen = |kid, last_seen| held(&domain("b"), kid, last_seen);
    let list = vec![seen("a", 9), seen("b", 1), seen("c", 5), seen("d", 1), seen("e", 7)];
    store.commit(&Commit { held: list, ..reporting(&created) }).await.unwrap();
    assert_eq!(stored_held(store).await, [seen("a", 9), seen("c", 5), seen("e", 7)]);
}

async fn held_documents_are_capped_by_size(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    let [old, new] = [("o", 1), ("n", 2)].map(|(kid, last_seen)| held(&domain("b"), &kid.repeat(2_500), last_seen));
    store.commit(&Commit { held: vec![new.clone(), old], ..reporting(&created) }).await.unwrap();
    assert_eq!(stored_held(store).await, [new]);
}

async fn of_two_held_documents_with_one_digest_the_later_counts(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    let [earlier, later] = [1, 2].map(|last_seen| held(&domain("b"), "a", last_seen));
    store.commit(&Commit { held: vec![earlier, later.clone()], ..reporting(&created) }).await.unwrap();
    assert_eq!(stored_held(store).await, [later]);
}

async fn what_is_held_is_forgotten_with_its_relationship(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    store.commit(&Commit { held: vec![held(&domain("b"), "a", 1)], ..reporting(&created) }).await.unwrap();
    assert_eq!(store.create(&domain("b"), "").await.unwrap().held, []);
    assert_eq!(stored_held(store).await, []);
}

async fn barred_documents_stay_barred_for_good(store: &dyn Store) {
    let created = store.create(&domain("b"), "").await.unwrap();
    let mut barred = [Fingerprint::of(b"1"), Fingerprint::of(b"2")];
    store.commit(&Commit { bar: vec![barred[0]], ..reporting(&created) }).await.unwrap();
    store.commit(&Commit { bar: vec![barred[1], barred[0]], ..reporting(&created) }).await.unwrap();
    store.end(&domain("b")).await.unwrap();
    barred.sort();
    assert_eq!(store.create(&domain("b"), "").await.unwrap().barred, barred);
    assert_eq!(store.load().await.unwrap().relationships[0].barred, barred);
}

async fn a_secret_is_the_one_last_put_under_its_name(store: &dyn Store) {
    assert_eq!(store.secret("a").await.unwrap(), None);
    for value in [&b"one"[..], b"", &[0xff; 70_000]] {
        store.put_secret("a", value).await.unwrap();
        store.put_secret("b", b"another's").await.unwrap();
        assert_eq!(store.secret("a").await.unwrap().as_deref(), Some(value));
    }
    assert_eq!(store.load().await.unwrap(), StoredState::default());
}

async fn the_clock_mark_is_the_one_last_written(store: &dyn Store) {
    for seconds in [0, 1_800_000_000, 5] {
        store.put_clock_mark(seconds).await.unwrap();
        assert_eq!(store.load().await.unwrap().clock_mark, Some(seconds));
    }
}

async fn domains_do_not_touch_each_other(store: &dyn Store) {
    let [b, c] = [store.create(&domain("b"), "").await.unwrap(), store.create(&domain("c"), "").await.unwrap()];
    for relationship in [&b, &c] {
        let bar = vec![Fingerprint::of(b"evil")];
        let held = vec![held(&relationship.trust_domain, "waits", 1)];
        store.commit(&Commit { bar, held, ..accepting(relationship, 1, "same") }).await.unwrap();
    }
    let before = store.load().await.unwrap();
    assert_eq!(before.relationships.iter().map(|found| found.trust_domain.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    store.end(&domain("b")).await.unwrap();
    assert_eq!(store.load().await.unwrap().relationships, before.relationships[1..]);
    assert_eq!(numbers(store, "c").await, [1]);
}

async fn numbers(store: &dyn Store, name: &str) -> Vec<u64> {
    let history = store.history(&domain(name), None, u32::MAX).await.unwrap();
    history.into_iter().map(|revision| revision.number).collect()
}

async fn stored_held(store: &dyn Store) -> Vec<HeldDocument> {
    store.load().await.unwrap().relationships.remove(0).held
}

/// A commit that only reports.
pub(super) fn reporting(relationship: &StoredRelationship) -> Commit {
    Commit {
        trust_domain: relationship.trust_domain.clone(),
        incarnation: relationship.incarnation,
        endpoint: String::new(),
        progress: "{}".into(),
        accept: None,
        held: Vec::new(),
        bar: Vec::new(),
    }
}

/// A commit that accepts a bundle with one key.
pub(super) fn accepting(relationship: &StoredRelationship, number: u64, kid: &str) -> Commit {
    Commit { accept: Some(revision(&relationship.trust_domain, number, kid)), ..reporting(relationship) }
}

fn revision(trust_domain: &TrustDomain, number: u64, kid: &str) -> Revision {
    Revision {
        number,
        bundle: bundle(trust_domain, kid),
        accepted_at: 1_700_000_000 + number % 9,
        origin: Origin::Operator,
    }
}

fn held(trust_domain: &TrustDomain, kid: &str, last_seen: u64) -> HeldDocument {
    HeldDocument {
        digest: Fingerprint::of(kid.as_bytes()),
        bundle: bundle(trust_domain, kid),
        code: "sequence-rollback".into(),
        detail: "went \"back\"\n".into(),
        first_seen: 1,
        last_seen,
    }
}

fn bundle(trust_domain: &TrustDomain, kid: &str) -> Bundle {
    Bundle::new(trust_domain.clone(), [key(kid)].into_iter().collect(), None, None)
}

pub(super) fn numbered(trust_domain: &TrustDomain, sequence: u64) -> Bundle {
    Bundle::new(trust_domain.clone(), [key("a")].into_iter().collect(), Some(sequence), None)
}

fn key(kid: &str) -> Authority {
    let key = PublicKey::ed25519(&[7; 32]).unwrap();
    Authority::Jwt(JwtAuthority::new(kid, key).unwrap())
}

pub(super) fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

pub(super) fn own() -> TrustDomain {
    domain("own.example")
}

/// Small enough to be met in a test.
pub(super) const LIMITS: Limits = Limits { revisions: 5, history_bytes: 4_000, held: 3, held_bytes: 4_000 };
