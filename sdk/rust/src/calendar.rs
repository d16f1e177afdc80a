//! Civil time, so that no component carries time zone data of its own.
//!
//! A component asks the host. A native test has no host and is answered from time zone data compiled into it, by the same rules.

use crate::{RuleError, Timestamp};

#[cfg(target_arch = "wasm32")]
use crate::guest::calendar as source;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(not(target_arch = "wasm32"))]
use native as source;

/// What the wall clock of a time zone shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year of the Gregorian calendar.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 1 (Monday) to 7 (Sunday).
    pub weekday: u8,
}

impl Civil {
    /// Minutes since midnight by this clock, 0 to 1439.
    pub fn minute_of_day(&self) -> u16 {
        u16::from(self.hour) * 60 + u16::from(self.minute)
    }

    /// Whether this is a Saturday or a Sunday.
    pub fn is_weekend(&self) -> bool {
        self.weekday >= 6
    }
}

/// The civil time of an instant in an IANA time zone such as `Asia/Shanghai`.
///
/// # Errors
/// An unknown zone; an instant outside of the years 1900 to 9999.
pub fn local(at: Timestamp, zone: &str) -> Result<Civil, RuleError> {
    source::local(at, zone).map_err(RuleError::new)
}

/// The first instant at or after `after` at which the zone's wall clock shows `hour`:`minute`:00. Where a change to summer time
/// skips that time of day, the day is skipped; where it comes twice, the first counts.
///
/// # Errors
/// As [`local`], and a time of day that is none.
pub fn next(after: Timestamp, zone: &str, hour: u8, minute: u8) -> Result<Timestamp, RuleError> {
    source::next(after, zone, hour, minute).map_err(RuleError::new)
}
