//! Processes and servers that end in the middle of the work: nothing is lost and nobody gets anything twice.

use xnovu_standin::{Effect, Face, Faults, HttpFault};

use crate::support::{House, RedisServer, TABLE, Xnovu, until};

/// Longer than a claim holds, in milliseconds.
pub(crate) const PAST_THE_LEASE_MS: i64 = 130_000;

/// Novu accepts at once and answers late, so that a test can step in between.
pub(crate) fn slow_novu(latency_ms: u64) -> HttpFault {
    HttpFault { latency_ms, ..HttpFault::new(Face::Novu, Effect::Pass) }
}

pub(crate) async fn until_accepted(house: &House, count: usize) {
    until(&format!("Novu has accepted {count} calls"), async || {
        let accepted = house.state().deliveries(0).len();
        if accepted >= count { Ok(()) } else { Err(format!("{accepted} calls")) }
    })
    .await;
}

/// A process that has stopped leaves no claim behind, and stopped before everything was done.
fn assert_stopped_cleanly_in_the_middle(house: &House, rows: usize) {
    let with = |status| house.state().rows(TABLE, &[("notification_status", status)]).unwrap();
    let under_way = with("PROCESSING");
    assert!(under_way.is_empty(), "left behind: {under_way:?}");
    let sent = with("SENT").len();
    assert!((5..rows).contains(&sent), "{sent} of {rows} were sent before the stop");
}

/// A daemon, and a worker that has begun with the first of 30 rows.
pub(crate) async fn worker_in_the_middle_of_30(house: &House) -> (Xnovu, Xnovu, Vec<i64>) {
    let daemon = house.daemon();
    let ids = house.insert_plain(30);
    daemon.until_queue(&[("waiting", 30)]).await;
    house.fault(slow_novu(700));
    let worker = house.worker();
    until_accepted(house, 5).await;
    (daemon, worker, ids)
}

/// The database's clock moves on past the lease of every claim.
pub(crate) fn let_leases_end(house: &House) {
    house.state().set_faults(Faults { clock_offset_ms: PAST_THE_LEASE_MS, ..Faults::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_killed_in_the_middle_loses_and_repeats_nothing() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let _worker = house.worker();
    let mut ids = house.insert_plain(100);
    let daemon = house.daemon();
    until_accepted(&house, 10).await;
    ids.extend(house.insert_plain(50));
    daemon.kill();
    ids.extend(house.insert_plain(50));
    let _daemon = house.daemon();
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_delays_its_own_jobs_only_and_even_with_redis_lost_they_are_sent_once() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("WORKER_CONCURRENCY", 3);
    let daemon = house.daemon();
    let ids = house.insert_plain(20);
    daemon.until_queue(&[("waiting", 20)]).await;
    house.fault(slow_novu(60_000));
    let killed = house.worker();
    until_accepted(&house, 3).await;
    killed.kill();
    let of_the_killed = house.state().rows(TABLE, &[("notification_status", "PROCESSING")]).unwrap();
    assert_eq!(of_the_killed.len(), 3, "{of_the_killed:?}");
    house.mend();
    let _other = house.worker();
    daemon.until_queue(&[("waiting", 0), ("active", 3)]).await;
    for row in &of_the_killed {
        assert_eq!(&house.row(row["id"].as_i64().unwrap()), row, "touched although its lease had not ended");
    }
    // The queue would give the three to another worker after a minute or two; it is lost before that.
    redis.command::<()>(&["FLUSHALL"]).await;
    let_leases_end(&house);
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_emptied_gets_its_work_list_back_from_the_rows() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let daemon = house.daemon();
    let ids = house.insert_plain(50);
    daemon.until_queue(&[("waiting", 50)]).await;
    redis.command::<()>(&["FLUSHALL"]).await;
    daemon.until_queue(&[("waiting", 50)]).await;
    let _worker = house.worker();
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_started_again_empty_is_found_again_by_daemon_and_workers() {
    let mut redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let daemon = house.daemon();
    let worker = house.worker();
    let mut ids = house.insert_plain(20);
    house.until_all(&ids, "SENT").await;
    redis.kill();
    ids.extend(house.insert_plain(20));
    redis.start_again().await;
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
    worker.stop().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_asked_to_stop_ends_its_jobs_first_and_leaves_the_others_to_the_next() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let (_daemon, worker, ids) = worker_in_the_middle_of_30(&house).await;
    worker.stop().await;
    assert_stopped_cleanly_in_the_middle(&house, 30);
    house.mend();
    let _next = house.worker();
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_its_queue_in_memory_that_is_stopped_and_started_again_loses_and_repeats_nothing() {
    let house = House::with(None, xnovu_standin::Options::default()).await;
    house.fault(slow_novu(500));
    let ids = house.insert_plain(60);
    let process = house.daemon();
    until_accepted(&house, 5).await;
    process.stop().await;
    house.mend();
    assert_stopped_cleanly_in_the_middle(&house, 60);
    let _process = house.daemon();
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_database_that_is_lost_after_the_settle_sends_nothing_again() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let cut = HttpFault::new(Face::Rest, Effect::Cut);
    house.fault(HttpFault {
        method: Some("PATCH".to_owned()),
        body_contains: Some("SENT".to_owned()),
        count: Some(5),
        ..cut
    });
    let ids = house.insert_plain(10);
    let daemon = house.daemon();
    let _worker = house.worker();
    house.until_all(&ids, "SENT").await;
    daemon.until_queue(&[("waiting", 0), ("active", 0), ("delayed", 0), ("failed", 0)]).await;
    house.assert_sent_once(&ids);
    assert!(house.state().faults().http.is_empty(), "the fault is not used up");
}
