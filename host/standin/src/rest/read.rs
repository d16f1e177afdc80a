//! GET and HEAD.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::database::Page;
use crate::error::ApiError;
use crate::query::Query;
use crate::query::select::{Projected, Selection};
use crate::state::State;

use super::prefer::Preferences;
use super::{JSON, JSON_OBJECT, Request, header_value, not_one, range, wants_object};

pub(super) fn get(state: &State, request: &Request<'_>) -> Result<Response, ApiError> {
    let preferences = Preferences::parse(request.headers)?;
    let now = state.now();
    let query = Query::parse(request.table.schema(), request.query, now)?;
    let window = range::window(request.headers, &query, state.options().max_rows, preferences.count)?;
    let page: Page = match state.with_faults(|faults| faults.rest.stale_reads_ms) {
        0 => state.store().read(|database| database.view().select(request.table, &query, window)),
        lag_ms => state.store().read_as_of(now.minus_millis(lag_ms), |view| view.select(request.table, &query, window)),
    };
    let (status, content_range) = range::answer(window.offset, page.rows.len() as u64, page.total)?;
    let (content_type, body) = if wants_object(request.headers) {
        (JSON_OBJECT, object(&query.selection, &page.rows)?)
    } else {
        (JSON, array(&query.selection, &page.rows))
    };
    let headers = [(header::CONTENT_TYPE, content_type), (header::CONTENT_RANGE, header_value(content_range))];
    // For HEAD the server drops the body and keeps its length, as PostgREST's does.
    Ok((status, headers, body).into_response())
}

/// The rows as a JSON array.
pub(super) fn array(selection: &Selection, rows: &[Projected]) -> String {
    let mut out = String::with_capacity(2 + rows.len() * 512);
    out.push('[');
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        selection.write(&mut out, row);
    }
    out.push(']');
    out
}

/// The one row as a JSON object.
pub(super) fn object(selection: &Selection, rows: &[Projected]) -> Result<String, ApiError> {
    let [row] = rows else { return Err(not_one(rows.len())) };
    let mut out = String::with_capacity(512);
    selection.write(&mut out, row);
    Ok(out)
}
