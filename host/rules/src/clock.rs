//! The one place where this crate reads wall time: to mark what was used last. No evaluation ever sees it.

#![allow(clippy::disallowed_methods, reason = "this is the file that may")]

use std::time::SystemTime;

/// Now, by the system's clock.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
