//! Verification away from the threads that serve, and no more of it than they can wait for.

use std::sync::Arc;

use actix_web::web;
use tokio::sync::Semaphore;

/// Places for work that computes: clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Semaphore>);

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotDone {
    /// There is no place left.
    Overloaded,
    /// It panicked, or its threads are gone.
    Failed,
}

impl Pool {
    /// `places` for what runs or waits to.
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// Does the work on another thread, or at once says that there is too much of it.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotDone> {
        let place = self.0.clone().try_acquire_owned().map_err(|_| NotDone::Overloaded)?;
        let work = move || {
            // Work goes on when nobody waits for it any more, so the place goes with it.
            let _place = place;
            work()
        };
        web::block(work).await.map_err(|_| NotDone::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_free_again_when_the_work_is_done() {
        let pool = Pool::new(1);
        for _ in 0..3 {
            assert_eq!(pool.run(|| 7).await, Ok(7));
        }
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let work = pool.run(move || ended.recv());
        let (outcome, ()) = tokio::join!(work, async {
            assert_eq!(pool.run(|| 7).await, Err(NotDone::Overloaded));
            end.send(()).unwrap();
        });
        assert_eq!((outcome, pool.run(|| 7).await), (Ok(Ok(())), Ok(7)));
    }

    #[tokio::test]
    async fn work_that_panics_is_no_overload_and_gives_its_place_back() {
        let pool = Pool::new(1);
        for _ in 0..2 {
            assert_eq!(pool.run(|| panic!("as told")).await.map(|(): ()| ()), Err(NotDone::Failed));
        }
        assert_eq!(pool.run(|| 7).await, Ok(7));
    }
}
