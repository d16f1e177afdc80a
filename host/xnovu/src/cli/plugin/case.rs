//! A case: one event, and what the rules must answer.
//!
//! Owns the format of `cases/*.json`. Whatever a case leaves out has a default that is the same on every machine; a key nobody knows is a
//! mistake, because a misspelt expectation would pass for ever.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use xnovu_domain::{Event, Micros, Notification};

use super::project::relative;

/// The time of a case that says none.
const NOW: &str = "2026-01-01T00:00:00Z";

/// A case as its author wrote it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What it shows. The file's name where it says nothing.
    pub(super) name: Option<String>,
    #[serde(default)]
    event: EventOfCase,
    /// The enterprise's settings.
    #[serde(default = "empty")]
    pub(super) config: Value,
    /// What the rules must answer.
    pub(super) expect: Expectation,
}

/// What the rules must answer. At least one of the three.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    /// Of `validate-config`. Left out: that it accepts the config.
    pub(super) config: Option<Refusal>,
    /// Of `admit`.
    pub(super) admit: Option<Admit>,
    /// Of `transform`, which is asked only where `admit` delivers.
    pub(super) transform: Option<Transform>,
}

/// An error that must come, by a part of its text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refusal {
    /// A part of the text.
    pub(super) error: String,
}

/// An answer of `admit`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Admit {
    /// `{"deliver": {}}` or `{"deliver": {"priority": 500}}`.
    Deliver(Delivery),
    /// `{"defer": {"until": "...", "reason": "..."}}`; any reason where none is given.
    Defer(Deferral),
    /// `{"drop": "reason"}`.
    Drop(String),
    /// `{"error": "a part of the text"}`.
    Error(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delivery {
    pub(super) priority: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deferral {
    pub(super) until: Micros,
    pub(super) reason: Option<String>,
}

/// An answer of `transform`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Transform {
    /// Each message whole, in order.
    Messages(Vec<Value>),
    /// An error.
    Refusal(Refusal),
}

/// The row and the moment, as far as the case says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventOfCase {
    now: Option<Micros>,
    seed: Option<u32>,
    id: Option<i64>,
    enterprise_id: Option<String>,
    name: Option<String>,
    workflow_key: Option<String>,
    category: Option<String>,
    category_path: Option<String>,
    priority_code: Option<String>,
    rule_id: Option<i64>,
    recipients: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    payload: Option<Map<String, Value>>,
    overrides: Option<Map<String, Value>>,
    scheduled_for: Option<Micros>,
    created_at: Option<Micros>,
    updated_at: Option<Micros>,
    deferrals: Option<u32>,
    original_scheduled_for: Option<Micros>,
}

fn empty() -> Value {
    json!({})
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// Where the text stops being a case.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let case: Self = serde_json::from_str(text)?;
        let Expectation { config, admit, transform } = &case.expect;
        ensure!(
            config.is_some() || admit.is_some() || transform.is_some(),
            "`expect` is empty, so the case shows nothing"
        );
        ensure!(
            config.is_none() || (admit.is_none() && transform.is_none()),
            "rules with a refused config are asked nothing else"
        );
        if let Some(Transform::Messages(messages)) = transform {
            messages.iter().try_for_each(check_message)?;
        }
        ensure!(case.config.is_object(), "`config` must be an object");
        Ok(case)
    }

    /// The question to the rules.
    ///
    /// # Errors
    /// The row cannot be one: an enterprise id with a comma, for example.
    pub(super) fn event(&self) -> anyhow::Result<Event> {
        let event = &self.event;
        let now = event.now.map_or_else(|| Micros::parse(NOW), Ok).context("reading the default time")?;
        let created_at = event.created_at.unwrap_or(now);
        let row = json!({
            "id": event.id.unwrap_or(1),
            "enterprise_id": event.enterprise_id.as_deref().unwrap_or("11111111-1111-4111-8111-111111111111"),
            "name": event.name.as_deref().unwrap_or("notification-1"),
            "notification_status": "PENDING",
            "publish_status": "PUBLISH",
            "deactivated": false,
            "payload": event.payload.clone().unwrap_or_default(),
            "recipients": event.recipients.clone().unwrap_or_else(|| vec!["subscriber-1".to_owned()]),
            "channels": event.channels.clone().unwrap_or_else(|| vec!["IN_APP".to_owned()]),
            "tags": event.tags,
            "overrides": event.overrides,
            "scheduled_for": event.scheduled_for,
            "created_at": created_at,
            "updated_at": event.updated_at.unwrap_or(created_at),
            "error_details": self.details(),
            "notification_rule_id": event.rule_id,
            "workflow": {"workflow_key": event.workflow_key.as_deref().unwrap_or("default-workflow")},
            "category": {"code": event.category, "path_text": event.category_path},
            "priority": {"code": event.priority_code},
        });
        // By way of text, because a payload is kept as the text it came in.
        let row: Notification = serde_json::from_str(&row.to_string()).context("making a row of the event")?;
        let mut asked = Event::new(row, now);
        asked.seed = event.seed.unwrap_or(asked.seed);
        Ok(asked)
    }

    /// How often and since when the rules have put the row off, as it stands on a row.
    fn details(&self) -> Value {
        let deferrals = self.event.deferrals;
        deferrals.map_or(
            Value::Null,
            |deferrals| json!({"deferrals": deferrals, "original_scheduled_for": self.event.original_scheduled_for}),
        )
    }
}

