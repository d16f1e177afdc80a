//! `bindings.toml`: what the operator decides for each enterprise.
//!
//! Owns its keys and what they may hold. Promises that every mistake is reported with its line and key, and that a mistake in one
//! enterprise's table disables that enterprise only. Never holds what a plugin's author says; that is `plugin.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use xnovu_domain::{EnterpriseId, IdError};

use crate::manifest::is_plugin_name;
use crate::mistake::{Mistake, Reader};
use crate::{Digest, FailurePolicy, Grants, Limits, RecipientGrant};

/// Name of the file in the plugins' directory.
pub const BINDINGS_FILE: &str = "bindings.toml";

/// The key that binds whoever has no binding of their own.
const REST: &str = "*";

const ENTRY_KEYS: [&str; 6] = ["plugin", "on_error", "log_guest", "config", "limits", "grants"];
const GRANT_KEYS: [&str; 3] = ["workflows", "recipients", "extra"];

/// Deepest nesting of a config, as far as it is read.
const CONFIG_DEPTH_MAX: usize = 32;

/// Whom an entry binds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One enterprise.
    Enterprise(EnterpriseId),
    /// Every enterprise without an entry of its own.
    Rest,
}

/// The id of an enterprise, or `*`.
impl FromStr for Subject {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text == REST { Ok(Self::Rest) } else { text.parse().map(Self::Enterprise) }
    }
}

/// The enterprise, or `*`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enterprise(id) => id.fmt(f),
            Self::Rest => f.write_str(REST),
        }
    }
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BindingsFile {
    /// What it says of each subject, or what is wrong with that.
    pub entries: BTreeMap<Subject, Result<Entry, Vec<Mistake>>>,
    /// Mistakes outside of every entry.
    pub mistakes: Vec<Mistake>,
}

/// What the operator decides for one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the plugin.
    pub plugin: String,
    /// What becomes of a notification whose rules cannot answer.
    pub on_error: FailurePolicy,
    /// Whether the component's log lines and panic texts may be read.
    pub log_guest: bool,
    /// The plugin's settings.
    pub config: Config,
    /// What one evaluation may use.
    pub limits: Limits,
    /// What the rules may reach beyond the row.
    pub grants: Grants,
}

/// Settings of a plugin: a JSON object with sorted keys, and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    json: Arc<str>,
    hash: Digest,
}

impl Config {
    /// The config a JSON value is.
    #[must_use]
    pub fn new(value: &Json) -> Self {
        Self::from_text(&value.to_string())
    }

    pub(crate) fn from_text(json: &str) -> Self {
        Self { json: json.into(), hash: Digest::of(json.as_bytes()) }
    }

    /// The text the component gets.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The config as a value.
    pub(crate) fn value(&self) -> Json {
        // The text was written from a value, or is one that was by its digest.
        serde_json::from_str(&self.json).unwrap_or_default()
    }

    /// The digest of that text.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }
}

impl BindingsFile {
    /// Reads the text of the file; `file` is its name in messages, `defaults` what applies where an entry sets no limit.
    ///
    /// # Errors
    /// Every mistake of syntax. Mistakes of meaning are part of what is read.
    pub fn parse(file: &str, text: &str, defaults: &Limits) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::new(file, text);
        let root = reader.root()?;
        let mut read = Self::default();
        for (key, value) in &root {
            match key.get_ref().as_ref() {
                "enterprises" => {
                    if let Some(table) = reader.table("enterprises", value) {
                        read.entries = enterprises(&mut reader, table, defaults);
                    }
                }
                other => reader.unknown(key.span(), other, &["enterprises"]),
            }
        }
        read.mistakes = reader.take();
        Ok(read)
    }
}

type Entries = BTreeMap<Subject, Result<Entry, Vec<Mistake>>>;
type Value<'i> = Spanned<DeValue<'i>>;

fn enterprises<'i>(reader: &mut Reader<'i>, table: &DeTable<'i>, defaults: &Limits) -> Entries {
    let mut entries = Entries::new();
    let mut outside = Vec::new();
    for (key, value) in table {
        let name = key.get_ref();
        let path = format!("enterprises.\"{name}\"");
        match name.parse::<Subject>() {
            Err(error) => {
                reader.note(key.span(), &path, error.to_string());
                outside.append(&mut reader.take());
            }
            Ok(subject) => {
                let entry = entry(reader, &path, value, defaults);
                if entries.contains_key(&subject) {
                    reader.note(key.span(), &path, "is bound twice: two spellings of one id");
                }
                let mistakes = reader.take();
                let result = entry.filter(|_| mistakes.is_empty()).ok_or(mistakes);
                entries.insert(subject, result);
            }
        }
    }
    reader.put_back(outside);
    entries
}

