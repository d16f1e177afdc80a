//! Taking notifications back: wherever one is on its way, it goes no further, and what Novu has still pending of it is cancelled.

use serde_json::{Value, json};
use xnovu_standin::{Effect, ErrorBody, Face, HttpFault};

use crate::support::{House, RedisServer, Xnovu, subscriber, until};

/// A house whose daemons hear nothing of changes: only the sweep finds what was taken back.
async fn deaf_house(redis: &RedisServer) -> House {
    let house = House::on(redis).await;
    let mut faults = house.state().faults();
    faults.realtime.discard_events = u64::MAX;
    house.state().set_faults(faults);
    house
}

fn take_back(house: &House, id: i64) {
    house.update(id, json!({"notification_status": "RETRACTED", "retraction_reason": "a mistake"}));
}

fn refusal(status: u16) -> Effect {
    // Of all that is refused here only a rate limit says when to come back: not while the test runs.
    let retry_after_s = (status == 429).then_some(3_600);
    Effect::Status { status, body: ErrorBody::Json, retry_after_s, behind_idempotency: false }
}

/// Waits until the row is marked; answers it.
async fn until_marked(house: &House, id: i64) -> Value {
    until("the retraction is carried and marked", async || {
        let row = house.row(id);
        if row["error_details"]["cancelled"].is_string() { Ok(row) } else { Err(row.to_string()) }
    })
    .await
}

async fn until_rounds(daemon: &Xnovu, more: u64) {
    let rounds = async || daemon.health().await["sweeps"]["retracted"]["rounds"].as_u64().unwrap();
    let before = rounds().await;
    until(&format!("{more} more rounds have looked for retractions"), async || {
        let now = rounds().await;
        if now >= before + more { Ok(()) } else { Err(format!("{now}, {before} before")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_a_sent_row_is_cancelled_once_though_nobody_told() {
    let redis = RedisServer::start().await;
    let house = deaf_house(&redis).await;
    let recipients: Vec<String> = (0..250).map(subscriber).collect();
    let id = house.insert(json!({"recipients": recipients}));
    let stays = house.insert(json!({}));
    let daemon = house.daemon();
    let _worker = house.worker();
    house.until_all(&[id, stays], "SENT").await;
    // Novu refuses twice: nothing is marked then, and the sweep brings the row again.
    house.fault(HttpFault {
        method: Some("DELETE".to_owned()),
        count: Some(2),
        ..HttpFault::new(Face::Novu, refusal(500))
    });
    take_back(&house, id);
    let row = until_marked(&house, id).await;
    let deliveries = house.deliveries(id);
    assert_eq!(deliveries.len(), 3);
    assert!(deliveries.iter().all(|delivery| delivery.cancelled), "{deliveries:?}");
    assert!(house.deliveries(stays).iter().all(|delivery| !delivery.cancelled));
    until_rounds(&daemon, 2).await;
    assert_eq!(house.state().stats().novu.cancelled, 3);
    assert_eq!((&house.row(id), &row["retraction_reason"]), (&row, &json!("a mistake")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_before_a_partial_failure_is_cancelled_with_the_row() {
    let redis = RedisServer::start().await;
    let house = deaf_house(&redis).await;
    house.fault(HttpFault { body_contains: Some("-m0-c2\"".to_owned()), ..HttpFault::new(Face::Novu, refusal(422)) });
    let recipients: Vec<String> = (0..250).map(subscriber).collect();
    let id = house.insert(json!({"recipients": recipients}));
    let _daemon = house.daemon();
    let _worker = house.worker();
    house.until_status(id, "FAILED").await;
    take_back(&house, id);
    until_marked(&house, id).await;
    let deliveries = house.deliveries(id);
    assert_eq!(deliveries.len(), 2);
    assert!(deliveries.iter().all(|delivery| delivery.cancelled), "{deliveries:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_row_is_taken_out_of_the_queue_and_what_was_sent_of_it_is_cancelled() {
    let redis = RedisServer::start().await;
    let house = deaf_house(&redis).await;
    house.fault(HttpFault { body_contains: Some("-m0-c1\"".to_owned()), ..HttpFault::new(Face::Novu, refusal(429)) });
    let recipients: Vec<String> = (0..150).map(subscriber).collect();
    let id = house.insert(json!({"recipients": recipients}));
    let daemon = house.daemon();
    let worker = house.worker();
    until("the first call was accepted and the second postponed", async || {
        let deliveries = house.deliveries(id);
        if deliveries.len() == 1 { Ok(()) } else { Err(format!("{deliveries:?}")) }
    })
    .await;
    daemon.until_queue(&[("delayed", 1), ("active", 0)]).await;
    // Without a worker only the daemon can carry it.
    worker.stop().await;
    take_back(&house, id);
    until_marked(&house, id).await;
    daemon.until_queue(&[("waiting", 0), ("delayed", 0), ("active", 0)]).await;
    house.mend();
    let _worker = house.worker();
    let other = house.insert(json!({}));
    house.until_status(other, "SENT").await;
    let deliveries = house.deliveries(id);
    assert!(deliveries.len() == 1 && deliveries[0].cancelled, "{deliveries:?}");
    assert_eq!(house.status(id), "RETRACTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_row_is_not_sent() {
    let redis = RedisServer::start().await;
    let house = deaf_house(&redis).await;
    let daemon = house.daemon();
    let id = house.insert(json!({}));
    daemon.until_queue(&[("waiting", 1)]).await;
    take_back(&house, id);
    let _worker = house.worker();
    daemon.until_queue(&[("waiting", 0), ("active", 0), ("delayed", 0)]).await;
    let row = house.row(id);
    assert_eq!((&row["notification_status"], &row["transaction_id"]), (&json!("RETRACTED"), &Value::Null));
    assert_eq!(house.state().deliveries(0), []);
}
