//! The queue's Redis.
//!
//! Owns what is asked of it and what is said of each answer.

use std::time::Duration;

use xnovu_domain::Micros;
use xnovu_queue::{JobOptions, RedisFacts, ServerFacts};

use super::{Finding, Findings, chain};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, is_near};
use crate::parts::redis_options;

/// Oldest version, as BullMQ's layout and our scripts need it.
const VERSION_MIN: (u32, u32) = (6, 2);

/// Memory used, in percent, above which a full Redis is near.
const MEMORY_PERCENT_MAX: u64 = 80;

/// Clocks further apart than this confuse whoever reads times.
const SKEW_MAX: Duration = Duration::from_secs(2);

/// Why nothing is said of what only `INFO` tells.
const NO_INFO: &str = "this user may not ask Redis about itself (INFO)";

pub(super) async fn examine(config: &Config) -> Findings {
    let Some(redis) = &config.redis else {
        let what = "REDIS_URL is not set: the queue lives in the daemon's memory, and only the daemon's own workers take its jobs";
        return vec![Finding::not_checked("redis", what)];
    };
    let facts = match xnovu_queue::examine(&redis_options(redis, JobOptions::default())).await {
        Ok(facts) => facts,
        Err(error) => {
            let hint = "check REDIS_URL, REDIS_PASSWORD and REDIS_TLS_…, and that the server runs: redis-cli -u \"$REDIS_URL\" ping";
            return vec![Finding::failed("redis", format!("it does not answer us: {}", chain(&error)), hint)];
        }
    };
    let near = is_near(&redis.url.reveal());
    judge(&facts, near, &redis.prefix, SystemClock.now())
}

fn judge(facts: &RedisFacts, near: bool, prefix: &str, now: Micros) -> Findings {
    let of_server = |check, judge: fn(&ServerFacts) -> Finding| {
        facts.server.as_ref().map_or_else(|| Finding::not_checked(check, NO_INFO), judge)
    };
    vec![
        of_server("redis version", version),
        of_server("redis eviction policy", policy),
        of_server("redis memory", memory),
        of_server("redis persistence", persistence),
        password(facts, near),
        rights(facts, prefix),
        clock(facts, now),
        foreign(facts),
    ]
}

fn version(server: &ServerFacts) -> Finding {
    let (check, version) = ("redis version", &server.version);
    if !server.primary {
        let what = format!("{version}, a replica that takes no writes");
        return Finding::failed(check, what, "let REDIS_URL lead to the primary");
    }
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let (least, hint) = (VERSION_MIN, format!("install Redis {}.{} or later", VERSION_MIN.0, VERSION_MIN.1));
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) >= least => Finding::ok(check, version.clone()),
        (Some(_), Some(_)) => Finding::failed(check, format!("{version} is too old"), hint),
        _ => Finding::warning(check, format!("{version:?} is no version we know"), hint),
    }
}

fn policy(server: &ServerFacts) -> Finding {
    let check = "redis eviction policy";
    if server.policy == "noeviction" {
        return Finding::ok(check, "noeviction");
    }
    let what = format!("{}: a full Redis throws jobs and the record of what was sent away", server.policy);
    Finding::failed(check, what, "redis-cli config set maxmemory-policy noeviction, and the same in redis.conf")
}

fn memory(server: &ServerFacts) -> Finding {
    let (check, mib) = ("redis memory", |bytes: u64| bytes / (1 << 20));
    let used = server.memory_bytes;
    let Some(bound) = server.memory_bytes_max else {
        return Finding::ok(check, format!("{} MiB used, no bound", mib(used)));
    };
    let percent = used.saturating_mul(100) / bound;
    let what = format!("{percent} % of {} MiB used", mib(bound));
    if percent <= MEMORY_PERCENT_MAX {
        return Finding::ok(check, what);
    }
    let hint = "raise maxmemory, or lower QUEUE_KEEP_COMPLETED and QUEUE_KEEP_FAILED: a full Redis takes no jobs";
    Finding::warning(check, what, hint)
}

fn persistence(server: &ServerFacts) -> Finding {
    let check = "redis persistence";
    if server.disk_fails {
        let hint =
            "see the log of Redis: its disk is full or cannot be written, and it refuses writes until that is over";
        return Finding::failed(check, "the last write to disk failed", hint);
    }
    if server.append_only {
        return Finding::ok(check, "writes are logged (appendonly)");
    }
    let what = "writes are not logged: after a crash the jobs are made again from the rows, and the record of what was sent is gone";
    Finding::warning(check, what, "redis-cli config set appendonly yes, and the same in redis.conf")
}

fn password(facts: &RedisFacts, near: bool) -> Finding {
    let check = "redis password";
    match (facts.asks_for_password, near) {
        (None, _) => Finding::not_checked(check, "a second connection without one could not be tried"),
        (Some(true), _) => Finding::ok(check, "clients without one are refused"),
        (Some(false), true) => Finding::ok(check, "none is asked for, of clients of this machine"),
        (Some(false), false) => {
            let what = "none is asked for: whoever reaches it can read and change the queue";
            Finding::warning(check, what, "set requirepass or an ACL user, and REDIS_PASSWORD")
        }
    }
}

fn rights(facts: &RedisFacts, prefix: &str) -> Finding {
    let check = "redis rights";
    let user = facts.user.as_ref().map_or_else(|| "this user".to_owned(), |user| format!("user {user}"));
    if facts.forbidden.is_empty() {
        return Finding::ok(check, format!("{user} may do what the queue needs"));
    }
    let what = format!("{user} may not {} under the prefix {prefix}", facts.forbidden.join(", "));
    let hint = format!(
        "redis-cli acl setuser NAME on '~{prefix}:*' '&*' +@all -@dangerous +info '+client|list' '+client|unblock'"
    );
    Finding::failed(check, what, hint)
}

