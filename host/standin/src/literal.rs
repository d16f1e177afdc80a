//! Input: from the text of a filter or the JSON of a body to a typed value, with PostgreSQL's errors where it refuses.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::ApiError;
use crate::jsonb;
use crate::schema::{Element, Kind};
use crate::timestamp::{Timestamp, TimestampError};
use crate::value::Value;

/// Reads a literal the way the type's input function does. `now` is the start of the transaction.
pub(crate) fn from_text(kind: Kind, text: &str, now: Timestamp) -> Result<Value, ApiError> {
    match kind {
        Kind::BigInt => integer(text, "bigint", i64::MIN, i64::MAX),
        Kind::Int => integer(text, "integer", i32::MIN.into(), i32::MAX.into()),
        Kind::Text | Kind::Ltree => Ok(Value::Text(text.into())),
        Kind::Bool => boolean(text).ok_or_else(|| ApiError::invalid_literal("boolean", text)),
        Kind::Uuid => uuid(text).ok_or_else(|| ApiError::invalid_literal("uuid", text)),
        Kind::Timestamp => Timestamp::parse(text, now).map(Value::Time).map_err(|error| timestamp_error(text, error)),
        Kind::Jsonb => jsonb::parse(text).map(Value::Json),
        Kind::Label(labels) => labels.position(text).map(Value::Label).ok_or_else(|| {
            let message = format!("invalid input value for enum shared_types.{}: \"{text}\"", labels.name);
            ApiError::new(400, "22P02", message)
        }),
        Kind::Array(element) => array(element, text, now),
    }
}

/// Reads a member of a JSON body, as `json_to_recordset` does: JSON's null is NULL, other scalars go through the type's input.
pub(crate) fn from_json(kind: Kind, raw: &RawValue, now: Timestamp) -> Result<Value, ApiError> {
    let text = raw.get();
    match (text.as_bytes().first(), kind) {
        (Some(b'n'), _) => Ok(Value::Null),
        (_, Kind::Jsonb) => jsonb::normalize(raw).map(Value::Json),
        (Some(b'"'), _) => {
            let string: String =
                serde_json::from_str(text).map_err(|error| ApiError::unreadable_body(error.to_string()))?;
            if string.contains('\0') {
                return Err(ApiError::new(400, "22P05", "unsupported Unicode escape sequence"));
            }
            from_text(kind, &string, now)
        }
        (Some(b'['), Kind::Array(element)) => {
            let members: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|error| ApiError::unreadable_body(error.to_string()))?;
            let values = members.into_iter().map(|member| from_json(element.kind(), member, now));
            Ok(Value::Array(values.collect::<Result<_, _>>()?))
        }
        (_, Kind::Array(_)) => Err(ApiError::new(400, "22P02", "expected JSON array")),
        _ => from_text(kind, text, now),
    }
}

fn integer(text: &str, type_name: &str, min: i64, max: i64) -> Result<Value, ApiError> {
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::invalid_literal(type_name, text));
    }
    match trimmed.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Int(number)),
        _ => Err(ApiError::new(400, "22003", format!("value \"{text}\" is out of range for type {type_name}"))),
    }
}

fn boolean(text: &str) -> Option<Value> {
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(Value::Bool(true)),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn uuid(text: &str) -> Option<Value> {
    // The parser below also takes URNs, which PostgreSQL does not.
    if text.starts_with("urn:") {
        return None;
    }
    Uuid::try_parse(text).ok().map(Value::Uuid)
}

fn timestamp_error(text: &str, error: TimestampError) -> ApiError {
    match error {
        TimestampError::Malformed => {
            ApiError::new(400, "22007", format!("invalid input syntax for type timestamp with time zone: \"{text}\""))
        }
        TimestampError::OutOfRange => {
            ApiError::new(400, "22008", format!("date/time field value out of range: \"{text}\""))
        }
    }
}

/// Reads `{a,"b c",NULL}`.
fn array(element: Element, text: &str, now: Timestamp) -> Result<Value, ApiError> {
    let malformed = || ApiError::new(400, "22P02", format!("malformed array literal: \"{text}\""));
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?;
    let mut values = Vec::new();
    let mut chars = inner.chars().peekable();
    while chars.peek().is_some() {
        let mut item = String::new();
        let quoted = chars.next_if_eq(&'"').is_some();
        loop {
            match chars.next() {
                Some('\\') => item.push(chars.next().ok_or_else(malformed)?),
                Some('"') if quoted => match chars.next() {
                    None | Some(',') => break,
                    Some(_) => return Err(malformed()),
                },
                Some(',') if !quoted => break,
                Some('{' | '}' | '"') if !quoted => return Err(malformed()),
                Some(char) => item.push(char),
                None if quoted => return Err(malformed()),
                None => break,
            }
        }
        if !quoted && item.trim().eq_ignore_ascii_case("null") {
            values.push(Value::Null);
        } else {
            values.push(from_text(element.kind(), if quoted { &item } else { item.trim() }, now)?);
        }
    }
    Ok(Value::Array(values.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::NOTIFICATION_STATUS;

    const NOW: Timestamp = Timestamp::from_micros(0);

    fn code(kind: Kind, text: &str) -> &'static str {
        from_text(kind, text, NOW).expect_err(text).code
    }

    #[test]
    fn what_postgresql_refuses_is_refused_with_its_code() {
        for (kind, text, expected) in [
            (Kind::BigInt, "abc", "22P02"),
            (Kind::BigInt, "1.0", "22P02"),
            (Kind::BigInt, "9223372036854775808", "22003"),
            (Kind::Int, "2147483648", "22003"),
            (Kind::Uuid, "not-a-uuid", "22P02"),
            (Kind::Label(&NOTIFICATION_STATUS), "pending", "22P02"),
            (Kind::Timestamp, "soon", "22007"),
            (Kind::Timestamp, "2026-13-01", "22008"),
            (Kind::Bool, "maybe", "22P02"),
            (Kind::Array(Element::Text), "a,b", "22P02"),
            (Kind::Jsonb, "{", "22P02"),
        ] {
            assert_eq!(code(kind, text), expected, "{text}");
        }
    }

    #[test]
    fn array_literals_are_read_with_quotes_and_nulls() {
        let read = from_text(Kind::Array(Element::Text), r#"{a,"b,\"c",NULL,"NULL"}"#, NOW).expect("well formed");
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(read, Value::Array([text("a"), text("b,\"c"), Value::Null, text("NULL")].into()));
    }

    #[test]
    fn integers_beyond_two_to_the_53_stay_exact() {
        let raw: &RawValue = serde_json::from_str("9007199254740993").expect("a number");
        assert_eq!(from_json(Kind::BigInt, raw, NOW), Ok(Value::Int(9_007_199_254_740_993)));
    }
}
