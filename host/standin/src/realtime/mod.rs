//! Realtime at `/realtime/v1/websocket`: the Phoenix protocol, versions 1.0.0 and 2.0.0, for `postgres_changes`.
//!
//! It promises what the real one promises: nothing. An event may be lost while a subscription comes alive, while a socket is down,
//! and whenever a fault switch says so; it is never sent twice or out of order unless a switch says so. Broadcast and presence are
//! accepted and ignored.

mod binding;
mod event;
mod frame;
mod hub;
mod socket;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{RawQuery, State as Extracted};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::rest::check_key;
use crate::state::State;

use frame::Version;
pub use hub::RealtimeStats;
pub(crate) use hub::{Hub, poll};

/// Bytes of one inbound frame.
const FRAME_BYTES_MAX: usize = 5_000_000;

/// Answers the handshake and serves the socket until it ends.
pub(crate) async fn serve(
    Extracted(state): Extracted<State>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let query = query.unwrap_or_default();
    if let Err(refusal) = check_key(&headers, &query, &state.supabase_key()) {
        return refusal.into_response();
    }
    let version = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "vsn").map(|(_, version)| version);
    let Some(version) = Version::parse(version.as_deref()) else {
        return refuse(StatusCode::BAD_REQUEST, "unsupported serializer version");
    };
    let Some(connection) =
        state.hub().connect(state.options().connections_max, state.with_faults(|f| f.realtime.stall))
    else {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "Too many connected users");
    };
    upgrade
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .on_upgrade(move |websocket| socket::run(state, websocket, version, connection))
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, axum::Json(json!({ "error": error }))).into_response()
}
