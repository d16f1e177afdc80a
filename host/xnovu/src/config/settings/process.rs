//! What daemon and workers do and where they do it.

use super::settings;
use crate::config::table::{Fallback, Kind, Setting};

settings! { PROCESS "Daemon and workers"
    DAEMON_ENTERPRISE_IDS = Setting::new("daemon.enterprises", Kind::Enterprises, "enterprises to serve")
        .or(Fallback::Computed("those that bindings.toml binds by name"));
    DAEMON_HEALTH_PORT = Setting::number("health.port", 3001, 0, 65_535, "port of health and metrics; 0 picks a free one");
    DAEMON_HEALTH_HOST = Setting::new("health.host", Kind::Address, "address of health and metrics; `0.0.0.0` is every interface")
        .or(Fallback::Text("127.0.0.1"));
    XNOVU_ADMIN_TOKEN = Setting::new("admin.token", Kind::Text,
        "what admin requests on the health port must carry, at least 16 characters; unset, they are not served there")
        .secret();
    DAEMON_LOG_LEVEL = Setting::new("log.level", Kind::Choice(&["debug", "info", "warn", "error", "trace"]), "what is logged")
        .or(Fallback::Text("info"))
        .aliases(&["LOG_LEVEL"]);
    XNOVU_LOG_FORMAT = Setting::new("log.format", Kind::Choice(&["auto", "json", "text"]),
        "how a line of the log looks; `auto` is text on a terminal and JSON elsewhere")
        .or(Fallback::Text("auto"));
    OTEL_EXPORTER_OTLP_ENDPOINT = Setting::new("traces.endpoint", Kind::Url,
        "base URL of a collector that takes traces by OTLP over HTTP; unset, nothing is traced");
    OTEL_EXPORTER_OTLP_HEADERS = Setting::new("traces.headers", Kind::Text,
        "headers for the collector, as `name=value` separated by commas")
        .secret();
    OTEL_SERVICE_NAME = Setting::new("traces.service", Kind::Text, "what traces say they come from")
        .or(Fallback::Text("xnovu"));
    XNOVU_TRACE_PERCENT = Setting::number("traces.percent", 100, 0, 100, "how many notifications in a hundred are traced");
    SUBSCRIPTION_RECONNECT_DELAY = Setting::millis("realtime.reconnect_delay_ms", 1_000, 1, 30_000,
        "first wait before a reconnect; doubles with jitter up to 30 s, without an end");
    SUBSCRIPTION_HEARTBEAT_INTERVAL = Setting::millis("realtime.heartbeat_ms", 5_000, 100, 60_000,
        "time between two heartbeats of the Realtime socket, which is given up when it is silent for two");
    XNOVU_SWEEP_INTERVAL = Setting::millis("daemon.sweep_interval_ms", 30_000, 100, 3_600_000,
        "time between two sweeps of owed rows");
    WORKER_CONCURRENCY = Setting::number("worker.concurrency", 5, 1, 1_000, "jobs one worker performs at a time")
        .aliases(&["RULE_ENGINE_MAX_CONCURRENT_JOBS"]);
    XNOVU_ADMISSION_GRACE = Setting::millis("stop.admission_ms", 15_000, 0, 600_000,
        "how long a stop waits until what was heard of is queued");
    XNOVU_WORKER_GRACE = Setting::millis("stop.workers_ms", 45_000, 0, 3_600_000,
        "how long a stop waits for jobs under way; longer than NOVU_TIMEOUT");
    XNOVU_CONFIG = Setting::new("", Kind::Path, "which xnovu.toml is read; like `--config`")
        .or(Fallback::Text("xnovu.toml"));
    XNOVU_PLUGINS = Setting::new("plugins.dir", Kind::Path, "directory of bindings.toml and the plugins")
        .or(Fallback::Text("plugins"));
    XNOVU_PLUGINS_RESCAN = Setting::millis("plugins.rescan_ms", 2_000, 50, 3_600_000,
        "time between two looks at the plugins' directory for changes no event tells of, as on a network mount");
    XNOVU_RULE_THREADS = Setting::number("plugins.threads", 2, 1, 64,
        "threads on which rules are evaluated; all but one of them at most for rules that are slow");
    XNOVU_STATE_DIR = Setting::new("state.dir", Kind::Path, "directory of what outlives a process, such as compiled plugins")
        .or(Fallback::Text(".xnovu"));
}
