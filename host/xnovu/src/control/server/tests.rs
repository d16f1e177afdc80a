use axum::routing::{get, post};
use serde_json::{Value, json};
use xnovu_queue::{JobOptions, JobQueue, MemoryQueue, QueueName};

use super::super::routes::{Process, Status, routes};
use super::super::{Client, ControlError, Hold, Role, Started, StateDir};
use super::*;
use crate::tasks::Tasks;

struct World {
    hold: Hold,
    state: StateDir,
    stop: CancellationToken,
    queue: Arc<dyn JobQueue>,
    _tasks: Tasks,
    _dir: tempfile::TempDir,
}

fn started() -> Started {
    Started {
        pid: std::process::id(),
        since: "2026-01-01T00:00:00Z".to_owned(),
        version: "0".to_owned(),
        directory: "/".into(),
        options: Vec::new(),
        health: None,
        grace_ms: 60_000,
        detached: false,
        supervised: false,
    }
}

/// A process with these routes besides its own.
fn world(more: Router) -> World {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::at(dir.path()).unwrap();
    let hold = state.claim(Role::Daemon, &started()).unwrap();
    let stop = CancellationToken::new();
    let tasks = Tasks::new(stop.clone());
    let queue: Arc<dyn JobQueue> = Arc::new(MemoryQueue::new(JobOptions::default()));
    let process = Process { role: Role::Daemon, started: started(), stop: stop.clone(), queue: Arc::clone(&queue) };
    let socket = AdminSocket::bind(&hold.socket()).unwrap();
    tasks.spawn("admin", serve(socket, routes(Arc::new(process)).merge(more), CancellationToken::new()));
    World { hold, state, stop, queue, _tasks: tasks, _dir: dir }
}

#[tokio::test]
async fn a_running_process_tells_its_status_and_stops_when_asked() {
    let world = world(Router::new());
    let client = Client::of(&world.state, &Role::Daemon).unwrap();
    let status: Status = client.get("/admin/status").await.unwrap();
    assert_eq!((status.role.as_str(), status.state.as_str()), ("daemon", "running"));
    assert_eq!(status.started, started());
    assert!(!world.stop.is_cancelled());
    assert_eq!(
        client.post::<Value>("/admin/stop", &json!({})).await.unwrap(),
        json!({"state": "draining", "grace_ms": 60_000})
    );
    assert!(world.stop.is_cancelled());
    assert_eq!(client.get::<Status>("/admin/status").await.unwrap().state, "draining");
}

#[tokio::test]
async fn the_socket_is_for_its_owner_alone() {
    let world = world(Router::new());
    assert_eq!(fs::metadata(world.hold.socket()).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn another_rooms_route_is_a_merge_away_and_its_refusal_arrives_in_words() {
    let refuse = async || Failure::new(StatusCode::CONFLICT, "not now").hint("later");
    let world = world(Router::new().route("/admin/reload", post(refuse)));
    let client = Client::of(&world.state, &Role::Daemon).unwrap();
    let refused = client.post::<Value>("/admin/reload", &json!({})).await.unwrap_err();
    assert_eq!(refused.to_string(), "POST /admin/reload was refused with 409: not now\n  hint: later");
}

#[tokio::test]
async fn who_runs_and_does_not_serve_is_silent_and_who_does_not_run_is_not_running() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::at(dir.path()).unwrap();
    let none = Client::of(&state, &Role::Daemon).err().unwrap();
    assert!(matches!(none, ControlError::NotRunning { .. }), "{none:?}");
    let _hold = state.claim(Role::Daemon, &started()).unwrap();
    let client = Client::of(&state, &Role::Daemon).unwrap();
    let silent = client.get::<Status>("/admin/status").await.unwrap_err();
    assert!(matches!(silent, ControlError::Silent { .. }), "{silent:?}");
    assert!(silent.to_string().contains(&format!("pid {}", std::process::id())), "{silent}");
}

#[tokio::test]
async fn pausing_reaches_the_queue() {
    let world = world(Router::new());
    let client = Client::of(&world.state, &Role::Daemon).unwrap();
    for (verb, paused) in [("pause", true), ("resume", false)] {
        let answer: Value = client.post(&format!("/admin/{verb}"), &json!({})).await.unwrap();
        assert_eq!(answer, json!({"paused": paused}));
        assert_eq!(world.queue.counts(QueueName::NotificationProcessing).await.unwrap().paused, paused);
    }
}

async fn answer(routes: Router, authorization: Option<&str>) -> StatusCode {
    use tower::ServiceExt;
    let mut request = axum::http::Request::get("/admin/status");
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    routes.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap().status()
}

#[tokio::test]
async fn a_guarded_route_answers_to_its_token_only() {
    let token = Secret::new("a-token-of-the-tests");
    let routes = || guarded(Router::new().route("/admin/status", get(async || "in")), Some(&token));
    assert_eq!(answer(routes(), Some("Bearer a-token-of-the-tests")).await, StatusCode::OK);
    for wrong in [
        None,
        Some("Bearer "),
        Some("Bearer a-token-of-the-test"),
        Some("Bearer a-token-of-the-tests2"),
        Some("Bearer A-token-of-the-tests"),
        Some("Basic a-token-of-the-tests"),
        Some("a-token-of-the-tests"),
    ] {
        assert_eq!(answer(routes(), wrong).await, StatusCode::UNAUTHORIZED, "{wrong:?}");
    }
}

#[tokio::test]
async fn without_a_token_no_admin_route_exists_on_the_health_port() {
    let routes = guarded(Router::new().route("/admin/status", get(async || "in")), None);
    assert_eq!(answer(routes, Some("Bearer ")).await, StatusCode::NOT_FOUND);
}
