//! What an operator's tools ask over HTTP.
//!
//! Owns the listener and what is answered where there is no route. [`health`] and [`metrics`] have the routes, [`listen`] the connections.
//! Listens on loopback unless told otherwise. Answers until the process ends.

mod health;
mod listen;
mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use crate::health::Health;

pub use listen::serve;

/// Listens.
///
/// # Errors
/// The address is taken or not ours.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening on {address} (DAEMON_HEALTH_PORT)"))
}

/// The routes of health and metrics.
pub fn routes(health: &Arc<Health>) -> Router {
    health::routes(health).merge(metrics::routes(health))
}

/// These routes, and a JSON answer where there is none.
pub fn closed(routes: Router) -> Router {
    routes.fallback(not_found).method_not_allowed_fallback(not_allowed)
}

async fn not_found(uri: Uri) -> Response {
    refuse(StatusCode::NOT_FOUND, &format!("there is no {}", uri.path()))
}

async fn not_allowed(method: Method, uri: Uri) -> Response {
    refuse(StatusCode::METHOD_NOT_ALLOWED, &format!("{} does not answer {method}", uri.path()))
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}
