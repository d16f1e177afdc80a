//! What a scrape says, of a line at work, and what the linter of Prometheus says of the scrape.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;
use xnovu_standin::{Effect, ErrorBody, Face, Faults, HttpFault, RealtimeFaults};

use crate::support::plugins::bind_priority_desk;
use crate::support::{ENTERPRISES, House, RedisServer, Xnovu, until};

/// The samples of a scrape, by name and labels.
async fn scrape(process: &Xnovu) -> (String, HashMap<String, f64>) {
    let (code, text) = process.get("/metrics").await.unwrap();
    assert_eq!(code, 200);
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect();
    (text, samples)
}

/// Waits until a scrape says this of these samples.
async fn until_it_says(process: &Xnovu, wanted: &[(&str, f64)]) {
    until(&format!("metrics say {wanted:?}"), async || {
        let (text, samples) = scrape(process).await;
        let differs = |(name, value): &&(&str, f64)| samples.get(*name) != Some(value);
        match wanted.iter().find(differs) {
            None => Ok(()),
            Some((name, _)) => Err(format!("{name} is {:?} in\n{text}", samples.get(*name))),
        }
    })
    .await;
}

/// What `promtool check metrics` has to say.
fn linted(text: &str) -> Vec<String> {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool is installed (tests/run installs it)");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_at_work_is_counted_and_the_scrape_passes_the_linter_but_for_one_name_of_the_specification() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    bind_priority_desk(&house);
    // Rows that wait are asked about again after two sweeps; here each is to be counted once.
    house.set("XNOVU_SWEEP_INTERVAL", 3_600_000);
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    let (bound, plain) = (ENTERPRISES[1], ENTERPRISES[0]);
    house.insert(json!({"enterprise_id": bound, "tags": ["promo"]}));
    let waiting = [house.insert(json!({"enterprise_id": bound})), house.insert(json!({}))];
    let due = house.insert(json!({"scheduled_for": crate::support::in_seconds(2)}));
    let event =
        |enterprise| format!("xnovu_enterprise_events_total{{enterprise_id=\"{enterprise}\",event_type=\"INSERT\"}}");
    let decided = |enterprise: &str, stage: &str, verdict: &str, reason: &str| {
        format!(
            "xnovu_decisions_total{{enterprise_id=\"{enterprise}\",reason=\"{reason}\",stage=\"{stage}\",verdict=\"{verdict}\"}}"
        )
    };
    // No worker yet: jobs with a priority wait, and are counted as waiting.
    until_it_says(
        &daemon,
        &[
            ("xnovu_queue_notification_waiting", 3.0),
            (&event(bound), 2.0),
            (&event(plain), 2.0),
            (&decided(bound, "admit", "drop", "rule"), 1.0),
            (&decided(bound, "admit", "deliver", "rule"), 1.0),
            (&decided(plain, "admit", "deliver", "unbound"), 2.0),
            (r#"xnovu_discarded_total{intentional="true",reason="verdict"}"#, 1.0),
            (r#"xnovu_rule_duration_seconds_count{answered="true",stage="admit"}"#, 2.0),
            ("xnovu_daemon_healthy", 1.0),
            ("xnovu_ready", 1.0),
            ("xnovu_subscriptions_total", 5.0),
            ("xnovu_subscriptions_active", 5.0),
            ("xnovu_subscriptions_failed", 0.0),
            ("xnovu_subscriptions_reconnecting", 0.0),
        ],
    )
    .await;
    // One call fails and is made again.
    let failure = Effect::Status { status: 500, body: ErrorBody::Json, retry_after_s: None, behind_idempotency: false };
    house.fault(HttpFault { count: Some(1), ..HttpFault::new(Face::Novu, failure) });
    let worker = house.observed_worker();
    house.until_all(&[waiting[0], waiting[1], due], "SENT").await;
    let attempts =
        |outcome| format!("xnovu_job_attempts_total{{outcome=\"{outcome}\",queue=\"notification-processing\"}}");
    until_it_says(
        &worker,
        &[
            (&format!("xnovu_notifications_total{{enterprise_id=\"{plain}\",outcome=\"sent\"}}"), 2.0),
            (&attempts("done"), 3.0),
            (&attempts("retry"), 1.0),
            (r#"xnovu_novu_request_duration_seconds_count{answer="2xx"}"#, 3.0),
            (r#"xnovu_novu_request_duration_seconds_count{answer="5xx"}"#, 1.0),
            ("xnovu_notification_latency_seconds_count", 3.0),
            ("xnovu_worker_healthy", 1.0),
            ("xnovu_queue_notification_waiting", 0.0),
            ("xnovu_queue_notification_completed", 3.0),
            (r#"xnovu_novu_paused{reason="outage"}"#, 0.0),
        ],
    )
    .await;
    let (text, samples) = scrape(&worker).await;
    assert!(samples["xnovu_redis_used_memory_bytes"] > 100_000.0, "{text}");
    assert!(!text.contains("xnovu_redis_max_memory_bytes"), "this Redis has no limit\n{text}");
    // The rules were asked once for each attempt that got so far.
    assert!(samples[&decided(bound, "transform", "deliver", "rule")] >= 1.0, "{text}");
    // A row that was scheduled counts from its time, not from when it was put there.
    assert!(samples["xnovu_notification_latency_seconds_sum"] < 60.0, "{text}");
    assert!(!text.contains("xnovu_daemon_") && !text.contains("xnovu_subscriptions_"), "{text}");
    assert_eq!(linted(&text), Vec::<String>::new());
    let complaint = r#"xnovu_subscriptions_total non-counter metrics should not have "_total" suffix"#;
    assert_eq!(linted(&scrape(&daemon).await.0), [complaint]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_realtime_did_not_tell_of_and_lost_connections_are_counted() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    let realtime = RealtimeFaults { discard_events: u64::MAX, ..RealtimeFaults::default() };
    house.state().set_faults(Faults { realtime, ..Faults::default() });
    house.insert_plain(3);
    let found = format!("xnovu_sweep_finds_total{{enterprise_id=\"{}\"}}", ENTERPRISES[0]);
    until_it_says(&daemon, &[(&found, 3.0)]).await;
    house.mend();
    house.state().act(xnovu_standin::Action::DropSockets);
    until_it_says(&daemon, &[("xnovu_subscription_reconnects_total", 5.0), ("xnovu_subscriptions_active", 5.0)]).await;
}
