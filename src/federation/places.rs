//! How many scheduled polls go on at once, so that a fleet of peers doesn't use up processor and descriptors in one
//! moment. What an operator or a verifier asks for is rare, and doesn't wait here.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for polls, first come, first served.
///
/// Peers that failed last time have places of their own: however many of them hang until their time is up, the others
/// never wait for them.
#[derive(Debug)]
pub(crate) struct Places {
    well: Arc<Semaphore>,
    failing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// A place, free again when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Places {
    /// Waits for a place.
    pub(crate) async fn take(&self, is_failing: bool) -> Place {
        let places = if is_failing { &self.failing } else { &self.well };
        places.clone().acquire_owned().await.expect("these semaphores are never closed")
    }

    /// A place to wait for an endpoint's next bundle, which takes little but a connection; `None` if there are no more,
    /// and the endpoint is then polled.
    pub(crate) fn to_wait(&self) -> Option<Place> {
        self.waiting.clone().try_acquire_owned().ok()
    }
}

impl Default for Places {
    fn default() -> Self {
        let places = |places| Arc::new(Semaphore::new(places));
        Self { well: places(WELL), failing: places(FAILING), waiting: places(WAITING) }
    }
}

/// More handshakes at once would only wait for each other, until the last ones run into their time limit.
const WELL: usize = 256;
const FAILING: usize = 64;
/// Relationships whose endpoints are waited on at once: each takes a connection.
pub(crate) const WAITING: usize = 2_048;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn peers_that_hang_take_no_place_of_those_that_are_well() {
        let places = Places::default();
        let mut hanging = Vec::new();
        for _ in 0..FAILING {
            hanging.push(places.take(true).await);
        }
        let waits = |is_failing| timeout(Duration::from_secs(1), places.take(is_failing));
        assert!(waits(true).await.is_err(), "the next one that fails waits");
        let well = waits(false).await.expect("who is well does not");
        hanging.pop();
        assert!(waits(true).await.is_ok(), "and the next place is given on");
        drop(well);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_change_takes_no_place_of_a_poll_and_is_one_of_so_many() {
        let places = Places::default();
        let waiting: Vec<_> = (0..WAITING).filter_map(|_| places.to_wait()).collect();
        assert_eq!((waiting.len(), places.to_wait().is_none()), (WAITING, true));
        drop(places.take(false).await);
        drop(waiting);
        assert!(places.to_wait().is_some());
    }
}
