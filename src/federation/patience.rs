//! How long an endpoint is waited on for its next bundle, and how soon it is asked again.

use std::time::Duration;

use super::endpoint_client::Waited;

/// What is known of one URL's way with requests that would rather wait than be told that nothing changed.
///
/// Whatever it answers, requests never come faster than once a second, and after answers that come before their time
/// ever more slowly, down to the interval at which it would be polled.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    is_known: bool,
    /// It waits when asked to.
    waits: bool,
    /// The longest wait that whatever lies between lets pass.
    bearable: Duration,
    /// Conditional polls to come in which it isn't asked to wait.
    plain: u32,
    /// Answers before their time, in a row.
    early: u32,
    /// Waits to their end since one was cut off.
    whole: u32,
    /// The last time, there was no place left to wait for it.
    crowded_out: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self { is_known: false, waits: false, bearable: LONGEST, plain: 0, early: 0, whole: 0, crowded_out: false }
    }
}

impl Patience {
    /// How long to wait with the next conditional request, in whole seconds and at most `interval`; `None`: not at all.
    /// Whoever has never waited is asked for a short while first, lest it only keeps us from telling that it is down.
    pub(crate) fn ask(&mut self, interval: Duration) -> Option<Duration> {
        self.crowded_out = false;
        if self.plain > 0 {
            self.plain -= 1;
            return None;
        }
        let longest = if self.waits { self.bearable } else { self.bearable.min(FIRST) };
        let wait = Duration::from_secs(interval.min(longest).as_secs());
        (!wait.is_zero()).then_some(wait)
    }

    /// Time until the next request to an endpoint that waits, at most `interval`; `None` if it is to be polled as
    /// scheduled.
    pub(crate) fn pause(&self, interval: Duration) -> Option<Duration> {
        match (self.waits, self.early) {
            _ if self.crowded_out => None,
            (false, _) if self.is_known || self.plain > 0 => None,
            (true, 0) => Some(Duration::ZERO),
            (_, early) => Some(PAUSE.saturating_mul(1 << early.saturating_sub(1).min(16)).min(interval)),
        }
    }

    /// There is no place left to wait for it, so it is polled until there is one.
    pub(crate) fn crowded_out(&mut self) {
        self.crowded_out = true;
    }

    /// Whether it is waited on.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// It answered after it was `asked` to wait; `brought` a document, or nothing new.
    pub(crate) fn answered(&mut self, asked: Duration, waited: &Waited, brought: bool) {
        self.is_known = true;
        self.waits = waited.is_applied;
        let least = LEAST.min(asked);
        let granted = waited.granted.filter(|granted| (least..asked).contains(granted)).unwrap_or(asked);
        if brought || waited.held + ROUNDING < granted {
            self.early = self.early.saturating_add(1);
            return;
        }
        self.early = 0;
        self.whole += 1;
        self.bearable = match granted < asked {
            true => granted,
            false if self.whole.is_multiple_of(WHOLE_UNTIL_LONGER) => (self.bearable * 2).min(LONGEST),
            false => self.bearable,
        };
    }

    /// It brought a new document without being waited on, could not be asked to wait, or what it was waited for could
    /// not be used.
    pub(crate) fn disturbed(&mut self) {
        self.early = self.early.saturating_add(1);
    }

    /// It was `asked` to wait, which ended after this time without an answer.
    pub(crate) fn cut_off(&mut self, asked: Duration, held: Duration) {
        self.is_known = true;
        self.whole = 0;
        // What outlasts the wait is the deadline of the fetch.
        self.bearable = held.min(asked) / 2;
        if self.bearable < LEAST {
            (self.waits, self.bearable, self.plain) = (false, LONGEST, PLAIN_AFTER_CUT);
        }
    }
}

