//! What the rules decide, and what becomes of those whose rules cannot decide.

use std::fs;

use serde_json::json;

use crate::support::plugins::bind_priority_desk;
use xnovu_standin::Options;

use crate::support::{ENTERPRISES, House, RedisServer, Xnovu, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_rules_raise_is_sent_before_what_came_first() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("WORKER_CONCURRENCY", 1);
    bind_priority_desk(&house);
    let daemon = house.daemon();
    let mut ids = house.insert_plain(10);
    daemon.until_queue(&[("waiting", 10)]).await;
    let raised = house.insert(json!({"enterprise_id": ENTERPRISES[1], "tags": ["vip"]}));
    daemon.until_queue(&[("waiting", 11)]).await;
    let _worker = house.worker();
    ids.push(raised);
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
    let first = &house.state().deliveries(0)[0];
    assert_eq!(first.enterprise_id.unwrap().to_string(), ENTERPRISES[1], "the first was {first:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_do_not_load_hold_their_own_enterprise_only_and_until_they_do() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    bind_priority_desk(&house);
    let component = house.plugins().join("priority-desk/priority-desk.wasm");
    let good = fs::read(&component).unwrap();
    fs::write(&component, b"no component").unwrap();
    let held = house.insert(json!({"enterprise_id": ENTERPRISES[1], "tags": ["vip"]}));
    let others = house.insert_plain(10);
    let (daemon, worker) = (house.daemon(), house.worker());
    house.until_all(&others, "SENT").await;
    until("the held enterprise shows in the health", async || {
        let health = daemon.health().await;
        let shown = health["status"] == "degraded" && health["plugins"][0]["state"] == "not-loaded";
        if shown { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
    house.assert_sent_once(&others);
    house.assert_untouched(held);
    worker.stop().await;
    daemon.stop().await;
    fs::write(&component, good).unwrap();
    let (_daemon, _worker) = (house.daemon(), house.worker());
    house.until_status(held, "SENT").await;
    house.assert_sent_once(&[others, vec![held]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_finds_no_rules_sends_only_what_has_none() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    bind_priority_desk(&house);
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut environment = house.environment(0);
    environment.retain(|(name, _)| *name != "XNOVU_STATE_DIR");
    let lost = Xnovu::start("lost worker", &["worker", "start"], elsewhere.path(), &environment, None);
    let held = house.insert(json!({"enterprise_id": ENTERPRISES[1], "tags": ["vip"]}));
    let others = house.insert_plain(3);
    house.until_all(&others, "SENT").await;
    until("the row with rules is held", async || {
        let row = house.row(held);
        if row["error_details"]["hold"].is_string() { Ok(()) } else { Err(row.to_string()) }
    })
    .await;
    house.assert_sent_once(&others);
    let said = lost.stop().await;
    assert!(said.contains("it has rules where it was queued, and none here"), "{said}");
    let _worker = house.worker();
    house.until_status(held, "SENT").await;
    house.assert_sent_once(&[others, vec![held]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_without_bindings_holds_who_had_rules_and_a_named_directory_without_them_is_refused() {
    let mut house = House::with(None, Options::default()).await;
    bind_priority_desk(&house);
    let daemon = house.daemon();
    let sent = house.insert(json!({"enterprise_id": ENTERPRISES[1], "tags": ["vip"]}));
    house.until_status(sent, "SENT").await;
    daemon.stop().await;
    let file = house.plugins().join("bindings.toml");
    let bindings = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    let dropped = house.insert(json!({"enterprise_id": ENTERPRISES[1], "tags": ["promo"]}));
    let others = house.insert_plain(3);
    house.until_all(&others, "SENT").await;
    let health = daemon.health().await;
    assert_eq!((&health["status"], &health["plugins"][0]["state"]), (&json!("degraded"), &json!("not-loaded")));
    house.assert_untouched(dropped);
    fs::write(&file, bindings).unwrap();
    house.until_status(dropped, "RETRACTED").await;
    daemon.stop().await;

    fs::remove_file(&file).unwrap();
    house.set("XNOVU_PLUGINS", house.plugins().display());
    for command in [["daemon", "start"], ["config", "check"]] {
        let refused = house.run(&command).await;
        assert_eq!(refused.code, Some(64), "{refused:?}");
        assert!(format!("{refused:?}").contains("bindings.toml is not there"), "{refused:?}");
    }
}

#[tokio::test]
async fn the_demonstration_runs_from_an_empty_directory_with_nothing_set() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["dev", "--rate", "50", "--count", "40"];
    let (status, said) = Xnovu::start("demonstration", &arguments, dir.path(), &[], None).ended().await;
    assert!(status.success(), "{status}: {said}");
    assert_told_as_sent(&said, 40);
}

fn assert_told_as_sent(said: &str, least: usize) {
    let sent = said.lines().filter(|line| line.contains(" sent ")).count();
    assert!(sent >= least, "{sent} notifications were told as sent: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demonstration_uses_redis_where_it_is_set_and_leaves_nothing_in_it() {
    let (redis, dir) = (RedisServer::start().await, tempfile::tempdir().unwrap());
    let arguments = ["dev", "--rate", "50", "--count", "10"];
    let environment = [("REDIS_URL", redis.url())];
    let (status, said) = Xnovu::start("demonstration", &arguments, dir.path(), &environment, None).ended().await;
    assert!(status.success(), "{status}: {said}");
    assert!(said.contains("queue: Redis"), "{said}");
    assert_told_as_sent(&said, 10);
    assert_eq!(redis.command::<Vec<String>>(&["KEYS", "*"]).await, Vec::<String>::new());
    let added: u64 = commands_of(&redis.command::<String>(&["INFO", "commandstats"]).await, "evalsha");
    assert!(added > 0, "nothing went through Redis");
}

/// How often a command was called, after `INFO commandstats`.
fn commands_of(statistics: &str, command: &str) -> u64 {
    let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}
