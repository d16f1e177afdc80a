//! Rules of `ent_notification_rule`: when they fire, how often, and what stops them.

use serde_json::{Value, json};
use xnovu_standin::Options;

use crate::support::{
    ENTERPRISES, House, IN_PAYLOAD, RedisServer, TABLE, Xnovu, in_seconds, own_workflow, subscriber, until,
};

const RULES: &str = "ent_notification_rule";

/// Inserts a rule of the first enterprise with these columns besides the usual ones; it was last changed an hour ago.
fn rule(house: &House, trigger_type: &str, trigger_config: Value, columns: Value) -> i64 {
    let enterprise = columns["enterprise_id"].as_str().unwrap_or(ENTERPRISES[0]);
    let mut row = json!({"enterprise_id": enterprise, "workflow_key": own_workflow("digest", enterprise), "trigger_type": trigger_type,
        "trigger_config": trigger_config, "updated_at": in_seconds(-3_600),
        "rule_payload": {"recipients": [subscriber(1)], "payload": {"kind": "digest", "text": IN_PAYLOAD}}});
    row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    // The workflow of a rule that is made here is as old as the rule.
    let id = house.state().insert(RULES, &row).unwrap()["id"].as_i64().unwrap();
    let workflow = house.state().row(RULES, id).unwrap().unwrap()["notification_workflow_id"].as_i64().unwrap();
    house.state().update("ent_notification_workflow", workflow, &json!({"updated_at": in_seconds(-7_200)})).unwrap();
    id
}

/// A house whose daemons look for changed rules often. Nothing touches `updated_at` but the test.
async fn house(redis: &RedisServer) -> House {
    let mut house = House::with(Some(redis), Options { touch_updated_at: false, ..Options::default() }).await;
    house.set("XNOVU_RULES_INTERVAL", 200);
    house
}

fn made_by(house: &House, rule: i64) -> Vec<Value> {
    house.state().rows(TABLE, &[("notification_rule_id", &rule.to_string())]).unwrap()
}

