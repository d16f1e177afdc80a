//! The JSON schema of a plugin's settings.
//!
//! Owns how settings are compared with it. Only the author's verbs do: a schema is the author's own text, and the host, which runs what it
//! does not trust in the sandbox only, asks the rule itself.

use std::fs;

use anyhow::Context;
use jsonschema::Validator;
use serde_json::{Map, Value};

use super::project::Project;

/// Mistakes told of one config.
const MISTAKES_SHOWN: usize = 5;

/// A schema that can be applied.
#[derive(Debug)]
pub(super) struct Schema {
    validator: Validator,
}

impl Schema {
    /// Makes a schema ready. References to other documents are not followed.
    ///
    /// # Errors
    /// It is no JSON schema: says where.
    pub(super) fn new(schema: &Value) -> anyhow::Result<Self> {
        let validator = jsonschema::validator_for(schema).map_err(|error| {
            let at = error.instance_path().to_string();
            let place = if at.is_empty() { String::new() } else { format!(" at {at}") };
            anyhow::Error::msg(format!("it is no JSON schema{place}: {error}"))
        })?;
        Ok(Self { validator })
    }

    /// What about a config is not as the schema wants, a line each. Empty: it fits.
    pub(super) fn mistakes(&self, config: &Value) -> Vec<String> {
        let told = self.validator.iter_errors(config).take(MISTAKES_SHOWN);
        told.map(|error| match error.instance_path().to_string() {
            at if at.is_empty() => error.to_string(),
            at => format!("{}: {error}", at.trim_start_matches('/').replace('/', ".")),
        })
        .collect()
    }
}

/// The text of the schema plugin.toml names, if it names one.
///
/// # Errors
/// It cannot be read or holds no JSON object.
pub(super) fn read(project: &Project) -> anyhow::Result<Option<Value>> {
    let Some(path) = &project.manifest.config_schema else { return Ok(None) };
    let path = project.dir.join(path);
    let shown = path.display();
    let text = fs::read_to_string(&path).with_context(|| format!("reading {shown}"))?;
    let schema: Map<_, _> =
        serde_json::from_str(&text).with_context(|| format!("reading {shown}, which must hold a JSON object"))?;
    Ok(Some(Value::Object(schema)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_told_by_place() {
        let schema = Schema::new(&json!({"type": "object", "additionalProperties": false, "required": ["from"],
            "properties": {"from": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}}}))
        .unwrap();
        assert_eq!(schema.mistakes(&json!({"from": "22:00", "tags": ["a"]})), Vec::<String>::new());
        let mut mistakes = schema.mistakes(&json!({"tags": ["a", 7], "form": 1}));
        mistakes.sort();
        let want = [
            "\"from\" is a required property",
            "Additional properties are not allowed ('form' was unexpected)",
            "tags.1: 7 is not of type \"string\"",
        ];
        assert_eq!(mistakes, want);
    }

    #[test]
    fn what_is_no_schema_is_told() {
        let error = Schema::new(&json!({"type": "objekt"})).unwrap_err().to_string();
        assert!(error.starts_with("it is no JSON schema at /type: "), "{error}");
    }

    #[test]
    fn nothing_is_fetched() {
        let error = Schema::new(&json!({"$ref": "https://example.org/schema.json"})).unwrap_err().to_string();
        assert!(error.contains("example.org"), "{error}");
    }
}
