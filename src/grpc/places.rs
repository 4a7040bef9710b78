//! So many at once in all, and so many for each user: nobody takes them all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what is taken.
#[derive(Debug)]
pub(super) struct Places {
    in_all: usize,
    per_user: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by_user: HashMap<u32, usize>,
}

/// Taken until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    uid: u32,
}

impl Places {
    pub(super) fn new(in_all: usize, per_user: usize) -> Arc<Self> {
        Arc::new(Self { in_all, per_user, taken: Mutex::default() })
    }

    /// One for this user, if there is one.
    pub(super) fn take(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let mut taken = self.taken();
        let of_user = taken.by_user.get(&uid).copied().unwrap_or(0);
        if taken.in_all >= self.in_all || of_user >= self.per_user {
            return None;
        }
        taken.in_all += 1;
        taken.by_user.insert(uid, of_user + 1);
        Some(Place { places: self.clone(), uid })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.in_all -= 1;
        let left = taken.by_user.get(&self.uid).map_or(0, |count| count - 1);
        match left {
            0 => taken.by_user.remove(&self.uid),
            left => taken.by_user.insert(self.uid, left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_gets_no_more_than_a_share_and_all_no_more_than_there_are() {
        let places = Places::new(3, 2);
        let [first, second] = [1, 1].map(|uid| places.take(uid).unwrap());
        assert!(places.take(1).is_none(), "beyond the share");
        let third = places.take(2).unwrap();
        assert!(places.take(3).is_none(), "beyond all");
        drop(first);
        let fourth = places.take(3).unwrap();
        assert!(places.take(1).is_none(), "the place went to another user");
        drop((second, third, fourth));
        let taken = places.taken();
        assert_eq!((taken.in_all, taken.by_user.len()), (0, 0), "nothing is left behind");
    }
}