fn ids(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

async fn until_made(house: &House, rule: i64, count: usize) -> Vec<Value> {
    until(&format!("rule {rule} has made {count} rows"), async || {
        let rows = made_by(house, rule);
        if rows.len() >= count { Ok(rows) } else { Err(format!("{} so far", rows.len())) }
    })
    .await
}

async fn until_rules(daemon: &Xnovu, counts: &[(&str, usize)]) -> Value {
    until(&format!("the daemon counts its rules as {counts:?}"), async || {
        let rules = daemon.health().await["rules"].clone();
        if counts.iter().all(|(name, count)| rules[name] == *count) { Ok(rules) } else { Err(rules.to_string()) }
    })
    .await
}

/// The jobs of rules, as the daemon's health counts them.
async fn until_rule_queue(daemon: &Xnovu, counts: &[(&str, usize)]) {
    until(&format!("the queue of rules counts {counts:?}"), async || {
        let stats = daemon.health().await["queue_stats"]["ruleExecution"].clone();
        if counts.iter().all(|(name, count)| stats[name] == *count) { Ok(()) } else { Err(stats.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_and_a_restart_fire_each_slot_once() {
    let redis = RedisServer::start().await;
    let house = house(&redis).await;
    let _worker = house.worker();
    let other = house.another_daemon();
    let first = house.daemon();
    let rule =
        rule(&house, "CRON", json!({"cron": "* * * * * *", "misfire": "all"}), json!({"updated_at": in_seconds(0)}));
    until_made(&house, rule, 3).await;
    first.kill();
    let second = house.daemon();
    until_rules(&second, &[("firing", 1)]).await;
    until_made(&house, rule, 8).await;
    house.state().update(RULES, rule, &json!({"deactivated": true})).unwrap();
    until_rules(&second, &[("firing", 0)]).await;
    until_rules(&other, &[("firing", 0)]).await;
    until_rule_queue(&second, &[("waiting", 0), ("active", 0), ("delayed", 0)]).await;
    let rows = made_by(&house, rule);
    house.until_all(&ids(&rows), "SENT").await;
    house.assert_sent_once(&ids(&rows));
    // Each is named after its second, and no second is missing between the first and the last.
    let mut seconds: Vec<i64> = rows.iter().map(|row| slot_of(row, rule)).collect();
    seconds.sort_unstable();
    assert!(seconds.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seconds:?}");
    for row in &rows {
        assert_eq!(row["payload"], json!({"kind": "digest", "text": IN_PAYLOAD}));
        assert_eq!(row["recipients"], json!([subscriber(1)]));
        assert_eq!(row["enterprise_id"], ENTERPRISES[0]);
    }
}

/// The second in a row's name.
fn slot_of(row: &Value, rule: i64) -> i64 {
    let name = row["name"].as_str().unwrap();
    let slot = name.strip_prefix(&format!("rule-{rule} @ ")).unwrap_or_else(|| panic!("{name} is no slot of {rule}"));
    chrono::DateTime::parse_from_rfc3339(slot).unwrap().timestamp()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_shot_rules_go_by_their_policy_and_never_fire_before_their_last_change() {
    let redis = RedisServer::start().await;
    let house = house(&redis).await;
    let at = |seconds| json!({"schedule_time": in_seconds(seconds)});
    let with = |seconds, misfire: &str| json!({"schedule_time": in_seconds(seconds), "misfire": misfire});
    let soon = rule(&house, "SCHEDULE", at(2), json!({}));
    let missed = rule(&house, "SCHEDULE", at(-60), json!({}));
    let each = rule(&house, "SCHEDULE", with(-60, "all"), json!({}));
    let skipped = rule(&house, "SCHEDULE", with(-60, "skip"), json!({}));
    let too_old =
        rule(&house, "SCHEDULE", json!({"schedule_time": in_seconds(-60), "misfire_window_seconds": 30}), json!({}));
    let before_change = rule(&house, "SCHEDULE", at(-60), json!({"updated_at": in_seconds(-30)}));
    let _worker = house.worker();
    let daemon = house.daemon();
    for fires in [soon, missed, each] {
        let rows = until_made(&house, fires, 1).await;
        house.until_all(&ids(&rows), "SENT").await;
    }
    until_rule_queue(&daemon, &[("waiting", 0), ("active", 0), ("delayed", 0), ("completed", 3)]).await;
    let made: Vec<Value> = [soon, missed, each].iter().flat_map(|fires| made_by(&house, *fires)).collect();
    assert_eq!(made.len(), 3);
    house.assert_sent_once(&ids(&made));
    for stays in [skipped, too_old, before_change] {
        assert_eq!(made_by(&house, stays), Vec::<Value>::new());
    }
    let metrics = daemon.metrics().await;
    assert!(
        metrics
            .contains(&format!("xnovu_cron_slots_total{{enterprise_id=\"{}\",outcome=\"skipped\"}} 1", ENTERPRISES[0])),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_rule_is_named_everywhere_and_stops_no_other() {
    let redis = RedisServer::start().await;
    let house = house(&redis).await;
    let every_second = json!({"cron": "* * * * * *"});
    let bad_cron = rule(&house, "CRON", json!({"cron": "61 * * * *"}), json!({}));
    let bad_zone = rule(&house, "CRON", json!({"cron": "* * * * *", "timezone": "Mars/Base"}), json!({}));
    let bad_payload = rule(
        &house,
        "CRON",
        every_second.clone(),
        json!({"rule_payload": {"recipients": [], "payload": {"text": IN_PAYLOAD}}}),
    );
    let foreign_workflow = own_workflow("digest", ENTERPRISES[1]);
    rule(&house, "CRON", json!({"cron": "0 0 1 1 *"}), json!({"enterprise_id": ENTERPRISES[1]}));
    let foreign = rule(&house, "CRON", every_second.clone(), json!({"workflow_key": foreign_workflow}));
    let nobodys = rule(&house, "CRON", every_second.clone(), json!({"enterprise_id": null, "workflow_key": "nobodys"}));
    let good = rule(&house, "CRON", every_second, json!({}));
    let _worker = house.worker();
    let daemon = house.daemon();
    let rules = until_rules(&daemon, &[("bad", 4), ("firing", 2)]).await;
    let reason = |id: i64| {
        let id = id.to_string();
        let named = rules["mistakes"].as_array().unwrap().iter().find(|bad| bad["rule_id"].as_str() == Some(&id));
        named.unwrap_or_else(|| panic!("{id} is not in {rules}"))["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason(bad_cron).contains("minutes \"61\""), "{rules}");
    assert!(reason(bad_zone).contains("Mars/Base"), "{rules}");
    assert!(reason(bad_payload).contains("at least one subscriber"), "{rules}");
    assert!(reason(foreign).contains("no workflow of the rule's enterprise"), "{rules}");
    let rows = until_made(&house, good, 2).await;
    house.until_all(&ids(&rows), "SENT").await;
    for stays in [bad_cron, bad_zone, bad_payload, foreign, nobodys] {
        assert_eq!(made_by(&house, stays), Vec::<Value>::new());
    }
    assert!(daemon.metrics().await.contains("xnovu_cron_rules{state=\"bad\"} 4"));
    assert_eq!(daemon.health().await["components"]["ruleEngine"], "degraded");
    let said = daemon.stop().await;
    for id in [bad_cron, bad_zone, bad_payload, foreign] {
        let named = |line: &&str| line.contains(&format!("\"rule_id\":\"{id}\"")) && line.contains("mistake");
        assert_eq!(said.lines().filter(named).count(), 1, "rule {id} is named once in {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_between_the_tick_and_the_worker_binds() {
    let redis = RedisServer::start().await;
    let house = house(&redis).await;
    let once = |seconds| json!({"schedule_time": in_seconds(seconds)});
    let changes = [
        json!({"deactivated": true}),
        json!({"publish_status": "DRAFT"}),
        json!({"trigger_config": once(86_400)}),
        json!({"trigger_config": {"schedule_time": in_seconds(1), "enabled": false}}),
    ];
    let rules: Vec<i64> = changes.iter().map(|_| rule(&house, "SCHEDULE", once(1), json!({}))).collect();
    let workflow_off = rule(&house, "SCHEDULE", once(1), json!({"workflow_key": "switched-off"}));
    let gone = rule(&house, "SCHEDULE", once(1), json!({}));
    let edited = rule(&house, "SCHEDULE", once(1), json!({}));
    let daemon = house.daemon();
    until_rule_queue(&daemon, &[("waiting", 7)]).await;
    for (rule, change) in rules.iter().zip(changes) {
        house.state().update(RULES, *rule, &change).unwrap();
    }
    let workflow =
        house.state().row(RULES, workflow_off).unwrap().unwrap()["notification_workflow_id"].as_i64().unwrap();
    house.state().update("ent_notification_workflow", workflow, &json!({"deactivated": true})).unwrap();
    assert!(house.state().delete(RULES, gone).unwrap());
    let payload = json!({"recipients": [subscriber(9)], "payload": {"kind": "edited", "text": IN_PAYLOAD}});
    house.state().update(RULES, edited, &json!({"rule_payload": payload})).unwrap();
    let _worker = house.worker();
    until_rule_queue(&daemon, &[("waiting", 0), ("active", 0), ("completed", 7)]).await;
    for rule in rules.iter().chain([&workflow_off, &gone]) {
        assert_eq!(made_by(&house, *rule), Vec::<Value>::new());
    }
    let rows = made_by(&house, edited);
    assert_eq!((rows.len(), &rows[0]["payload"]), (1, &json!({"kind": "edited", "text": IN_PAYLOAD})));
    house.until_all(&ids(&rows), "SENT").await;
    house.assert_sent_once(&ids(&rows));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_rules_are_live_without_a_restart() {
    let redis = RedisServer::start().await;
    let house = house(&redis).await;
    let _worker = house.worker();
    let daemon = house.daemon();
    until_rules(&daemon, &[("firing", 0)]).await;
    let first = rule(&house, "CRON", json!({"cron": "* * * * * *"}), json!({}));
    until_made(&house, first, 1).await;
    let never = json!({"trigger_config": {"cron": "0 0 1 1 *"}});
    house.state().update(RULES, first, &never).unwrap();
    let second = rule(&house, "CRON", json!({"cron": "* * * * * *"}), json!({"enterprise_id": ENTERPRISES[1]}));
    // Once the second fires, the look that found it has found the change of the first too.
    until_made(&house, second, 2).await;
    until_rule_queue(&daemon, &[("waiting", 0), ("active", 0)]).await;
    let before = made_by(&house, first).len();
    let fired = made_by(&house, second).len();
    until_made(&house, second, fired + 2).await;
    assert_eq!(made_by(&house, first).len(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_wait_for_a_queue_that_is_gone() {
    let mut redis = RedisServer::start().await;
    let house = house(&redis).await;
    let daemon = house.daemon();
    let rule = rule(&house, "CRON", json!({"cron": "* * * * * *"}), json!({}));
    until_rules(&daemon, &[("firing", 1)]).await;
    redis.kill();
    until("slots were offered in vain", async || {
        let metrics = daemon.metrics().await;
        if metrics.contains("xnovu_queue_failures_total 0") { Err(metrics) } else { Ok(()) }
    })
    .await;
    let in_vain = seconds_now();
    redis.start_again().await;
    let _worker = house.worker();
    until("slots of the outage and later ones have made rows", async || {
        let mut seconds: Vec<i64> = made_by(&house, rule).iter().map(|row| slot_of(row, rule)).collect();
        seconds.sort_unstable();
        let complete = seconds.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let spans = seconds.first().is_some_and(|first| *first <= in_vain) && seconds.last() > Some(&(in_vain + 2));
        if complete && spans { Ok(()) } else { Err(format!("{seconds:?}, in vain until {in_vain}")) }
    })
    .await;
}

fn seconds_now() -> i64 {
    chrono::DateTime::parse_from_rfc3339(&in_seconds(0)).unwrap().timestamp()
}
