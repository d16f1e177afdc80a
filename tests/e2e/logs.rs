//! What processes say: in which form, and never what they were entrusted with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use wit_component::ComponentEncoder;
use xnovu_standin::{Effect, ErrorBody, Face, HttpFault, Options};

use crate::support::process::search;
use crate::support::{ENTERPRISES, House, IN_PAYLOAD as PAYLOAD, RedisServer, Xnovu, until};

/// What rules say, who know the payload and may quote it.
const WORDS: &str = "planted-by-rules";

/// How often rules may fail before they are suspended.
const RULES_FAIL: usize = 5;

/// The token of the admin routes.
const TOKEN: &str = "planted-admin-token";

const COMPONENTS: [&str; 4] = ["DaemonManager", "SubscriptionManager", "NotificationQueue", "HealthMonitor"];

/// Binds a guest that does what its config says to each of these enterprises.
fn bind_hostile(house: &House, acts: &[(&str, Value)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let target: PathBuf = root.join("target/guests/hostile-");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--release", "--target", "wasm32-unknown-unknown", "--manifest-path"]);
    build.arg(root.join("tests/guests/hostile/Cargo.toml")).arg("--target-dir").arg(&target);
    let output = build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").output().unwrap();
    assert!(output.status.success(), "the guest does not build: {}", String::from_utf8_lossy(&output.stderr));
    let module = fs::read(target.join("wasm32-unknown-unknown/release/hostile.wasm")).unwrap();
    let component = ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap();
    let dir = house.plugins().join("hostile");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("hostile.wasm"), component).unwrap();
    fs::write(
        dir.join("plugin.toml"),
        "name = \"hostile\"\nversion = \"1.0.0\"\ndescription = \"Does what its config says\"\n",
    )
    .unwrap();
    let binding = |(enterprise, config): &(&str, Value)| {
        let config: String =
            config.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!(
            "[enterprises.\"{enterprise}\"]\nplugin = \"hostile\"\n[enterprises.\"{enterprise}\".config]\n{config}\n"
        )
    };
    fs::write(house.plugins().join("bindings.toml"), acts.iter().map(binding).collect::<String>()).unwrap();
}

