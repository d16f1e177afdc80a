//! Novu's answers: results wrapped in `data`, errors in `ErrorDto` and its two richer kin.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::timestamp::Timestamp;

const IDEMPOTENCY_REPLAY: HeaderName = HeaderName::from_static("idempotency-replay");

/// A status and a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    status: u16,
    body: String,
    retry_after_s: Option<u64>,
    replay: bool,
}

impl Answer {
    /// A result. `json` is JSON text.
    pub(super) fn data(status: u16, json: &str) -> Self {
        Self { status, body: format!("{{\"data\":{json}}}"), retry_after_s: None, replay: false }
    }

    /// An `ErrorDto`.
    pub(super) fn error(status: u16, now: Timestamp, path: &str, message: &str) -> Self {
        Self::with_body(status, &error_body(status, now, path, message))
    }

    /// A `ValidationErrorDto`: 422, with the messages of each field.
    pub(super) fn invalid(now: Timestamp, path: &str, message: &str, errors: Value) -> Self {
        let mut body = error_body(422, now, path, message);
        body["errors"] = errors;
        Self::with_body(422, &body)
    }

    /// A `PayloadValidationExceptionDto`: 400, about one field.
    pub(super) fn bad_payload(now: Timestamp, path: &str, field: &str, message: &str) -> Self {
        let mut body = error_body(400, now, path, message);
        body["type"] = json!("PAYLOAD_VALIDATION_ERROR");
        body["errors"] = json!([{"field": field, "message": message}]);
        Self::with_body(400, &body)
    }

    /// Adds `Retry-After`.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The answer as the idempotency cache gives it again: errors of the server come back as 500.
    pub(super) fn replayed(self, now: Timestamp, path: &str) -> Self {
        let answer = if self.status >= 500 { Self::error(500, now, path, "Internal server error") } else { self };
        Self { replay: true, retry_after_s: None, ..answer }
    }

    fn with_body(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string(), retry_after_s: None, replay: false }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        let mut response = (status, [(header::CONTENT_TYPE, json)], self.body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.replay {
            response.headers_mut().insert(IDEMPOTENCY_REPLAY, HeaderValue::from_static("true"));
        }
        response
    }
}

fn error_body(status: u16, now: Timestamp, path: &str, message: &str) -> Value {
    json!({"statusCode": status, "timestamp": now.realtime(), "path": path, "message": message})
}
