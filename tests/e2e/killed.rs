//! The long run with a worker and the daemon killed in its middle, judged by the same oracle as without.

use xnovu_standin::{NovuFaults, Options};

use crate::crashes::{PAST_THE_LEASE_MS, slow_novu, until_accepted};
use crate::run::Run;
use crate::support::{House, RedisServer};

/// Jobs one worker performs at a time, and so the most calls that are under way when it is killed.
const UNDER_WAY: usize = 5;

/// Turns of the run: every kind of notification of every enterprise four times.
const TURNS: usize = 400;

/// A house whose workers are missed after seconds instead of a minute.
async fn house_on(redis: &RedisServer) -> House {
    let mut house = House::on(redis).await;
    house.set("WORKER_CONCURRENCY", UNDER_WAY);
    house.set("QUEUE_LOCK", 2_000);
    house.set("QUEUE_STALLED_INTERVAL", 1_000);
    house
}

/// Kills a worker and the daemon while calls are under way, lets others go on, and waits for the end of every notification.
async fn kill_in_the_middle(house: &House, run: &mut Run<'_>) {
    run.insert(0..TURNS / 2);
    let daemon = house.daemon();
    let (killed, _survivor) = (house.worker(), house.worker());
    until_accepted(house, 40).await;
    daemon.kill();
    run.insert(TURNS / 2..TURNS);
    until_accepted(house, 60).await;
    killed.kill();
    let_the_leases_of_the_killed_end(house);
    let daemon = house.daemon();
    let _other = house.worker();
    run.ended().await;
    daemon.until_queue(&[("waiting", 0), ("active", 0), ("failed", failed_jobs(house))]).await;
}

/// Without this the test would have to wait for as long as a claim lasts. Novu is quick again.
fn let_the_leases_of_the_killed_end(house: &House) {
    let mut faults = house.state().faults();
    faults.clock_offset_ms = PAST_THE_LEASE_MS;
    faults.http.clear();
    house.state().set_faults(faults);
}

/// Notifications that must fail leave a failed job.
fn failed_jobs(house: &House) -> usize {
    house.state().rows(crate::support::TABLE, &[("notification_status", "FAILED")]).unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_and_the_daemon_that_are_killed_in_the_middle_lose_nothing_and_nobody_gets_anything_twice() {
    let redis = RedisServer::start().await;
    let house = house_on(&redis).await;
    let mut run = Run::new(&house);
    house.fault(slow_novu(200));
    kill_in_the_middle(&house, &mut run).await;
    run.judge();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_novu_knows_no_idempotency_only_calls_under_way_at_the_kill_are_repeated_and_their_rows_name_them() {
    let redis = RedisServer::start().await;
    let house = house_on(&redis).await;
    let mut run = Run::new(&house);
    let mut faults = house.state().faults();
    faults.novu = NovuFaults { idempotency_off: true, accept_duplicates: true, ..NovuFaults::default() };
    faults.http.push(slow_novu(200));
    house.state().set_faults(faults);
    kill_in_the_middle(&house, &mut run).await;
    let doubles = run.judge_but_for_doubles();
    assert!(doubles <= UNDER_WAY, "{doubles} calls were repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_its_queue_in_memory_that_is_killed_in_the_middle_loses_nothing_and_nobody_gets_anything_twice()
{
    let house = House::with(None, Options::default()).await;
    let mut run = Run::new(&house);
    house.fault(slow_novu(200));
    run.insert(0..TURNS / 2);
    let killed = house.daemon();
    until_accepted(&house, 40).await;
    killed.kill();
    run.insert(TURNS / 2..TURNS);
    let_the_leases_of_the_killed_end(&house);
    let _next = house.daemon();
    run.ended().await;
    run.judge();
}