/// A message is compared whole, so what it may hold is known.
fn check_message(message: &Value) -> anyhow::Result<()> {
    let fields = message.as_object().context("an expected message must be an object")?;
    let known = BTreeSet::from(["workflow_key", "recipients", "payload", "overrides", "tenant", "actor", "extra"]);
    for key in fields.keys() {
        ensure!(known.contains(key.as_str()), "a message has no {key:?}; it has {}", Vec::from_iter(known).join(", "));
    }
    for key in ["workflow_key", "recipients", "payload"] {
        ensure!(fields.contains_key(key), "an expected message needs {key:?}");
    }
    Ok(())
}

/// A file with a case.
pub(super) struct CaseFile {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// What the case shows; the file's name where it says nothing or cannot be read.
    pub(super) name: String,
    /// The question and the case, or why it is none.
    pub(super) case: anyhow::Result<(Event, Case)>,
}

impl CaseFile {
    fn read(path: PathBuf) -> anyhow::Result<Self> {
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let case = Case::parse(&text).and_then(|case| Ok((case.event()?, case)));
        let said = case.as_ref().ok().and_then(|(_, case)| case.name.clone());
        let name = said.unwrap_or_else(|| path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        Ok(Self { path, name, case })
    }

    /// The case.
    ///
    /// # Errors
    /// It cannot be read; says which it is and where it stops being one.
    pub(super) fn sound(self) -> anyhow::Result<(String, Event, Case)> {
        let (event, case) =
            self.case.with_context(|| format!("the case {} cannot be read", relative(&self.path).display()))?;
        Ok((self.name, event, case))
    }
}

/// Every case of a plugin, by the names of their files.
///
/// # Errors
/// There is none, or a file cannot be read.
pub(super) fn read_all(plugin: &Path) -> anyhow::Result<Vec<CaseFile>> {
    let files = files(plugin)?;
    ensure!(!files.is_empty(), "{} has no cases\nhint: docs/plugins.md shows one", plugin.join("cases").display());
    files.into_iter().map(CaseFile::read).collect()
}

fn files(plugin: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let dir = plugin.join("cases");
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry.with_context(|| format!("listing {}", dir.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use xnovu_domain::Origin;

    use super::*;

    fn mistake(case: Value) -> String {
        format!("{:#}", Case::parse(&case.to_string()).unwrap_err())
    }

    #[test]
    fn what_a_case_leaves_out_is_the_same_everywhere() {
        let case = Case::parse(r#"{"expect": {"admit": {"deliver": {}}}}"#).unwrap();
        let event = case.event().unwrap();
        assert_eq!(event.now, Micros::parse(NOW).unwrap());
        assert_eq!(event.origin, Origin::Realtime);
        assert_eq!(event.notification.recipients, ["subscriber-1"]);
        assert_eq!(event.facts, Map::from_iter([("deferrals".to_owned(), json!(0))]));
        assert_eq!(case.config, json!({}));
    }

    #[test]
    fn a_case_says_what_the_row_says() {
        let event = json!({"now": "2026-03-01T00:00:00Z", "rule_id": 9, "category": "fire", "category_path": "a.fire", "seed": 7,
            "payload": {"a": 1.5}, "deferrals": 2, "original_scheduled_for": "2026-02-01T00:00:00Z", "priority_code": "P1"});
        let case = Case::parse(&json!({"event": event, "expect": {"admit": {"drop": "x"}}}).to_string()).unwrap();
        let event = case.event().unwrap();
        assert_eq!((event.origin, event.seed), (Origin::Cron, 7));
        assert_eq!(event.notification.payload.get(), r#"{"a":1.5}"#);
        let facts = json!({"priorityCode": "P1", "categoryPath": "a.fire", "deferrals": 2, "originalScheduledFor": 1_769_904_000_000_i64});
        assert_eq!(Value::Object(event.facts), facts);
    }

    #[test]
    fn a_key_nobody_knows_is_a_mistake() {
        let deliver = json!({"admit": {"deliver": {}}});
        assert!(mistake(json!({"expects": {}, "expect": deliver})).contains("unknown field `expects`"));
        assert!(mistake(json!({"event": {"tag": "x"}, "expect": deliver})).contains("unknown field `tag`"));
        assert!(mistake(json!({"expect": {"admit": {"deliver": {"prio": 1}}}})).contains("unknown field `prio`"));
        assert!(mistake(json!({"expect": {"admit": {"send": {}}}})).contains("unknown variant `send`"));
        let message = json!({"workflow_key": "w", "recipients": [], "payload": {}, "to": []});
        assert!(mistake(json!({"expect": {"transform": [message]}})).contains("a message has no \"to\""));
        assert!(
            mistake(json!({"expect": {"transform": [{"workflow_key": "w", "payload": {}}]}}))
                .contains("needs \"recipients\"")
        );
    }

    #[test]
    fn a_case_that_shows_nothing_is_a_mistake() {
        assert!(mistake(json!({"expect": {}})).contains("shows nothing"));
        assert!(mistake(json!({})).contains("missing field `expect`"));
        let both = json!({"config": {"error": "x"}, "admit": {"drop": "x"}});
        assert!(mistake(json!({"expect": both})).contains("asked nothing else"));
    }
}
