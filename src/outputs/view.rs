//! Following the trust snapshot on behalf of an output.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::federation::clock::Clock;
use crate::federation::trust_feed::{Generation, TrustFeed};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;

use super::selection::{Selected, Selection};

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

    /// Our own bundle, if the selection has it and there is one.
    pub(crate) fn own(&self) -> Option<&Arc<Bundle>> {
        self.selected.bundles.get(&self.trust_domain)
    }
}

/// Where views come from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Views {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) feed: Arc<TrustFeed>,
    pub(crate) clock: Arc<Clock>,
}

impl Views {
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
        loop {
            generations.mark_unchanged();
            let view = self.look(&selection);
            let wait =
                view.selected.until.map_or(LONGEST_WAIT, |until| until.since(self.clock.now()).min(LONGEST_WAIT));
            out.send_replace(Arc::new(view));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait.max(SHORTEST_WAIT)) => {}
                changed = generations.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// A look at least this often: the wall clock may jump.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Timers and the wall clock round differently.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
