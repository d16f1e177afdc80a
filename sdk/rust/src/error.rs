//! How a rule says that it cannot answer.

use std::error::Error;
use std::fmt;

use serde::de::DeserializeOwned;

/// The rule cannot answer for this event. The enterprise's failure policy decides what happens to it: by default it is held and
/// asked about again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError(String);

impl RuleError {
    /// Cannot answer, for this reason. Operators read the first 200 bytes.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.0
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn into_reason(self) -> String {
        self.0
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for RuleError {}

impl From<String> for RuleError {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<&str> for RuleError {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// Reads JSON into a type of the author's; the error names the field, as in `payload.level: invalid type: ...`.
pub(crate) fn read<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, RuleError> {
    serde_json::from_str(text).map_err(|error| {
        // Keeping track of the path costs time, so the text is read a second time where the first attempt fails.
        let failed: Result<T, _> = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text));
        let path = failed.err().map(|error| error.path().clone()).filter(|path| path.iter().next().is_some());
        let path = path.map(|path| path.to_string()).unwrap_or_default();
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        let words = error.to_string();
        // Without line and column, which belong to a text the author never sees.
        let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
        RuleError(format!("{what}{dot}{path}: {words}"))
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read to fail")]
    struct Incident {
        building: Building,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read to fail")]
    struct Building {
        floors: Vec<u8>,
    }

    #[test]
    fn an_error_names_the_field() {
        let check = |text: &str, want: &str| {
            assert_eq!(read::<Incident>("payload", text).unwrap_err().reason(), want);
        };
        check(
            r#"{"building":{"floors":[1,"two"]}}"#,
            "payload.building.floors[1]: invalid type: string \"two\", expected u8",
        );
        check(r#"{"building":{}}"#, "payload.building: missing field `floors`");
        check("{}", "payload: missing field `building`");
    }

    #[test]
    fn text_after_the_value_is_an_error() {
        assert_eq!(read::<u8>("config", "1 2").unwrap_err().reason(), "config: trailing characters");
    }
}
