//! What may be set for one enterprise: as `ENT_<id>_<name>` or, by its key, in the table `[enterprises."<id>"]` of `xnovu.toml`.

use super::settings;
use crate::config::table::{Fallback, Kind, Setting};

settings! { ENTERPRISE "For one enterprise"
    ENT_ENABLED = Setting::new("enabled", Kind::Switch, "whether the enterprise is served at all")
        .spelled("SUBSCRIPTION_ENABLED")
        .aliases(&["ENABLED"])
        .or(Fallback::Text("true"));
    ENT_EVENTS = Setting::new("events", Kind::Events,
        "what Realtime is asked to tell; a row it does not tell of waits for the next sweep")
        .spelled("EVENTS")
        .or(Fallback::Text("INSERT,UPDATE"));
    ENT_REALTIME = Setting::new("realtime_priority", Kind::Number(0, 1_000), "priority of notifications that are sent as they come")
        .spelled("REALTIME_PRIORITY")
        .aliases(&["PRIORITY"])
        .or(Fallback::Computed("that of all"));
    ENT_SCHEDULED = Setting::new("scheduled_priority", Kind::Number(0, 1_000), "priority of notifications with a time")
        .spelled("SCHEDULED_PRIORITY")
        .or(Fallback::Computed("that of all"));
    ENT_CRON = Setting::new("cron_priority", Kind::Number(0, 1_000), "priority of notifications made by rules")
        .spelled("CRON_PRIORITY")
        .or(Fallback::Computed("that of all"));
    ENT_ATTEMPTS = Setting::new("attempts", Kind::Number(1, 100), "attempts of a job before it fails")
        .spelled("RETRY_ATTEMPTS")
        .aliases(&["MAX_RETRIES"])
        .or(Fallback::Computed("those of all"));
    ENT_CONCURRENCY = Setting::new("concurrency", Kind::Number(1, 10_000), "jobs under way at once, over all workers")
        .spelled("CONCURRENCY");
    ENT_RATE = Setting::new("rate_per_second", Kind::Number(1, 100_000), "jobs begun in a second, over all workers")
        .spelled("RATE_PER_SECOND");
}
