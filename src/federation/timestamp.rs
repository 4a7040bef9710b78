//! Wall-clock instants in records, answers and logs.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant in whole Unix seconds; RFC 3339 in UTC where people or JSON read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(u64);

impl Timestamp {
    /// From seconds since 1970.
    pub(crate) fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// From seconds since 1970 as certificates have them; what lies before is 1970.
    pub(crate) fn from_signed(seconds: i64) -> Self {
        Self(u64::try_from(seconds).unwrap_or(0))
    }

    /// Seconds since 1970.
    pub(crate) fn as_secs(self) -> u64 {
        self.0
    }

    /// Time that has passed since `earlier`; zero if it lies ahead.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The instant `later` from here.
    pub(crate) fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later.as_secs()))
    }
}

impl From<UnixTime> for Timestamp {
    fn from(time: UnixTime) -> Self {
        Self(time.as_secs())
    }
}

impl From<Timestamp> for UnixTime {
    fn from(time: Timestamp) -> Self {
        Self::since_unix_epoch(Duration::from_secs(time.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond the year 9999 RFC 3339 has no spelling.
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.min(LATEST));
        write!(f, "{}", humantime::format_rfc3339_seconds(time))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// RFC 3339 from 1970 on, with any offset; a fraction of a second is dropped.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let (local, ahead) = split_offset(text).ok_or(TimestampError)?;
        // Whatever it has behind the seconds but a fraction isn't RFC 3339.
        let plain = local.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b'T'));
        let time = humantime::parse_rfc3339_weak(local).ok().filter(|_| plain).ok_or(TimestampError)?;
        let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| TimestampError)?;
        since.as_secs().checked_add_signed(-ahead).filter(|time| *time <= LATEST).map(Self).ok_or(TimestampError)
    }
}

/// A text that is no RFC 3339 instant since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an instant such as 2027-12-31T23:59:59Z")]
pub(crate) struct TimestampError;

/// The local time, and by how many seconds it is ahead of UTC.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(local) = text.strip_suffix('Z') {
        return Some((local, 0));
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let number = |digits: &str, limit| {
        let digits = Some(digits).filter(|digits| digits.len() == 2 && digits.bytes().all(|it| it.is_ascii_digit()))?;
        digits.parse::<i64>().ok().filter(|number| *number < limit)
    };
    let seconds = number(hours, 24)? * 3600 + number(minutes, 60)? * 60;
    match offset.as_bytes().first()? {
        b'+' => Some((local, seconds)),
        b'-' => Some((local, -seconds)),
        _ => None,
    }
}

const LATEST: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_with_any_offset() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2027-01-15T08:00:00Z", Some(1_800_000_000)),
            ("2027-01-15T08:00:00.999999999Z", Some(1_800_000_000)),
            ("2027-01-15T08:00:00+00:00", Some(1_800_000_000)),
            ("2027-01-15T10:00:00+02:00", Some(1_800_000_000)),
            ("2027-01-14T21:30:00.5-10:30", Some(1_800_000_000)),
            ("2027-01-15T08:00:00-00:00", Some(1_800_000_000)),
            ("9999-12-31T23:59:59Z", Some(LATEST)),
            ("9999-12-31T23:59:59-01:00", None),
            ("1970-01-01T00:00:00+00:01", None),
            ("1969-12-31T23:59:59Z", None),
            ("2027-01-15T08:00:00", None),
            ("2027-01-15 08:00:00Z", None),
            ("2027-01-15T08:00:00ZZ", None),
            ("2027-01-15T08:00:00+00:00+00:00", None),
            ("2027-01-15T08:00:00+0200", None),
            ("2027-01-15T08:00:00+24:00", None),
            ("2027-01-15T08:00:00+02:60", None),
            ("2027-01-15T08:00:00++2:00", None),
            ("2027-01-15T08:00:00\u{b1}02:0", None),
            ("2027-02-29T08:00:00Z", None),
            ("2027-01-15", None),
            ("", None),
            ("Z", None),
            ("now", None),
        ] {
            assert_eq!(text.parse().ok(), expected.map(Timestamp::from_secs), "{text}");
        }
    }
}
