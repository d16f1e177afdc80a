//! The one place where this crate reads wall time: to mark what was used last and since when. No evaluation ever sees it.

#![allow(clippy::disallowed_methods, reason = "this is the file that may")]

use std::time::SystemTime;

/// Now, by the system's clock.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// A time as milliseconds since 1970.
pub(crate) fn millis(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Now, as RFC 3339 in whole seconds.
pub(crate) fn now_text() -> String {
    chrono::DateTime::<chrono::Utc>::from(now()).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
