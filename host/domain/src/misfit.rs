//! What is wrong with JSON of another side, without a word of it.
//!
//! Owns the way from a parser's message, which quotes the value it did not expect, to one that names the column and what was expected.
//! Promises that no text comes from a value: a row holds payloads and recipients, and this stands in logs, health and Redis.

use std::fmt;

use serde::Deserialize;

/// Starts of the parser's messages that end in words of ours, after the value.
const WITH_EXPECTATION: [&str; 5] =
    ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant ", "unknown field "];

/// What does not fit, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    column: Option<String>,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// Something else was expected.
    Expected(String),
    /// This is not there.
    Missing(String),
    /// It cannot be understood; the parser's words may be the value's.
    Unclear,
    /// It is no JSON at all.
    Syntax { line: usize, column: usize },
}

impl Misfit {
    /// Reads JSON.
    ///
    /// # Errors
    /// The text is not JSON, or not what was wanted.
    pub fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Self> {
        serde_json::from_slice(json).map_err(|error| Self { column: column_of::<T>(json), what: What::of(&error) })
    }
}

/// Where it does not fit. Reads anew, because keeping track costs something, which good rows need not pay.
fn column_of<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<String> {
    let error = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(json)).err()?;
    error.path().iter().find_map(|segment| match segment {
        serde_path_to_error::Segment::Map { key } => Some(key.clone()),
        _ => None,
    })
}

impl What {
    fn of(error: &serde_json::Error) -> Self {
        if !error.is_data() {
            return Self::Syntax { line: error.line(), column: error.column() };
        }
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        if let Some(name) = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
            return Self::Missing(name.to_owned());
        }
        let expected =
            text.rsplit_once(", expected ").filter(|_| WITH_EXPECTATION.iter().any(|start| text.starts_with(start)));
        expected.map_or(Self::Unclear, |(_, expected)| Self::Expected(expected.to_owned()))
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(column) = &self.column {
            write!(f, "{column}: ")?;
        }
        match &self.what {
            What::Expected(expected) => write!(f, "expected {expected}"),
            What::Missing(name) => write!(f, "{name} is missing"),
            What::Unclear => f.write_str("it holds what cannot be understood"),
            What::Syntax { line, column } => write!(f, "no JSON from line {line}, column {column} on"),
        }
    }
}

impl std::error::Error for Misfit {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EnterpriseId, Json, Micros, Status};

    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only whether it parses matters")]
    struct Row {
        id: i64,
        #[serde(default)]
        enterprise: Option<EnterpriseId>,
        #[serde(default)]
        at: Option<Micros>,
        #[serde(default)]
        status: Option<Status>,
        #[serde(default)]
        recipients: Vec<String>,
        #[serde(default)]
        payload: Option<Json>,
    }

    /// What is said of a row.
    fn said(row: &str) -> String {
        Misfit::parse::<Row>(row.as_bytes()).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn a_value_that_does_not_fit_is_told_by_its_column_and_never_quoted() {
        let cases = [
            (r#"{"id": "SECRET"}"#, "id: expected i64"),
            (r#"{"id": "SECRET, expected SECRET"}"#, "id: expected i64"),
            (r#"{"id": 1, "recipients": "SECRET"}"#, "recipients: expected a sequence"),
            (r#"{"id": 1, "recipients": [{"SECRET": "SECRET"}]}"#, "recipients: expected a string"),
            (
                r#"{"id": 1, "enterprise": "SECRET of, expected SECRET"}"#,
                "enterprise: it holds what cannot be understood",
            ),
            (r#"{"recipients": ["SECRET"]}"#, "id is missing"),
            (r#""SECRET""#, "expected struct Row"),
        ];
        for (row, want) in cases {
            let said = said(row);
            assert!(said.starts_with(want) && !said.contains("SECRET"), "{row}: {said}");
        }
        for row in [r#"{"id": 1, "at": "SECRET"}"#, "{\"id\": 1, \"payload\": {\"SECRET\": }}", "SECRET", ""] {
            let said = said(row);
            assert!(!said.contains("SECRET") && !said.is_empty(), "{row}: {said}");
        }
    }

    #[test]
    fn what_fits_is_read_also_as_raw_text() {
        let row: Row = Misfit::parse(br#"{"id": 1, "payload": {"a":  1}, "unknown": []}"#).unwrap();
        assert_eq!(row.payload.unwrap().get(), r#"{"a":  1}"#);
        assert!(Misfit::parse::<Vec<i64>>(b"[1] [2]").is_err());
    }
}
