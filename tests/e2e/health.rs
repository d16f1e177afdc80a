//! What the health routes say, and how soon they say that something is gone.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use xnovu_standin::{Action, Effect, ErrorBody, Face, Faults, HttpFault, RealtimeFaults};

use crate::support::{ENTERPRISES, House, RedisServer, Xnovu, until};

/// How soon a loss must show.
const SHOWS_WITHIN: Duration = Duration::from_secs(5);

/// The code and the body of a route.
async fn look(process: &Xnovu, path: &str) -> Result<(u16, Value), String> {
    let (code, text) = process.get(path).await.map_err(|error| error.to_string())?;
    Ok((code, serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?))
}

/// Waits until the health has this status and code.
async fn until_health(process: &Xnovu, code: u16, status: &str) -> Value {
    until(&format!("health is {status}"), async || match look(process, "/health").await? {
        (got, body) if got == code && body["status"] == status => Ok(body),
        // The detailed answer says more, and waits for the queue: it would put off the next look.
        (got, body) => Err(format!("{got}: {body}")),
    })
    .await
}

/// Waits until the process is not ready, which must be soon after `since`.
async fn until_it_shows(process: &Xnovu, since: Instant) -> Value {
    let body = until_health(process, 503, "unhealthy").await;
    let took = since.elapsed();
    assert!(took <= SHOWS_WITHIN, "it took {took:?}: {body}");
    assert_eq!(process.get("/readyz").await.unwrap(), (503, "unhealthy\n".to_owned()));
    assert_eq!(process.get("/livez").await.unwrap().0, 200, "what is lost comes back without a restart");
    body
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_answers_with_every_field_of_the_specification() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let daemon = house.daemon();
    daemon.until_subscribed().await;

    let health = until_health(&daemon, 200, "healthy").await;
    let fields = ["components", "enterprise_status", "status", "timestamp", "uptime", "version"];
    assert_eq!(names(&health), fields);
    let subscriptions = json!({"total": 5, "active": 5, "failed": 0, "reconnecting": 0});
    let components = json!({"subscriptions": subscriptions, "ruleEngine": "healthy", "queue": "healthy",
        "supabase": "healthy", "novu": "healthy"});
    assert_eq!(health["components"], components);
    let subscribed: Value = ENTERPRISES.iter().map(|id| ((*id).to_owned(), Value::from("subscribed"))).collect();
    assert_eq!(health["enterprise_status"], subscribed);
    assert!(health["uptime"].as_u64().unwrap() < 600 && health["version"] == env!("CARGO_PKG_VERSION"), "{health}");

    let (code, detailed) = look(&daemon, "/health/detailed").await.unwrap();
    assert_eq!(code, 200);
    assert!(fields.iter().all(|field| !detailed[*field].is_null()), "{detailed}");
    for queue in ["notification", "ruleExecution"] {
        let counts = &detailed["queue_stats"][queue];
        let all = ["active", "completed", "delayed", "failed", "waiting"];
        assert!(all.iter().all(|name| counts[*name] == 0), "{queue}: {counts}");
    }
    let process = &detailed["process"];
    assert!(process["memory"]["rss"].as_f64().unwrap() > 1e6 && process["pid"].is_u64(), "{process}");
    assert!(process["cpu"]["seconds"].is_number(), "{process}");
    assert_eq!(detailed["troubles"], json!([]));

    let (code, told) = look(&daemon, "/health/subscriptions").await.unwrap();
    assert_eq!((code, &told["status"], &told["summary"]), (200, &json!("healthy"), &subscriptions));
    assert!(told["timestamp"].is_string());
    let first = &told["enterprises"][ENTERPRISES[0]];
    assert_eq!((&first["status"], &first["reconnects"]), (&json!("subscribed"), &json!(0)), "{first}");
    assert_eq!(daemon.get("/readyz").await.unwrap(), (200, "healthy\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_path_and_a_wrong_method_are_told_in_json() {
    let house = House::with(None, xnovu_standin::Options::default()).await;
    let daemon = house.daemon();
    daemon.health().await;
    let (code, body) = look(&daemon, "/health/secrets").await.unwrap();
    assert_eq!((code, body), (404, json!({"error": "there is no /health/secrets"})));
    let refused = daemon.ask(Method::DELETE, "/health").await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["allow"].as_bytes()), (405, &b"GET,HEAD"[..]));
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body, json!({"error": "/health does not answer DELETE"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_gone_or_hangs_shows_within_5_s_in_daemon_and_worker_and_recovers_by_itself() {
    let mut redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let processes = [house.daemon(), house.observed_worker()];
    for process in &processes {
        until_health(process, 200, "healthy").await;
    }

    redis.freeze(true);
    let since = Instant::now();
    for process in &processes {
        let body = until_it_shows(process, since).await;
        assert_eq!(
            (&body["components"]["queue"], &body["components"]["supabase"]),
            (&json!("unhealthy"), &json!("healthy"))
        );
    }
    redis.freeze(false);
    for process in &processes {
        until_health(process, 200, "healthy").await;
    }

    redis.kill();
    let since = Instant::now();
    for process in &processes {
        until_it_shows(process, since).await;
    }
    let (code, detailed) = look(&processes[0], "/health/detailed").await.unwrap();
    assert_eq!(
        (code, &detailed["queue_stats"], &detailed["troubles"][0]["component"]),
        (503, &Value::Null, &json!("queue"))
    );
    redis.start_again().await;
    for process in &processes {
        until_health(process, 200, "healthy").await;
    }
    let ids = house.insert_plain(3);
    house.until_all(&ids, "SENT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer_or_refuses_the_key_shows_within_5_s_and_recovers_by_itself() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    // Rules that could not be read are read again after a rest as long as the failure's, which is not what this is about.
    house.set("XNOVU_RULES_INTERVAL", 600_000);
    let processes = [house.daemon(), house.observed_worker()];
    let answer =
        |status| Effect::Status { status, body: ErrorBody::Json, retry_after_s: None, behind_idempotency: false };
    for effect in [Effect::Timeout, answer(503), answer(401)] {
        for process in &processes {
            until_health(process, 200, "healthy").await;
        }
        house.fault(HttpFault::new(Face::Rest, effect));
        let since = Instant::now();
        for process in &processes {
            let body = until_it_shows(process, since).await;
            assert_eq!(
                (&body["components"]["queue"], &body["components"]["supabase"]),
                (&json!("healthy"), &json!("unhealthy"))
            );
        }
        house.mend();
    }
    for process in &processes {
        until_health(process, 200, "healthy").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_lost_shows_within_5_s_and_recovers_by_itself() {
    let mut house = House::with(None, xnovu_standin::Options::default()).await;
    house.set("SUBSCRIPTION_HEARTBEAT_INTERVAL", 1_000);
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    // The sockets that follow stay without a word, so that the loss can be seen.
    let realtime = RealtimeFaults { stall: true, ..RealtimeFaults::default() };
    house.state().act(Action::DropSockets);
    house.state().set_faults(Faults { realtime, ..Faults::default() });
    let since = Instant::now();
    until("the loss shows", async || {
        let (code, body) = look(&daemon, "/health/subscriptions").await?;
        let gone = body["summary"]["active"] == 0 && body["summary"]["reconnecting"] == 5;
        if gone && code == 503 && body["status"] == "unhealthy" { Ok(()) } else { Err(format!("{code}: {body}")) }
    })
    .await;
    assert!(since.elapsed() <= SHOWS_WITHIN, "it took {:?}", since.elapsed());
    // Slower, and not useless: the sweep finds what the subscription does not tell.
    until_health(&daemon, 200, "degraded").await;
    assert_eq!(daemon.get("/readyz").await.unwrap().0, 200);
    house.mend();
    daemon.until_subscribed().await;
    until_health(&daemon, 200, "healthy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_falls_silent_is_given_up_within_two_heartbeats() {
    const HEARTBEAT: Duration = Duration::from_secs(2);
    let mut house = House::with(None, xnovu_standin::Options::default()).await;
    house.set("SUBSCRIPTION_HEARTBEAT_INTERVAL", HEARTBEAT.as_millis());
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    house.state().act(Action::StallSockets);
    let since = Instant::now();
    until("the silence is noticed", async || {
        let (_, body) = look(&daemon, "/health/subscriptions").await?;
        let first = &body["enterprises"][ENTERPRISES[0]];
        if first["reconnects"] == 1 { Ok(()) } else { Err(first.to_string()) }
    })
    .await;
    let took = since.elapsed();
    assert!(took <= 2 * HEARTBEAT + Duration::from_secs(2), "it took {took:?}");
    daemon.until_subscribed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_does_not_load_degrades_and_does_not_fail_readiness() {
    let house = House::with(None, xnovu_standin::Options::default()).await;
    let broken = house.plugins().join("broken");
    std::fs::create_dir_all(&broken).unwrap();
    std::fs::write(broken.join("plugin.toml"), "name = \"broken\"\nversion = \"1.0.0\"\ndescription = \"Broken\"\n")
        .unwrap();
    std::fs::write(broken.join("broken.wasm"), b"no component").unwrap();
    let bindings = format!("[enterprises.\"{}\"]\nplugin = \"broken\"\n", ENTERPRISES[1]);
    std::fs::write(house.plugins().join("bindings.toml"), bindings).unwrap();
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    let body = until_health(&daemon, 200, "degraded").await;
    assert_eq!(body["components"]["ruleEngine"], "degraded");
    assert_eq!(daemon.get("/readyz").await.unwrap(), (200, "degraded\n".to_owned()));
    let (_, detailed) = look(&daemon, "/health/detailed").await.unwrap();
    let plugin = &detailed["plugins"][0];
    assert_eq!((&plugin["plugin"], &plugin["state"]), (&json!("broken"), &json!("not-loaded")));
    // The others are served.
    let id = house.insert(json!({}));
    house.until_status(id, "SENT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_has_the_same_routes_where_it_is_told_a_port() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let worker = house.observed_worker();
    let health = until_health(&worker, 200, "healthy").await;
    let none = json!({"total": 0, "active": 0, "failed": 0, "reconnecting": 0});
    assert_eq!((&health["components"]["subscriptions"], &health["enterprise_status"]), (&none, &json!({})));
    let (code, told) = look(&worker, "/health/subscriptions").await.unwrap();
    assert_eq!((code, &told["status"], &told["enterprises"]), (200, &json!("no_subscriptions"), &json!({})));
    let (code, detailed) = look(&worker, "/health/detailed").await.unwrap();
    assert_eq!((code, &detailed["queue_stats"]["notification"]["active"]), (200, &json!(0)));
    assert_eq!(worker.get("/metrics").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_says_draining_until_its_work_has_ended() {
    let house = House::with(None, xnovu_standin::Options::default()).await;
    let slow = HttpFault { latency_ms: 3_000, ..HttpFault::new(Face::Novu, Effect::Pass) };
    house.fault(slow);
    let daemon = house.daemon();
    let id = house.insert(json!({}));
    daemon.until_queue(&[("active", 1)]).await;
    daemon.ask_to_stop();
    let body = until_health(&daemon, 503, "draining").await;
    assert_eq!(body["components"]["queue"], "healthy");
    assert_eq!(daemon.get("/readyz").await.unwrap(), (503, "draining\n".to_owned()));
    let (status, output) = daemon.ended().await;
    assert!(status.success(), "{output}");
    house.assert_sent_once(&[id]);
}
