//! The admin route at `/admin`: rows, deliveries, numbers and fault switches over HTTP, for tests in other processes and for `curl`.
//!
//! It has no password, which is why a stand-in listens on loopback only. A request that a web page sends is refused.

pub(crate) mod rows;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, RawQuery, Request, State as Extracted};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::ApiError;
use crate::faults::{Action, Faults};
use crate::novu::WorkflowState;
use crate::novu::worker::DeliveryFilter;
use crate::state::State;

/// Rows a GET answers unless `limit` says otherwise.
const ROWS_DEFAULT: u64 = 1_000;

/// The routes below `/admin`.
pub(crate) fn router() -> Router<State> {
    Router::new()
        .route("/admin/rows/{table}", post(insert_row).get(get_rows))
        .route("/admin/rows/{table}/{id}", get(get_row).patch(update_row).delete(delete_row))
        .route("/admin/bulk", post(bulk))
        .route("/admin/deliveries", get(deliveries))
        .route("/admin/stats", get(stats))
        .route("/admin/faults", get(faults).post(set_faults).delete(clear_faults))
        .route("/admin/workflows", post(set_workflow))
        .route("/admin/flush", post(flush))
        .layer(middleware::from_fn(refuse_web_pages))
}

/// A body of `POST /admin/bulk`: rows as they are, or copies of a template.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bulk {
    #[serde(default = "notifications")]
    table: String,
    #[serde(default)]
    rows: Vec<Value>,
    template: Option<Value>,
    #[serde(default)]
    count: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    since: u64,
    enterprise_id: Option<Uuid>,
    workflow: Option<String>,
    transaction_prefix: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Workflow {
    key: String,
    state: WorkflowState,
}

async fn insert_row(
    Extracted(state): Extracted<State>,
    Path(table): Path<String>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let row = state.insert(&table, &read(&body)?)?;
    Ok((StatusCode::CREATED, Json(row)).into_response())
}

async fn get_rows(
    Extracted(state): Extracted<State>,
    Path(table): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = query.unwrap_or_default();
    let (mut limit, mut equal) = (ROWS_DEFAULT, Vec::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "limit" {
            limit = value.parse().map_err(|_| ApiError::unreadable("limit", &value, "integer"))?;
        } else {
            equal.push((name, value));
        }
    }
    let equal: Vec<_> = equal.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    let rows = rows::select(&state, &table, &equal, limit)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], rows).into_response())
}

async fn get_row(
    Extracted(state): Extracted<State>,
    Path((table, id)): Path<(String, i64)>,
) -> Result<Response, ApiError> {
    Ok(one_or_none(state.row(&table, id)?))
}

async fn update_row(
    Extracted(state): Extracted<State>,
    Path((table, id)): Path<(String, i64)>,
    body: Bytes,
) -> Result<Response, ApiError> {
    Ok(one_or_none(state.update(&table, id, &read(&body)?)?))
}

async fn delete_row(
    Extracted(state): Extracted<State>,
    Path((table, id)): Path<(String, i64)>,
) -> Result<Response, ApiError> {
    Ok(if state.delete(&table, id)? { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }.into_response())
}

async fn bulk(Extracted(state): Extracted<State>, body: Bytes) -> Result<Response, ApiError> {
    let bulk: Bulk = read(&body)?;
    let inserted = match &bulk.template {
        Some(template) => state.insert_copies(&bulk.table, template, bulk.count)?,
        None => state.insert_many(&bulk.table, &bulk.rows)?,
    };
    Ok((StatusCode::CREATED, Json(inserted)).into_response())
}

async fn deliveries(Extracted(state): Extracted<State>, Query(wanted): Query<Wanted>) -> Response {
    let Wanted { since, enterprise_id, workflow, transaction_prefix, limit } = wanted;
    let filter = DeliveryFilter { since, enterprise_id, workflow, transaction_prefix, limit };
    Json(state.deliveries_matching(&filter)).into_response()
}

async fn stats(Extracted(state): Extracted<State>) -> Response {
    Json(state.stats()).into_response()
}

async fn faults(Extracted(state): Extracted<State>) -> Response {
    Json(state.faults()).into_response()
}

/// Merges switches, then does what `actions` lists.
async fn set_faults(Extracted(state): Extracted<State>, body: Bytes) -> Result<Response, ApiError> {
    let mut patch: Value = read(&body)?;
    let actions = patch.as_object_mut().and_then(|patch| patch.remove("actions")).unwrap_or_else(|| json!([]));
    let actions: Vec<Action> = serde_json::from_value(actions).map_err(|error| bad_request(&error))?;
    let faults = state.faults().patched(patch).map_err(|error| bad_request(&error))?;
    state.set_faults(faults);
    for action in actions {
        state.act(action);
    }
    Ok(Json(state.faults()).into_response())
}

async fn clear_faults(Extracted(state): Extracted<State>) -> StatusCode {
    state.set_faults(Faults::default());
    StatusCode::NO_CONTENT
}

async fn set_workflow(Extracted(state): Extracted<State>, body: Bytes) -> Result<StatusCode, ApiError> {
    let workflow: Workflow = read(&body)?;
    state.set_workflow(&workflow.key, workflow.state);
    Ok(StatusCode::NO_CONTENT)
}

async fn flush(Extracted(state): Extracted<State>) -> StatusCode {
    state.flush();
    StatusCode::NO_CONTENT
}

/// Browsers name the page a request comes from; nothing else that talks to this route does.
async fn refuse_web_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        return ApiError::new(403, "ADMIN", "the admin route does not answer web pages").into_response();
    }
    next.run(request).await
}

fn one_or_none(row: Option<Value>) -> Response {
    row.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |row| Json(row).into_response())
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| bad_request(&error))
}

fn bad_request(error: &serde_json::Error) -> ApiError {
    ApiError::unreadable_body(error.to_string())
}

fn notifications() -> String {
    "ent_notification".to_owned()
}
