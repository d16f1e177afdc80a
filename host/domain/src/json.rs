//! JSON kept as the text it came in.
//!
//! Owns text that is known to be JSON. It is parsed only by who needs a part of it, and what is sent is byte for byte what was
//! decided, so that a hash of it means something.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

/// Text that is not JSON, or not the JSON that was wanted.
#[derive(Debug, Error)]
pub enum JsonError {
    /// Not JSON; says where.
    #[error("not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// JSON, but no object.
    #[error("JSON, but not an object")]
    NotAnObject,
}

/// One JSON value as text. Two are equal when their texts are.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Any JSON value.
    ///
    /// # Errors
    /// Says where the text stops being JSON.
    pub fn parse(text: String) -> Result<Self, JsonError> {
        Ok(Self(RawValue::from_string(text)?))
    }

    /// A JSON object.
    ///
    /// # Errors
    /// As [`Json::parse`], and for every other kind of value.
    pub fn object(text: String) -> Result<Self, JsonError> {
        let json = Self::parse(text)?;
        if json.is_object() { Ok(json) } else { Err(JsonError::NotAnObject) }
    }

    /// The text of a value that is in memory already.
    #[must_use]
    pub fn from_value(value: &serde_json::Value) -> Self {
        let text = value.to_string();
        Self(RawValue::from_string(text).expect("serde_json writes JSON"))
    }

    /// Whether the value is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.get().starts_with('{')
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

/// Shows the size only: payloads do not belong into logs or panics.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.get().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_told_from_everything_else() {
        assert!(Json::object(" {\"a\":1}".to_owned()).is_ok_and(|json| json.get() == "{\"a\":1}"));
        assert!(matches!(Json::object("[1]".to_owned()), Err(JsonError::NotAnObject)));
        assert!(matches!(Json::object("{".to_owned()), Err(JsonError::Syntax(_))));
    }

    #[test]
    fn what_is_shown_in_a_log_is_the_size_only() {
        assert_eq!(format!("{:?}", Json::object("{\"secret\":1}".to_owned()).unwrap()), "Json(12 bytes)");
    }
}
