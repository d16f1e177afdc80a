//! Where a setting comes from: flag over environment over `.env` over `xnovu.toml`.
//!
//! Owns the only reads of the process environment, and for each value the layer and, in a file, the line it stands on. Never changes the
//! environment, so that a setting in `.env` does not leak into children.

#![allow(clippy::disallowed_methods, reason = "the one file that reads the environment")]

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::settings::XNOVU_CONFIG;
use super::table::Setting;
use super::{Mistakes, file};

/// Who said what a setting is. A later one outranks an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// `xnovu.toml`.
    File,
    /// The file `.env` of the working directory.
    DotEnv,
    /// The process environment.
    Environment,
    /// The command line.
    Flag,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who said it.
    pub layer: Layer,
    /// The file and its line, where it stands in one.
    pub place: Option<(Arc<Path>, usize)>,
}

impl Origin {
    pub(super) fn at(layer: Layer, path: &Arc<Path>, line: usize) -> Self {
        Self { layer, place: Some((Arc::clone(path), line)) }
    }
}

impl From<Layer> for Origin {
    fn from(layer: Layer) -> Self {
        Self { layer, place: None }
    }
}

/// `flag`, `environment`, or the file and line.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.layer) {
            (Some((path, line)), _) => write!(f, "{}:{line}", path.strip_prefix(".").unwrap_or(path).display()),
            (None, Layer::File) => f.write_str("xnovu.toml"),
            (None, Layer::DotEnv) => f.write_str(".env"),
            (None, Layer::Environment) => f.write_str("environment"),
            (None, Layer::Flag) => f.write_str("flag"),
        }
    }
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Under which name.
    pub name: String,
    /// The value, trimmed; never empty.
    pub value: String,
    /// Where.
    pub origin: Origin,
}

/// Settings as they were written, by the name of their variable.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    values: BTreeMap<String, (String, Origin)>,
    /// What is wrong with the files.
    pub(super) mistakes: Mistakes,
}

