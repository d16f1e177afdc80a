//! `jsonb`: JSON as PostgreSQL stores and prints it, and the path operators `->` and `->>`.
//!
//! Keys are unique (the last one wins) and sorted by length, then bytes; numbers keep their digits whatever their size; the text
//! has a space after every colon and comma. Exactly this reordering is what a client that hashes a payload has to live with.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::error::ApiError;
use crate::value::{Value, write_string};

/// Digits a number may grow to when its exponent is written out; PostgreSQL's own limit is higher and of no use here.
const EXPANDED_DIGITS_MAX: usize = 1_000;

/// Reads JSON text as `jsonb`.
pub(crate) fn parse(text: &str) -> Result<Arc<str>, ApiError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| malformed(text, &error))?;
    normalize(raw)
}

/// Turns JSON that has been read already into the text of a `jsonb`.
pub(crate) fn normalize(raw: &RawValue) -> Result<Arc<str>, ApiError> {
    let mut out = String::with_capacity(raw.get().len() + 16);
    write(&mut out, raw)?;
    Ok(out.into())
}

/// One step of a path: an object's key or an array's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step(pub(crate) String);

/// Follows a path. The result is NULL where the path leads nowhere.
///
/// With `as_text` the last step is `->>`: strings lose their quotes and JSON's `null` becomes NULL.
pub(crate) fn extract(json: &str, path: &[Step], as_text: bool) -> Value {
    let mut at = json.to_owned();
    for step in path {
        match child(&at, step) {
            Some(next) => at = next,
            None => return Value::Null,
        }
    }
    if !as_text {
        return Value::Json(at.into());
    }
    match at.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b'"') => serde_json::from_str::<String>(&at).map_or(Value::Null, |text| Value::Text(text.into())),
        _ => Value::Text(at.into()),
    }
}

fn child(json: &str, Step(key): &Step) -> Option<String> {
    if json.starts_with('{') {
        let mut members: HashMap<String, &RawValue> = serde_json::from_str(json).ok()?;
        return members.remove(key).map(|raw| raw.get().to_owned());
    }
    if json.starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
        let index: i64 = key.parse().ok()?;
        // A negative index counts from the end.
        let index = if index < 0 { i64::try_from(elements.len()).ok()? + index } else { index };
        return elements.get(usize::try_from(index).ok()?).map(|raw| raw.get().to_owned());
    }
    None
}

fn write(out: &mut String, raw: &RawValue) -> Result<(), ApiError> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => write_object(out, text),
        Some(b'[') => write_array(out, text),
        Some(b'"') => {
            let string: String = serde_json::from_str(text).map_err(|error| malformed(text, &error))?;
            if string.contains('\0') {
                return Err(ApiError::new(400, "22P05", "unsupported Unicode escape sequence")
                    .details("\\u0000 cannot be converted to text."));
            }
            write_string(out, &string);
            Ok(())
        }
        Some(b'-' | b'0'..=b'9') => write_number(out, text),
        _ => {
            out.push_str(text);
            Ok(())
        }
    }
}

fn write_object(out: &mut String, text: &str) -> Result<(), ApiError> {
    let members: HashMap<String, &RawValue> = serde_json::from_str(text).map_err(|error| malformed(text, &error))?;
    let mut members: Vec<_> = members.into_iter().collect();
    members.sort_unstable_by(|(left, _), (right, _)| (left.len(), left).cmp(&(right.len(), right)));
    out.push('{');
    for (index, (key, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_string(out, &key);
        out.push_str(": ");
        write(out, value)?;
    }
    out.push('}');
    Ok(())
}

fn write_array(out: &mut String, text: &str) -> Result<(), ApiError> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| malformed(text, &error))?;
    out.push('[');
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(out, element)?;
    }
    out.push(']');
    Ok(())
}

/// Writes a number as `numeric` prints it: an exponent is written out, digits are kept, zero has no sign.
fn write_number(out: &mut String, text: &str) -> Result<(), ApiError> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| overflow())?),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let (whole, fraction) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    if exponent.unsigned_abs() as usize > EXPANDED_DIGITS_MAX {
        return Err(overflow());
    }
    let digits = format!("{whole}{fraction}");
    // Where the decimal point stands among the digits once the exponent has moved it.
    let point = whole.len() as i64 + i64::from(exponent);
    let (whole, fraction) = if point <= 0 {
        (String::new(), format!("{}{digits}", "0".repeat(point.unsigned_abs() as usize)))
    } else if point as usize >= digits.len() {
        (format!("{digits}{}", "0".repeat(point as usize - digits.len())), String::new())
    } else {
        (digits[..point as usize].to_owned(), digits[point as usize..].to_owned())
    };
    let whole = whole.trim_start_matches('0');
    if negative && digits.bytes().any(|digit| digit != b'0') {
        out.push('-');
    }
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(&fraction);
    }
    Ok(())
}

fn malformed(text: &str, error: &serde_json::Error) -> ApiError {
    let shown: String = text.chars().take(80).collect();
    ApiError::new(400, "22P02", "invalid input syntax for type json").details(format!("{error} in \"{shown}\""))
}

fn overflow() -> ApiError {
    ApiError::new(400, "22003", "value overflows numeric format")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        parse(json).map_or_else(|error| error.code.to_owned(), |text| text.to_string())
    }

    #[test]
    fn keys_are_sorted_by_length_then_bytes_and_the_last_duplicate_wins() {
        assert_eq!(
            text(r#"{"bb":1,"a":{"z":1,"y":[1,  2]},"bb":3,"c":null}"#),
            r#"{"a": {"y": [1, 2], "z": 1}, "c": null, "bb": 3}"#
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        for (given, kept) in [
            ("12345678901234567890123", "12345678901234567890123"),
            ("1.50", "1.50"),
            ("-0", "0"),
            ("-0.10", "-0.10"),
            ("1.5e3", "1500"),
            ("12.5e-3", "0.0125"),
            ("1E2", "100"),
        ] {
            assert_eq!(text(given), kept, "{given}");
        }
        assert_eq!(text("1e999999"), "22003");
    }

    #[test]
    fn strings_are_escaped_as_little_as_possible_and_hold_no_nul() {
        assert_eq!(text(r#""é\u00e9\n\"""#), "\"éé\\n\\\"\"");
        assert_eq!(text(r#"{"a":"\u0000"}"#), "22P05");
        assert_eq!(text("{"), "22P02");
    }

    #[test]
    fn a_path_leads_to_text_json_or_nothing() {
        let json = r#"{"a": {"b": [1, "x"]}, "n": null}"#;
        let steps = |path: &[&str]| path.iter().map(|step| Step((*step).to_owned())).collect::<Vec<_>>();
        assert_eq!(extract(json, &steps(&["a", "b", "-1"]), true), Value::Text("x".into()));
        assert_eq!(extract(json, &steps(&["a", "b"]), false), Value::Json("[1, \"x\"]".into()));
        assert_eq!(extract(json, &steps(&["n"]), true), Value::Null);
        assert_eq!(extract(json, &steps(&["n"]), false), Value::Json("null".into()));
        assert_eq!(extract(json, &steps(&["a", "zzz"]), true), Value::Null);
    }
}
