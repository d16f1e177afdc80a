//! How a daemon and its workers are started, found, instructed and stopped.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use xnovu_standin::Options;

use crate::crashes::{slow_novu, until_accepted};
use crate::support::{
    House, NOVU_KEY, RedisServer, SUPABASE_KEY, TABLE, Xnovu, free_port, process, until, until_within,
};

/// Long enough for a machine that is busy with everything else.
const PATIENCE: Duration = Duration::from_secs(120);

/// Exit code after a second signal.
const EXIT_INTERRUPTED: i32 = 130;

/// Exit code of settings that are missing or wrong.
const EXIT_SETTINGS: i32 = 64;

/// A house whose queue is in memory.
async fn small_house() -> House {
    House::with(None, Options::default()).await
}

/// Ends a detached daemon with its test.
struct Detached {
    pid_file: PathBuf,
}

impl Detached {
    fn of(house: &House) -> Self {
        Self { pid_file: house.state_file("daemon.pid") }
    }

    fn pid(&self) -> Option<u32> {
        fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

/// Waits until the daemon of the house answers its socket.
async fn until_it_answers(house: &House) {
    until_within(PATIENCE, "the daemon answers", async || {
        let ran = house.run(&["daemon", "status", "--output", "json"]).await;
        if ran.code == Some(0) { Ok(()) } else { Err(format!("{ran:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_in_the_same_state_directory_is_refused_with_the_pid_of_the_first() {
    let house = small_house().await;
    let first = house.daemon();
    until_it_answers(&house).await;
    for second in [house.run(&["daemon"]).await, house.run(&["daemon", "start", "--detach"]).await] {
        assert_eq!(second.code, Some(1), "{second:?}");
        assert!(second.stderr.contains(&format!("pid {}", first.pid())), "{second:?}");
    }
    first.stop().await;
    let _third = house.daemon();
    until_it_answers(&house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_a_killed_daemon_leaves_behind_stand_in_nobodys_way() {
    let house = small_house().await;
    let daemon = house.daemon();
    until_it_answers(&house).await;
    daemon.kill();
    assert!(house.state_file("daemon.pid").exists() && house.state_file("daemon.sock").exists());
    let status = house.run(&["daemon", "status", "--output", "json"]).await;
    assert_eq!((status.code, &status.json()["running"]), (Some(1), &Value::Bool(false)), "{status:?}");
    let _daemon = house.daemon();
    until_it_answers(&house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_health_tell_how_the_daemon_is_and_by_exit_code_whether_it_is_well() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    for verb in ["status", "health"] {
        let ran = house.run(&["daemon", verb]).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("no daemon runs") && ran.stderr.contains("hint:"), "{ran:?}");
    }
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    let told = house.run(&["daemon", "status"]).await.succeeded();
    assert!(told.stdout.contains("healthy") && told.stdout.contains(&format!("pid {}", daemon.pid())), "{told:?}");
    let status = house.run(&["daemon", "status", "--output", "json"]).await.succeeded().json();
    assert_eq!((&status["process"]["pid"], &status["process"]["state"]), (&daemon.pid().into(), &"running".into()));
    let health = house.run(&["daemon", "health", "--output", "json"]).await.succeeded().json();
    assert_eq!(health["components"]["subscriptions"]["active"], 5, "{health}");
    let text = house.run(&["daemon", "health"]).await.succeeded().stdout;
    assert!(text.contains("enterprise_status:") && text.contains(": subscribed"), "{text}");
    drop(redis);
    until("status tells of the lost queue", async || {
        let ran = house.run(&["daemon", "status"]).await;
        if ran.code == Some(1) && ran.stdout.contains("unhealthy") { Ok(()) } else { Err(format!("{ran:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_waits_for_the_end_of_what_is_under_way_and_says_when_it_takes_too_long() {
    let house = small_house().await;
    assert_eq!(house.run(&["daemon", "stop"]).await.succeeded().stdout, "");
    let ids = house.insert_plain(1);
    house.fault(slow_novu(3_000));
    let daemon = house.daemon();
    until_accepted(&house, 1).await;
    let late = house.run(&["daemon", "stop", "--timeout", "0"]).await;
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(late.stderr.contains("still stopping") && late.stderr.contains("hint:"), "{late:?}");
    let status = house.run(&["daemon", "status", "--output", "json"]).await;
    assert_eq!((status.code, &status.json()["process"]["state"]), (Some(1), &"draining".into()), "{status:?}");
    let stopped = house.run(&["daemon", "stop", "--output", "json"]).await.succeeded().json();
    assert_eq!((&stopped["was_running"], &stopped["running"]), (&true.into(), &false.into()));
    let (code, said) = daemon.ended().await;
    assert!(code.success(), "{said}");
    house.assert_sent_once(&ids);
    let left: Vec<_> =
        fs::read_dir(house.dir().join("state")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "daemon.pid" || name == "daemon.sock"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_daemon_is_ready_when_the_command_returns_and_a_restart_keeps_its_options() {
    let house = small_house().await;
    let detached = Detached::of(&house);
    let port = free_port();
    let started = house.run_at(port, &["daemon", "start", "--detach", "--workers", "2", "--log-level", "warn"]).await;
    let started = started.succeeded();
    let first = detached.pid().unwrap();
    assert!(started.stderr.contains(&format!("pid {first}")), "{started:?}");
    let ids = house.insert_plain(3);
    house.until_all(&ids, "SENT").await;
    assert_eq!(fs::metadata(house.state_file("daemon.log")).unwrap().mode() & 0o777, 0o600);

    let port = free_port();
    let again = house.run_at(port, &["daemon", "restart", "--log-level", "info", "--output", "json"]).await.succeeded();
    let second = detached.pid().unwrap();
    assert_eq!(again.json()["pid"], second, "{again:?}");
    assert_ne!(first, second);
    let status = house.run(&["daemon", "status", "--output", "json"]).await.succeeded().json();
    assert_eq!(status["process"]["options"], serde_json::json!(["--log-level=info", "--workers=2"]), "{status}");
    assert_eq!(status["process"]["health"], format!("127.0.0.1:{port}"), "{status}");
    let logged = house.run(&["daemon", "logs", "--lines", "5"]).await.succeeded();
    assert!(logged.stdout.lines().count() <= 5 && logged.stdout.contains("ready"), "{logged:?}");
    for entry in fs::read_dir(house.dir().join("state")).unwrap().map(Result::unwrap) {
        let bytes = if entry.file_type().unwrap().is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
        for secret in [SUPABASE_KEY, NOVU_KEY] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{:?} holds a secret", entry.path());
        }
    }
    house.run(&["daemon", "stop"]).await.succeeded();
    assert_eq!(detached.pid(), None);
    let gone = house.run(&["daemon", "health", "--output", "json"]).await;
    assert_eq!((gone.code, &gone.json()["running"]), (Some(1), &serde_json::json!(false)), "{gone:?}");
    let nowhere = process::run(&["queue", "status"], house.dir(), &[]).await;
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("hint: set REDIS_URL"), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_has_just_been_started_can_be_stopped() {
    let house = small_house().await;
    let daemon = house.daemon();
    until("it has its place", async || {
        if house.state_file("daemon.pid").exists() { Ok(()) } else { Err("it has not".to_owned()) }
    })
    .await;
    house.run(&["daemon", "stop"]).await.succeeded();
    let (code, said) = daemon.ended().await;
    assert!(code.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_daemon_that_cannot_start_tells_why_with_its_own_exit_code() {
    let mut house = small_house().await;
    let _detached = Detached::of(&house);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = house.run_at(port, &["daemon", "start", "--detach"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("DAEMON_HEALTH_PORT"), "{refused:?}");
    house.set("WORKER_CONCURRENCY", "none");
    let refused = house.run(&["daemon", "start", "--detach"]).await;
    assert_eq!(refused.code, Some(EXIT_SETTINGS), "{refused:?}");
    assert!(refused.stderr.contains("WORKER_CONCURRENCY"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_foreground_takes_the_place_of_the_daemon_it_stops() {
    let house = small_house().await;
    let first = house.start("daemon", &["daemon", "start", "--workers", "1"]);
    until_it_answers(&house).await;
    let second = house.start("daemon", &["daemon", "restart", "--dev"]);
    let (code, said) = first.ended().await;
    assert!(code.success(), "{said}");
    let options = until_within(PATIENCE, "the second daemon answers", async || {
        let ran = house.run(&["daemon", "status", "--output", "json"]).await;
        if ran.code != Some(0) {
            return Err(format!("{ran:?}"));
        }
        let process = ran.json()["process"].clone();
        if process["pid"] == second.pid() { Ok(process["options"].clone()) } else { Err(process.to_string()) }
    })
    .await;
    assert_eq!(options, serde_json::json!(["--dev", "--workers=1"]));
    let said = second.stop().await;
    let (started, machines) = (said.contains(" started "), said.lines().any(|line| line.starts_with('{')));
    assert!(started && !machines, "--dev logs lines for people: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_could_not_start_leaves_the_running_daemon_and_its_options_alone() {
    let house = small_house().await;
    let daemon = house.start("daemon", &["daemon", "start", "--workers", "1"]);
    until_it_answers(&house).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (flags, code, told) in [
        (["--log-level", "lod"], EXIT_SETTINGS, "DAEMON_LOG_LEVEL"),
        (["--monitor", "--dev"], 1, "--fresh"),
        (["--health-port", &port], 1, "DAEMON_HEALTH_PORT"),
    ] {
        let ran = house.run(&[&["daemon", "restart"], &flags[..]].concat()).await;
        assert!(ran.code == Some(code) && ran.stderr.contains(told), "{flags:?}: {ran:?}");
        let process = house.run(&["daemon", "status", "--output", "json"]).await.succeeded().json()["process"].clone();
        assert_eq!((&process["pid"], &process["state"]), (&daemon.pid().into(), &"running".into()), "{flags:?}");
    }
    daemon.stop().await;
    // Nor does a start that came to nothing change what the next restart keeps.
    let failed = house.run(&["daemon", "start", "--health-port", &port]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    let kept: Value = serde_json::from_slice(&fs::read(house.state_file("daemon.json")).unwrap()).unwrap();
    assert_eq!(kept["options"], serde_json::json!(["--workers=1"]), "{kept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verb_takes_another_state_directory_because_a_file_of_settings_is_wrong() {
    let house = small_house().await;
    let missing = house.dir().join("nowhere.toml").display().to_string();
    for verb in [&["daemon", "stop"][..], &["daemon", "status"], &["daemon", "logs"], &["worker", "stop"]] {
        let ran = house.run(&[verb, &["--config", &missing]].concat()).await;
        assert!(ran.code == Some(EXIT_SETTINGS) && ran.stderr.contains(&missing), "{verb:?}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_filters_and_endless_waits_are_wrong_command_lines() {
    let house = small_house().await;
    let endless = u64::MAX.to_string();
    for words in [
        &["queue", "retry", "--reason", ""][..],
        &["queue", "retry", ""],
        &["worker", "stop", ""],
        &["worker", "stop", "--timeout", &endless],
        &["daemon", "stop", "--timeout", &endless],
        &["worker", "scale", "1", "--timeout", &endless],
    ] {
        let ran = house.run(words).await;
        assert!(ran.code == Some(2) && !ran.stderr.contains("panicked"), "{words:?}: {ran:?}");
    }
    house.run(&["worker", "stop", "--timeout", "604800"]).await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_share_a_state_directory_with_the_daemon_and_leave_nothing_in_it() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let pid_files = || {
        let names = fs::read_dir(house.dir().join("state")).into_iter().flatten();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".pid")).count()
    };
    let processes = [house.worker(), house.worker(), house.daemon()];
    until("three have their places", async || if pid_files() == 3 { Ok(()) } else { Err(pid_files().to_string()) })
        .await;
    let ids = house.insert_plain(10);
    house.until_all(&ids, "SENT").await;
    for process in processes {
        process.stop().await;
    }
    assert_eq!(pid_files(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_that_everybody_may_write_to_is_refused() {
    let house = small_house().await;
    let dir = house.dir().join("state");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = house.run(&["daemon"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("chmod o-w"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_with_200_jobs_under_way_loses_and_repeats_none() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("WORKER_CONCURRENCY", 100);
    stop_with_200_under_way(&house, |house| vec![house.worker(), house.worker(), house.daemon()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_with_200_jobs_of_a_queue_in_memory_under_way_loses_and_repeats_none() {
    let mut house = small_house().await;
    house.set("WORKER_CONCURRENCY", 200);
    stop_with_200_under_way(&house, |house| vec![house.daemon()]).await;
}

/// Stops these processes while they perform 200 jobs, looks at what they leave, and lets them go on.
async fn stop_with_200_under_way(house: &House, start: impl Fn(&House) -> Vec<Xnovu>) {
    let ids = house.insert_plain(300);
    house.fault(slow_novu(4_000));
    let processes = start(house);
    until_accepted(house, 200).await;
    let more = house.insert_plain(50);
    processes.iter().for_each(Xnovu::ask_to_stop);
    for process in processes {
        let (code, said) = process.ended().await;
        assert!(code.success(), "{code}: {said}");
    }
    let with = |status| house.state().rows(TABLE, &[("notification_status", status)]).unwrap().len();
    assert_eq!(with("PROCESSING"), 0, "left behind");
    assert!((200..350).contains(&with("SENT")), "{} were sent before the stop", with("SENT"));
    house.mend();
    let _processes = start(house);
    let all = [ids, more].concat();
    house.until_all(&all, "SENT").await;
    house.assert_sent_once(&all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_ends_a_daemon_that_stops_already_at_once() {
    let house = small_house().await;
    house.insert_plain(1);
    house.fault(slow_novu(60_000));
    let daemon = house.daemon();
    until_accepted(&house, 1).await;
    house.run(&["daemon", "stop", "--timeout", "0"]).await;
    until("it drains", async || {
        let ran = house.run(&["daemon", "status", "--output", "json"]).await;
        if ran.json()["process"]["state"] == "draining" { Ok(()) } else { Err(format!("{ran:?}")) }
    })
    .await;
    let asked = Instant::now();
    daemon.ask_to_stop();
    let (code, said) = daemon.ended().await;
    assert_eq!(code.code(), Some(EXIT_INTERRUPTED), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_outlast_the_grace_are_counted_and_the_exit_code_is_1() {
    let mut house = small_house().await;
    house.set("XNOVU_WORKER_GRACE", 200);
    house.insert_plain(1);
    house.fault(slow_novu(60_000));
    let daemon = house.daemon();
    until_accepted(&house, 1).await;
    daemon.ask_to_stop();
    let (code, said) = daemon.ended().await;
    assert_eq!(code.code(), Some(1), "{said}");
    assert!(said.contains("stopped before everything had ended"), "{said}");
}

/// What an admin route on the health port answers.
async fn admin(port: u16, method: reqwest::Method, path: &str, authorization: Option<&str>) -> (u16, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut request = reqwest::Client::new().request(method, format!("http://127.0.0.1:{port}{path}"));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Every admin route there is, method and path, and asserts that docs/operate.md has each.
fn admin_routes() -> BTreeSet<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let mut routes = BTreeSet::new();
    for file in ["control/routes.rs", "control/plugins.rs", "jobs.rs"] {
        for route in read(&format!("host/xnovu/src/{file}")).split(".route(\"").skip(1) {
            let (path, rest) = route.split_once("\", ").unwrap();
            let (method, _) = rest.split_once('(').unwrap();
            routes.insert((method.to_uppercase(), path.to_owned()));
        }
    }
    assert!(routes.len() >= 12 && routes.iter().all(|(_, path)| path.starts_with("/admin/")), "{routes:?}");
    let page = read("docs/operate.md");
    let documented = page.split('`').filter(|code| code.contains(" /admin/"));
    let documented =
        documented.map(|code| code.split_once(' ').unwrap()).map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(documented.collect::<BTreeSet<_>>(), routes, "docs/operate.md has others");
    routes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_routes_on_the_health_port_answer_to_the_token_only() {
    const TOKEN: &str = "PLANTEDADMINTOKEN-0123456789";
    let (get, post) = (reqwest::Method::GET, reqwest::Method::POST);
    let mut house = small_house().await;
    house.set("XNOVU_ADMIN_TOKEN", TOKEN);
    let port = free_port();
    let daemon = Xnovu::start("daemon", &["daemon"], house.dir(), &house.environment(port), Some(port));
    daemon.until_subscribed().await;
    let right = format!("Bearer {TOKEN}");
    let routes = admin_routes();
    for wrong in [None, Some("Bearer PLANTEDADMINTOKEN-012345678"), Some(TOKEN), Some("Basic eDp5")] {
        for (method, path) in &routes {
            let method = if method == "GET" { &get } else { &post };
            let (status, body) = admin(port, method.clone(), path, wrong).await;
            assert_eq!(status, 401, "{path} with {wrong:?}: {body}");
            assert!(body["hint"].as_str().unwrap().contains("XNOVU_ADMIN_TOKEN"), "{body}");
        }
    }
    let (status, body) = admin(port, get, "/admin/status", Some(&right)).await;
    assert_eq!((status, &body["state"]), (200, &"running".into()), "{body}");

    assert_eq!(admin(port, post.clone(), "/admin/pause", Some(&right)).await.0, 200);
    let ids = house.insert_plain(3);
    daemon.until_queue(&[("waiting", 3), ("active", 0)]).await;
    assert_eq!(admin(port, post.clone(), "/admin/resume", Some(&right)).await.0, 200);
    house.until_all(&ids, "SENT").await;

    assert_eq!(admin(port, post, "/admin/stop", Some(&right)).await.0, 200);
    let (code, said) = daemon.ended().await;
    assert!(code.success() && !said.contains(TOKEN), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_sends_half_a_request_makes_no_stop_fail() {
    let house = small_house().await;
    let port = free_port();
    let daemon = Xnovu::start("daemon", &["daemon"], house.dir(), &house.environment(port), Some(port));
    daemon.until_subscribed().await;
    let mut tcp = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut unix = std::os::unix::net::UnixStream::connect(house.state_file("daemon.sock")).unwrap();
    for half in [&mut tcp as &mut dyn std::io::Write, &mut unix] {
        half.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n").unwrap();
    }
    // Answered after them, so that they are heard.
    assert_eq!(daemon.get("/livez").await.unwrap().0, 200);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_there_are_no_admin_routes_on_the_health_port_and_a_short_one_is_refused() {
    let mut house = small_house().await;
    let port = free_port();
    let daemon = Xnovu::start("daemon", &["daemon"], house.dir(), &house.environment(port), Some(port));
    daemon.until_subscribed().await;
    for authorization in [None, Some("Bearer "), Some("Bearer x")] {
        assert_eq!(admin(port, reqwest::Method::POST, "/admin/stop", authorization).await.0, 404);
    }
    daemon.stop().await;
    house.set("XNOVU_ADMIN_TOKEN", "fifteen letters");
    let refused = house.run(&["daemon"]).await;
    assert_eq!(refused.code, Some(EXIT_SETTINGS), "{refused:?}");
    assert!(refused.stderr.contains("XNOVU_ADMIN_TOKEN") && !refused.stderr.contains("fifteen"), "{refused:?}");
}

/// Waits for a message of the kind, whatever comes before it.
fn next_message(manager: &UnixDatagram, wanted: &str) {
    next_messages(manager, &[wanted]);
}

/// Waits until each of these has come, in any order and among any others.
fn next_messages(manager: &UnixDatagram, wanted: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    let (mut buffer, mut wanted, mut came) = ([0; 4096], wanted.to_vec(), Vec::new());
    while Instant::now() < deadline {
        let Ok(length) = manager.recv(&mut buffer) else { continue };
        let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
        wanted.retain(|wanted| message.lines().all(|line| line != *wanted));
        if wanted.is_empty() {
            return;
        }
        came.push(message);
    }
    panic!("waited in vain for {wanted:?}; there came {came:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_hears_when_the_daemon_is_ready_that_it_lives_and_that_it_stops() {
    let mut house = small_house().await;
    let path = house.dir().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    house.set("NOTIFY_SOCKET", path.display());
    house.set("WATCHDOG_USEC", 400_000);
    let daemon = house.daemon();
    let (daemon, manager) = tokio::task::spawn_blocking(move || {
        // In any order: how it is may be told before or after.
        next_messages(&manager, &["READY=1", "STATUS=healthy", "WATCHDOG=1"]);
        next_message(&manager, "WATCHDOG=1");
        (daemon, manager)
    })
    .await
    .unwrap();
    let refused = house.run(&["daemon", "restart"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("systemctl restart"), "{refused:?}");
    daemon.ask_to_stop();
    tokio::task::spawn_blocking(move || next_message(&manager, "STOPPING=1")).await.unwrap();
    let (code, said) = daemon.ended().await;
    assert!(code.success(), "{said}");
}
