//! Workers that die with jobs under way: the queue's own check gives their jobs to others, long before anybody looks at the rows.

use xnovu_standin::Options;

use crate::crashes::{let_leases_end, slow_novu, until_accepted};
use crate::support::{House, RedisServer, TABLE};

/// Jobs under way when the worker is killed.
const UNDER_WAY: usize = 40;

/// A house whose workers are missed after seconds instead of a minute.
async fn house_on(redis: &RedisServer) -> House {
    let mut house = House::with(Some(redis), Options { novu_idempotency: true, ..Options::default() }).await;
    house.set("WORKER_CONCURRENCY", UNDER_WAY);
    house.set("SUPABASE_MAX_CONCURRENCY", UNDER_WAY);
    house.set("QUEUE_LOCK", 2_000);
    house.set("QUEUE_STALLED_INTERVAL", 1_000);
    house
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_a_worker_that_is_killed_are_taken_over_and_each_is_sent_once() {
    let redis = RedisServer::start().await;
    let house = house_on(&redis).await;
    let daemon = house.daemon();
    let ids = house.insert_plain(UNDER_WAY + 20);
    daemon.until_queue(&[("waiting", ids.len())]).await;
    house.fault(slow_novu(60_000));
    let killed = house.worker();
    until_accepted(&house, UNDER_WAY).await;
    daemon.until_queue(&[("active", UNDER_WAY)]).await;
    killed.kill();
    assert_eq!(house.state().rows(TABLE, &[("notification_status", "PROCESSING")]).unwrap().len(), UNDER_WAY);
    // The rows may be claimed again; what remains to be shown is that the queue hands the jobs out again.
    let_leases_end(&house);
    let other = house.worker();
    house.until_all(&ids, "SENT").await;
    daemon.until_queue(&[("active", 0), ("waiting", 0), ("failed", 0)]).await;
    house.assert_sent_once(&ids);
    let told = other.stop().await;
    assert!(told.contains("jobs of a silent worker were taken over"), "{told}");
}
