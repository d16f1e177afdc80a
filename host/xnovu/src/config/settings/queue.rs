//! How jobs are queued, tried and kept.

use super::settings;
use crate::config::table::{Fallback, Kind, Setting};

/// A day, in milliseconds.
const DAY: u64 = 86_400_000;

settings! { QUEUE "Queue"
    QUEUE_PREFIX = Setting::new("queue.prefix", Kind::Text, "what every key in Redis begins with; never `bull`")
        .or(Fallback::Computed("xnovu-<project>"));
    RULE_ENGINE_RETRY_ATTEMPTS = Setting::number("queue.attempts", 3, 1, 100, "attempts of a job before it fails")
        .aliases(&["QUEUE_ATTEMPTS"]);
    RULE_ENGINE_RETRY_DELAY = Setting::millis("queue.backoff_ms", 5_000, 1, 3_600_000,
        "first wait between attempts; doubles with jitter")
        .aliases(&["QUEUE_BACKOFF"]);
    QUEUE_BACKOFF_MAX = Setting::millis("queue.backoff_max_ms", 3_600_000, 1, DAY, "longest wait between attempts");
    XNOVU_GIVE_UP_AFTER = Setting::millis("queue.give_up_after_ms", DAY, 1_000, 30 * DAY,
        "how long outages may postpone a notification before it fails");
    QUEUE_KEEP_COMPLETED = Setting::number("queue.keep_completed", 1_000, 0, 1_000_000,
        "completed jobs kept for those who look");
    QUEUE_KEEP_FAILED = Setting::number("queue.keep_failed", 5_000, 0, 1_000_000,
        "failed jobs kept for those who look and retry");
    QUEUE_LOCK = Setting::millis("queue.lock_ms", 30_000, 1_000, 600_000,
        "how long a worker may be silent before its jobs are taken over");
    QUEUE_STALLED_INTERVAL = Setting::millis("queue.stalled_interval_ms", 30_000, 1_000, 600_000,
        "time between two looks for jobs of silent workers");
    QUEUE_STALLED_MAX = Setting::number("queue.stalled_max", 1, 0, 100, "how often a job may be taken over before it fails");
    REALTIME_QUEUE_PRIORITY = Setting::number("queue.realtime_priority", 10, 0, 1_000,
        "priority of notifications that are sent as they come; higher goes first");
    SCHEDULED_QUEUE_PRIORITY = Setting::number("queue.scheduled_priority", 5, 0, 1_000,
        "priority of notifications with a time");
    CRON_QUEUE_PRIORITY = Setting::number("queue.cron_priority", 1, 0, 1_000, "priority of notifications made by rules");
}