/// Whatever the hint.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Of an endpoint that has never waited.
const FIRST: Duration = Duration::from_secs(10);
/// Waits shorter than this are no better than polls.
const LEAST: Duration = Duration::from_secs(15);
/// After an answer that came before its time, or none; doubled with each further one.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// By which clocks of both sides may differ at the end of a wait.
const ROUNDING: Duration = Duration::from_millis(500);
/// Conditional polls after which an endpoint, or a proxy before it, that cuts off waits is tried again.
const PLAIN_AFTER_CUT: u32 = 32;
/// Waits to their end after which a longer one is tried.
const WHOLE_UNTIL_LONGER: u32 = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(300);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn waited(held: u64, granted: Option<u64>) -> Waited {
        Waited { held: seconds(held), is_applied: true, granted: granted.map(seconds) }
    }

    fn deaf() -> Waited {
        Waited { held: Duration::ZERO, is_applied: false, granted: None }
    }

    /// One that has waited to the end once.
    fn waiting() -> Patience {
        let mut patience = Patience::default();
        let asked = patience.ask(INTERVAL).unwrap();
        patience.answered(asked, &waited(asked.as_secs(), None), false);
        patience
    }

    #[test]
    fn a_wait_is_whole_seconds_and_at_most_the_interval() {
        for (name, mut patience, interval, expected) in [
            ("never waited: a short one", Patience::default(), INTERVAL, Some(10)),
            ("never waited, short interval", Patience::default(), seconds(3), Some(3)),
            ("waits", waiting(), INTERVAL, Some(300)),
            ("waits, a fraction", waiting(), Duration::from_millis(2_700), Some(2)),
            ("waits, a day", waiting(), seconds(86_400), Some(3_600)),
            ("under a second", waiting(), Duration::from_millis(900), None),
        ] {
            assert_eq!(patience.ask(interval), expected.map(seconds), "{name}");
        }
    }

    #[test]
    fn whoever_does_not_say_that_it_waits_is_polled_as_scheduled() {
        let mut patience = Patience::default();
        assert_eq!(patience.pause(INTERVAL), Some(seconds(1)), "nobody knows yet");
        patience.answered(seconds(10), &deaf(), false);
        assert_eq!((patience.pause(INTERVAL), patience.ask(INTERVAL)), (None, Some(seconds(10))));
        let mut patience = waiting();
        patience.answered(INTERVAL, &deaf(), false);
        assert_eq!(patience.pause(INTERVAL), None, "it did once");
    }

    #[test]
    fn answers_before_their_time_slow_us_down_and_one_in_time_makes_good_for_them() {
        let mut patience = waiting();
        assert_eq!(patience.pause(INTERVAL), Some(Duration::ZERO));
        for (brought, expected) in [(true, 1), (false, 2), (true, 4), (true, 8), (false, 16)] {
            patience.answered(INTERVAL, &waited(0, None), brought);
            assert_eq!(patience.pause(INTERVAL), Some(seconds(expected)));
        }
        for _ in 0..100 {
            patience.disturbed();
        }
        assert_eq!(patience.pause(INTERVAL), Some(INTERVAL));
        patience.answered(INTERVAL, &waited(300, None), true);
        assert_eq!(patience.pause(INTERVAL), Some(INTERVAL), "a document is no quiet wait");
        patience.answered(INTERVAL, &waited(300, None), false);
        assert_eq!(patience.pause(INTERVAL), Some(Duration::ZERO));
    }

    #[test]
    fn a_server_that_waits_for_less_is_asked_for_less() {
        let mut patience = waiting();
        patience.answered(INTERVAL, &waited(60, Some(60)), false);
        assert_eq!((patience.pause(INTERVAL), patience.ask(INTERVAL)), (Some(Duration::ZERO), Some(seconds(60))));
        for lie in [waited(0, Some(0)), waited(1, Some(1)), waited(14, Some(14)), waited(0, Some(60))] {
            let mut patience = waiting();
            patience.answered(INTERVAL, &lie, false);
            assert_eq!(patience.pause(INTERVAL), Some(seconds(1)), "{lie:?}");
            assert_eq!(patience.ask(INTERVAL), Some(INTERVAL), "{lie:?}");
        }
    }

    #[test]
    fn a_wait_that_is_cut_off_is_tried_shorter_or_not_for_a_while() {
        let mut patience = waiting();
        patience.cut_off(INTERVAL, seconds(60));
        assert_eq!((patience.pause(INTERVAL), patience.ask(INTERVAL)), (Some(Duration::ZERO), Some(seconds(30))));
        for _ in 0..32 {
            assert_eq!(patience.ask(INTERVAL), Some(seconds(30)));
            patience.answered(seconds(30), &waited(30, None), false);
        }
        assert_eq!(patience.ask(INTERVAL), Some(seconds(60)), "it may pass by now");
        patience.cut_off(seconds(60), seconds(20));
        assert_eq!(patience.pause(INTERVAL), None);
        assert_eq!((0..32).filter_map(|_| patience.ask(INTERVAL)).count(), 0);
        assert_eq!(patience.ask(INTERVAL), Some(seconds(10)), "from the beginning");
    }

    #[test]
    fn one_that_lets_every_wait_run_into_the_deadline_is_soon_not_asked_any_more() {
        let mut patience = waiting();
        let mut asked = Vec::new();
        for _ in 0..9 {
            let Some(wait) = patience.ask(INTERVAL) else { break };
            asked.push(wait.as_secs());
            patience.cut_off(wait, wait + seconds(30));
        }
        assert_eq!((asked, patience.pause(INTERVAL)), (vec![300, 150, 75, 37, 18], None));
    }

    proptest! {
        /// Whatever it answers, and when: requests in an hour are few.
        #[test]
        fn no_endpoint_makes_us_spin(
            answers in prop::collection::vec(
                (0u64..400, 0..6, any::<bool>(), prop::option::of(0u64..400), any::<bool>()), 1..400
            ),
            interval in 1u64..=3_600,
        ) {
            let interval = seconds(interval);
            let mut patience = Patience::default();
            let (mut passed, mut requests) = (Duration::ZERO, 0u32);
            for (held, how, is_applied, granted, brought) in answers {
                let asked = patience.ask(interval);
                let held = Duration::from_secs(held).min(asked.unwrap_or_default());
                match (how, asked) {
                    (_, None) => {}
                    // Each of these is followed by a poll, after a pause of its own.
                    (0, Some(asked)) => patience.cut_off(asked, held),
                    (1, Some(_)) => patience.disturbed(),
                    (2, Some(_)) => patience.crowded_out(),
                    (_, Some(asked)) => {
                        patience.answered(asked, &Waited { held, is_applied, granted: granted.map(seconds) }, brought);
                    }
                }
                let is_followed = asked.is_some() && how < 2;
                requests += 1 + u32::from(is_followed);
                passed += held + patience.pause(interval).unwrap_or(interval);
                passed += if is_followed { PAUSE } else { Duration::ZERO };
            }
            let per_second = f64::from(requests) / passed.as_secs_f64().max(1.0);
            prop_assert!(per_second <= 1.1 + 1.0 / passed.as_secs_f64().max(1.0) * 2.0, "{requests} in {passed:?}");
        }
    }
}
