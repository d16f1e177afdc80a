//! What conditions, orders and selections look at: a column, or what a path finds in one.

use std::borrow::Cow;

use crate::error::ApiError;
use crate::jsonb::{self, Step};
use crate::schema::{Kind, TableSchema};
use crate::value::Value;

/// What a check looks at.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Column(usize),
    /// `column->a->>b`.
    Path {
        column: usize,
        path: Vec<Step>,
        as_text: bool,
    },
}

impl Operand {
    /// Reads `column`, `column->key` or `column->key->>key`.
    pub(super) fn parse(schema: &TableSchema, text: &str) -> Result<Self, ApiError> {
        let (name, mut rest) = text.split_at(text.find("->").unwrap_or(text.len()));
        let name = name.trim().trim_matches('"');
        let column = schema.column(name).ok_or_else(|| ApiError::unknown_column(schema.name, name))?;
        if rest.is_empty() {
            return Ok(Self::Column(column));
        }
        let (mut path, mut as_text) = (Vec::new(), false);
        while let Some(next) = rest.strip_prefix("->") {
            let key = next.strip_prefix('>');
            // `->>` gives text, and text has no members.
            if as_text {
                return Err(ApiError::unreadable("json path", text, "end of input"));
            }
            as_text = key.is_some();
            let key = key.unwrap_or(next);
            let (key, tail) = key.split_at(key.find("->").unwrap_or(key.len()));
            path.push(Step(key.trim_matches('"').to_owned()));
            rest = tail;
        }
        Ok(Self::Path { column, path, as_text })
    }

    /// The value of this operand in a row.
    pub(crate) fn value<'row>(&self, row: &'row [Value]) -> Cow<'row, Value> {
        match self {
            Self::Column(column) => Cow::Borrowed(&row[*column]),
            Self::Path { column, path, as_text } => Cow::Owned(match &row[*column] {
                Value::Json(text) => jsonb::extract(text, path, *as_text),
                _ => Value::Null,
            }),
        }
    }

    pub(super) fn kind(&self, schema: &TableSchema) -> Kind {
        match self {
            Self::Column(column) => schema.columns[*column].kind,
            Self::Path { as_text: true, .. } => Kind::Text,
            Self::Path { as_text: false, .. } => Kind::Jsonb,
        }
    }
}
