//! The services around us.

use super::settings;
use crate::config::table::{Fallback, Kind, Setting};

settings! { SUPABASE "Supabase"
    NEXT_PUBLIC_SUPABASE_URL = Setting::new("supabase.url", Kind::Url, "base URL of the project")
        .or(Fallback::Required("https://your-project.supabase.co"))
        .aliases(&["SUPABASE_URL"]);
    SUPABASE_SERVICE_ROLE_KEY = Setting::new("supabase.key", Kind::Text, "service-role or secret key of the project")
        .or(Fallback::Required("your-service-role-key"))
        .aliases(&["SUPABASE_SECRET_KEY"])
        .secret();
    SUPABASE_MAX_CONCURRENCY = Setting::number("supabase.concurrency", 5, 1, 100,
        "requests under way at once to PostgREST, in each process");
    DATABASE_URL = Setting::new("supabase.database_url", Kind::Text,
        "`postgresql://` of the database itself; only `xnovu doctor` reads it, to check grants and publication")
        .secret();
}

settings! { NOVU "Novu"
    NOVU_SECRET_KEY = Setting::new("novu.key", Kind::Text, "API key of the Novu environment")
        .or(Fallback::Required("your-novu-secret-key"))
        .secret();
    NOVU_API_URL = Setting::new("novu.url", Kind::Url, "base URL of Novu")
        .or(Fallback::Text("https://api.novu.co"));
    NOVU_TIMEOUT = Setting::millis("novu.timeout_ms", 30_000, 100, 60_000, "longest wait for one answer of Novu");
}

settings! { REDIS "Redis"
    REDIS_URL = Setting::new("redis.url", Kind::Text,
        "`redis://` or `rediss://` of the queue; unset, the queue lives in the daemon's memory")
        .secret();
    REDIS_USERNAME = Setting::new("redis.username", Kind::Text, "user of Redis, over the one in REDIS_URL");
    REDIS_PASSWORD = Setting::new("redis.password", Kind::Text, "password of Redis, over the one in REDIS_URL").secret();
    REDIS_TLS_CA = Setting::new("redis.tls_ca", Kind::Path,
        "PEM of the authority that signed Redis's certificate, where it is none of Mozilla's");
    REDIS_TLS_CERT = Setting::new("redis.tls_cert", Kind::Path, "PEM of our certificate, where Redis asks for one");
    REDIS_TLS_KEY = Setting::new("redis.tls_key", Kind::Path, "PEM of the key of our certificate");
}
