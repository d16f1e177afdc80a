//! Mistakes in TOML files, all of them, each with its line and key.
//!
//! Owns how a file is walked so that no mistake hides another. Never stops at the first.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest key, and longest text, of one mistake, in bytes. The names of all limits fit.
const TEXT_BYTES_MAX: usize = 1_000;

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key, dotted; empty where the mistake is not about one.
    pub key: String,
    /// What is wrong and, where that is not plain, what is right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if self.key.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.key, self.what) }
    }
}

/// Walks one file and collects its mistakes.
pub(crate) struct Reader<'i> {
    file: &'i str,
    text: &'i str,
    mistakes: Vec<Mistake>,
}

impl<'i> Reader<'i> {
    pub(crate) fn new(file: &'i str, text: &'i str) -> Self {
        Self { file, text, mistakes: Vec::new() }
    }

    /// The outermost table, or every mistake of syntax.
    pub(crate) fn root(&self) -> Result<DeTable<'i>, Vec<Mistake>> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        if errors.is_empty() {
            return Ok(root.into_inner());
        }
        let mistake = |error: toml::de::Error| self.at(error.span().unwrap_or(0..0), "", error.message());
        Err(errors.into_iter().map(mistake).collect())
    }

    pub(crate) fn note(&mut self, span: Range<usize>, key: &str, what: impl Into<String>) {
        let mistake = self.at(span, key, what);
        self.mistakes.push(mistake);
    }

    /// Notes a mistake unless the demand is met; says whether it is.
    pub(crate) fn demand(&mut self, met: bool, span: Range<usize>, key: &str, rule: &str) -> bool {
        if !met {
            self.note(span, key, rule);
        }
        met
    }

    /// The mistakes so far; none are left.
    pub(crate) fn take(&mut self) -> Vec<Mistake> {
        std::mem::take(&mut self.mistakes)
    }

    /// Gives back mistakes that were taken, before those noted since.
    pub(crate) fn put_back(&mut self, mistakes: Vec<Mistake>) {
        self.mistakes.splice(0..0, mistakes);
    }

    pub(crate) fn unknown(&mut self, span: Range<usize>, key: &str, known: &[&str]) {
        self.note(span, key, format!("is no key here; the keys are {}", known.join(", ")));
    }

    pub(crate) fn string(&mut self, key: &str, value: &Spanned<DeValue<'i>>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            other => self.wrong_type(value.span(), key, "a string", other),
        }
    }

    pub(crate) fn boolean(&mut self, key: &str, value: &Spanned<DeValue<'i>>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            other => self.wrong_type(value.span(), key, "true or false", other),
        }
    }

    pub(crate) fn integer(&mut self, key: &str, value: &Spanned<DeValue<'i>>) -> Option<i64> {
        match value.get_ref() {
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
                if parsed.is_none() {
                    self.note(value.span(), key, "does not fit 64 bits");
                }
                parsed
            }
            other => self.wrong_type(value.span(), key, "a whole number", other),
        }
    }

    pub(crate) fn strings(&mut self, key: &str, value: &Spanned<DeValue<'i>>) -> Option<Vec<String>> {
        match value.get_ref() {
            DeValue::Array(items) => {
                // Each item is read before any is missed, so that every mistake is found.
                let read: Vec<_> = items.iter().map(|item| self.string(key, item)).collect();
                read.into_iter().collect()
            }
            other => self.wrong_type(value.span(), key, "a list of strings", other),
        }
    }

    pub(crate) fn table<'v>(&mut self, key: &str, value: &'v Spanned<DeValue<'i>>) -> Option<&'v DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => self.wrong_type(value.span(), key, "a table", other),
        }
    }

    fn wrong_type<T>(&mut self, span: Range<usize>, key: &str, want: &str, found: &DeValue<'_>) -> Option<T> {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.note(span, key, format!("must be {want}, and is {found}"));
        None
    }

    fn at(&self, span: Range<usize>, key: &str, what: impl Into<String>) -> Mistake {
        let before = self.text.as_bytes().iter().take(span.start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Mistake { file: self.file.to_owned(), line, key: fit(key), what: fit(&what.into()) }
    }
}

/// Text that may quote the file, cut and without what would move a terminal's cursor.
fn fit(text: &str) -> String {
    let mut text = text.replace(|c: char| c.is_control(), " ");
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}
