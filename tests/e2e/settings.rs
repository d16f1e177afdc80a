//! What an operator sets, well and badly.

use serde_json::json;
use xnovu_standin::Options;

use crate::support::{ENTERPRISES, House, RedisServer, Xnovu, free_port, process, until};

/// Exit code of settings that are missing or wrong.
const EXIT_SETTINGS: i32 = 64;

#[tokio::test]
async fn everything_that_is_missing_or_wrong_is_named_at_once_with_exit_code_64() {
    let dir = tempfile::tempdir().unwrap();
    let environment = [("WORKER_CONCURRENCY", "none".to_owned()), ("NOVU_API_URL", "novu".to_owned())];
    let (status, said) = Xnovu::start("daemon", &["daemon"], dir.path(), &environment, None).ended().await;
    assert_eq!(status.code(), Some(EXIT_SETTINGS), "{said}");
    let wrong = [
        "NEXT_PUBLIC_SUPABASE_URL",
        "SUPABASE_SERVICE_ROLE_KEY",
        "NOVU_SECRET_KEY",
        "WORKER_CONCURRENCY",
        "NOVU_API_URL",
    ];
    for name in wrong {
        assert!(said.contains(name), "{name} is not named: {said}");
    }
}

/// A directory whose settings stand in every layer. One secret is in a file, one in a URL.
fn layered() -> (tempfile::TempDir, Vec<(&'static str, String)>) {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("novu.key", "PLANTEDINFILE\n");
    write(
        "xnovu.toml",
        "[supabase]\nurl = \"https://acme.supabase.co\"\n[novu]\nkey_file = \"novu.key\"\n[worker]\nconcurrency = 7\n\
         [enterprises.\"acme-1\"]\nattempts = 9\n",
    );
    write(".env", "# first\nREDIS_URL=redis://me:PLANTEDINURL@redis:6379/2\nWORKER_CONCURRENCY=8\n");
    let environment = [("SUPABASE_SERVICE_ROLE_KEY", "PLANTEDKEY"), ("LOG_LEVEL", "warn")];
    (dir, environment.map(|(name, value)| (name, value.to_owned())).into())
}

#[tokio::test]
async fn every_setting_is_shown_with_value_and_origin_and_no_secret_is() {
    let (dir, environment) = layered();
    let run = async |arguments: &[&str]| process::run(arguments, dir.path(), &environment).await;
    let told = run(&["config", "show", "--output", "json"]).await.succeeded().json();
    let one = |name: &str| {
        let one = told.as_array().unwrap().iter().find(|one| one["name"] == name);
        one.unwrap_or_else(|| panic!("{name}: {told}")).clone()
    };
    let place = |name: &str| json!([one(name)["value"], one(name)["layer"], one(name)["file"], one(name)["line"]]);
    let toml = std::path::absolute(dir.path().join("xnovu.toml")).unwrap();
    assert_eq!(place("WORKER_CONCURRENCY"), json!(["8", ".env", ".env", 3]));
    assert_eq!(place("REDIS_URL"), json!(["redis://me:hidden@redis:6379/2", ".env", ".env", 2]));
    assert_eq!(place("NEXT_PUBLIC_SUPABASE_URL"), json!(["https://acme.supabase.co/", "xnovu.toml", "xnovu.toml", 2]));
    assert_eq!(place("NOVU_SECRET_KEY"), json!(["(hidden) in novu.key", "xnovu.toml", "xnovu.toml", 4]));
    assert_eq!(place("SUPABASE_SERVICE_ROLE_KEY"), json!(["(hidden)", "environment", null, null]));
    assert_eq!(place("DAEMON_LOG_LEVEL"), json!(["warn", "environment", null, null]));
    assert_eq!(place("QUEUE_PREFIX"), json!(["xnovu-acme", "default", null, null]));
    assert_eq!(place("ENT_acme-1_RETRY_ATTEMPTS"), json!(["9", "xnovu.toml", "xnovu.toml", 8]));
    let named = run(&["config", "show", "--output", "json", "--config", "xnovu.toml"]).await.succeeded().json();
    let flag = named.as_array().unwrap().iter().find(|one| one["name"] == "XNOVU_CONFIG").unwrap().clone();
    assert_eq!(json!([flag["value"], flag["layer"]]), json!([toml, "flag"]));
    let text = run(&["config", "show"]).await.succeeded();
    for line in ["# Redis", "# For one enterprise", "environment, as LOG_LEVEL", ".env:3", "xnovu.toml:8"] {
        assert!(text.stdout.contains(line), "{line}: {}", text.stdout);
    }
    let set = run(&["config", "show", "--set"]).await.succeeded();
    assert!(set.stdout.contains("WORKER_CONCURRENCY") && !set.stdout.contains("NOVU_TIMEOUT"), "{}", set.stdout);
    let checked = run(&["config", "check"]).await.succeeded();
    for said in [told.to_string(), format!("{text:?}{set:?}{checked:?}")] {
        assert!(!said.contains("PLANTED"), "{said}");
    }
}

#[tokio::test]
async fn the_check_names_mistakes_and_risks_at_once_and_its_exit_code_says_which() {
    let (dir, mut environment) = layered();
    let sound = process::run(&["config", "check"], dir.path(), &environment).await.succeeded();
    // A password that travels in the clear is a risk.
    assert!(sound.stdout.contains("warning: REDIS_URL: sends the password in the clear"), "{sound:?}");
    assert!(sound.stdout.contains("the settings work; warnings: 1"), "{sound:?}");
    environment.push(("WORKER_CONCURRENCY", "many".to_owned()));
    environment.push(("XNOVU_SWEEP_INTERVAL", "120001".to_owned()));
    environment.retain(|(name, _)| *name != "SUPABASE_SERVICE_ROLE_KEY");
    let wrong = process::run(&["config", "check", "--output", "json"], dir.path(), &environment).await;
    assert_eq!(wrong.code, Some(EXIT_SETTINGS), "{wrong:?}");
    let told = wrong.json();
    let names = |list: &str| told[list].as_array().unwrap().iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names("mistakes"), ["SUPABASE_SERVICE_ROLE_KEY", "WORKER_CONCURRENCY"]);
    assert_eq!(names("warnings"), ["XNOVU_SWEEP_INTERVAL", "REDIS_URL"]);
    assert_eq!(told["ok"], false);
    let all = told["mistakes"].as_array().unwrap().iter().chain(told["warnings"].as_array().unwrap());
    assert!(all.clone().all(|one| one["hint"].as_str().is_some_and(|hint| !hint.is_empty())), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_a_redis_and_a_daemon_without_enterprises_say_so_with_exit_code_64() {
    let mut house = House::with(None, Options::default()).await;
    house.set("DAEMON_ENTERPRISE_IDS", "");
    for (process, name) in [(house.worker(), "REDIS_URL"), (house.daemon(), "DAEMON_ENTERPRISE_IDS")] {
        let (status, said) = process.ended().await;
        assert_eq!(status.code(), Some(EXIT_SETTINGS), "{said}");
        assert!(said.contains(name), "{name} is not named: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_option_of_start_outranks_its_variable_and_is_obeyed() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("WORKER_CONCURRENCY", 9);
    let (of_the_variable, of_the_option) = (free_port(), free_port());
    let port = of_the_option.to_string();
    let own = ["daemon", "start", "--enterprises", ENTERPRISES[1], "--health-port", &port, "--log-level", "warn"];
    let daemon = Xnovu::start("daemon", &own, house.dir(), &house.environment(of_the_variable), Some(of_the_option));
    daemon.until_subscribed().await;
    let served = daemon.health().await["enterprise_status"].clone();
    assert_eq!(served.as_object().unwrap().keys().collect::<Vec<_>>(), [ENTERPRISES[1]]);
    let quiet = house.start("worker", &["worker", "start", "--concurrency", "4", "--log-level", "warn"]);
    let development = house.start("worker", &["worker", "start", "--dev"]);
    let mut concurrency = until("both workers are listed", async || {
        let workers = house.run(&["worker", "list", "--output", "json"]).await.succeeded().json();
        let found: Vec<u64> = workers.as_array().unwrap().iter().filter_map(|w| w["concurrency"].as_u64()).collect();
        if found.len() == 2 { Ok(found) } else { Err(workers.to_string()) }
    })
    .await;
    concurrency.sort_unstable();
    assert_eq!(concurrency, [4, 9], "the option for one, the variable for the other");
    let said = [daemon.stop().await, quiet.stop().await].concat();
    assert!(!said.contains("\"level\":\"info\"") && !said.contains("\"level\":\"debug\""), "{said}");
    let said = development.stop().await;
    assert!(
        said.contains(" info  DaemonManager started ") && !said.contains("\"level\""),
        "no lines for people: {said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_bound_to_loopback_unless_told_otherwise() {
    process::crypto();
    let mut house = House::with(None, Options::default()).await;
    // Another address of this machine, as a neighbour would use it.
    let beside = async |port: u16| reqwest::get(format!("http://127.0.0.2:{port}/livez")).await.map(|_| ());
    let port = free_port();
    let daemon = Xnovu::start("daemon", &["daemon"], house.dir(), &house.environment(port), Some(port));
    daemon.health().await;
    assert!(beside(port).await.is_err_and(|error| error.is_connect()), "it answers on an address nobody named");
    daemon.stop().await;
    house.set("DAEMON_HEALTH_HOST", "0.0.0.0");
    let port = free_port();
    let daemon = Xnovu::start("daemon", &["daemon"], house.dir(), &house.environment(port), Some(port));
    daemon.health().await;
    beside(port).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enterprise_id_that_is_none_disables_itself_only() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("DAEMON_ENTERPRISE_IDS", format!("not-a-uuid,{}", ENTERPRISES[0]));
    let swept = house.insert_plain(5);
    let _daemon = house.daemon();
    let _worker = house.worker();
    house.until_all(&swept, "SENT").await;
    let later = house.insert_plain(5);
    house.until_all(&later, "SENT").await;
    house.assert_sent_once(&[swept, later].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_enterprises_that_are_not_served_stay_as_they_are() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("DAEMON_ENTERPRISE_IDS", ENTERPRISES[0]);
    let foreign = house.insert(serde_json::json!({"enterprise_id": ENTERPRISES[2]}));
    let nobodys = house.insert(serde_json::json!({}));
    house.update(nobodys, serde_json::json!({"enterprise_id": null}));
    let daemon = house.daemon();
    let _worker = house.worker();
    daemon.until_subscribed().await;
    let ids = house.insert_plain(5);
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
    house.assert_untouched(foreign);
    house.assert_untouched(nobodys);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_answers_fewer_rows_than_asked_for_hides_none() {
    let redis = RedisServer::start().await;
    let house = House::with(Some(&redis), Options { max_rows: 10, ..Options::default() }).await;
    let ids = house.insert_plain(95);
    let _daemon = house.daemon();
    let _worker = house.worker();
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_projects_and_a_foreign_queue_on_one_redis_leave_each_others_jobs_alone() {
    let redis = RedisServer::start().await;
    let foreign_queue = "bull:notification-processing:wait";
    redis.command::<()>(&["RPUSH", foreign_queue, "1", "2"]).await;
    let (ours, theirs) = (House::on(&redis).await, House::on(&redis).await);
    let their_ids = theirs.insert_plain(3);
    let their_daemon = theirs.daemon();
    their_daemon.until_queue(&[("waiting", 3)]).await;
    let ids = ours.insert_plain(10);
    let _daemon = ours.daemon();
    let _worker = ours.worker();
    ours.until_all(&ids, "SENT").await;
    ours.assert_sent_once(&ids);
    their_daemon.until_queue(&[("waiting", 3), ("active", 0), ("completed", 0)]).await;
    their_ids.iter().for_each(|id| theirs.assert_untouched(*id));
    assert_eq!(redis.command::<Vec<String>>(&["LRANGE", foreign_queue, "0", "-1"]).await, ["1", "2"]);
}
