//! Reading PostgREST's little languages off the front of a text.

use crate::error::ApiError;

/// A text being read, and the whole of it for messages.
pub(super) struct Scan<'a> {
    whole: &'a str,
    rest: &'a str,
    /// Name of the parameter in PostgREST's messages.
    parameter: &'static str,
}

impl<'a> Scan<'a> {
    pub(super) fn new(parameter: &'static str, text: &'a str) -> Self {
        Self { whole: text, rest: text, parameter }
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes `token` if it comes next.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest;
        true
    }

    /// Whether `token` comes next.
    pub(super) fn sees(&self, token: &str) -> bool {
        self.rest.starts_with(token)
    }

    pub(super) fn expect(&mut self, token: &str) -> Result<(), ApiError> {
        if self.eat(token) { Ok(()) } else { Err(self.error(token)) }
    }

    /// Takes everything up to the first of `ends`, or to the end.
    pub(super) fn until(&mut self, ends: &[char]) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub(super) fn remainder(&mut self) -> &'a str {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes `"…"` with backslash escapes, or everything up to the first of `ends`.
    pub(super) fn quoted_or_until(&mut self, ends: &[char]) -> Result<String, ApiError> {
        if !self.eat("\"") {
            return Ok(self.until(ends).to_owned());
        }
        let mut text = String::new();
        loop {
            text.push_str(self.until(&['"', '\\']));
            if self.eat("\"") {
                return Ok(text);
            }
            self.expect("\\")?;
            let escaped = self.rest.chars().next().ok_or_else(|| self.error("\""))?;
            text.push(escaped);
            self.rest = &self.rest[escaped.len_utf8()..];
        }
    }

    /// Takes a parenthesised list of values, quoted or not. `()` is the empty list.
    pub(super) fn list(&mut self) -> Result<Vec<String>, ApiError> {
        self.expect("(")?;
        let mut items = Vec::new();
        if self.eat(")") {
            return Ok(items);
        }
        loop {
            items.push(self.quoted_or_until(&[',', ')'])?);
            if self.eat(")") {
                return Ok(items);
            }
            self.expect(",")?;
        }
    }

    pub(super) fn error(&self, expected: &str) -> ApiError {
        ApiError::unreadable(self.parameter, self.whole, expected)
    }
}