impl Layers {
    /// The environment of this process over the `.env` of `directory` over `xnovu.toml`: the file that `named`, else `XNOVU_CONFIG`, names,
    /// else the one of `directory`. What is wrong with the files is told with all other mistakes.
    #[must_use]
    pub fn of_process(directory: &Path, named: Option<&Path>) -> Self {
        let mut upper = Self::default();
        file::read_env(&mut upper, &directory.join(".env"));
        for (name, value) in std::env::vars_os() {
            // A name or value that is not UTF-8 cannot be one of our settings.
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                upper.set(&name, &value, Layer::Environment);
            }
        }
        upper.set_flag(XNOVU_CONFIG.name, named.map(Path::display));
        upper.make_absolute(directory);
        upper.over_toml(directory)
    }

    /// The file of settings is found from everywhere, also by a daemon that leaves the directory.
    fn make_absolute(&mut self, directory: &Path) {
        if let Some((path, _)) = self.values.get_mut(XNOVU_CONFIG.name)
            && let Ok(absolute) = std::path::absolute(directory.join(&path))
        {
            *path = absolute.display().to_string();
        }
    }

    /// Puts these layers over what the `xnovu.toml` they name, else the one of `directory`, says.
    fn over_toml(self, directory: &Path) -> Self {
        let mut layers = Self::default();
        match self.get(XNOVU_CONFIG.name) {
            Some(path) => file::read_toml(&mut layers, Path::new(path), true),
            None => file::read_toml(&mut layers, &directory.join("xnovu.toml"), false),
        }
        layers.values.extend(self.values);
        layers.mistakes.0.extend(self.mistakes.0);
        layers
    }

    /// Puts a value over what earlier layers said. An empty one is as good as none, as in `NAME=` of an example file: what stands below
    /// shows through.
    pub fn set(&mut self, name: &str, value: &str, layer: Layer) {
        self.write(name, value, layer.into());
    }

    pub(super) fn write(&mut self, name: &str, value: &str, origin: Origin) {
        if !value.trim().is_empty() {
            self.values.insert(name.to_owned(), (value.trim().to_owned(), origin));
        }
    }

    /// What a flag said, if it was given.
    pub fn set_flag<T: ToString>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.set(name, &value.to_string(), Layer::Flag);
        }
    }

    /// The value under one name, whether it is a setting or not.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(value, _)| value.as_str())
    }

    fn found(&self, name: &str) -> Option<Found> {
        let (value, origin) = self.values.get(name)?;
        Some(Found { name: name.to_owned(), value: value.clone(), origin: origin.clone() })
    }

    /// Everything that was written, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = Found> {
        self.values.keys().filter_map(|name| self.found(name))
    }

    /// What was written for a setting under any of its spellings, the one that counts first: that of the highest layer, of equal ones the
    /// name before its aliases and a value before the file that holds it.
    #[must_use]
    pub fn spellings(&self, setting: &Setting) -> Vec<Found> {
        let names = || std::iter::once(setting.name).chain(setting.aliases.iter().copied());
        let files = names().filter(|_| setting.secret).map(|name| format!("{name}_FILE"));
        let mut found: Vec<Found> =
            names().map(str::to_owned).chain(files).filter_map(|name| self.found(&name)).collect();
        found.sort_by_key(|found| std::cmp::Reverse(found.origin.layer));
        found
    }

    /// What counts for a setting.
    #[must_use]
    pub fn find(&self, setting: &Setting) -> Option<Found> {
        self.spellings(setting).into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{DAEMON_LOG_LEVEL, NOVU_API_URL, NOVU_SECRET_KEY, REDIS_URL, WORKER_CONCURRENCY};

    fn of(directory: &Path, environment: &[(&str, &str)]) -> Layers {
        let mut upper = Layers::default();
        file::read_env(&mut upper, &directory.join(".env"));
        environment.iter().for_each(|(name, value)| upper.set(name, value, Layer::Environment));
        upper.over_toml(directory)
    }

    fn counts(layers: &Layers, setting: &Setting) -> Option<(String, String)> {
        layers.find(setting).map(|found| (found.value, found.origin.to_string()))
    }

    #[test]
    fn a_flag_outranks_what_was_there_and_empty_is_unset() {
        let mut layers = Layers::default();
        layers.set("WORKER_CONCURRENCY", "5", Layer::DotEnv);
        layers.set_flag("WORKER_CONCURRENCY", Some(9));
        layers.set_flag::<u8>("REDIS_URL", None);
        layers.set("NOVU_API_URL", " ", Layer::Environment);
        assert_eq!(counts(&layers, &WORKER_CONCURRENCY), Some(("9".to_owned(), "flag".to_owned())));
        assert_eq!((layers.find(&REDIS_URL), layers.find(&NOVU_API_URL)), (None, None));
    }

    #[test]
    fn each_layer_outranks_those_below_and_every_value_knows_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("xnovu.toml", "[novu]\nurl = \"http://toml\"\n\n[worker]\nconcurrency = 1\n[log]\nlevel = \"warn\"\n");
        write(
            ".env",
            "# first\nexport NOVU_API_URL=http://env\nWORKER_CONCURRENCY=2\nREDIS_URL=\"redis://a\nb\"\nLOG_LEVEL=error\n",
        );
        let layers = of(directory.path(), &[("WORKER_CONCURRENCY", "3"), ("REDIS_URL", "")]);
        let place = |name: &str, line| format!("{}:{line}", directory.path().join(name).display());
        assert_eq!(counts(&layers, &NOVU_API_URL), Some(("http://env".to_owned(), place(".env", 2))));
        assert_eq!(counts(&layers, &WORKER_CONCURRENCY), Some(("3".to_owned(), "environment".to_owned())));
        assert_eq!(counts(&layers, &REDIS_URL), Some(("redis://a\nb".to_owned(), place(".env", 4))));
        // An alias in a higher layer outranks the name in a lower one.
        assert_eq!(counts(&layers, &DAEMON_LOG_LEVEL), Some(("error".to_owned(), place(".env", 6))));
        std::fs::remove_file(directory.path().join(".env")).unwrap();
        let layers = of(directory.path(), &[]);
        assert_eq!(counts(&layers, &WORKER_CONCURRENCY), Some(("1".to_owned(), place("xnovu.toml", 5))));
    }

    #[test]
    fn the_file_of_a_secret_in_a_higher_layer_outranks_the_secret_in_a_lower_one() {
        let mut layers = Layers::default();
        layers.set("NOVU_SECRET_KEY", "old", Layer::DotEnv);
        layers.set("NOVU_SECRET_KEY_FILE", "/run/secrets/novu", Layer::Environment);
        assert_eq!(layers.find(&NOVU_SECRET_KEY).unwrap().name, "NOVU_SECRET_KEY_FILE");
        layers.set("NOVU_SECRET_KEY", "new", Layer::Environment);
        assert_eq!(layers.find(&NOVU_SECRET_KEY).unwrap().value, "new");
    }

    #[test]
    fn mistakes_in_the_files_are_named_with_their_line_and_never_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write(".env", "NOVU_API_URL=http://a\n\nNOVU SECRET KEY hunter2\n");
        write(
            "xnovu.toml",
            "[novu]\nkey = \"hunter2\"\ntimeot_ms = 5\n[enterprises.acme]\npriority = 3\n[worker]\nconcurrency = 1.5\n",
        );
        let text = of(directory.path(), &[]).mistakes.to_string();
        for part in [
            ".env: line 3 is no setting",
            "novu.timeot_ms: is no setting",
            "line 3)",
            "did you mean novu.timeout_ms?",
            "enterprises.acme.priority: is no setting",
            "worker.concurrency: is no text, number",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
        write("xnovu.toml", "[novu]\nkey = hunter2\n");
        let text = of(directory.path(), &[]).mistakes.to_string();
        assert!(text.contains("line 2 is no TOML") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_named_file_must_exist_and_the_usual_one_need_not() {
        let directory = tempfile::tempdir().unwrap();
        assert!(of(directory.path(), &[]).mistakes.0.is_empty());
        let missing = directory.path().join("other.toml").display().to_string();
        let layers = of(directory.path(), &[("XNOVU_CONFIG", &missing)]);
        assert_eq!(layers.mistakes.0[0].name, missing);
    }
}
