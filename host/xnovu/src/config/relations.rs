//! Settings that are right each for itself and not together.
//!
//! Owns every check that looks at more than one setting. Each is a warning: it works, and somebody will be surprised.

use std::time::Duration;

use xnovu_domain::LEASE;

use super::settings as s;
use super::{Config, Layers, Mistake};

/// How much longer than an outage may last a record of the ledger is kept.
pub const LEDGER_MARGIN: Duration = Duration::from_secs(86_400);

/// Jobs at a time for each request under way at once, above which jobs mostly wait for the database's API.
const JOBS_PER_REQUEST_MAX: usize = 10;

/// Heartbeats further apart leave a silent socket unnoticed for longer than anybody expects.
const HEARTBEAT_QUIET: Duration = Duration::from_secs(30);

/// A warning for each risky pair.
pub(super) fn warnings(config: &Config, layers: &Layers) -> Vec<Mistake> {
    let mut warnings = Vec::new();
    let mut warn = |name: &str, what: String, hint: &str| {
        warnings.push(Mistake { name: name.to_owned(), what, hint: hint.to_owned() });
    };
    times(config, &mut warn);
    order_of_priorities(config, &mut warn);
    exposure(config, &mut warn);
    if layers.find(&s::REDIS_URL).is_none() && layers.find(&s::REDIS_PASSWORD).is_some() {
        warn(s::REDIS_PASSWORD.name, "has no effect without REDIS_URL".to_owned(), "set REDIS_URL, or remove it");
    }
    warnings
}

fn times(config: &Config, warn: &mut impl FnMut(&str, String, &str)) {
    if config.sources.heartbeat > HEARTBEAT_QUIET {
        let what =
            format!("a silent Realtime socket is noticed after {} s only", 2 * config.sources.heartbeat.as_secs());
        warn(s::SUBSCRIPTION_HEARTBEAT_INTERVAL.name, what, "use 30000 or less");
    }
    if config.sources.sweep_interval > LEASE {
        let what = format!(
            "rows that Realtime did not tell of, and those of a worker that died, wait up to {} s",
            config.sources.sweep_interval.as_secs()
        );
        warn(s::XNOVU_SWEEP_INTERVAL.name, what, "use at most the lease of 120000, unless the database must be spared");
    }
    if config.jobs.lock > LEASE {
        let what = format!(
            "jobs of a worker that died wait {} s, longer than its lease on the rows",
            config.jobs.lock.as_secs()
        );
        warn(s::QUEUE_LOCK.name, what, "use at most the lease of 120000");
    }
    if config.jobs.backoff > config.jobs.backoff_max {
        let what = format!("no wait between attempts is longer than {} ms", config.jobs.backoff_max.as_millis());
        warn(s::RULE_ENGINE_RETRY_DELAY.name, what, "raise QUEUE_BACKOFF_MAX, or lower it");
    }
    if config.graces.workers < config.novu.timeout {
        let what = format!(
            "a stop waits {} ms for jobs under way, and one call of Novu may take {} ms",
            config.graces.workers.as_millis(),
            config.novu.timeout.as_millis()
        );
        warn(s::XNOVU_WORKER_GRACE.name, what, "raise it above NOVU_TIMEOUT, or calls are cut off and made again");
    }
    if config.concurrency > JOBS_PER_REQUEST_MAX * config.supabase.concurrency {
        let what = format!(
            "{} jobs at a time share {} requests at once to the database's API, and mostly wait for it",
            config.concurrency, config.supabase.concurrency
        );
        warn(
            s::WORKER_CONCURRENCY.name,
            what,
            "raise SUPABASE_MAX_CONCURRENCY within PostgREST's pool (10 by default), or start more workers",
        );
    }
}

/// In the original a lower number went first, whatever was documented; settings that were turned round for it are wrong here.
fn order_of_priorities(config: &Config, warn: &mut impl FnMut(&str, String, &str)) {
    let priorities = config.per_enterprise.default.priorities;
    if priorities.realtime < priorities.cron {
        let what = format!(
            "notifications to be sent at once ({}) go after those of rules ({})",
            priorities.realtime.get(),
            priorities.cron.get()
        );
        warn(
            s::REALTIME_QUEUE_PRIORITY.name,
            what,
            "the higher priority goes first here, which the TypeScript daemon had the other way round",
        );
    }
}

/// Secrets that travel in the clear, and endpoints that more than this machine can reach.
fn exposure(config: &Config, warn: &mut impl FnMut(&str, String, &str)) {
    for (setting, url) in [(s::NEXT_PUBLIC_SUPABASE_URL, &config.supabase.url), (s::NOVU_API_URL, &config.novu.url)] {
        if url.starts_with("http://") && !is_near(url) {
            warn(setting.name, "sends the key in the clear".to_owned(), "use https");
        }
    }
    if let Some(redis) = &config.redis {
        let url = redis.url.reveal();
        let password = reqwest::Url::parse(&url).is_ok_and(|url| url.password().is_some());
        if url.starts_with("redis://") && password && !is_near(&url) {
            warn(
                s::REDIS_URL.name,
                "sends the password in the clear".to_owned(),
                "use rediss, with REDIS_TLS_CA where the certificate is your own",
            );
        }
    }
    if !config.health.ip().is_loopback() && config.admin_token.is_none() {
        let what = format!("health and metrics, which name enterprises, are open to whoever reaches {}", config.health);
        warn(
            s::DAEMON_HEALTH_HOST.name,
            what,
            "let only your monitoring's network reach it, and set XNOVU_ADMIN_TOKEN",
        );
    }
}

/// Whether a URL leads to this machine, as far as its text says.
#[must_use]
pub fn is_near(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(setting: &crate::config::Setting) -> Duration {
        let crate::config::Kind::Millis(_, max) = setting.kind else { panic!("no time") };
        Duration::from_millis(max)
    }

    #[test]
    fn no_call_of_novu_can_last_longer_than_the_lease() {
        assert!(longest(&s::NOVU_TIMEOUT) < LEASE);
    }

    #[test]
    fn hazard_24_no_job_can_wait_longer_than_what_was_sent_is_remembered() {
        assert!(longest(&s::QUEUE_BACKOFF_MAX) <= LEDGER_MARGIN);
    }
}
