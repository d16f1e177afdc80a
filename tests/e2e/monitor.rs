//! A daemon that only watches, beside another sender.

use serde_json::{Value, json};

use crate::support::plugins::bind_priority_desk;
use crate::support::{ENTERPRISES, House, RedisServer, in_seconds, own_workflow, subscriber, until};

/// What the other sender does with a row: it begins it and ends it, without a transaction id.
fn other_sender(house: &House, id: i64, status: &str) {
    house.update(id, json!({"notification_status": "PROCESSING", "processed_at": in_seconds(0)}));
    house.update(id, json!({"notification_status": status}));
}

async fn until_report(daemon: &crate::support::Xnovu, what: &str, good: impl Fn(&Value) -> bool) -> Value {
    until(&format!("the monitor says {what}"), async || {
        let report = daemon.health().await["monitor"].clone();
        if good(&report) { Ok(report) } else { Err(report.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monitor_compares_and_writes_queues_and_sends_nothing() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("XNOVU_RULES_INTERVAL", 200);
    bind_priority_desk(&house);
    // What would make a daemon act: a row taken back after we had sent it, a claim of ours whose worker is gone, and a rule by the clock.
    let job = |id: u8| format!("xn-{}-{id}-5", ENTERPRISES[0]);
    let retracted = house.insert(json!({"notification_status": "RETRACTED", "transaction_id": job(1)}));
    let stuck = house.insert(
        json!({"notification_status": "PROCESSING", "transaction_id": job(2), "processed_at": in_seconds(-600)}),
    );
    let rule = json!({"enterprise_id": ENTERPRISES[0], "workflow_key": own_workflow("digest", ENTERPRISES[0]), "trigger_type": "CRON",
        "trigger_config": {"cron": "* * * * * *"}, "rule_payload": {"recipients": [subscriber(1)], "payload": {}}});
    house.state().insert("ent_notification_rule", &rule).unwrap();
    let daemon = house.daemon_with(&["--monitor"]);
    daemon.until_subscribed().await;
    let plain = house.insert(json!({}));
    let promo = house.insert(json!({"enterprise_id": ENTERPRISES[1], "tags": ["promo"]}));
    let waits = house.insert(json!({}));
    until_report(&daemon, "three were judged", |report| report["judged"] == 3).await;
    other_sender(&house, plain, "SENT");
    other_sender(&house, promo, "SENT");
    let differs = |report: &Value| report["agreed"] == 1 && report["differing"]["they-sent-we-would-not"] == 1;
    until_report(&daemon, "one agrees and one differs", differs).await;
    // Many sweeps find the row that waits, and slots come due; it is judged once, and nothing comes of either.
    until_report(&daemon, "slots came due", |report| report["slots"].as_u64() > Some(2)).await;
    until("a few sweeps have gone round", async || {
        let rounds = daemon.health().await["sweeps"]["owed"]["rounds"].clone();
        if rounds.as_u64() > Some(4) { Ok(()) } else { Err(rounds.to_string()) }
    })
    .await;
    let report = until_report(&daemon, "no more", |report| report["waiting"].as_u64() >= Some(1)).await;
    assert_eq!((&report["judged"], &report["decisions"]), (&json!(3), &json!({"send": 2, "drop": 1})), "{report}");
    let difference = &report["differences"][0];
    assert_eq!((&difference["notification_id"], &difference["theirs"]), (&json!(promo.to_string()), &json!("SENT")));
    assert_eq!(difference["ours"], "drop");
    let said = daemon.stop().await;
    assert!(said.contains("difference they-sent-we-would-not: 1"), "{said}");
    let file = std::fs::read_to_string(house.dir().join("state/monitor.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&file).unwrap()["agreed"], 1);
    assert!(!file.contains("5ec4e700"), "a recipient is in {file}");
    let stats = house.state().stats();
    assert_eq!((stats.rest_writes, stats.novu.delivered, stats.novu.cancelled), (0, 0, 0));
    assert!(stats.novu.answers.is_empty(), "{:?}", stats.novu.answers);
    let keys: Vec<String> = redis.command(&["KEYS", "*"]).await;
    assert!(keys.is_empty(), "{keys:?}");
    assert_eq!(house.status(retracted), "RETRACTED");
    assert_eq!(house.row(stuck)["error_details"], Value::Null);
    assert_eq!(house.status(waits), "PENDING");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monitor_that_is_asked_for_json_ends_with_the_report_and_runs_no_worker() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let (status, said) = house.daemon_with(&["--monitor", "--workers", "1"]).ended().await;
    assert!(!status.success() && said.contains("--workers"), "{said}");
    let daemon = house.daemon_with(&["--monitor", "--output", "json"]);
    daemon.until_subscribed().await;
    let said = daemon.stop().await;
    let start = said.find("\n{\n").unwrap_or_else(|| panic!("no document in {said}"));
    let document = said[start..].trim();
    let mut documents = serde_json::Deserializer::from_str(document).into_iter::<Value>();
    let report = documents.next().unwrap().unwrap();
    assert_eq!((&report["judged"], &report["agreed"]), (&json!(0), &json!(0)));
}