fn clock(facts: &RedisFacts, now: Micros) -> Finding {
    let check = "redis clock";
    let Some(there) = facts.clock_us.map(Micros::new) else {
        return Finding::not_checked(check, "this user may not ask for it (TIME)");
    };
    let (later, earlier, word) = if there > now { (there, now, "ahead of") } else { (now, there, "behind") };
    let apart = later.since(earlier);
    if apart <= SKEW_MAX {
        return Finding::ok(check, "it agrees with this machine's");
    }
    let what = format!("Redis is {} s {word} this machine", apart.as_secs());
    Finding::warning(check, what, "let NTP set both clocks: timedatectl set-ntp true")
}

/// Hazard 20: the TypeScript daemon's scheduled sweep and cron ignore its list of enterprises.
fn foreign(facts: &RedisFacts) -> Finding {
    let check = "another sender, by its queues";
    let (workers, keys) = (facts.foreign_workers, facts.foreign_keys.as_deref());
    let hint = "stop the TypeScript daemon and its workers (docs/migrate.md) before xnovu sends for the same enterprises; side by side both send";
    match (workers, keys) {
        (Some(workers @ 1..), _) => {
            Finding::warning(check, format!("{workers} connections of BullMQ workers with the prefix bull"), hint)
        }
        (_, Some(keys @ [_, ..])) => {
            let hint = format!("{hint}; where it is gone already, remove the keys");
            Finding::warning(check, format!("queues of the TypeScript daemon: {}", keys.join(", ")), hint)
        }
        (None, None) => Finding::not_checked(check, "this user may look neither at clients nor at the keys of others"),
        (_, None) => Finding::ok(check, "no worker of the TypeScript daemon is connected"),
        (_, Some([])) => Finding::ok(check, "no queue of the TypeScript daemon is in this Redis"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    const NOW: Micros = Micros::new(1_700_000_000_000_000);

    fn server() -> ServerFacts {
        ServerFacts {
            version: "7.0.15".to_owned(),
            policy: "noeviction".to_owned(),
            append_only: true,
            disk_fails: false,
            primary: true,
            memory_bytes: 80 << 20,
            memory_bytes_max: Some(100 << 20),
        }
    }

    fn sound() -> RedisFacts {
        RedisFacts {
            server: Some(server()),
            user: Some("default".to_owned()),
            forbidden: Vec::new(),
            asks_for_password: Some(true),
            foreign_keys: Some(Vec::new()),
            foreign_workers: Some(0),
            clock_us: Some(NOW.get() + 2_000_000),
        }
    }

    fn with(change: impl FnOnce(&mut ServerFacts)) -> RedisFacts {
        let mut server = server();
        change(&mut server);
        RedisFacts { server: Some(server), ..sound() }
    }

    /// What is not ok, and that each finding that asks for something says what to do.
    fn verdicts(facts: &RedisFacts, near: bool) -> Vec<(&'static str, Verdict)> {
        let bad = |finding: &Finding| finding.verdict != Verdict::Ok;
        let findings = judge(facts, near, "xnovu-acme", NOW).into_iter().filter(bad);
        findings
            .inspect(|finding| assert!(finding.hint.is_some() || finding.verdict == Verdict::NotChecked))
            .map(|finding| (finding.check, finding.verdict))
            .collect()
    }

    #[test]
    fn a_sound_redis_has_no_finding_and_each_fault_has_one() {
        assert_eq!(verdicts(&sound(), false), []);
        let faults = [
            (with(|server| server.version = "6.0.16".to_owned()), ("redis version", Verdict::Failed)),
            (with(|server| server.version = "what".to_owned()), ("redis version", Verdict::Warning)),
            (with(|server| server.primary = false), ("redis version", Verdict::Failed)),
            (with(|server| server.policy = "allkeys-lru".to_owned()), ("redis eviction policy", Verdict::Failed)),
            (with(|server| server.memory_bytes += 1 << 20), ("redis memory", Verdict::Warning)),
            (with(|server| server.append_only = false), ("redis persistence", Verdict::Warning)),
            (with(|server| server.disk_fails = true), ("redis persistence", Verdict::Failed)),
            (RedisFacts { asks_for_password: Some(false), ..sound() }, ("redis password", Verdict::Warning)),
            (RedisFacts { asks_for_password: None, ..sound() }, ("redis password", Verdict::NotChecked)),
            (RedisFacts { forbidden: vec!["EVAL".to_owned()], ..sound() }, ("redis rights", Verdict::Failed)),
            (RedisFacts { clock_us: Some(NOW.get() - 2_000_001), ..sound() }, ("redis clock", Verdict::Warning)),
            (RedisFacts { foreign_workers: Some(1), ..sound() }, ("another sender, by its queues", Verdict::Warning)),
        ];
        for (facts, want) in faults {
            assert_eq!(verdicts(&facts, false), [want]);
        }
        let near = RedisFacts { asks_for_password: Some(false), ..with(|server| server.version = "6.2.0".to_owned()) };
        assert_eq!(verdicts(&near, true), []);
    }

    #[test]
    fn a_user_who_may_ask_nothing_is_told_so_and_nothing_is_said_to_be_well() {
        let checks = verdicts(&RedisFacts::default(), false);
        assert_eq!(checks.len(), 7, "{checks:?}");
        assert!(checks.iter().all(|(_, verdict)| *verdict == Verdict::NotChecked), "{checks:?}");
    }
}
