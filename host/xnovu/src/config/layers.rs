//! Where a setting comes from: flag over environment over `.env` over default.
//!
//! Owns the only reads of the process environment. Never changes it, so that a setting in `.env` does not leak into children.

#![allow(clippy::disallowed_methods, reason = "the one file that reads the environment")]

use std::collections::BTreeMap;
use std::path::Path;

/// Who said what a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The process environment.
    Environment,
    /// The file `.env` of the working directory.
    DotEnv,
}

impl Origin {
    /// The word operators know it by.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::DotEnv => ".env",
        }
    }
}

/// Settings as they were written, by the name of their variable.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    values: BTreeMap<String, (String, Origin)>,
}

impl Layers {
    /// The environment of this process over the `.env` of `directory`.
    ///
    /// # Errors
    /// A `.env` that exists and cannot be read or parsed, in words.
    pub fn of_process(directory: &Path) -> Result<Self, String> {
        let mut layers = Self::default();
        let file = directory.join(".env");
        if file.exists() {
            let entries = dotenvy::from_path_iter(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            for entry in entries {
                let (name, value) = entry.map_err(|error| format!("{}: {error}", file.display()))?;
                layers.set(&name, &value, Origin::DotEnv);
            }
        }
        for (name, value) in std::env::vars_os() {
            // A name or value that is not UTF-8 cannot be one of our settings.
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                layers.set(&name, &value, Origin::Environment);
            }
        }
        Ok(layers)
    }

    /// Puts a value over what earlier layers said.
    pub fn set(&mut self, name: &str, value: &str, origin: Origin) {
        self.values.insert(name.to_owned(), (value.to_owned(), origin));
    }

    /// What a flag said, if it was given.
    pub fn set_flag<T: ToString>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.set(name, &value.to_string(), Origin::Flag);
        }
    }

    /// The value of a setting. Empty is as good as unset, as in `NAME=` of an example file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(value, _)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Every name that was written, set or empty.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Who set it.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<Origin> {
        self.values.get(name).map(|(_, origin)| *origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_outranks_what_was_there_and_empty_is_unset() {
        let mut layers = Layers::default();
        layers.set("WORKER_CONCURRENCY", "5", Origin::DotEnv);
        layers.set_flag("WORKER_CONCURRENCY", Some(9));
        layers.set_flag::<u8>("REDIS_URL", None);
        layers.set("NOVU_API_URL", " ", Origin::Environment);
        assert_eq!(layers.get("WORKER_CONCURRENCY"), Some("9"));
        assert_eq!(layers.origin("WORKER_CONCURRENCY"), Some(Origin::Flag));
        assert_eq!((layers.get("REDIS_URL"), layers.get("NOVU_API_URL")), (None, None));
    }

    #[test]
    fn a_broken_env_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(".env"), "NOT A SETTING\n").unwrap();
        let error = Layers::of_process(directory.path()).unwrap_err();
        assert!(error.contains(".env"), "{error}");
    }
}
