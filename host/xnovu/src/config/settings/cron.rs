//! Rules of `ent_notification_rule`, which fire by the clock.

use super::settings;
use crate::config::table::{Fallback, Kind, Setting};

settings! { CRON "Rules by the clock"
    RULE_ENGINE_ENABLED = Setting::new("cron.enabled", Kind::Switch, "whether rules of ent_notification_rule fire")
        .or(Fallback::Text("true"));
    RULE_ENGINE_TIMEZONE = Setting::new("cron.timezone", Kind::Text, "zone of rules that name none, of the IANA database")
        .or(Fallback::Text("UTC"));
    XNOVU_RULES_INTERVAL = Setting::millis("cron.rules_interval_ms", 3_000, 100, 600_000,
        "time between two looks for changed rules");
    XNOVU_MISFIRE = Setting::new("cron.misfire", Kind::Choice(&["once", "skip", "all"]),
        "what becomes of slots nobody saw to in time, unless the rule says so itself")
        .or(Fallback::Text("once"));
    XNOVU_MISFIRE_WINDOW = Setting::millis("cron.misfire_window_ms", 3_600_000, 0, 604_800_000,
        "how old a missed slot may be and still fire, unless the rule says so itself");
}
