//! Instants as whole microseconds.
//!
//! Owns how an instant is read from and written to PostgREST. PostgreSQL renders one instant in three ways and Realtime in
//! milliseconds, so text is never compared; numbers are.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Text that is no instant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a timestamp")]
pub struct TimeError(pub String);

/// Microseconds since the Unix epoch, UTC: what PostgreSQL's `timestamptz` holds. Its `infinity` is the largest number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Micros(i64);

impl Micros {
    /// The end of time: PostgreSQL's `infinity`.
    pub const INFINITY: Self = Self(i64::MAX);

    /// The instant that many microseconds after the epoch.
    #[must_use]
    pub const fn new(micros: i64) -> Self {
        Self(micros)
    }

    /// The instant that many milliseconds after the epoch; saturates.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant, cut to the millisecond: the resolution rules and the ledger see.
    #[must_use]
    pub const fn floor_to_millis(self) -> Self {
        Self::from_millis(self.millis())
    }

    /// The instant that much later; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The instant that much earlier; saturates.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to this instant; zero where it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_micros)
    }

    /// Reads an RFC 3339 timestamp of any offset and precision, `infinity` or `-infinity`.
    ///
    /// # Errors
    /// Names the text that is none of these.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        match text {
            "infinity" => Ok(Self(i64::MAX)),
            "-infinity" => Ok(Self(i64::MIN)),
            _ => DateTime::parse_from_rfc3339(text)
                .map(|at| Self(at.timestamp_micros()))
                .map_err(|_| TimeError(text.to_owned())),
        }
    }
}

impl From<DateTime<Utc>> for Micros {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_micros())
    }
}

/// RFC 3339 in UTC with six decimals and `Z`, which needs no escaping in a URL.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_micros(self.0) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None if self.0 > 0 => f.write_str("infinity"),
            None => f.write_str("-infinity"),
        }
    }
}

impl TryFrom<String> for Micros {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, TimeError> {
        Self::parse(&text)
    }
}

impl From<Micros> for String {
    fn from(at: Micros) -> Self {
        at.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instant_in_every_rendering_is_one_number() {
        let renderings = [
            "2026-01-02T03:04:05.1+00:00",
            "2026-01-02T03:04:05.100000+00:00",
            "2026-01-02T03:04:05.100Z",
            "2026-01-02T11:04:05.1+08:00",
        ];
        for text in renderings {
            assert_eq!(Micros::parse(text).unwrap().get(), 1_767_323_045_100_000, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for micros in [0, 1, -1, 1_767_323_045_123_456, i64::MAX, i64::MIN] {
            let at = Micros::new(micros);
            assert_eq!(Micros::parse(&at.to_string()).unwrap(), at);
        }
    }

    #[test]
    fn text_that_is_no_instant_is_named() {
        assert_eq!(Micros::parse("yesterday"), Err(TimeError("yesterday".to_owned())));
    }

    #[test]
    fn a_span_before_the_start_is_empty() {
        assert_eq!(Micros::new(5).since(Micros::new(9)), Duration::ZERO);
        assert_eq!(Micros::INFINITY.plus(Duration::MAX), Micros::INFINITY);
    }
}
