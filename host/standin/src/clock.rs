//! The stand-in's clock, the one place that reads wall time.
//!
//! It plays the clock of another machine: an offset moves the database's `now()` and the `Date` header alike, so that a client
//! which trusts its own clock can be caught. It never goes back on its own: without a change of offset, readings do not decrease.
#![allow(clippy::disallowed_methods, reason = "the one file that reads wall time")]

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

use crate::timestamp::Timestamp;

/// Microseconds in a millisecond.
const MICROS_PER_MILLI: i64 = 1_000;

/// Wall time plus an offset.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    pub(crate) fn new(offset_ms: i64) -> Self {
        Self { offset_ms: AtomicI64::new(offset_ms) }
    }

    /// What `now()` answers in the database, to the microsecond.
    pub(crate) fn now(&self) -> Timestamp {
        let offset = self.offset_ms.load(Ordering::Relaxed).saturating_mul(MICROS_PER_MILLI);
        Timestamp::from_micros(Utc::now().timestamp_micros().saturating_add(offset))
    }

    /// The `Date` header of an answer given now.
    pub(crate) fn http_date(&self) -> String {
        DateTime::from_timestamp_micros(self.now().micros())
            .unwrap_or(DateTime::UNIX_EPOCH)
            .format("%a, %d %b %Y %H:%M:%S GMT")
            .to_string()
    }

    /// Moves the clock to wall time plus `offset_ms`.
    pub(crate) fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }
}
