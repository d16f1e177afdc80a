//! What an operator's tools ask over HTTP.
//!
//! Owns the routes and the overall status. Listens on loopback unless told otherwise. Answers `draining` until the process ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use xnovu_queue::{JobQueue, QueueName};
use xnovu_rules::{BindingState, Runtime};

use crate::clock::Clock;
use crate::daemon::Daemon;
use crate::metrics::Metrics;
use crate::parts::Parts;
use crate::source::Connection;

/// Longest wait for the queue's answer.
const QUEUE_PATIENCE: Duration = Duration::from_millis(2_500);

/// What the routes look at.
pub struct Observed {
    started: Instant,
    metrics: Arc<Metrics>,
    queue: Arc<dyn JobQueue>,
    rules: Arc<Runtime>,
    clock: Arc<dyn Clock>,
    daemon: Option<Daemon>,
    draining: CancellationToken,
}

impl Observed {
    /// A process that has just started. `daemon` is None in a worker; `draining` is cancelled when it is asked to stop.
    #[must_use]
    pub fn new(parts: &Parts, daemon: Option<Daemon>, draining: CancellationToken) -> Self {
        Self {
            started: Instant::now(),
            metrics: Arc::clone(&parts.metrics),
            queue: Arc::clone(&parts.queue),
            rules: Arc::clone(&parts.rules),
            clock: Arc::clone(&parts.clock),
            daemon,
            draining,
        }
    }
}

/// Listens.
///
/// # Errors
/// The address is taken or not ours.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening on {address} (DAEMON_HEALTH_PORT)"))
}

/// What is told of a process.
pub fn routes(observed: Arc<Observed>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/health", get(health))
        .route("/health/detailed", get(detailed))
        .route("/metrics", get(metrics))
        .with_state(observed)
}

/// Serves until `stop` is cancelled.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(%error, "the health server ended");
    }
}

/// How a process is, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Healthy,
    Degraded,
    Unhealthy,
    Draining,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }

    fn code(self) -> StatusCode {
        match self {
            Self::Healthy | Self::Degraded => StatusCode::OK,
            Self::Unhealthy | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Observed {
    /// The queue's counts, if it answers in time.
    async fn counts(&self) -> Option<xnovu_queue::Counts> {
        let counts = self.queue.counts(QueueName::NotificationProcessing);
        tokio::time::timeout(QUEUE_PATIENCE, counts).await.ok()?.ok()
    }

    /// A queue that is gone makes a process useless; a subscription or a plugin that is gone makes it slower or smaller.
    fn status(&self, queue_answers: bool) -> Status {
        if self.draining.is_cancelled() {
            return Status::Draining;
        }
        if !queue_answers {
            return Status::Unhealthy;
        }
        let broken_rules =
            self.rules.snapshot().bindings().any(|(_, binding)| !matches!(binding.state, BindingState::Ready));
        let unsubscribed = self.daemon.as_ref().is_some_and(|daemon| {
            daemon.connections.borrow().values().any(|standing| standing.connection != Connection::Subscribed)
        });
        if broken_rules || unsubscribed { Status::Degraded } else { Status::Healthy }
    }

    fn body(&self, status: Status) -> Value {
        json!({
            "status": status.word(),
            "uptime": self.started.elapsed().as_secs(),
            "timestamp": self.clock.now(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

async fn ready(State(observed): State<Arc<Observed>>) -> Response {
    let status = observed.status(observed.counts().await.is_some());
    (status.code(), format!("{}\n", status.word())).into_response()
}

async fn health(State(observed): State<Arc<Observed>>) -> Response {
    let status = observed.status(observed.counts().await.is_some());
    (status.code(), Json(observed.body(status))).into_response()
}

async fn detailed(State(observed): State<Arc<Observed>>) -> Response {
    let counts = observed.counts().await;
    let status = observed.status(counts.is_some());
    let mut body = observed.body(status);
    body["components"] = json!({"queue": if counts.is_some() { "healthy" } else { "unhealthy" }});
    body["queue_stats"] = json!({"notification": counts});
    body["plugins"] = plugins(&observed.rules);
    if let Some(daemon) = &observed.daemon {
        let connections = daemon.connections.borrow();
        let subscriptions = subscriptions(connections.values().map(|standing| standing.connection));
        body["components"]["subscriptions"] = subscriptions;
        let words = connections.iter().map(|(id, standing)| (id.to_string(), standing.connection.word().into()));
        body["enterprise_status"] = Value::Object(words.collect());
    }
    (status.code(), Json(body)).into_response()
}

fn subscriptions(connections: impl Iterator<Item = Connection>) -> Value {
    let (mut total, mut active, mut failed, mut reconnecting) = (0, 0, 0, 0);
    for connection in connections {
        total += 1;
        match connection {
            Connection::Subscribed => active += 1,
            Connection::Error => failed += 1,
            Connection::Reconnecting => reconnecting += 1,
            Connection::Disconnected | Connection::Connecting | Connection::Connected => {}
        }
    }
    json!({"total": total, "active": active, "failed": failed, "reconnecting": reconnecting})
}

fn plugins(rules: &Runtime) -> Value {
    let snapshot = rules.snapshot();
    let entry = |(subject, binding): (&xnovu_rules::Subject, &xnovu_rules::Binding)| {
        let (state, reason) = match &binding.state {
            BindingState::Ready => ("ready", None),
            BindingState::LastGood { reason } => ("last-good", Some(reason)),
            BindingState::NotLoaded { reason } => ("not-loaded", Some(reason)),
        };
        let version = binding.stamp.as_ref().map(|stamp| &stamp.version);
        let digest = binding.stamp.as_ref().map(|stamp| stamp.digest.to_string());
        json!({"enterprise": subject.to_string(), "plugin": binding.plugin, "version": version, "digest": digest,
            "state": state, "reason": reason})
    };
    snapshot.bindings().map(entry).collect()
}

async fn metrics(State(observed): State<Arc<Observed>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, observed.metrics.text()).into_response()
}
