//! What people do to a notification while it is under way: the row as it is when it is claimed decides, and after that only taking it
//! back does.

use serde_json::json;
use xnovu_standin::{Effect, ErrorBody, Face, HttpFault, Options, WorkflowState};

use crate::support::plugins::bind_priority_desk;
use crate::support::{
    ENTERPRISES, House, RedisServer, assert_delivered_once, in_seconds, own_workflow, recipients_of, subscriber, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_row_that_is_deactivated_and_activated_again_is_sent_once() {
    let redis = RedisServer::start().await;
    // Without the trigger the row's second life has the episode, and so the job id, of its first.
    let house = House::with(Some(&redis), Options { touch_updated_at: false, ..Options::default() }).await;
    let daemon = house.daemon();
    let id = house.insert(json!({}));
    daemon.until_queue(&[("waiting", 1)]).await;
    house.update(id, json!({"deactivated": true}));
    let _worker = house.worker();
    daemon.until_queue(&[("waiting", 0), ("active", 0), ("completed", 1)]).await;
    house.assert_untouched(id);
    house.update(id, json!({"deactivated": false}));
    house.until_status(id, "SENT").await;
    house.assert_sent_once(&[id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_row_that_is_no_longer_owed_is_not_sent() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let daemon = house.daemon();
    let changes = [
        json!({"publish_status": "DRAFT"}),
        json!({"publish_status": "DELETED"}),
        json!({"deactivated": true}),
        json!({"scheduled_for": in_seconds(86_400)}),
    ];
    let ids = house.insert_plain(changes.len());
    let taken_back = house.insert(json!({}));
    let gone = house.insert(json!({}));
    daemon.until_queue(&[("waiting", 6)]).await;
    for (id, change) in ids.iter().zip(changes) {
        house.update(*id, change);
    }
    house.update(taken_back, json!({"notification_status": "RETRACTED", "retraction_reason": "a mistake"}));
    assert!(house.state().delete("ent_notification", gone).unwrap());
    let _worker = house.worker();
    // Four are over at once, one waits for its new time, and a row that cannot be seen fails its job.
    daemon.until_queue(&[("waiting", 0), ("active", 0), ("completed", 4), ("delayed", 1), ("failed", 1)]).await;
    for id in ids {
        house.assert_untouched(id);
    }
    assert_eq!(house.row(taken_back)["retraction_reason"], "a mistake");
    assert_eq!(house.state().deliveries(0), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_row_that_is_edited_is_sent_once_and_as_it_reads_now() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let daemon = house.daemon();
    let id = house.insert(json!({"payload": {"text": "first draft"}}));
    daemon.until_queue(&[("waiting", 1)]).await;
    house.update(id, json!({"payload": {"text": "final"}, "recipients": [subscriber(7), subscriber(8)]}));
    daemon.until_queue(&[("waiting", 2)]).await;
    let _worker = house.worker();
    house.until_status(id, "SENT").await;
    daemon.until_queue(&[("waiting", 0), ("active", 0), ("delayed", 0)]).await;
    house.assert_sent_once(&[id]);
    assert_eq!(house.deliveries(id)[0].payload, json!({"text": "final"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_row_that_the_rules_refuse_by_now_is_retracted_and_not_sent() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    bind_priority_desk(&house);
    // A daemon that sees the edit would drop the row itself; this one is gone by then.
    let daemon = house.daemon();
    let id = house.insert(json!({"enterprise_id": ENTERPRISES[1], "tags": ["vip"]}));
    daemon.until_queue(&[("waiting", 1)]).await;
    daemon.stop().await;
    house.update(id, json!({"tags": ["promo"]}));
    let _worker = house.worker();
    house.until_status(id, "RETRACTED").await;
    let row = house.row(id);
    assert_eq!(row["retraction_reason"], "rule: the desk drops tag promo");
    assert!(row["retracted_at"].is_string(), "{row}");
    assert_eq!(house.state().deliveries(0), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_taken_back_while_it_is_sent_or_after_is_cancelled_at_novu() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let sent = house.insert(json!({}));
    let _daemon = house.daemon();
    let _worker = house.worker();
    house.until_status(sent, "SENT").await;
    house.fault(HttpFault { latency_ms: 1_000, ..HttpFault::new(Face::Novu, Effect::Pass) });
    let sending = house.insert(json!({}));
    until("Novu has accepted both", async || {
        let deliveries = house.state().deliveries(0);
        if deliveries.len() == 2 { Ok(()) } else { Err(format!("{deliveries:?}")) }
    })
    .await;
    assert_eq!(house.status(sending), "PROCESSING");
    for id in [sent, sending] {
        house.update(id, json!({"notification_status": "RETRACTED", "retraction_reason": "a mistake"}));
    }
    for id in [sent, sending] {
        until("the retraction is carried and marked", async || {
            let (row, deliveries) = (house.row(id), house.deliveries(id));
            let carried = row["error_details"]["cancelled"].is_string() && deliveries.iter().all(|one| one.cancelled);
            if carried { Ok(()) } else { Err(format!("{row} {deliveries:?}")) }
        })
        .await;
        assert_eq!(house.status(id), "RETRACTED");
        assert_eq!(house.deliveries(id).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_row_that_is_set_back_after_its_cause_is_mended_is_sent_once() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let key = own_workflow("welcome", ENTERPRISES[0]);
    house.state().set_workflow(&key, WorkflowState::Inactive);
    let id = house.insert(json!({}));
    let _daemon = house.daemon();
    let _worker = house.worker();
    house.until_status(id, "FAILED").await;
    let told = house.row(id)["error_details"].to_string();
    assert!(told.contains("trigger_not_active"), "{told}");
    house.state().set_workflow(&key, WorkflowState::Active);
    house.update(id, json!({"notification_status": "PENDING"}));
    house.until_status(id, "SENT").await;
    house.assert_sent_once(&[id]);
    assert_eq!(house.row(id)["error_details"]["error"], json!(null), "the old trouble is still told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_reached_before_a_partial_failure_is_not_reached_again_when_the_row_is_set_back() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let refusal = Effect::Status { status: 422, body: ErrorBody::Json, retry_after_s: None, behind_idempotency: false };
    house.fault(HttpFault { body_contains: Some("-m0-c2\"".to_owned()), ..HttpFault::new(Face::Novu, refusal) });
    let recipients: Vec<String> = (0..250).map(subscriber).collect();
    let id = house.insert(json!({"recipients": recipients}));
    let _daemon = house.daemon();
    let _worker = house.worker();
    house.until_status(id, "FAILED").await;
    assert_eq!(house.row(id)["error_details"]["accepted"].as_array().unwrap().len(), 2);
    let first = house.deliveries(id);
    assert_eq!(recipients_of(&first).len(), 200);
    house.mend();
    house.update(id, json!({"notification_status": "PENDING"}));
    house.until_status(id, "SENT").await;
    let all = house.deliveries(id);
    assert_eq!(recipients_of(&all), recipients, "everybody once");
    assert_delivered_once(
        &json!({"transaction_id": house.row(id)["transaction_id"], "recipients": &recipients[200..]}),
        &all[2..],
    );
}
