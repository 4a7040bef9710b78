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

/// A fraction of a second is dropped.
impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = humantime::parse_rfc3339(text).map_err(|_| TimestampError)?;
        let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| TimestampError)?;
        Ok(Self(since.as_secs()))
    }
}

/// A text that is no RFC 3339 instant in UTC since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an instant in UTC such as 2027-12-31T23:59:59Z")]
pub(crate) struct TimestampError;

const LATEST: u64 = 253_402_300_799;
