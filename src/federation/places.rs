//! How many scheduled polls go on at once, so that a fleet of peers doesn't use up processor and descriptors in one
//! moment. What an operator or a verifier asks for is rare, and doesn't wait here.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Places for polls, first come, first served.
///
/// Peers that failed last time have places of their own: however many of them hang until their time is up, the others
/// never wait for them.
#[derive(Debug)]
pub(crate) struct Places {
    well: Semaphore,
    failing: Semaphore,
}

impl Places {
    /// Waits for a place, which is free again when the value is dropped.
    pub(crate) async fn take(&self, is_failing: bool) -> SemaphorePermit<'_> {
        let places = if is_failing { &self.failing } else { &self.well };
        places.acquire().await.expect("these semaphores are never closed")
    }
}

impl Default for Places {
    fn default() -> Self {
        Self { well: Semaphore::new(WELL), failing: Semaphore::new(FAILING) }
    }
}

/// More handshakes at once would only wait for each other, until the last ones run into their time limit.
const WELL: usize = 256;
const FAILING: usize = 64;

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
}
