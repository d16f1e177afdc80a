//! Which rows of a result an answer holds: `Range`, `limit` and `offset` in, `Content-Range` and status out.

use axum::http::{HeaderMap, StatusCode, header};

use crate::database::Window;
use crate::error::ApiError;
use crate::query::Query;

/// The window a read asks for, cut to the server's `max_rows`.
///
/// # Errors
///
/// PGRST103 for a `Range` that ends before it starts.
pub(super) fn window(headers: &HeaderMap, query: &Query, max_rows: u64, count: bool) -> Result<Window, ApiError> {
    let (first, last) = requested(headers)?;
    let offset = first.max(query.offset);
    let of_range = last.map_or(u64::MAX, |last| (last + 1).saturating_sub(offset));
    let limit = query.limit.unwrap_or(u64::MAX).min(of_range).min(max_rows);
    Ok(Window { offset, limit, count })
}

/// `Content-Range` and status of an answer that holds `rows` rows from `offset` on.
///
/// # Errors
///
/// PGRST103 for an offset past the last of a known number of rows.
pub(super) fn answer(offset: u64, rows: u64, total: Option<u64>) -> Result<(StatusCode, String), ApiError> {
    let range = content_range(offset, rows, total);
    let Some(total) = total else { return Ok((StatusCode::OK, range)) };
    if offset > total {
        return Err(unsatisfiable(format!("An offset of {offset} was requested, but there are only {total} rows.")));
    }
    let status = if rows < total { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    Ok((status, range))
}

/// `0-9/*`, or `*/*` where there are no rows.
pub(super) fn content_range(offset: u64, rows: u64, total: Option<u64>) -> String {
    let total = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
    if rows == 0 { format!("*/{total}") } else { format!("{offset}-{}/{total}", offset + rows - 1) }
}

/// First and last row of the `Range` header; everything without one.
fn requested(headers: &HeaderMap) -> Result<(u64, Option<u64>), ApiError> {
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) =
        range.map(|range| range.trim_start_matches("items=")).and_then(|range| range.split_once('-'))
    else {
        return Ok((0, None));
    };
    // A range that is not in numbers is ignored.
    let Ok(first) = first.parse::<u64>() else { return Ok((0, None)) };
    match last.parse::<u64>() {
        Ok(last) if last < first => Err(unsatisfiable(
            "The lower boundary must be lower than or equal to the upper boundary in the Range header.".to_owned(),
        )),
        Ok(last) => Ok((first, Some(last))),
        Err(_) => Ok((first, None)),
    }
}

fn unsatisfiable(details: String) -> ApiError {
    ApiError::new(416, "PGRST103", "Requested range not satisfiable").details(details)
}