fn entry<'i>(reader: &mut Reader<'i>, path: &str, value: &Value<'i>, defaults: &Limits) -> Option<Entry> {
    let table = reader.table(path, value)?;
    let (mut plugin, mut on_error, mut log_guest, mut config) = (None, None, None, None);
    let (mut limits, mut grants) = (*defaults, Grants::default());
    for (key, value) in table {
        let at = format!("{path}.{}", key.get_ref());
        match key.get_ref().as_ref() {
            "plugin" => plugin = read_plugin(reader, &at, value),
            "on_error" => on_error = read_policy(reader, &at, value),
            "log_guest" => log_guest = reader.boolean(&at, value),
            "config" => config = read_config(reader, &at, value),
            "limits" => read_limits(reader, &at, value, &mut limits),
            "grants" => read_grants(reader, &at, value, &mut grants),
            _ => reader.unknown(key.span(), &at, &ENTRY_KEYS),
        }
    }
    if !table.keys().any(|key| key.get_ref() == "plugin") {
        reader.note(value.span(), &format!("{path}.plugin"), "is missing");
    }
    Some(Entry {
        plugin: plugin?,
        on_error: on_error.unwrap_or_default(),
        log_guest: log_guest.unwrap_or_default(),
        config: config.unwrap_or_else(|| Config::from_text("{}")),
        limits,
        grants,
    })
}

fn read_plugin<'i>(reader: &mut Reader<'i>, at: &str, value: &Value<'i>) -> Option<String> {
    let name = reader.string(at, value)?;
    let rule = "must be the name of a plugin: lower-case letters, digits and single hyphens";
    reader.demand(is_plugin_name(&name), value.span(), at, rule).then_some(name)
}

fn read_policy<'i>(reader: &mut Reader<'i>, at: &str, value: &Value<'i>) -> Option<FailurePolicy> {
    let policy = match reader.string(at, value)?.as_str() {
        "hold" => Some(FailurePolicy::Hold),
        "deliver" => Some(FailurePolicy::Deliver),
        "drop" => Some(FailurePolicy::Drop),
        _ => None,
    };
    reader.demand(policy.is_some(), value.span(), at, "must be \"hold\", \"deliver\" or \"drop\"");
    policy
}

fn read_limits<'i>(reader: &mut Reader<'i>, path: &str, value: &Value<'i>, limits: &mut Limits) {
    let Some(table) = reader.table(path, value) else { return };
    for (key, value) in table {
        let at = format!("{path}.{}", key.get_ref());
        if !Limits::NAMES.contains(&key.get_ref().as_ref()) {
            reader.unknown(key.span(), &at, &Limits::NAMES);
        } else if let Some(number) = reader.integer(&at, value)
            && let Err(error) = limits.set(key.get_ref(), number)
        {
            reader.note(value.span(), &at, error.to_string());
        }
    }
}

fn read_grants<'i>(reader: &mut Reader<'i>, path: &str, value: &Value<'i>, grants: &mut Grants) {
    let Some(table) = reader.table(path, value) else { return };
    for (key, value) in table {
        let at = format!("{path}.{}", key.get_ref());
        match key.get_ref().as_ref() {
            "workflows" => grants.workflows = reader.strings(&at, value).unwrap_or_default(),
            "extra" => grants.extra = reader.strings(&at, value).unwrap_or_default(),
            "recipients" => {
                let recipients = reader.string(&at, value).and_then(|text| match text.as_str() {
                    "row" => Some(RecipientGrant::Row),
                    "any" => Some(RecipientGrant::Any),
                    _ => None,
                });
                grants.recipients = recipients.unwrap_or_default();
                // A value of another type has been reported as that already.
                let known = recipients.is_some() || !matches!(value.get_ref(), DeValue::String(_));
                reader.demand(known, value.span(), &at, "must be \"row\" or \"any\"");
            }
            _ => reader.unknown(key.span(), &at, &GRANT_KEYS),
        }
    }
}

fn read_config<'i>(reader: &mut Reader<'i>, at: &str, value: &Value<'i>) -> Option<Config> {
    reader.table(at, value)?;
    read_json(reader, at, value, CONFIG_DEPTH_MAX).map(|json| Config::new(&json))
}

/// TOML as JSON. Dates and times become the text they are written as.
fn read_json<'i>(reader: &mut Reader<'i>, at: &str, value: &Value<'i>, depth: usize) -> Option<Json> {
    if depth == 0 {
        reader.note(value.span(), at, format!("is nested deeper than {CONFIG_DEPTH_MAX} levels"));
        return None;
    }
    match value.get_ref() {
        DeValue::String(text) => Some(Json::from(text.as_ref())),
        DeValue::Boolean(truth) => Some(Json::from(*truth)),
        DeValue::Integer(_) => reader.integer(at, value).map(Json::from),
        DeValue::Float(number) => {
            let json = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            reader.demand(json.is_some(), value.span(), at, "is a number JSON does not have");
            json.map(Json::Number)
        }
        DeValue::Datetime(at) => Some(Json::from(at.to_string())),
        // Each part is read before any is missed, so that every mistake is found.
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            let read: Vec<_> =
                items.map(|(index, item)| read_json(reader, &format!("{at}[{index}]"), item, depth - 1)).collect();
            read.into_iter().collect::<Option<Vec<_>>>().map(Json::Array)
        }
        DeValue::Table(table) => {
            let pairs = table.iter().map(|(key, value)| {
                let key = key.get_ref();
                (key.to_string(), read_json(reader, &format!("{at}.{key}"), value, depth - 1))
            });
            let read: Vec<_> = pairs.collect();
            let pairs = read.into_iter().map(|(key, json)| Some((key, json?)));
            pairs.collect::<Option<serde_json::Map<_, _>>>().map(Json::Object)
        }
    }
}

#[cfg(test)]
mod tests;
