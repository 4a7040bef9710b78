//! Following the trust snapshot on behalf of an output.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::federation::clock::Clock;
use crate::federation::timestamp::Timestamp;
use crate::federation::trust_feed::{Generation, TrustFeed};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;

use super::selection::{Selected, Selection};
use super::told::Told;

/// What an output shows, as of one generation of the snapshot.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Our own trust domain.
    pub(crate) trust_domain: TrustDomain,
    pub(crate) selected: Selected,
    pub(crate) generation: Generation,
}

impl View {
    pub(crate) fn shows_the_same(&self, other: &Self) -> bool {
        self.selected.bundles == other.selected.bundles
    }

    /// Whether it shows the same, and misses the same for the same reasons.
    pub(crate) fn tells_the_same(&self, other: &Self) -> bool {
        self.shows_the_same(other) && self.selected.lacking == other.selected.lacking
    }

    /// Our own bundle, if the selection has it and there is one.
    pub(crate) fn own(&self) -> Option<&Arc<Bundle>> {
        self.selected.bundles.get(&self.trust_domain)
    }
}

/// Where views come from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Views {
    pub(crate) trust_domain: TrustDomain,
    feed: Arc<TrustFeed>,
    pub(crate) clock: Arc<Clock>,
    told: Told,
}

impl Views {
    pub(crate) fn new(trust_domain: TrustDomain, feed: Arc<TrustFeed>, clock: Arc<Clock>) -> Self {
        Self { trust_domain, feed, clock, told: Told::default() }
    }

    /// What a selection shows at this moment.
    pub(crate) fn look(&self, selection: &Selection) -> View {
        // The generation first: what comes between the two is looked at again.
        let generation = *self.feed.subscribe().borrow();
        let selected = selection.of(&self.feed.snapshot(), &self.trust_domain, self.clock.now());
        View { trust_domain: self.trust_domain.clone(), selected, generation }
    }

    /// Keeps `out` at what the selection shows, until `stop`. Readers wake for each generation, also where it changes
    /// nothing for them, so that they can tell how far they are.
    pub(crate) async fn follow(&self, selection: Selection, out: watch::Sender<Arc<View>>, stop: CancellationToken) {
        let mut generations = self.feed.subscribe();
        let mut number = None;
        loop {
            generations.mark_unchanged();
            let mut view = self.look(&selection);
            if number.replace(view.generation.number) == Some(view.generation.number) {
                // Time alone has brought this.
                view.generation.since = Instant::now();
            }
            let until = view.selected.until;
            self.told.tell(&selection, &view.selected.lacking);
            out.send_replace(Arc::new(view));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.has_come(until) => {}
                changed = generations.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Looks at the wall clock itself, which may jump.
    async fn has_come(&self, until: Option<Timestamp>) {
        let Some(until) = until else { return pending().await };
        while self.clock.now() < until {
            tokio::time::sleep(TICK).await;
        }
    }
}

const TICK: Duration = Duration::from_secs(1);
