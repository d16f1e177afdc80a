//! What is set for single enterprises holds across all workers, and the order of a backlog is that of the priorities.

use std::collections::BTreeMap;

use serde_json::json;

use crate::crashes::slow_novu;
use crate::support::{ENTERPRISES, House, RedisServer, Xnovu, in_seconds, own_workflow};

/// How long Novu takes to answer, in milliseconds.
const ANSWER_MS: i64 = 250;

/// When Novu accepted the calls of each enterprise, in milliseconds, and in the order they came.
fn accepted(house: &House) -> BTreeMap<String, Vec<i64>> {
    let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for delivery in house.state().deliveries(0) {
        times.entry(delivery.enterprise_id.unwrap().to_string()).or_default().push(delivery.at_ms);
    }
    times
}

/// Now, in milliseconds.
fn now_ms() -> i64 {
    chrono::DateTime::parse_from_rfc3339(&in_seconds(0)).unwrap().timestamp_millis()
}

/// The shortest time in which one call more than `most` was accepted.
fn shortest(times: &[i64], most: usize) -> i64 {
    times.windows(most + 1).map(|window| window[most] - window[0]).min().expect("more than most were accepted")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_enterprise_may_use_at_once_and_a_second_holds_across_workers_and_slows_nobody_else() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("WORKER_CONCURRENCY", 10);
    house.set("SUPABASE_MAX_CONCURRENCY", 20);
    house.set("ENT_e1111111_1111_4111_8111_111111111111_CONCURRENCY", 2);
    house.set("ENT_e2222222_2222_4222_8222_222222222222_RATE_PER_SECOND", 10);
    let daemon = house.daemon();
    let mut rows = Vec::new();
    for enterprise in &ENTERPRISES[..3] {
        rows.extend((0..20).map(|_| house.insert(json!({"enterprise_id": enterprise}))));
    }
    daemon.until_queue(&[("waiting", rows.len())]).await;
    house.fault(slow_novu(ANSWER_MS.unsigned_abs()));
    let started = now_ms();
    let workers: [Xnovu; 2] = [house.worker(), house.worker()];
    house.until_all(&rows, "SENT").await;
    house.assert_sent_once(&rows);
    let times = accepted(&house);
    let (narrow, slow, free) = (&times[ENTERPRISES[0]], &times[ENTERPRISES[1]], &times[ENTERPRISES[2]]);
    // Two at once: the third is accepted only after the first was answered.
    assert!(shortest(narrow, 2) >= ANSWER_MS - 20, "{narrow:?}");
    // Ten a second, and one that was saved up. A call comes later than its token, never sooner.
    for (number, at) in (0..).zip(slow) {
        assert!(at - started >= number * 100 - 20, "number {number} of {slow:?} after {started}");
    }
    // Twenty at once on two workers: nobody waits for those that are held back.
    assert!(free.last() < narrow.last() && free.last() < slow.last(), "{free:?} {narrow:?} {slow:?}");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_sent_realtime_before_scheduled_before_cron_and_an_enterprise_of_higher_priority_first() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("WORKER_CONCURRENCY", 1);
    house.set("ENT_e2222222_2222_4222_8222_222222222222_SCHEDULED_PRIORITY", 50);
    let daemon = house.daemon();
    // It fires nothing; rows name it as their maker.
    let rule = json!({"enterprise_id": ENTERPRISES[0], "workflow_key": own_workflow("digest", ENTERPRISES[0]),
        "trigger_type": "CRON", "trigger_config": {"cron": "0 0 1 1 *", "enabled": false}, "rule_payload": {}});
    let rule = house.state().insert("ent_notification_rule", &rule).unwrap()["id"].clone();
    let scheduled = |enterprise: &str| json!({"enterprise_id": enterprise, "scheduled_for": in_seconds(-60)});
    let mut expected = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..3 {
        expected[3].push(house.insert(json!({"notification_rule_id": rule})));
        expected[2].push(house.insert(scheduled(ENTERPRISES[0])));
        expected[1].push(house.insert(json!({})));
        expected[0].push(house.insert(scheduled(ENTERPRISES[1])));
    }
    let rows = expected.concat();
    daemon.until_queue(&[("waiting", rows.len())]).await;
    let _worker = house.worker();
    house.until_all(&rows, "SENT").await;
    let sent: Vec<i64> = house.state().deliveries(0).iter().map(|one| row_of(&one.transaction_id)).collect();
    let class = |id: &i64| expected.iter().position(|ids| ids.contains(id)).unwrap();
    let classes: Vec<usize> = sent.iter().map(class).collect();
    assert_eq!(classes, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], "{sent:?}");
}

/// The row a transaction id of ours is about.
fn row_of(transaction_id: &str) -> i64 {
    transaction_id.rsplit('-').nth(3).unwrap().parse().unwrap()
}
