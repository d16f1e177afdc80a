//! The admin routes every process has.
//!
//! Owns `GET /admin/status`, `POST /admin/stop`, `POST /admin/pause` and `POST /admin/resume`, and the form of a refusal. Who may come in
//! is [`super::server`]'s to say.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use xnovu_queue::{JobQueue, QueueError, QueueName};

use super::state_dir::{Role, Started};
use crate::telemetry::Chain;

/// What the routes see of their process and may do to it.
pub struct Process {
    /// What it is for.
    pub role: Role,
    /// What it was started with.
    pub started: Started,
    /// Cancelled when it is asked to stop.
    pub stop: CancellationToken,
    /// The jobs.
    pub queue: Arc<dyn JobQueue>,
}

/// What `GET /admin/status` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `daemon`, `worker-<id>` or `supervisor`.
    pub role: String,
    /// `running`, or `draining` once it was asked to stop.
    pub state: String,
    /// What it was started with.
    #[serde(flatten)]
    pub started: Started,
}

/// A refusal, as every admin route tells one: `{"error": …, "hint": …}`.
#[derive(Debug, Clone)]
pub struct Failure {
    status: StatusCode,
    error: String,
    hint: Option<String>,
}

impl Failure {
    /// What failed, in words.
    #[must_use]
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.error});
        if let Some(hint) = self.hint {
            body["hint"] = hint.into();
        }
        (self.status, Told(body)).into_response()
    }
}

/// An answer as JSON on a line of its own, as a terminal likes it.
#[derive(Debug, Clone)]
pub struct Told<T>(pub T);

impl<T: Serialize> IntoResponse for Told<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string(&self.0) {
            Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

/// A queue that does not answer is a gateway that does not answer.
impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, format!("the queue did not answer: {}", Chain(&error)))
    }
}

/// The routes of a process.
pub fn routes(process: Arc<Process>) -> Router {
    Router::new()
        .route("/admin/status", get(status))
        .route("/admin/stop", post(stop))
        .route("/admin/pause", post(pause))
        .route("/admin/resume", post(resume))
        .with_state(process)
}

async fn status(State(process): State<Arc<Process>>) -> Told<Status> {
    let state = if process.stop.is_cancelled() { "draining" } else { "running" };
    Told(Status { role: process.role.to_string(), state: state.to_owned(), started: process.started.clone() })
}

async fn stop(State(process): State<Arc<Process>>) -> Told<Value> {
    tracing::info!("asked to stop");
    process.stop.cancel();
    Told(json!({"state": "draining", "grace_ms": process.started.grace_ms}))
}

/// Pauses the queue for every worker of it, in this process and elsewhere.
async fn pause(State(process): State<Arc<Process>>) -> Result<Told<Value>, Failure> {
    for queue in [QueueName::NotificationProcessing, QueueName::RuleExecution] {
        process.queue.pause(queue).await?;
    }
    tracing::info!("the queue is paused");
    Ok(Told(json!({"paused": true})))
}

async fn resume(State(process): State<Arc<Process>>) -> Result<Told<Value>, Failure> {
    for queue in [QueueName::NotificationProcessing, QueueName::RuleExecution] {
        process.queue.resume(queue).await?;
    }
    tracing::info!("the queue is resumed");
    Ok(Told(json!({"paused": false})))
}
