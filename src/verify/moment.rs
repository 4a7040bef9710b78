//! The instant asked about, and how far around it the answers stay the same.

use std::cell::Cell;

use rustls::pki_types::UnixTime;

use super::rejection::Fault;

/// The instant that a verification is about.
///
/// It remembers the window in which all that was asked of it would have been answered alike, so that a verdict is
/// good for any instant in there, whatever it is.
#[derive(Debug)]
pub(super) struct Moment {
    instant: UnixTime,
    window: Cell<Window>,
}

/// Instants in Unix seconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Moment {
    pub(super) fn new(at: UnixTime) -> Self {
        Self { instant: at, window: Cell::new(Window { first: i64::MIN, last: i64::MAX }) }
    }

    /// Whether a certificate is valid that is so from `not_before` to `not_after`, both included.
    pub(super) fn check(&self, not_before: i64, not_after: i64) -> Result<(), Fault> {
        let at = seconds(self.instant);
        match () {
            () if at < not_before => {
                self.narrow(i64::MIN, not_before.saturating_sub(1));
                Err(Fault::NotYetValid { not_before, at })
            }
            () if not_after < at => {
                self.narrow(not_after.saturating_add(1), i64::MAX);
                Err(Fault::Expired { not_after, at })
            }
            () => {
                self.narrow(not_before, not_after);
                Ok(())
            }
        }
    }

    /// Whether it is at most the second `last`.
    pub(super) fn is_until(&self, last: UnixTime) -> bool {
        self.check(i64::MIN, seconds(last)).is_ok()
    }

    pub(super) fn instant(&self) -> UnixTime {
        self.instant
    }

    pub(super) fn window(&self) -> Window {
        self.window.get()
    }

    fn narrow(&self, first: i64, last: i64) {
        let known = self.window.get();
        self.window.set(Window { first: known.first.max(first), last: known.last.min(last) });
    }
}

impl Window {
    pub(super) fn between(first: UnixTime, last: UnixTime) -> Self {
        Self { first: seconds(first), last: seconds(last) }
    }

    pub(super) fn contains(self, at: UnixTime) -> bool {
        (self.first..=self.last).contains(&seconds(at))
    }
}

fn seconds(at: UnixTime) -> i64 {
    i64::try_from(at.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::time;
    use super::*;

    #[test]
    fn the_window_holds_the_instants_with_the_same_answers() {
        for (name, asked, expected) in [
            ("nothing asked", &[][..], (i64::MIN, i64::MAX)),
            ("valid", &[(90, 110)], (90, 110)),
            ("valid to the second", &[(100, 100)], (100, 100)),
            ("not yet valid", &[(101, 200)], (i64::MIN, 100)),
            ("expired", &[(0, 99)], (100, i64::MAX)),
            ("all of them", &[(90, 110), (105, 200), (0, 95)], (96, 104)),
        ] {
            let moment = Moment::new(time(100));
            let answers = |moment: &Moment| -> Vec<bool> {
                asked.iter().map(|&(first, last)| moment.check(first, last).is_ok()).collect()
            };
            let found = answers(&moment);
            assert_eq!((moment.window().first, moment.window().last), expected, "{name}");
            for at in 80..120 {
                let same = answers(&Moment::new(time(at))) == found;
                assert_eq!(moment.window().contains(time(at)), same, "{name} at {at}");
            }
        }
    }
}
