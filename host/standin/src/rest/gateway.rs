//! Supabase's gateway: which key may pass, worded as it words its refusals.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::ApiError;

/// Why a request does not reach PostgREST as the service role.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GatewayError {
    NoKey,
    InvalidKey,
    /// A secret key from a browser.
    SecretInBrowser,
    /// A legacy key without its bearer token leaves the role `anon`, which may not use schema `notify`.
    Anonymous,
    /// The bearer token is not one this project signed.
    ForeignToken,
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let (message, hint) = match self {
            Self::NoKey => ("No API key found in request", "No `apikey` request header or url param was found."),
            Self::InvalidKey => ("Invalid API key", "Double check your Supabase `anon` or `service_role` API key."),
            Self::SecretInBrowser => (
                "Forbidden use of secret API key in browser",
                "Secret API keys can only be used in a protected environment and should never be used in a browser.",
            ),
            Self::Anonymous => {
                return ApiError::new(401, "42501", "permission denied for schema notify").into_response();
            }
            Self::ForeignToken => {
                return ApiError::new(401, "PGRST301", "No suitable key or wrong key type").into_response();
            }
        };
        (StatusCode::UNAUTHORIZED, axum::Json(json!({"message": message, "hint": hint}))).into_response()
    }
}

/// Lets a request pass that comes with the service role's key.
pub(super) fn authorize(headers: &HeaderMap, query: &str, expected: &str) -> Result<(), GatewayError> {
    check_key(headers, query, expected)?;
    let bearer = text(headers, header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    match bearer {
        Some(token) if token == expected => Ok(()),
        Some(_) => Err(GatewayError::ForeignToken),
        None if is_new_key(expected) => Ok(()),
        None => Err(GatewayError::Anonymous),
    }
}

/// Checks `apikey` alone, in the header or the query string.
pub(crate) fn check_key(headers: &HeaderMap, query: &str, expected: &str) -> Result<(), GatewayError> {
    let in_query = || form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "apikey").map(|(_, key)| key);
    let given = match text(headers, "apikey").or_else(|| text(headers, "x-api-key")) {
        Some(key) => key.into(),
        None => in_query().ok_or(GatewayError::NoKey)?,
    };
    if given != expected {
        return Err(GatewayError::InvalidKey);
    }
    let browser = text(headers, header::USER_AGENT.as_str()).is_some_and(|agent| agent.starts_with("Mozilla/"));
    if browser && given.starts_with("sb_secret_") {
        return Err(GatewayError::SecretInBrowser);
    }
    Ok(())
}

fn is_new_key(key: &str) -> bool {
    key.starts_with("sb_")
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn check(expected: &str, pairs: &[(&'static str, &str)], query: &str) -> Result<(), GatewayError> {
        let headers =
            pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header value")));
        authorize(&headers.collect(), query, expected)
    }

    #[test]
    fn a_new_key_goes_into_apikey_alone() {
        assert_eq!(check("sb_secret_1", &[("apikey", "sb_secret_1")], ""), Ok(()));
        assert_eq!(check("sb_secret_1", &[], "apikey=sb_secret_1"), Ok(()));
        assert_eq!(check("sb_secret_1", &[("authorization", "Bearer sb_secret_1")], ""), Err(GatewayError::NoKey));
        // supabase-js sends it in both places.
        let both = [("apikey", "sb_secret_1"), ("authorization", "Bearer sb_secret_1")];
        assert_eq!(check("sb_secret_1", &both, ""), Ok(()));
    }

    #[test]
    fn a_legacy_key_needs_its_bearer_token() {
        assert_eq!(check("jwt", &[("apikey", "jwt")], ""), Err(GatewayError::Anonymous));
        assert_eq!(check("jwt", &[("apikey", "jwt"), ("authorization", "Bearer jwt")], ""), Ok(()));
        let foreign = [("apikey", "jwt"), ("authorization", "Bearer other")];
        assert_eq!(check("jwt", &foreign, ""), Err(GatewayError::ForeignToken));
        assert_eq!(check("jwt", &[("apikey", "other")], ""), Err(GatewayError::InvalidKey));
    }

    #[test]
    fn a_secret_key_from_a_browser_is_refused() {
        let browser = [("apikey", "sb_secret_1"), ("user-agent", "Mozilla/5.0 (X11)")];
        assert_eq!(check("sb_secret_1", &browser, ""), Err(GatewayError::SecretInBrowser));
        let publishable = [("apikey", "sb_publishable_1"), ("user-agent", "Mozilla/5.0 (X11)")];
        assert_eq!(check("sb_publishable_1", &publishable, ""), Ok(()));
    }
}
