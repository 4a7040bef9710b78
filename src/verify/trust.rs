//! The cell that holds the newest trust snapshot: one writer, many readers.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::snapshot::TrustSnapshot;

/// Reads the newest [`TrustSnapshot`]: whoever verifies asks anew each time. Clones share it.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ArcSwap<TrustSnapshot>>);

impl Trust {
    /// One snapshot for good.
    pub fn fixed(snapshot: TrustSnapshot) -> Self {
        TrustWriter::new(snapshot).trust()
    }

    /// The snapshot of this moment.
    pub fn load(&self) -> Arc<TrustSnapshot> {
        self.0.load_full()
    }
}

/// The one that replaces the snapshot for all readers.
#[derive(Debug)]
pub struct TrustWriter(Arc<ArcSwap<TrustSnapshot>>);

impl TrustWriter {
    /// Begins with this snapshot.
    pub fn new(snapshot: TrustSnapshot) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(snapshot)))
    }

    /// A reader of what is stored here.
    pub fn trust(&self) -> Trust {
        Trust(self.0.clone())
    }

    /// From now on the old snapshot verifies nothing.
    pub fn store(&self, snapshot: TrustSnapshot) {
        self.0.store(Arc::new(snapshot));
    }
}
