//! What is wrong with the settings, all of it at once.
//!
//! Owns the form in which mistakes are told. Never shows the value of a secret.

use std::fmt;

use serde::Serialize;

/// One setting that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The variable.
    pub name: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// Every mistake that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// Notes one more.
    pub fn add(&mut self, name: &str, what: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Mistake { name: name.to_owned(), what: what.into(), hint: hint.into() });
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} setting{} missing or wrong:", self.0.len(), if self.0.len() == 1 { " is" } else { "s are" })?;
        for mistake in &self.0 {
            write!(f, "\n  {}: {}\n    hint: {}", mistake.name, mistake.what, mistake.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
