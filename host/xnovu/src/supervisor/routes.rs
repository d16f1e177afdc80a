//! What a supervisor can be told over its admin socket.
//!
//! Owns `GET /admin/fleet`, `POST /admin/scale` and `POST /admin/stop` of a supervisor.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Fleet, Supervisor, WORKERS_MAX};
use crate::control::routes::Failure;

/// What `POST /admin/scale` is told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Scale {
    /// How many workers there shall be.
    pub workers: usize,
}

#[derive(Clone)]
struct Told {
    supervisor: Arc<Supervisor>,
    stop: CancellationToken,
}

/// The routes of a supervisor; `stop` is cancelled when it is told to stop.
pub fn routes(supervisor: Arc<Supervisor>, stop: CancellationToken) -> Router {
    Router::new()
        .route("/admin/fleet", get(fleet))
        .route("/admin/scale", post(scale))
        .route("/admin/stop", post(end))
        .with_state(Told { supervisor, stop })
}

async fn fleet(State(told): State<Told>) -> Json<Fleet> {
    Json(told.supervisor.fleet())
}

async fn scale(State(told): State<Told>, Json(wanted): Json<Scale>) -> Result<Json<Fleet>, Failure> {
    if told.stop.is_cancelled() {
        let failure = Failure::new(StatusCode::CONFLICT, "the supervisor is stopping");
        return Err(failure.hint("wait until it has ended, then start another"));
    }
    if wanted.workers > WORKERS_MAX {
        let what = format!("{} workers are more than {WORKERS_MAX}", wanted.workers);
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, what));
    }
    told.supervisor.scale(wanted.workers);
    Ok(Json(told.supervisor.fleet()))
}

async fn end(State(told): State<Told>) -> Json<Value> {
    tracing::info!("asked to stop");
    told.stop.cancel();
    Json(json!({"state": "draining"}))
}
