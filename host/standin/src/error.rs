//! Errors as PostgREST gives them: a code (PostgreSQL's or PostgREST's own), a message, and the HTTP status that belongs to it.

use serde::Serialize;

/// An answer of the database or of PostgREST that is not a success.
///
/// Serialized, it is the body PostgREST sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// SQLSTATE, or PostgREST's own `PGRST…`.
    pub code: &'static str,
    /// What PostgreSQL adds for the reader, for example the key that exists already.
    pub details: Option<String>,
    /// What to do instead, where the server offers something.
    pub hint: Option<String>,
    /// The error in one sentence, worded as the server words it.
    pub message: String,
    /// HTTP status of the answer.
    #[serde(skip)]
    pub status: u16,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { code, details: None, hint: None, message: message.into(), status }
    }

    pub(crate) fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// 42703: a filter, an order or a select names a column the table lacks.
    pub(crate) fn unknown_column(table: &str, column: &str) -> Self {
        Self::new(400, "42703", format!("column {table}.{column} does not exist"))
    }

    /// PGRST204: a body or `columns` names a column the table lacks.
    pub(crate) fn column_not_in_cache(table: &str, column: &str) -> Self {
        let message = format!("Could not find the '{column}' column of '{table}' in the schema cache");
        Self::new(400, "PGRST204", message)
    }

    /// PGRST205: no such table in the schema.
    pub(crate) fn unknown_table(schema: &str, table: &str) -> Self {
        let message = format!("Could not find the table '{schema}.{table}' in the schema cache");
        Self::new(404, "PGRST205", message)
    }

    /// PGRST100: the query string is not in PostgREST's grammar.
    pub(crate) fn unreadable(parameter: &str, text: &str, expected: &str) -> Self {
        Self::new(400, "PGRST100", format!("\"failed to parse {parameter} ({text})\" (line 1, column 1)"))
            .details(format!("unexpected input, expecting {expected}"))
    }

    /// PGRST102: the body is no JSON, or not the JSON it has to be.
    pub(crate) fn unreadable_body(message: impl Into<String>) -> Self {
        Self::new(400, "PGRST102", message)
    }

    /// 22P02: a literal is not of the column's type.
    pub(crate) fn invalid_literal(type_name: &str, text: &str) -> Self {
        Self::new(400, "22P02", format!("invalid input syntax for type {type_name}: \"{text}\""))
    }

    /// 42883: an operator that the column's type does not have.
    pub(crate) fn no_such_operator(type_name: &str, operator: &str) -> Self {
        Self::new(404, "42883", format!("operator does not exist: {type_name} {operator} unknown"))
            .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
    }
}
