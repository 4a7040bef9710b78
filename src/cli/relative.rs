//! Durations and distances in time for people.

use std::time::Duration;

use crate::federation::timestamp::Timestamp;

/// The two largest units of a duration, as in `4 min 10 s` or `12 d 4 h`.
pub(super) fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let Some(first) = UNITS.iter().position(|(length, _)| seconds >= *length) else { return "0 s".to_owned() };
    let (length, name) = UNITS[first];
    let (whole, rest) = (seconds / length, seconds % length);
    match UNITS.get(first + 1).filter(|(smaller, _)| rest >= *smaller) {
        Some((smaller, smaller_name)) => format!("{whole} {name} {} {smaller_name}", rest / smaller),
        None => format!("{whole} {name}"),
    }
}

/// The largest unit alone, rounded down, as in `4 min`.
pub(super) fn roughly(span: Duration) -> String {
    let seconds = span.as_secs();
    let unit = UNITS.iter().find(|(length, _)| seconds >= *length);
    unit.map_or_else(|| "0 s".to_owned(), |(length, name)| format!("{} {name}", seconds / length))
}

/// Where `then` lies from `now`: `3 min ago`, `in 4 min 10 s`, `now`.
pub(super) fn distance(then: Timestamp, now: Timestamp) -> String {
    match then.cmp(&now) {
        std::cmp::Ordering::Less => format!("{} ago", roughly(now.since(then))),
        std::cmp::Ordering::Equal => "now".to_owned(),
        std::cmp::Ordering::Greater => format!("in {}", duration(then.since(now))),
    }
}

const UNITS: &[(u64, &str)] = &[(365 * 86_400, "y"), (86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_two_units_at_most() {
        for (seconds, exact, rough) in [
            (0, "0 s", "0 s"),
            (59, "59 s", "59 s"),
            (60, "1 min", "1 min"),
            (250, "4 min 10 s", "4 min"),
            (3600, "1 h", "1 h"),
            (3601, "1 h", "1 h"),
            (86_399, "23 h 59 min", "23 h"),
            (12 * 86_400 + 4 * 3600 + 59, "12 d 4 h", "12 d"),
            (3650 * 86_400, "10 y", "10 y"),
            (u64::MAX, "584942417355 y 26 d", "584942417355 y"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), exact, "{seconds}");
            assert_eq!(roughly(Duration::from_secs(seconds)), rough, "{seconds}");
        }
    }

    #[test]
    fn distances_say_which_way() {
        let now = Timestamp::from_secs(1_000_000);
        for (then, expected) in
            [(999_815, "3 min ago"), (1_000_250, "in 4 min 10 s"), (1_000_000, "now"), (999_999, "1 s ago")]
        {
            assert_eq!(distance(Timestamp::from_secs(then), now), expected, "{then}");
        }
    }
}