async fn search_routes(process: &Xnovu) {
    for path in ["/health", "/health/detailed", "/health/subscriptions", "/readyz", "/metrics", "/admin/status"] {
        let (_, body) = process.get(path).await.unwrap();
        assert!(!body.is_empty());
        search(path, body.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_says_or_keeps_a_payload_a_recipient_a_key_or_the_words_of_rules() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("XNOVU_ADMIN_TOKEN", TOKEN);
    house.set("DAEMON_LOG_LEVEL", "trace");
    let config = |stage: &str, act: &str| json!({stage: format!("{act}:{WORDS}")});
    bind_hostile(
        &house,
        &[
            (ENTERPRISES[1], config("transform", "error")),
            (ENTERPRISES[2], config("admit", "panic")),
            (ENTERPRISES[3], config("admit", "drop")),
            (ENTERPRISES[4], config("transform", "payload")),
        ],
    );
    // Novu refuses one, with a message that is kept on the row.
    let refusal = Effect::Status { status: 400, body: ErrorBody::Json, retry_after_s: None, behind_idempotency: false };
    house.fault(HttpFault { count: Some(1), ..HttpFault::new(Face::Novu, refusal) });
    let (daemon, worker) = (house.daemon(), house.observed_worker());
    let insert = |enterprise: &str| house.insert(json!({"enterprise_id": enterprise, "payload": {"text": PAYLOAD}}));
    let refused = insert(ENTERPRISES[0]);
    house.until_status(refused, "FAILED").await;
    let [erring, panicking, dropped, invalid] = [1, 2, 3, 4].map(|index| insert(ENTERPRISES[index]));
    // As many as it takes until the rules are suspended, which is logged and shown with how they failed.
    (1..RULES_FAIL).for_each(|_| _ = insert(ENTERPRISES[2]));
    let sent = insert(ENTERPRISES[0]);
    house.until_status(sent, "SENT").await;
    house.until_status(dropped, "RETRACTED").await;
    for held in [erring, invalid] {
        until("it is held", async || {
            let row = house.row(held);
            if row["error_details"]["hold"].is_string() { Ok(()) } else { Err(row.to_string()) }
        })
        .await;
    }
    until("the rules that panic are suspended", async || {
        let plugins = daemon.health().await["plugins"].clone();
        let of_them = plugins.as_array().and_then(|all| all.iter().find(|one| one["enterprise"] == ENTERPRISES[2]));
        match of_them {
            Some(one) if one["state"] == "suspended" && one["reason"].as_str().unwrap().contains("it trapped") => {
                Ok(())
            }
            _ => Err(plugins.to_string()),
        }
    })
    .await;
    house.run(&["plugin", "list"]).await.succeeded();
    house.run(&["plugin", "list", "--output", "json"]).await.succeeded();
    // The search would find them: the rules' words stand on rows, the payload is at Novu.
    assert!(house.row(erring)["error_details"].to_string().contains(WORDS));
    assert!(house.row(dropped)["retraction_reason"].as_str().unwrap().contains(WORDS));
    assert!(house.deliveries(sent)[0].payload.to_string().contains(PAYLOAD));
    assert_eq!(house.status(panicking), "PENDING");

    search_routes(&daemon).await;
    search_routes(&worker).await;
    let contents = redis.contents().await;
    assert!(contents.windows(8).any(|window| window == b"xn-e1111"), "jobs are in Redis");
    search("Redis", &contents);
    for process in [daemon, worker] {
        // Every process of every test is searched when it ends.
        let output = process.stop().await;
        assert!(output.contains(r#""level":"trace""#) || output.contains(r#""level":"debug""#), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_json_with_the_specifications_keys_and_one_of_its_four_components() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let (daemon, worker) = (house.daemon(), house.worker());
    daemon.until_subscribed().await;
    let id = house.insert(json!({}));
    house.until_status(id, "SENT").await;
    let (daemon, worker) = (daemon.stop().await, worker.stop().await);
    let lines = |output: &str| -> Vec<Value> {
        output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    };
    for first in [&daemon, &worker].map(|output| output.lines().next().unwrap_or_default()) {
        assert!(first.starts_with('{'), "the first line is none of the log: {first}");
    }
    let (daemon, worker) = (lines(&daemon), lines(&worker));
    for line in daemon.iter().chain(&worker) {
        let level = line["level"].as_str().unwrap();
        assert!(["trace", "debug", "info", "warn", "error"].contains(&level), "{line}");
        assert!(chrono::DateTime::parse_from_rfc3339(line["timestamp"].as_str().unwrap()).is_ok(), "{line}");
        assert!(COMPONENTS.contains(&line["component"].as_str().unwrap()), "{line}");
        assert!(!line["message"].as_str().unwrap().is_empty(), "{line}");
    }
    let find = |lines: &[Value], event: &str| {
        let found = lines.iter().find(|line| line["event"] == event).cloned();
        found.unwrap_or_else(|| panic!("no {event} in {lines:#?}"))
    };
    let received = find(&daemon, "notification_received");
    let want = json!({"level": "info", "component": "SubscriptionManager", "enterprise_id": ENTERPRISES[0],
        "notification_id": id, "event_type": "INSERT"});
    want.as_object().unwrap().iter().for_each(|(key, value)| assert_eq!(received[key], *value, "{key} of {received}"));
    let sent = find(&worker, "notification_sent");
    assert_eq!((&sent["component"], &sent["notification_id"]), (&json!("NotificationQueue"), &json!(id)), "{sent}");
    assert_eq!(find(&daemon, "health_changed")["component"], "HealthMonitor");
    assert_eq!(find(&daemon, "started")["component"], "DaemonManager");
    assert_eq!(find(&daemon, "stopped")["component"], "DaemonManager");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_a_plugin_are_shown_where_its_binding_asks_for_them_and_nowhere_else() {
    let house = House::with(None, Options::default()).await;
    bind_hostile(
        &house,
        &[(ENTERPRISES[1], json!({"admit": "log:2x7"})), (ENTERPRISES[2], json!({"admit": "log:1x9"}))],
    );
    let bindings = house.plugins().join("bindings.toml");
    let asked = fs::read_to_string(&bindings).unwrap().replacen(
        "plugin = \"hostile\"",
        "plugin = \"hostile\"\nlog_guest = true",
        1,
    );
    fs::write(&bindings, asked).unwrap();
    let daemon = house.daemon();
    let ids = [1, 2].map(|index| house.insert(json!({"enterprise_id": ENTERPRISES[index]})));
    house.until_all(&ids, "SENT").await;
    let output = daemon.stop().await;
    let shown: Vec<&str> = output.lines().filter(|line| line.contains("\"plugin_log\"")).collect();
    assert!(shown.len() >= 2 && shown.iter().all(|line| line.contains(r#""message":"lllllll""#)), "{output}");
    let line: Value = serde_json::from_str(shown[0]).unwrap();
    assert_eq!(
        (&line["plugin"], &line["enterprise_id"], &line["notification_id"]),
        (&json!("hostile"), &json!(ENTERPRISES[1]), &json!(ids[0]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_can_be_readable_text_where_no_terminal_is() {
    let mut house = House::with(None, Options::default()).await;
    house.set("XNOVU_LOG_FORMAT", "text");
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    let id = house.insert(json!({}));
    house.until_status(id, "SENT").await;
    let output = daemon.stop().await;
    let line =
        output.lines().find(|line| line.contains("event=notification_sent")).unwrap_or_else(|| panic!("{output}"));
    let mut words = line.split_whitespace();
    assert_eq!(words.next().map(str::len), Some("10:30:00.123".len()), "{line}");
    assert_eq!(words.next(), Some("info"), "{line}");
    assert_eq!(words.next(), Some("NotificationQueue"), "{line}");
    assert!(!output.contains('\u{1b}') && !output.contains("{\""), "{output}");
}
