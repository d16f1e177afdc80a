//! The one place of this crate that reads the wall clock.

#![allow(clippy::disallowed_methods, reason = "the one file of this crate that reads the clock")]

use std::time::{SystemTime, UNIX_EPOCH};

use xnovu_domain::Micros;

/// Now, by the host's clock.
pub(crate) fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::new(0).plus(since)
}
