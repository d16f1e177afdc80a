//! PostgREST at `/rest/v1`, behind Supabase's gateway.
//!
//! It owns routing by method and profile, and turns results into answers. Only schema `notify` has tables.

mod gateway;
mod prefer;
mod range;
mod read;
mod write;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Extracted};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::schema::TableId;
use crate::state::State;

pub(crate) use gateway::check_key;

const SCHEMAS_EXPOSED: &str = "public, graphql_public, notify";
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const JSON_OBJECT: HeaderValue = HeaderValue::from_static("application/vnd.pgrst.object+json; charset=utf-8");

/// One request to a table.
struct Request<'r> {
    table: TableId,
    query: &'r str,
    headers: &'r HeaderMap,
    body: &'r [u8],
}

/// Answers every request below `/rest/v1/`.
pub(crate) async fn serve(
    Extracted(state): Extracted<State>,
    Path(table): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = query.unwrap_or_default();
    if let Err(refusal) = gateway::authorize(&headers, &query, &state.supabase_key()) {
        return refusal.into_response();
    }
    if !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) {
        state.note_rest_write();
    }
    let answer = find_table(&method, &headers, &table).and_then(|table| {
        let request = Request { table, query: &query, headers: &headers, body: &body };
        match method {
            Method::GET | Method::HEAD => read::get(&state, &request),
            Method::POST => write::post(&state, &request),
            Method::PATCH => write::patch(&state, &request),
            Method::DELETE => write::delete(&state, &request),
            other => Err(ApiError::new(405, "PGRST117", format!("Unsupported HTTP method: {other}"))),
        }
    });
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// Answers what is below `/rest/v1/` and no table: functions, of which there are none, and paths that make no sense.
pub(crate) async fn no_table(Extracted(state): Extracted<State>, uri: Uri, headers: HeaderMap) -> Response {
    if let Err(refusal) = gateway::authorize(&headers, uri.query().unwrap_or_default(), &state.supabase_key()) {
        return refusal.into_response();
    }
    match uri.path().strip_prefix("/rest/v1/rpc/") {
        Some(function) => {
            let message = format!("Could not find the function notify.{function} in the schema cache");
            ApiError::new(404, "PGRST202", message)
        }
        None => ApiError::new(404, "PGRST125", "Invalid path specified in request URL"),
    }
    .into_response()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).expect("an error is plain strings");
        (status, [(header::CONTENT_TYPE, JSON)], body).into_response()
    }
}

fn find_table(method: &Method, headers: &HeaderMap, name: &str) -> Result<TableId, ApiError> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let profile = headers.get(if reads { "accept-profile" } else { "content-profile" });
    match profile.map_or(Ok("public"), |profile| profile.to_str()) {
        Ok("notify") => TableId::by_name(name).ok_or_else(|| ApiError::unknown_table("notify", name)),
        Ok(schema @ ("public" | "graphql_public")) => Err(ApiError::unknown_table(schema, name)),
        other => Err(ApiError::new(406, "PGRST106", format!("Invalid schema: {}", other.unwrap_or("?")))
            .hint(format!("Only the following schemas are exposed: {SCHEMAS_EXPOSED}"))),
    }
}

/// Whether the client wants one object in place of an array.
fn wants_object(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/vnd.pgrst.object+json"))
}

/// PGRST116: the client wants one object and there are `rows`.
fn not_one(rows: usize) -> ApiError {
    ApiError::new(406, "PGRST116", "Cannot coerce the result to a single JSON object")
        .details(format!("The result contains {rows} rows"))
}

fn header_value(text: String) -> HeaderValue {
    HeaderValue::from_str(&text).expect("ranges and preferences are printable ASCII")
}
