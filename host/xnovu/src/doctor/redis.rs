//! The queue's Redis.

use xnovu_queue::{JobOptions, RedisFacts};

use super::{Finding, chain};
use crate::config::Config;
use crate::parts::redis_options;

/// Oldest version, as BullMQ's layout and our scripts need it.
const VERSION_MIN: (u32, u32) = (6, 2);

/// Memory used, in percent, above which a full Redis is near.
const MEMORY_PERCENT_MAX: u64 = 80;

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let Some(redis) = &config.redis else {
        let what = "REDIS_URL is not set: the queue lives in the daemon's memory, and only the daemon's own workers take its jobs";
        return vec![Finding::not_checked("redis", what)];
    };
    match xnovu_queue::examine(&redis_options(redis, JobOptions::default())).await {
        Ok(facts) => judge(&facts, is_near(&redis.url.reveal())),
        Err(error) => {
            let hint = "check REDIS_URL, REDIS_PASSWORD and REDIS_TLS_…, and that the server runs: redis-cli -u \"$REDIS_URL\" ping";
            vec![Finding::fail("redis", format!("it does not answer us: {}", chain(&error)), hint)]
        }
    }
}

fn judge(facts: &RedisFacts, near: bool) -> Vec<Finding> {
    vec![version(facts), policy(facts), memory(facts), append_only(facts), password(facts, near), foreign(facts)]
}

fn version(facts: &RedisFacts) -> Finding {
    let (check, version) = ("redis version", &facts.version);
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) >= VERSION_MIN && facts.primary => {
            Finding::ok(check, version.clone())
        }
        (Some(_), Some(_)) if !facts.primary => Finding::fail(
            check,
            format!("{version}, a replica that takes no writes"),
            "let REDIS_URL lead to the primary",
        ),
        _ => {
            let hint = format!("install Redis {}.{} or later", VERSION_MIN.0, VERSION_MIN.1);
            Finding::fail(check, format!("{version} is too old"), hint)
        }
    }
}

fn policy(facts: &RedisFacts) -> Finding {
    let check = "redis eviction policy";
    if facts.policy == "noeviction" {
        return Finding::ok(check, "noeviction");
    }
    let what = format!("{}: a full Redis throws jobs and the record of what was sent away", facts.policy);
    Finding::fail(check, what, "redis-cli config set maxmemory-policy noeviction, and the same in redis.conf")
}

fn memory(facts: &RedisFacts) -> Finding {
    let check = "redis memory";
    match facts.memory_percent {
        None => Finding::ok(check, "no bound is set"),
        Some(percent) if percent <= MEMORY_PERCENT_MAX => Finding::ok(check, format!("{percent} % used")),
        Some(percent) => {
            let hint =
                "raise maxmemory, or lower QUEUE_KEEP_COMPLETED and QUEUE_KEEP_FAILED: a full Redis takes no jobs";
            Finding::warn(check, format!("{percent} % used"), hint)
        }
    }
}

fn append_only(facts: &RedisFacts) -> Finding {
    let check = "redis persistence";
    if facts.append_only {
        return Finding::ok(check, "writes are logged (appendonly)");
    }
    let what = "writes are not logged: after a crash the jobs are made again from the rows, and the record of what was sent is gone";
    Finding::warn(check, what, "redis-cli config set appendonly yes, and the same in redis.conf")
}

fn password(facts: &RedisFacts, near: bool) -> Finding {
    let check = "redis password";
    match (facts.asks_for_password, near) {
        (true, _) => Finding::ok(check, "clients without one are refused"),
        (false, true) => Finding::ok(check, "none is asked for, of clients of this machine"),
        (false, false) => {
            let what = "none is asked for: whoever reaches it can read and change the queue";
            Finding::warn(check, what, "set requirepass or an ACL user, and REDIS_PASSWORD")
        }
    }
}

/// Hazard 20: the TypeScript daemon's scheduled sweep and cron ignore its list of enterprises.
fn foreign(facts: &RedisFacts) -> Finding {
    let check = "another sender, by its queues";
    let workers = facts.foreign_workers.unwrap_or(0);
    if workers == 0 && facts.foreign_keys.is_empty() {
        return Finding::ok(check, "no queue of the TypeScript daemon is in this Redis");
    }
    let what = if workers > 0 {
        format!("{workers} connections of BullMQ workers with the prefix bull")
    } else {
        format!("queues of the TypeScript daemon: {}", facts.foreign_keys.join(", "))
    };
    let hint = "stop the TypeScript daemon and its workers before xnovu sends for the same enterprises; side by side both send";
    Finding::warn(check, what, hint)
}

fn is_near(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn sound() -> RedisFacts {
        RedisFacts {
            version: "7.0.15".to_owned(),
            policy: "noeviction".to_owned(),
            append_only: true,
            primary: true,
            memory_percent: Some(80),
            asks_for_password: true,
            foreign_keys: Vec::new(),
            foreign_workers: Some(0),
        }
    }

    fn verdicts(facts: &RedisFacts, near: bool) -> Vec<(&'static str, Verdict)> {
        let bad = |finding: &Finding| finding.verdict != Verdict::Ok;
        judge(facts, near)
            .into_iter()
            .filter(bad)
            .inspect(|finding| assert!(finding.hint.is_some()))
            .map(|finding| (finding.check, finding.verdict))
            .collect()
    }

    #[test]
    fn a_sound_redis_has_no_finding_and_each_fault_has_one() {
        assert_eq!(verdicts(&sound(), false), []);
        let faults = [
            (RedisFacts { version: "6.0.16".to_owned(), ..sound() }, ("redis version", Verdict::Fail)),
            (RedisFacts { version: "what".to_owned(), ..sound() }, ("redis version", Verdict::Fail)),
            (RedisFacts { primary: false, ..sound() }, ("redis version", Verdict::Fail)),
            (RedisFacts { policy: "allkeys-lru".to_owned(), ..sound() }, ("redis eviction policy", Verdict::Fail)),
            (RedisFacts { memory_percent: Some(81), ..sound() }, ("redis memory", Verdict::Warn)),
            (RedisFacts { append_only: false, ..sound() }, ("redis persistence", Verdict::Warn)),
            (RedisFacts { asks_for_password: false, ..sound() }, ("redis password", Verdict::Warn)),
            (RedisFacts { foreign_workers: Some(1), ..sound() }, ("another sender, by its queues", Verdict::Warn)),
        ];
        for (facts, want) in faults {
            assert_eq!(verdicts(&facts, false), [want]);
        }
        assert_eq!(
            verdicts(&RedisFacts { version: "6.2.0".to_owned(), asks_for_password: false, ..sound() }, true),
            []
        );
    }
}
