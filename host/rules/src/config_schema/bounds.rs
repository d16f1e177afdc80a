//! What a schema may hold for the host to apply it.
//!
//! A schema is a small program: references that lead back to themselves, or double at each step, take whoever follows them as much time and
//! stack as their author likes. So every reference is followed here, without applying anything, and counted.

use serde_json::{Map, Value};

use super::SchemaError;
use crate::ruling::guest_words;

/// Longest text of a schema, in bytes.
const BYTES_MAX: usize = 64 * 1024;

/// Most schemas in it, each one that is referred to counted again at every reference.
const SCHEMAS_MAX: usize = 2_000;

/// Deepest nesting of schemas, references followed.
const DEPTH_MAX: usize = 32;

/// Most patterns in it, counted alike.
const PATTERNS_MAX: usize = 100;

/// Keywords whose value is a schema, or a list of them.
const SCHEMAS: [&str; 14] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
];

/// Keywords whose value is an object of schemas.
const MAPS: [&str; 6] = ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// Keywords that are not applied: what they cost cannot be seen from the text.
const REFUSED: [&str; 9] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
    "id",
    "unevaluatedItems",
    "unevaluatedProperties",
];

pub(super) fn check_size(text: &str) -> Result<(), SchemaError> {
    let bytes = text.len();
    if bytes <= BYTES_MAX { Ok(()) } else { Err(SchemaError::TooLarge { bytes, limit: BYTES_MAX }) }
}

/// Whether applying the schema costs no more than its size and that of the config say.
///
/// # Errors
/// It does not; says where.
pub(super) fn check(schema: &Value) -> Result<(), SchemaError> {
    Walk { root: schema, schemas: 0, patterns: 0 }.schema(schema, "", 0)
}

struct Walk<'a> {
    root: &'a Value,
    schemas: usize,
    patterns: usize,
}

impl Walk<'_> {
    fn schema(&mut self, schema: &Value, at: &str, depth: usize) -> Result<(), SchemaError> {
        self.schemas += 1;
        if self.schemas > SCHEMAS_MAX {
            return refuse(at, format!("comes to more than {SCHEMAS_MAX} schemas, references followed"));
        }
        if depth > DEPTH_MAX {
            return refuse(at, format!("is nested deeper than {DEPTH_MAX} schemas, or refers to itself"));
        }
        // What is neither an object nor a truth value is told by whoever knows the whole of schemas.
        let Some(keywords) = schema.as_object() else { return Ok(()) };
        for (keyword, value) in keywords {
            self.keyword(keyword, value, &format!("{at}/{}", escaped(keyword)), depth)?;
        }
        Ok(())
    }

    fn keyword(&mut self, keyword: &str, value: &Value, at: &str, depth: usize) -> Result<(), SchemaError> {
        match keyword {
            "$ref" => self.reference(value, at, depth),
            "pattern" => self.pattern(at),
            // The root may say what it is called; within, a name changes what references mean.
            "$id" if depth == 0 => Ok(()),
            "$id" => refuse(at, "names a part of it, which the host does not follow"),
            "id" if depth == 0 => Ok(()),
            _ if REFUSED.contains(&keyword) => {
                refuse(at, format!("has the keyword {keyword}, which the host does not apply"))
            }
            _ if SCHEMAS.contains(&keyword) => match value.as_array() {
                Some(list) => list.iter().zip(0..).try_for_each(|(schema, number): (_, usize)| {
                    self.schema(schema, &format!("{at}/{number}"), depth + 1)
                }),
                None => self.schema(value, at, depth + 1),
            },
            _ if MAPS.contains(&keyword) => self.map(keyword, value.as_object(), at, depth),
            _ => Ok(()),
        }
    }

    fn map(
        &mut self,
        keyword: &str,
        map: Option<&Map<String, Value>>,
        at: &str,
        depth: usize,
    ) -> Result<(), SchemaError> {
        for (name, schema) in map.into_iter().flatten() {
            let at = format!("{at}/{}", escaped(name));
            if keyword == "patternProperties" {
                self.pattern(&at)?;
            }
            self.schema(schema, &at, depth + 1)?;
        }
        Ok(())
    }

    fn pattern(&mut self, at: &str) -> Result<(), SchemaError> {
        self.patterns += 1;
        if self.patterns <= PATTERNS_MAX {
            return Ok(());
        }
        refuse(at, format!("has more than {PATTERNS_MAX} patterns, references followed"))
    }

    fn reference(&mut self, value: &Value, at: &str, depth: usize) -> Result<(), SchemaError> {
        let Some(to) = value.as_str() else { return Ok(()) };
        let root = self.root;
        // A pointer with `%` would have to be read as a part of a URI; nobody needs one.
        let pointer = to.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
        match pointer.and_then(|pointer| root.pointer(pointer)) {
            Some(schema) => self.schema(schema, at, depth + 1),
            None => refuse(at, format!("refers to {to:?}; only \"#/...\", a place within it, is followed")),
        }
    }
}

fn refuse(at: &str, what: impl AsRef<str>) -> Result<(), SchemaError> {
    Err(SchemaError::Unbounded { at: guest_words(at), what: guest_words(what.as_ref()) })
}

/// A key as a JSON pointer has it.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
