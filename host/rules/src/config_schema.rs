//! The JSON schema a component carries of its config.
//!
//! Owns how it is found in the component and how a config is held against it. The text is a stranger's and is applied by the host itself, so it
//! is bounded before it is used ([`bounds`]), its patterns run in linear time, and no reference leaves it. Never repeats what stands in a config.

mod bounds;

use jsonschema::{PatternOptions, Validator};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;
use wasmparser::{Parser, Payload};

use crate::ruling::guest_words;

/// Name of the section of a component that holds what its plugin.toml says, as a JSON object.
pub const MANIFEST_SECTION: &str = "xnovu:manifest";

/// Mistakes told of one config.
const MISTAKES_MAX: usize = 5;

/// Memory one pattern may take once it is ready, in bytes.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// A schema that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// The section [`MANIFEST_SECTION`] is there and cannot be read.
    #[error("its section {MANIFEST_SECTION} cannot be read: {0}")]
    Unreadable(String),
    /// It is larger than any schema of settings.
    #[error("it has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What the limit is.
        limit: usize,
    },
    /// It holds what the host does not apply, or too much of what it does.
    #[error("at {at:?} it {what}")]
    Unbounded {
        /// JSON pointer into the schema.
        at: String,
        /// What is there, in words that follow on "it".
        what: String,
    },
    /// It is no JSON schema.
    #[error("at {at:?} it is no JSON schema: {why}")]
    Invalid {
        /// JSON pointer into the schema.
        at: String,
        /// Why.
        why: String,
    },
}

/// A config that is not taken, before the component was asked about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum SchemaRefusal {
    /// The config is not as the schema wants it: a line a mistake.
    #[error("{} (config_schema)", .0.join("; "))]
    Config(Vec<String>),
    /// Nobody can say whether it is.
    #[error("the config_schema of the component cannot be applied: {0}")]
    Schema(#[source] SchemaError),
}

/// A schema, ready to be applied.
#[derive(Debug)]
pub struct ConfigSchema {
    validator: Validator,
}

impl ConfigSchema {
    /// Makes a schema ready.
    ///
    /// # Errors
    /// It is no JSON schema, or holds what the host does not apply: says where.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        bounds::check(schema)?;
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let built = jsonschema::options().with_pattern_options(patterns).build(schema);
        let validator = built.map_err(|error| SchemaError::Invalid {
            at: guest_words(&error.instance_path().to_string()),
            why: guest_words(&error.to_string()),
        })?;
        Ok(Self { validator })
    }

    /// Reads the text of a schema.
    ///
    /// # Errors
    /// As [`ConfigSchema::new`]; or it is no JSON.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        bounds::check_size(text)?;
        let schema = serde_json::from_str(text)
            .map_err(|error| SchemaError::Invalid { at: String::new(), why: guest_words(&error.to_string()) })?;
        Self::new(&schema)
    }

    /// What about a config is not as the schema wants it: the JSON pointer of the place, and what is wrong there. The first five; none: it fits.
    #[must_use]
    pub fn mistakes(&self, config: &Value) -> Vec<String> {
        let told = self.validator.iter_errors(config).take(MISTAKES_MAX);
        told.map(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "the whole".to_owned() } else { guest_words(&place) };
            format!("{place}: {}", guest_words(&error.masked().to_string()))
        })
        .collect()
    }
}

/// The part of [`MANIFEST_SECTION`] the host reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Carried<'a> {
    #[serde(borrow)]
    config_schema: Option<&'a RawValue>,
}

/// The text of the schema a component carries, or why it cannot be had; None where it carries none.
pub(crate) fn carried(wasm: &[u8]) -> Option<Result<Box<str>, SchemaError>> {
    let read = |section| {
        let carried: Carried<'_> = serde_json::from_slice(section)
            .map_err(|error| SchemaError::Unreadable(guest_words(&error.to_string())))?;
        let Some(schema) = carried.config_schema.map(RawValue::get) else { return Ok(None) };
        bounds::check_size(schema)?;
        Ok(Some(schema.into()))
    };
    manifest_section(wasm).and_then(|section| read(section).transpose())
}

/// What a component carries in [`MANIFEST_SECTION`]; None where it was not built by `xnovu plugin build`.
#[must_use]
pub fn manifest_section(wasm: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 1 && section.name() == MANIFEST_SECTION => {
                return Some(section.data());
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
