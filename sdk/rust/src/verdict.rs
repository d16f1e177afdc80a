//! What a rule answers about an event.

use crate::Timestamp;

/// Whether, when and how urgently a notification is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Deliver {
        /// 0 to 1000, higher first. None keeps the priority of its origin (realtime 10, scheduled 5, cron 1, unless the operator
        /// has set others).
        priority: Option<u32>,
    },
    /// Put it off. The rules are asked again then.
    Defer {
        /// At least one second after the event's `now`.
        until: Timestamp,
        /// Why, at most 200 bytes, shown to operators.
        reason: String,
    },
    /// Never send it.
    Drop {
        /// Why, at most 200 bytes, kept on the row and shown to operators.
        reason: String,
    },
}

impl Verdict {
    /// Send it with the priority of its origin.
    pub fn deliver() -> Self {
        Self::Deliver { priority: None }
    }

    /// Send it with this priority, 0 to 1000, higher first. The host refuses others.
    pub fn deliver_at(priority: u32) -> Self {
        Self::Deliver { priority: Some(priority) }
    }

    /// Put it off until then, at least one second after the event's `now`.
    pub fn defer_until(until: Timestamp, reason: impl Into<String>) -> Self {
        Self::Defer { until, reason: reason.into() }
    }

    /// Never send it.
    pub fn drop(reason: impl Into<String>) -> Self {
        Self::Drop { reason: reason.into() }
    }
}
