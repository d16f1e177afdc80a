//! `/metrics`, as Prometheus scrapes it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::health::Health;

pub(super) fn routes(health: &Arc<Health>) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(Arc::clone(health))
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, health.scrape()).into_response()
}
