//! The health routes, with the specification's bodies.
//!
//! Owns their fields and codes: 200 while the process works, 503 while it cannot or is stopping. `/livez` says only that the process
//! answers and its tasks turn: what it waits for comes back without a restart. A worker has the same routes, without subscriptions.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use xnovu_rules::Runtime;

use crate::daemon::Daemon;
use crate::health::{Health, Status, Trouble};
use crate::source::status::{Standing, Subscriptions};
use crate::source::sweep::SweepReport;

pub(super) fn routes(health: &Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/health", get(basic))
        .route("/health/detailed", get(detailed))
        .route("/health/subscriptions", get(subscriptions))
        .with_state(Arc::clone(health))
}

/// Not alive is what only a restart mends: a task that has died or does not turn.
async fn alive(State(health): State<Arc<Health>>) -> Response {
    let ailing = health.ailing();
    if ailing.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", ailing.join(", "))).into_response()
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let (status, _) = health.judge();
    (code(status), format!("{}\n", status.word())).into_response()
}

async fn basic(State(health): State<Arc<Health>>) -> Response {
    let (status, troubles) = health.judge();
    answer(code(status), &body(&health, status, &troubles))
}

/// Asks the queue anew, so that its numbers are those of now.
async fn detailed(State(health): State<Arc<Health>>) -> Response {
    let queue = health.queue_now().await;
    let (status, troubles) = health.judge_queue(queue.as_ref().ok().copied());
    let mut body = body(&health, status, &troubles);
    let of = |trouble: &Trouble| json!({"component": trouble.component, "status": trouble.status.word(), "reason": trouble.reason});
    body["troubles"] = troubles.iter().map(of).collect();
    body["queue_stats"] = match queue {
        Ok(look) => json!({"notification": look.notification, "ruleExecution": look.rule_execution}),
        Err(_) => Value::Null,
    };
    body["plugins"] = plugins(health.rules());
    body["sweeps"] = health.daemon().map_or(Value::Null, |daemon| sweeps(&daemon.sweeps.borrow()));
    body["rules"] = json!(health.daemon().and_then(|daemon| daemon.book.as_ref()).map(|book| book.report()));
    body["monitor"] = json!(health.daemon().and_then(Daemon::comparison));
    body["process"] = health.metrics().process();
    answer(code(status), &body)
}

async fn subscriptions(State(health): State<Arc<Health>>) -> Response {
    let summary = health.subscriptions();
    let (word, status) = match summary {
        Subscriptions { total: 0, .. } => ("no_subscriptions", StatusCode::OK),
        Subscriptions { total, active, .. } if active == total => ("healthy", StatusCode::OK),
        Subscriptions { active: 0, .. } => ("unhealthy", StatusCode::SERVICE_UNAVAILABLE),
        Subscriptions { .. } => ("degraded", StatusCode::OK),
    };
    let of = |standing: &Standing| {
        json!({"status": standing.connection.word(), "since": standing.since, "reconnects": standing.reconnects,
            "last_error": standing.last_error})
    };
    let enterprises = by_enterprise(health.daemon(), of);
    answer(
        status,
        &json!({"status": word, "summary": summary, "enterprises": enterprises, "timestamp": health.clock().now()}),
    )
}

fn body(health: &Health, status: Status, troubles: &[Trouble]) -> Value {
    let word = |component: &str| {
        let own = troubles.iter().filter(|trouble| trouble.component == component).map(|trouble| trouble.status);
        own.max().unwrap_or(Status::Healthy).word()
    };
    json!({
        "status": status.word(),
        "uptime": health.uptime().as_secs(),
        "components": {
            "subscriptions": health.subscriptions(),
            "ruleEngine": word("ruleEngine"),
            "queue": word("queue"),
            "supabase": word("supabase"),
            "novu": word("novu"),
        },
        "enterprise_status": by_enterprise(health.daemon(), |standing| standing.connection.word().into()),
        "timestamp": health.clock().now(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn by_enterprise(daemon: Option<&Daemon>, of: impl Fn(&Standing) -> Value) -> Value {
    let entries = daemon.map(|daemon| {
        let connections = daemon.connections.borrow();
        connections.iter().map(|(id, standing)| (id.to_string(), of(standing))).collect::<Map<_, _>>()
    });
    Value::Object(entries.unwrap_or_default())
}

fn plugins(rules: &Runtime) -> Value {
    let entry = |standing: xnovu_rules::Standing| {
        json!({"enterprise": standing.enterprise, "plugin": standing.plugin, "version": standing.version,
            "digest": standing.digest, "state": standing.state, "reason": standing.reason, "failing": standing.failing})
    };
    rules.standings().into_iter().map(entry).collect()
}

fn sweeps(report: &SweepReport) -> Value {
    let entry = |(search, one): (&crate::source::Search, &crate::source::SearchReport)| {
        let errors: Map<String, Value> =
            one.errors.iter().map(|(id, error)| (id.to_string(), error.as_str().into())).collect();
        let body = json!({"rounds": one.rounds, "ended_at": one.ended_at, "busy_ms": one.busy.as_millis() as u64,
            "rows": one.rows, "errors": errors});
        (search.word().to_owned(), body)
    };
    Value::Object(report.iter().map(entry).collect())
}

fn code(status: Status) -> StatusCode {
    if status.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Written for eyes, because `curl` is what asks most.
fn answer(status: StatusCode, body: &Value) -> Response {
    ((status), [(header::CONTENT_TYPE, "application/json")], format!("{body:#}\n")).into_response()
}
