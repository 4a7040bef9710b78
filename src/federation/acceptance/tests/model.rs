//! Random lives of a relationship, against what must hold in all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::store::records::Origin;
use crate::store::{self, Store};

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Offer {
        keys: String,
        sequence: Option<u64>,
        fresh: bool,
    },
    /// An operator accepts or rejects one of the held documents.
    Approve(usize),
    Reject(usize),
    Wait(u64),
    /// The endpoint is another one from now on.
    Move(u8),
    /// Another domain holds these keys from now on.
    Claim(String),
    Fail,
}

fn event() -> impl Strategy<Value = Event> {
    let sequence = prop::option::weighted(0.8, prop_oneof![9 => 0u64..8, 1 => Just(u64::MAX)]);
    prop_oneof![
        8 => ("[abcAB]{0,4}", sequence, prop::bool::weighted(0.8))
            .prop_map(|(keys, sequence, fresh)| Event::Offer { keys, sequence, fresh }),
        2 => (0usize..4).prop_map(Event::Approve),
        1 => (0usize..4).prop_map(Event::Reject),
        4 => (1u64..100_000).prop_map(Event::Wait),
        1 => (0u8..2).prop_map(Event::Move),
        1 => "[abcAB]{0,2}".prop_map(Event::Claim),
        1 => Just(Event::Fail),
    ]
}

/// A story that is written to a store after each event.
struct Life {
    story: Story,
    store: Arc<dyn Store>,
    /// Every authority of every document that an operator accepted.
    approved: BTreeSet<AuthorityId>,
}

impl Life {
    async fn begin(control: ChangeControl) -> Self {
        let mut story = Story::under(control);
        let store = store::open("memory:", &"own.example".parse().unwrap()).await.unwrap();
        let parameters = Parameters::of(&story.relationship.endpoint);
        let created = store.create(&story.relationship.trust_domain, &parameters.to_string()).await.unwrap();
        story.known = Known::begin(created);
        Self { story, store, approved: BTreeSet::new() }
    }

    async fn live(&mut self, event: &Event) {
        let before = self.story.known.clone();
        match event {
            Event::Offer { keys, sequence, fresh } => self.offer(keys, *sequence, *fresh),
            Event::Approve(at) => self.approve(*at),
            Event::Reject(at) => {
                let held = before.held.get(*at).map(|held| held.digest);
                self.story.known = held.map_or_else(|| before.clone(), |digest| before.rejected(digest));
            }
            Event::Wait(seconds) => drop(self.story.wait(*seconds)),
            Event::Move(to) => {
                self.story.relationship.endpoint.url = format!("https://b.example/{to}").parse().unwrap();
                self.story.known = before.clone().under(Parameters::of(&self.story.relationship.endpoint));
            }
            Event::Claim(keys) => {
                let authorities: Authorities = keys.chars().map(key).collect();
                let since = Timestamp::from_secs(1);
                let claims = authorities.iter().map(|authority| (authority, since));
                self.story.owners.set_foreign(&"a.example".parse().unwrap(), claims);
            }
            Event::Fail => {
                let error = crate::federation::status::ErrorStatus {
                    code: "timeout".into(),
                    detail: String::new(),
                    at: self.story.now,
                };
                self.story.known = before.failed(error);
            }
        }
        self.write(&before).await;
    }

    fn offer(&mut self, keys: &str, sequence: Option<u64>, fresh: bool) {
        let Story { relationship, known, owners, now } = &self.story;
        let (document, url) = (document(keys, sequence), relationship.endpoint.url.to_string());
        let offered = Offered::alone(&document, &url);
        let Ok(judgement) = judge(relationship, &known.accepted, &offered, owners, *now) else { return };
        let next = known.judged(&offered, &judgement, *now, fresh);
        let served = document.bundle().authorities();
        if next.progress.confirmed != known.progress.confirmed {
            let accepted = next.accepted.authorities.as_ref().unwrap();
            assert!(fresh, "a cached answer made the bundle younger");
            assert!(accepted.ids().all(|id| served.contains(id)), "contents were confirmed that were not served");
        }
        let (old, new) = (known.accepted.memory.sequence, next.accepted.memory.sequence);
        assert!(new >= old, "the baseline went from {old:?} to {new:?} without an operator");
        for id in next.accepted.authorities.iter().flat_map(Authorities::ids) {
            let was_accepted = known.accepted.authorities.as_ref().is_some_and(|old| old.contains(id));
            assert!(was_accepted || served.contains(id), "{id} comes from nowhere");
            assert!(
                was_accepted || judgement.withheld.iter().all(|reused| reused.id != *id),
                "{id} belongs to another domain"
            );
        }
        self.story.known = next;
    }

    fn approve(&mut self, at: usize) {
        let Some(held) = self.story.known.held.get(at).cloned() else { return };
        let domain = &self.story.relationship.trust_domain;
        let usable = held.bundle.retain(|one| self.story.owners.other_owner(domain, one).is_none());
        self.approved.extend(usable.authorities().ids().cloned());
        let known = &self.story.known;
        self.story.known = known.approved(&held, usable.authorities().clone(), self.story.now);
        assert!(!self.story.known.accepted.barred.contains(&held.digest), "approved and barred");
        let url = self.story.relationship.endpoint.url.to_string();
        assert_eq!(self.story.known.accepted.standing(&url), Standing::Known);
    }

    /// Writes the step, and what is read again is what is known.
    async fn write(&mut self, before: &Known) {
        let story = &mut self.story;
        let domain = story.relationship.trust_domain.clone();
        let commit = before.commit(&story.known, &domain, Origin::Fetch, story.now);
        self.store.commit(&commit).await.unwrap();
        let stored = self.store.load().await.unwrap().relationships.remove(0);
        let history = self.store.history(&domain, None, 1_000).await.unwrap();
        let restored = Known::restore(stored, &history).under(Parameters::of(&story.relationship.endpoint));
        assert_eq!(restored, story.known, "a restart changes nothing");
    }

    fn check(&self) {
        let Story { relationship, known, .. } = &self.story;
        let accepted = known.accepted.authorities.as_ref();
        assert_eq!(known.bundle.as_ref().map(|bundle| bundle.authorities()), accepted);
        assert_eq!(known.bundle.is_some(), known.trusted(relationship.maximum_staleness).is_some());
        assert!(known.accepted.memory.highest >= known.accepted.memory.sequence);
        if relationship.change_control == ChangeControl::Manual {
            assert!(accepted.into_iter().flat_map(Authorities::ids).all(|id| self.approved.contains(id)));
        }
        if let Some(trusted) = known.trusted(relationship.maximum_staleness) {
            assert!(trusted.until.is_some(), "trusted for ever");
        }
    }
}

proptest! {
    #[test]
    fn seq_04_07_rel_08_10_whatever_comes_only_operators_widen_trust_or_turn_back(
        events in prop::collection::vec(event(), 1..30),
        control in prop::sample::select(vec![ChangeControl::Automatic, ChangeControl::Overlapping, ChangeControl::Manual]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut life = Life::begin(control).await;
            for event in &events {
                life.live(event).await;
                life.check();
            }
        });
    }
}
