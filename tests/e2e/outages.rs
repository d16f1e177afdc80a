//! Services that fail for a while: everybody is served afterwards, nobody twice, and nothing is given up for it.

use std::time::Duration;

use serde_json::json;
use xnovu_standin::{Action, Effect, ErrorBody, Face, Faults, HttpFault, Options, RealtimeFaults};

use crate::support::{House, RedisServer, TABLE, Xnovu, until, until_within};

/// Novu is tried again every 30 s while it is down.
const PROBE_PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any test, in milliseconds.
const NEVER_MS: u64 = 3_600_000;

/// Rows that meet an outage.
const ROWS: usize = 12;

fn answer(status: u16) -> Effect {
    Effect::Status { status, body: ErrorBody::Html, retry_after_s: None, behind_idempotency: false }
}

/// Rows that are queued before Novu goes wrong, and a worker that meets it so.
async fn met_by_a_worker(house: &mut House, effect: Effect) -> [Xnovu; 2] {
    // With one job at a time the probe that succeeds lets the next one through.
    house.set("WORKER_CONCURRENCY", 1);
    house.break_novu(effect);
    house.insert_plain(ROWS);
    let daemon = house.daemon();
    daemon.until_queue(&[("waiting", ROWS)]).await;
    let worker = house.worker();
    daemon.until_queue(&[("waiting", 0), ("active", 0), ("delayed", ROWS)]).await;
    [daemon, worker]
}

/// Waits past the next probe until that many are sent, and shows that nobody paid for the outage.
async fn until_sent_after_the_next_probe(house: &House, count: usize) {
    until_within(PROBE_PATIENCE, &format!("{count} rows are SENT"), async || {
        let stats = house.state().stats().tables;
        let by_status = &stats[TABLE].by_status;
        if by_status.get("SENT") == Some(&count) { Ok(()) } else { Err(format!("{by_status:?}")) }
    })
    .await;
    assert_nobody_failed(house);
    let sent = house.state().rows(TABLE, &[("notification_status", "SENT")]).unwrap();
    house.assert_sent_once(&sent.iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>());
}

fn assert_nobody_failed(house: &House) {
    let failed = house.state().rows(TABLE, &[("notification_status", "FAILED")]).unwrap();
    assert!(failed.is_empty(), "failed by an outage: {failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_novu_is_down_nobody_fails_and_afterwards_everybody_is_sent_once() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    let _processes = met_by_a_worker(&mut house, answer(503)).await;
    assert_nobody_failed(&house);
    house.mend();
    until_sent_after_the_next_probe(&house, ROWS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_novu_refuses_stops_the_calls_and_one_that_works_again_resumes_them() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    let _processes = met_by_a_worker(&mut house, answer(401)).await;
    assert_nobody_failed(&house);
    house.mend();
    until_sent_after_the_next_probe(&house, ROWS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_whose_answers_are_lost_are_made_again_and_deliver_once() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    // Fewer than what counts as Novu being down.
    house.fault(HttpFault { count: Some(4), ..HttpFault::new(Face::Novu, Effect::Cut) });
    let ids = house.insert_plain(10);
    let _daemon = house.daemon();
    let _worker = house.worker();
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
    assert!(house.state().faults().http.is_empty(), "the fault is not used up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_for_a_while_delays_and_loses_nothing() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    house.fault(HttpFault { count: Some(15), ..HttpFault::new(Face::Rest, answer(503)) });
    let ids = house.insert_plain(10);
    let _daemon = house.daemon();
    let _worker = house.worker();
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
    assert!(house.state().faults().http.is_empty(), "the fault is not used up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_events_are_lost_are_found_by_the_sweep() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let daemon = house.daemon();
    let _worker = house.worker();
    daemon.until_subscribed().await;
    let realtime = RealtimeFaults { discard_events: u64::MAX, ..RealtimeFaults::default() };
    house.state().set_faults(Faults { realtime, ..Faults::default() });
    let mut ids = house.insert_plain(20);
    house.until_all(&ids, "SENT").await;
    // The search that follows a new subscription may have found those; these only the next rounds can.
    for _ in 0..2 {
        let more = house.insert_plain(5);
        house.until_all(&more, "SENT").await;
        ids.extend(more);
    }
    house.assert_sent_once(&ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_come_while_the_socket_is_gone_are_found_without_the_periodic_sweep() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("XNOVU_SWEEP_INTERVAL", NEVER_MS);
    let daemon = house.daemon();
    let _worker = house.worker();
    daemon.until_subscribed().await;
    let joins = house.state().stats().realtime.joins_total;
    house.state().act(Action::DropSockets);
    let ids = house.insert_plain(20);
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
    // A search that the first subscription asked for may still have been under way and found them before the socket was back.
    until_within(PROBE_PATIENCE, "the socket is back", async || {
        let after = house.state().stats().realtime;
        if after.joins_total > joins { Ok(()) } else { Err(format!("{after:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_told_twice_and_out_of_order_are_sent_once() {
    let redis = RedisServer::start().await;
    let house = House::with(Some(&redis), Options { poll_interval_ms: 200, ..Options::default() }).await;
    let daemon = house.daemon();
    let _worker = house.worker();
    daemon.until_subscribed().await;
    let realtime = RealtimeFaults {
        duplicate_events: 1_000,
        reorder_events: true,
        truncate_events: true,
        ..RealtimeFaults::default()
    };
    house.state().set_faults(Faults { realtime, ..Faults::default() });
    let ids = house.insert_plain(40);
    for id in ids.iter().step_by(4) {
        house.update(*id, json!({"tags": ["edited"]}));
    }
    house.until_all(&ids, "SENT").await;
    until("no job is left", async || {
        let stats = daemon.health().await["queue_stats"]["notification"].clone();
        let left = ["waiting", "active", "delayed", "failed"].iter().filter(|name| stats[**name] != 0).count();
        if left == 0 { Ok(()) } else { Err(stats.to_string()) }
    })
    .await;
    house.assert_sent_once(&ids);
}
