use std::fmt::Write as _;

use super::*;
use crate::gateway::Pause;
use crate::source::status::Subscriptions;
use xnovu_queue::{Counts, Memory, QueueName};

fn shown() -> Shown {
    Shown {
        uptime: Duration::from_secs(7),
        healthy: true,
        ready: true,
        components: vec![("queue", true)],
        subscriptions: Some((Subscriptions { total: 3, active: 2, failed: 1, reconnecting: 0 }, 4)),
        queues: vec![(QueueName::NotificationProcessing, Counts { waiting: 9, failed: 1, ..Counts::default() })],
        memory: Some(Memory { used_bytes: 400, max_bytes: Some(500) }),
        novu: Some(Pause::RateLimited),
        bindings: vec![("ready", 2)],
    }
}

fn assert_says(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|said| said == *line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_decision_is_counted_where_a_reader_looks_for_it() {
    let metrics = Metrics::new();
    let enterprise = "ent1".parse().unwrap();
    metrics.ruled(&enterprise, Stage::Admit, "drop", Duration::from_micros(20), 40_000);
    let broken = |kind, policy| Broken { kind, reason: "planted".to_owned(), policy, stamp: None, cost: None };
    metrics.broken(&enterprise, Stage::Transform, &broken(BrokenKind::Trap, FailurePolicy::Deliver));
    let cost = Some(Cost { fuel: 9_000, duration: Duration::from_millis(400) });
    let late = Broken { cost, ..broken(BrokenKind::TimedOut, FailurePolicy::Drop) };
    metrics.broken(&enterprise, Stage::Transform, &late);
    let text = metrics.text();
    assert_says(
        &text,
        &[
            r#"xnovu_decisions_total{enterprise_id="ent1",reason="rule",stage="admit",verdict="drop"} 1"#,
            r#"xnovu_decisions_total{enterprise_id="ent1",reason="trap",stage="transform",verdict="deliver"} 1"#,
            r#"xnovu_decisions_total{enterprise_id="ent1",reason="timed-out",stage="transform",verdict="hold"} 1"#,
            r#"xnovu_rule_duration_seconds_count{answered="true",stage="admit"} 1"#,
            // What failed before anything was evaluated took nothing.
            r#"xnovu_rule_duration_seconds_count{answered="false",stage="transform"} 1"#,
            r#"xnovu_rule_duration_seconds_bucket{answered="false",stage="transform",le="0.25"} 0"#,
            r#"xnovu_rule_duration_seconds_bucket{answered="false",stage="transform",le="0.5"} 1"#,
            r#"xnovu_rule_fuel_bucket{answered="false",stage="transform",le="10000"} 1"#,
        ],
    );
    assert!(!text.contains("planted"), "{text}");
}

#[test]
fn what_alerts_watch_for_is_there_before_it_happens() {
    let text = Metrics::new().text();
    for outcome in ["done", "retry", "later", "fail"] {
        let line = format!("xnovu_job_attempts_total{{outcome=\"{outcome}\",queue=\"notification-processing\"}} 0");
        assert_says(&text, &[&line]);
    }
    assert_says(&text, &[r#"xnovu_discarded_total{intentional="false",reason="queue-full"} 0"#]);
}

#[test]
fn enterprises_beyond_the_limit_share_a_label() {
    let metrics = Metrics::with_enterprises(2);
    for id in ["a", "b", "c", "d", "a"] {
        metrics.ended(&id.parse().unwrap(), "sent");
        metrics.told(&id.parse().unwrap(), "INSERT");
    }
    let text = metrics.text();
    let line = |id, count| format!("xnovu_notifications_total{{enterprise_id=\"{id}\",outcome=\"sent\"}} {count}");
    assert_says(&text, &[&line("a", 2), &line("b", 1), &line(OTHER, 2)]);
    assert!(!text.contains("\"c\""), "{text}");
}

#[test]
fn the_specifications_names_are_shown_by_a_daemon() {
    let metrics = Metrics::new();
    let lines = [
        "xnovu_daemon_uptime_seconds 7",
        "xnovu_daemon_healthy 1",
        "xnovu_subscriptions_total 3",
        "xnovu_subscriptions_active 2",
        "xnovu_subscriptions_failed 1",
        "xnovu_subscriptions_reconnecting 0",
        "xnovu_queue_notification_waiting 9",
        "xnovu_queue_notification_active 0",
        "xnovu_queue_notification_completed 0",
        "xnovu_queue_notification_failed 1",
        r#"xnovu_queue_jobs{queue="notification-processing",state="waiting"} 9"#,
        "xnovu_subscription_reconnects_total 4",
        "xnovu_redis_used_memory_bytes 400",
        "xnovu_redis_max_memory_bytes 500",
        r#"xnovu_novu_paused{reason="rate-limited"} 1"#,
        r#"xnovu_novu_paused{reason="outage"} 0"#,
    ];
    assert_says(&metrics.scrape(&shown()), &lines);
    assert_says(&metrics.scrape(&shown()), &lines);
}

#[test]
fn a_worker_shows_no_daemon_and_a_silent_queue_no_numbers() {
    let metrics = Metrics::new();
    let _ = metrics.scrape(&Shown { subscriptions: None, ..shown() });
    let text =
        metrics.scrape(&Shown { subscriptions: None, healthy: false, queues: Vec::new(), memory: None, ..shown() });
    assert_says(&text, &["xnovu_worker_healthy 0", "xnovu_worker_uptime_seconds 7"]);
    for absent in
        ["xnovu_daemon_", "xnovu_subscriptions_", "xnovu_queue_notification_", "xnovu_queue_jobs", "xnovu_redis_"]
    {
        assert!(!text.contains(absent), "{absent} is in\n{text}");
    }
}

#[test]
fn several_who_scrape_at_a_time_all_see_the_whole() {
    let metrics = Metrics::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let text = metrics.scrape(&shown());
                    assert_says(
                        &text,
                        &["xnovu_queue_notification_waiting 9", "xnovu_subscription_reconnects_total 4"],
                    );
                }
            });
        }
    });
}

/// The table of docs/observe.md, as it must be.
fn table() -> String {
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for one in Metrics::new().declared() {
        let labels = one.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(table, "| `{}` | {} | {labels} | {} |", one.name, one.kind, one.help);
    }
    table
}

#[test]
fn the_documented_table_is_the_declared_one() {
    let document = include_str!("../../../../docs/observe.md");
    let table = table();
    assert!(document.contains(&table), "the table of docs/observe.md must be:\n{table}");
}

#[test]
fn every_metric_that_a_page_names_is_declared() {
    let metrics = Metrics::new();
    let declared = metrics.declared();
    let known = |word: &str| {
        let name = ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        declared.iter().any(|one| one.name == name || one.name == word)
    };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = std::fs::read_dir(root.join("docs")).unwrap().map(|page| page.unwrap().path());
    let pages = pages.chain(["README.md", "docker/README.md"].map(|page| root.join(page)));
    let mut named = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // Names of metrics have a unit or a kind at their end, or stand in the table; those of crates and files have neither.
        for word in words.filter(|word| word.starts_with("xnovu_") && word.matches('_').count() > 1) {
            assert!(known(word), "{}: there is no metric {word}", page.display());
            named += 1;
        }
    }
    assert!(named > 50, "only {named} names were read");
}
