//! Variables of the original that have no meaning any more. They are accepted, so that an old `.env` works as it is.

use super::settings;
use crate::config::table::{Kind, Setting};

settings! { OLD "Accepted and not used"
    SUBSCRIPTION_MAX_RETRIES = Setting::unused("reconnecting never gives up");
    SUBSCRIPTION_HEALTH_CHECK_INTERVAL = Setting::unused("the heartbeat checks the socket: SUBSCRIPTION_HEARTBEAT_INTERVAL");
    RULE_ENGINE_SCHEDULED_INTERVAL = Setting::unused("a scheduled row is sent at its time, not at the next look")
        .aliases(&["SCHEDULED_NOTIFICATION_CHECK_INTERVAL"]);
    RULE_ENGINE_SCHEDULED_BATCH_SIZE = Setting::unused("a sweep reads page after page until nothing is left")
        .aliases(&["SCHEDULED_NOTIFICATION_BATCH_SIZE"]);
    NEXT_PUBLIC_SUPABASE_ANON_KEY = Setting::unused("everything is read and written with SUPABASE_SERVICE_ROLE_KEY");
    DATABASE_POOL_SIZE = Setting::unused("PostgREST keeps the pool: SUPABASE_MAX_CONCURRENCY bounds what we ask of it");
    CORS_ORIGINS = Setting::unused("no endpoint is for browsers");
    RATE_LIMITS = Setting::unused("Novu's own rate limit is obeyed").spelled("RATE_LIMIT_*");
    PROMETHEUS = Setting::unused("metrics are always served, at /metrics of the health port").spelled("PROMETHEUS_*");
    WEB_APP = Setting::new("", Kind::Unused(false), "of the original's web application")
        .spelled("NODE_ENV")
        .aliases(&["NEXT_PHASE", "CI", "SUPABASE_PROJECT_ID", "NEXT_PUBLIC_NOVU_SUBSCRIBER_ID"]);
}
