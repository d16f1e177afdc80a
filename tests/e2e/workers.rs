//! Workers as an operator sees and steers them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::crashes::{slow_novu, until_accepted, worker_in_the_middle_of_30};
use crate::support::{House, RedisServer, TABLE, Xnovu, free_port, process, until, until_within};

/// Long enough for a machine that is busy with everything else.
const PATIENCE: Duration = Duration::from_secs(120);

/// Exit code after a second signal.
const EXIT_INTERRUPTED: i32 = 130;

/// The workers that are listed. One that was killed is listed a while longer and left out here.
async fn listed(house: &House) -> Vec<Value> {
    let ran = house.run(&["worker", "list", "--output", "json"]).await.succeeded();
    ran.json().as_array().unwrap().iter().filter(|worker| is_alive(pid(worker))).cloned().collect()
}

async fn until_listed(house: &House, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    until_within(PATIENCE, what, async || {
        let workers = listed(house).await;
        if holds(&workers) { Ok(workers) } else { Err(format!("{workers:?}")) }
    })
    .await
}

fn text(worker: &Value, name: &str) -> String {
    worker[name].as_str().unwrap().to_owned()
}

fn pid(worker: &Value) -> u64 {
    worker["pid"].as_u64().unwrap()
}

fn is_alive(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn kill(pid: u64) {
    let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
}

/// A state directory beside the one of the house, as another machine would have it.
fn elsewhere(house: &mut House) -> PathBuf {
    let dir = house.dir().join("elsewhere");
    house.set("XNOVU_STATE_DIR", dir.display());
    dir
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_workers_of_a_state_directory_say_how_they_are_and_none_is_not_well() {
    let mut redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let asked = async || house.run(&["worker", "status", "--output", "json"]).await;
    let none = asked().await;
    assert_eq!((none.code, none.json()), (Some(1), serde_json::json!([])));
    let text = house.run(&["worker", "status"]).await;
    assert!(text.code == Some(1) && text.stderr.contains("hint: "), "{text:?}");
    let workers = [house.worker(), house.worker()];
    let told = until("two workers are well", async || {
        let ran = asked().await;
        let told = ran.json();
        if ran.code == Some(0) && told.as_array().unwrap().len() == 2 { Ok(told) } else { Err(format!("{ran:?}")) }
    })
    .await;
    let mut pids: Vec<u64> = told.as_array().unwrap().iter().map(pid).collect();
    let mut want = workers.each_ref().map(|worker| u64::from(worker.pid()));
    pids.sort_unstable();
    want.sort_unstable();
    assert_eq!(pids, want);
    // Neither Redis nor a setting is needed to ask, and without Redis they are not well.
    redis.kill();
    let state = [("XNOVU_STATE_DIR", house.dir().join("state").display().to_string())];
    until("the workers miss Redis", async || {
        let ran = process::run(&["worker", "status"], house.dir(), &state).await;
        let missed = ran.code == Some(1) && ran.stdout.matches("unhealthy").count() == 2;
        if missed && ran.stdout.contains("queue: ") { Ok(()) } else { Err(format!("{ran:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_listed_with_what_they_do_also_those_of_other_state_directories() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("WORKER_CONCURRENCY", 3);
    let _daemon = house.daemon();
    assert_eq!(listed(&house).await, Vec::<Value>::new());
    let here = house.worker();
    elsewhere(&mut house);
    house.set("WORKER_CONCURRENCY", 2);
    let there = house.worker();
    let both = until_listed(&house, "both are listed", |workers| workers.len() == 2).await;
    let mut concurrency: Vec<u64> = both.iter().map(|worker| worker["concurrency"].as_u64().unwrap()).collect();
    concurrency.sort_unstable();
    assert_eq!(concurrency, [2, 3]);
    house.fault(slow_novu(60_000));
    house.insert_plain(5);
    until_listed(&house, "five jobs are under way", |workers| {
        workers.iter().all(|worker| worker["active"] == worker["concurrency"])
    })
    .await;
    let table = house.run(&["worker", "list"]).await.succeeded().stdout;
    for worker in &both {
        let line =
            table.lines().find(|line| line.starts_with(&text(worker, "id"))).unwrap_or_else(|| panic!("{table}"));
        assert!(line.contains(&pid(worker).to_string()) && line.ends_with("running"), "{line}");
    }
    there.kill();
    let left = until_listed(&house, "one is left", |workers| workers.len() == 1).await;
    assert_eq!(left[0]["concurrency"], 3);
    drop(here);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemon_and_worker_live_while_redis_is_away_and_cannot_work() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let live = ["daemon", "worker"].map(|verb| [verb, "status", "--live"]);
    for verb in live {
        let ran = house.run(&verb).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("runs with the state directory") && ran.stderr.contains("hint:"), "{ran:?}");
    }
    let (daemon, worker) = (house.daemon(), house.worker());
    for verb in ["daemon", "worker"] {
        until_within(PATIENCE, "it is well", async || {
            let ran = house.run(&[verb, "status"]).await;
            if ran.code == Some(0) { Ok(()) } else { Err(format!("{ran:?}")) }
        })
        .await;
    }
    drop(redis);
    for verb in ["daemon", "worker"] {
        until_within(PATIENCE, "it tells of the lost queue", async || {
            let ran = house.run(&[verb, "status"]).await;
            if ran.code == Some(1) && ran.stdout.contains("queue") { Ok(()) } else { Err(format!("{ran:?}")) }
        })
        .await;
        let ran = house.run(&[verb, "status", "--live"]).await.succeeded();
        assert!(ran.stdout.contains("alive"), "{ran:?}");
        let ran = house.run(&[verb, "status", "--live", "--output", "json"]).await.succeeded();
        assert!(ran.stdout.contains("alive"), "{ran:?}");
    }
    drop((daemon, worker));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_stopped_by_the_first_letters_of_its_name_after_what_is_under_way() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let (_daemon, worker, ids) = worker_in_the_middle_of_30(&house).await;
    let id = text(&until_listed(&house, "it is listed", |workers| workers.len() == 1).await[0], "id");
    let ran = house.run(&["worker", "stop", &id[..5]]).await.succeeded();
    assert!(ran.stderr.contains(&format!("asked worker {id}")), "{ran:?}");
    let (status, output) = worker.ended().await;
    assert!(status.success(), "{output}");
    let under_way = house.state().rows(TABLE, &[("notification_status", "PROCESSING")]).unwrap();
    assert!(under_way.is_empty(), "left behind: {under_way:?}");
    assert_eq!(listed(&house).await, Vec::<Value>::new());
    let nobody = house.run(&["worker", "stop", &id]).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("hint: `xnovu worker list`"), "{nobody:?}");
    house.mend();
    let _next = house.worker();
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_another_machine_is_stopped_through_redis() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    let here = house.worker();
    let own = text(&until_listed(&house, "it is listed", |workers| workers.len() == 1).await[0], "id");
    let dir = house.dir().join("state");
    elsewhere(&mut house);
    let there = house.worker();
    let both = until_listed(&house, "both are listed", |workers| workers.len() == 2).await;
    let other = both.iter().map(|worker| text(worker, "id")).find(|id| *id != own).unwrap();
    // From where only the first one's socket can be reached.
    house.set("XNOVU_STATE_DIR", dir.display());
    house.run(&["worker", "stop", &other]).await.succeeded();
    let (status, output) = there.ended().await;
    assert!(status.success() && output.contains("asked to stop"), "{output}");
    let left = listed(&house).await;
    assert_eq!((left.len(), text(&left[0], "id")), (1, own));
    let ran = house.run(&["worker", "stop", "--all"]).await.succeeded();
    assert!(ran.stderr.contains("stopped: 1"), "{ran:?}");
    assert!(here.ended().await.0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_inside_a_daemon_without_redis_are_listed_over_its_socket() {
    let house = House::with(None, xnovu_standin::Options::default()).await;
    let daemon = house.daemon();
    daemon.health().await;
    let workers = until_listed(&house, "the worker inside is listed", |workers| workers.len() == 1).await;
    assert_eq!(workers[0]["in_daemon"], true);
    let table = house.run(&["worker", "list"]).await.succeeded().stdout;
    assert!(table.contains("in daemon"), "{table}");
}

fn supervisor(house: &House, count: &str) -> Xnovu {
    let arguments = ["worker", "scale", count, "--concurrency", "2"];
    Xnovu::start("supervisor", &arguments, house.dir(), &house.environment(0), None)
}

async fn until_running(house: &House, count: usize) -> Vec<Value> {
    until_listed(house, &format!("{count} workers run"), |workers| {
        workers.len() == count && workers.iter().all(|worker| worker["draining"] == false)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_reaches_its_number_replaces_what_crashed_and_obeys_a_second_call() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let nobody = house.run(&["worker", "scale", "0"]).await.succeeded();
    assert!(nobody.stderr.contains("no supervisor runs"), "{nobody:?}");
    let supervisor = supervisor(&house, "2");
    let two = until_running(&house, 2).await;
    assert!(two.iter().all(|worker| worker["concurrency"] == 2), "{two:?}");
    let crashed = pid(&two[0]);
    kill(crashed);
    let replaced = until_listed(&house, "another worker runs in its place", |workers| {
        workers.len() == 2 && workers.iter().all(|worker| pid(worker) != crashed)
    })
    .await;
    let ran = house.run(&["worker", "scale", "3"]).await.succeeded();
    assert!(ran.stderr.contains("goes from 2 to 3 worker(s)") && ran.stderr.contains("worker 3 (pid"), "{ran:?}");
    let three = until_running(&house, 3).await;
    let fleet = house.run(&["worker", "scale", "1", "--output", "json"]).await.succeeded().json();
    assert_eq!((fleet["target"].as_u64(), fleet["workers"].as_array().unwrap().len()), (Some(1), 1));
    let one = until_running(&house, 1).await;
    assert!(replaced.iter().any(|worker| pid(worker) == pid(&one[0])), "not one of the oldest: {one:?} of {three:?}");
    house.run(&["worker", "scale", "0"]).await.succeeded();
    until_running(&house, 0).await;
    house.run(&["worker", "scale", "1"]).await.succeeded();
    let last = until_running(&house, 1).await;
    let output = supervisor.stop().await;
    assert!(!is_alive(pid(&last[0])), "{output}");
    until_running(&house, 0).await;
    // The place is free for the next one.
    let next = self::supervisor(&house, "1");
    until_running(&house, 1).await;
    house.run(&["worker", "stop"]).await.succeeded();
    assert!(next.ended().await.0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_worker_of_a_supervisor_serves_its_health_at_the_port_of_its_place() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let base = free_port() - 1;
    let arguments = ["worker", "scale", "1", "--health-port", &base.to_string()];
    let supervisor = Xnovu::start("supervisor", &arguments, house.dir(), &house.environment(0), Some(base + 1));
    let first = supervisor.health().await["process"]["pid"].clone();
    // Another worker takes the place of the one before, and its port.
    house.run(&["worker", "scale", "0"]).await.succeeded();
    house.run(&["worker", "scale", "1"]).await.succeeded();
    let second = supervisor.health().await["process"]["pid"].clone();
    assert!(first.is_u64() && second.is_u64() && first != second, "{first} and {second}");
    supervisor.stop().await;
    let beyond = house.run(&["worker", "scale", "1", "--health-port", "65400"]).await;
    assert_eq!(beyond.code, Some(2), "{beyond:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_end_what_is_under_way_when_their_supervisor_stops_and_also_when_it_is_killed() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let daemon = house.daemon();
    let ids = house.insert_plain(60);
    daemon.until_queue(&[("waiting", ids.len())]).await;
    house.fault(slow_novu(500));
    let stopped = supervisor(&house, "2");
    until_accepted(&house, 4).await;
    stopped.stop().await;
    let nothing_under_way = async || {
        until("no row is under way", async || {
            let rows = house.state().rows(TABLE, &[("notification_status", "PROCESSING")]).unwrap();
            if rows.is_empty() { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await;
    };
    nothing_under_way().await;
    let sent = house.state().deliveries(0).len();
    let killed = supervisor(&house, "2");
    until_accepted(&house, sent + 4).await;
    killed.kill();
    until_running(&house, 0).await;
    nothing_under_way().await;
    house.mend();
    let _worker = house.worker();
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_supervisor_and_its_workers_at_once() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let _daemon = house.daemon();
    house.insert_plain(4);
    house.fault(slow_novu(60_000));
    let supervisor = supervisor(&house, "2");
    until_accepted(&house, 4).await;
    let workers = until_running(&house, 2).await;
    supervisor.ask_to_stop();
    until_listed(&house, "the workers drain", |workers| workers.iter().all(|worker| worker["draining"] == true)).await;
    supervisor.ask_to_stop();
    let (status, output) = supervisor.ended().await;
    assert_eq!(status.code(), Some(EXIT_INTERRUPTED), "{output}");
    until("the workers are gone", async || {
        let alive: Vec<u64> = workers.iter().map(pid).filter(|pid| is_alive(*pid)).collect();
        if alive.is_empty() { Ok(()) } else { Err(format!("{alive:?}")) }
    })
    .await;
}
