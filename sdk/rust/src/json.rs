//! JSON objects that are parsed only by who changes them.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::RuleError;

/// A JSON object: text as it came, its fields, or what became of an attempt to make one. The builder of a message stays free of
/// `Result`s by keeping the failure until the message is handed over.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    Text(String),
    Fields(Map<String, Value>),
    Broken(String),
}

impl Object {
    pub(crate) fn of(value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(Value::Object(fields)) => Self::Fields(fields),
            Ok(other) => Self::Broken(format!("must be a JSON object and is {}", kind(&other))),
            Err(error) => Self::Broken(error.to_string()),
        }
    }

    /// This object with one more field, or a field replaced.
    pub(crate) fn with(self, key: &str, value: impl Serialize) -> Self {
        match (self.parsed(), serde_json::to_value(value)) {
            (Self::Fields(mut fields), Ok(value)) => {
                fields.insert(key.to_owned(), value);
                Self::Fields(fields)
            }
            (Self::Fields(_), Err(error)) => Self::Broken(format!("{key}: {error}")),
            (broken, _) => broken,
        }
    }

    fn parsed(self) -> Self {
        match self {
            Self::Text(text) => match serde_json::from_str::<Value>(&text) {
                Ok(value) => Self::of(value),
                Err(error) => Self::Broken(error.to_string()),
            },
            other => other,
        }
    }

    /// The text to hand over; the error begins with `what` it was to be.
    pub(crate) fn into_text(self, what: &str) -> Result<String, RuleError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Fields(fields) => Ok(Value::Object(fields).to_string()),
            Self::Broken(words) => Err(RuleError::new(format!("{what}: {words}"))),
        }
    }
}

/// Equal if they mean the same, however they are written. What is broken equals nothing.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        matches!((self.clone().parsed(), other.clone().parsed()), (Self::Fields(a), Self::Fields(b)) if a == b)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_that_nobody_changes_keeps_its_bytes() {
        let text = r#"{"b": 1.50,  "a": 12345678901234567890123}"#;
        assert_eq!(Object::Text(text.to_owned()).into_text("payload").unwrap(), text);
    }

    #[test]
    fn a_field_is_added_or_replaced() {
        let object = Object::Text(r#"{"a":1,"b":2}"#.to_owned()).with("b", "two").with("c", [3]);
        assert_eq!(object.into_text("payload").unwrap(), r#"{"a":1,"b":"two","c":[3]}"#);
    }

    #[test]
    fn what_is_no_object_is_said_at_the_end() {
        let error = Object::of([1]).with("a", 1).into_text("overrides").unwrap_err();
        assert_eq!(error.reason(), "overrides: must be a JSON object and is an array");
    }

    #[test]
    fn objects_are_equal_if_they_mean_the_same() {
        assert_eq!(Object::Text(r#"{ "b":2, "a":1 }"#.to_owned()), Object::of(json!({"a": 1, "b": 2})));
        assert_ne!(Object::of(json!({"a": 1})), Object::of(json!({"a": 2})));
        assert_ne!(Object::of(1), Object::of(1));
    }
}
