//! `plugin.toml`: what the author says about a plugin.
//!
//! Owns its keys. Never holds anything an operator decides; that is `bindings.toml`.

use std::path::{Component, Path, PathBuf};

use semver::Version;
use toml::Spanned;
use toml::de::DeValue;

use crate::mistake::{Mistake, Reader};

/// Name of the file in a plugin's directory.
pub const MANIFEST_FILE: &str = "plugin.toml";

/// Longest name of a plugin, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Longest version, in bytes: it becomes part of a file's name.
const VERSION_BYTES_MAX: usize = 64;

/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 500;

const KEYS: [&str; 5] = ["name", "version", "description", "config_schema", "target"];

/// What the author says about a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its name, which is that of its directory: lower-case letters, digits and single hyphens, a letter first.
    pub name: String,
    /// Its version, by the rules of semantic versioning.
    pub version: Version,
    /// What it does, in a sentence.
    pub description: String,
    /// JSON schema of its config, as a path within its directory.
    pub config_schema: Option<PathBuf>,
    /// What it is compiled for.
    pub target: Target,
}

/// What a plugin is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// `wasm32-unknown-unknown`: no WASI at all, and the fastest.
    #[default]
    Unknown,
    /// `wasm32-wasip2`: with the part of WASI a standard library needs.
    Wasip2,
}

impl Target {
    /// The compiler's name of the target.
    #[must_use]
    pub fn triple(self) -> &'static str {
        match self {
            Self::Unknown => "wasm32-unknown-unknown",
            Self::Wasip2 => "wasm32-wasip2",
        }
    }
}

impl Manifest {
    /// Reads the text of a manifest; `file` is its name in messages.
    ///
    /// # Errors
    /// Every mistake, with its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::new(file, text);
        let root = reader.root()?;
        let (mut name, mut version, mut description) = (None, None, None);
        let (mut config_schema, mut target) = (None, None);
        for (key, value) in &root {
            match key.get_ref().as_ref() {
                "name" => name = read_name(&mut reader, value),
                "version" => version = read_version(&mut reader, value),
                "description" => description = read_description(&mut reader, value),
                "config_schema" => config_schema = read_config_schema(&mut reader, value),
                "target" => target = read_target(&mut reader, value),
                other => reader.unknown(key.span(), other, &KEYS),
            }
        }
        for required in ["name", "version", "description"] {
            if !root.keys().any(|key| key.get_ref() == required) {
                reader.note(0..0, required, "is missing");
            }
        }
        let mistakes = reader.take();
        match (name, version, description) {
            (Some(name), Some(version), Some(description)) if mistakes.is_empty() => {
                Ok(Self { name, version, description, config_schema, target: target.unwrap_or_default() })
            }
            _ => Err(mistakes),
        }
    }
}

/// Whether a name can be a plugin's: it is a directory's name, and part of file names and messages.
#[must_use]
pub fn is_plugin_name(name: &str) -> bool {
    let mut words = name.split('-');
    let plain = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= NAME_BYTES_MAX && name.starts_with(|first: char| first.is_ascii_lowercase()) && words.all(plain)
}

type Value<'i> = Spanned<DeValue<'i>>;

fn read_name<'i>(reader: &mut Reader<'i>, value: &Value<'i>) -> Option<String> {
    let name = reader.string("name", value)?;
    let rule = "must be lower-case letters, digits and single hyphens, begin with a letter, and have at most 64 bytes";
    reader.demand(is_plugin_name(&name), value.span(), "name", rule).then_some(name)
}

fn read_version<'i>(reader: &mut Reader<'i>, value: &Value<'i>) -> Option<Version> {
    let text = reader.string("version", value)?;
    let version = Version::parse(&text).ok().filter(|_| text.len() <= VERSION_BYTES_MAX);
    let rule = "must be a semantic version such as 1.2.3, of at most 64 bytes";
    reader.demand(version.is_some(), value.span(), "version", rule);
    version
}

fn read_description<'i>(reader: &mut Reader<'i>, value: &Value<'i>) -> Option<String> {
    let text = reader.string("description", value)?;
    let fits = text.len() <= DESCRIPTION_BYTES_MAX;
    reader.demand(fits, value.span(), "description", "must have at most 500 bytes").then_some(text)
}

fn read_config_schema<'i>(reader: &mut Reader<'i>, value: &Value<'i>) -> Option<PathBuf> {
    let path = PathBuf::from(reader.string("config_schema", value)?);
    let rule = "must be a path within the plugin's directory";
    reader.demand(is_within(&path), value.span(), "config_schema", rule).then_some(path)
}

fn read_target<'i>(reader: &mut Reader<'i>, value: &Value<'i>) -> Option<Target> {
    let text = reader.string("target", value)?;
    let target = [Target::Unknown, Target::Wasip2].into_iter().find(|target| target.triple() == text);
    let rule = "must be \"wasm32-unknown-unknown\" or \"wasm32-wasip2\"";
    reader.demand(target.is_some(), value.span(), "target", rule);
    target
}

fn is_within(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests;
