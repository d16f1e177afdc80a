//! What a rule is asked about.
//!
//! Owns reading: the payload and the facts are parsed when a rule asks for them and at most once, so a rule that decides by category
//! does not pay for a large payload.

use std::cell::OnceCell;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::read;
use crate::{RuleError, Timestamp};

/// One question to the rules: a notification and what is known about it. `P` is what its payload is read into.
#[derive(Debug, Clone)]
pub struct Event<P = Value> {
    parts: Parts,
    payload: OnceCell<Result<P, RuleError>>,
    facts: OnceCell<Result<Facts, RuleError>>,
}

/// Where a notification came from. It is a property of the row, not of the path by which the host heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Put into the table to be sent at once.
    Realtime,
    /// Put into the table with a time at which it is to be sent.
    Scheduled,
    /// Made by one of the enterprise's cron rules.
    Cron,
}

/// How much a notification matters, by the platform's convention the payload's field `severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nice to know.
    Low,
    /// The usual.
    Medium,
    /// Somebody should act.
    High,
    /// Somebody must act now.
    Critical,
}

/// What the host knows beside the row. A fact that is not known is absent, and a newer host may know more.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Code of the row's priority.
    pub priority_code: Option<String>,
    /// Path of the row's category from the root of the tree.
    pub category_path: Option<String>,
    /// How often the rules have put the row off.
    #[serde(default)]
    pub deferrals: u32,
    #[serde(rename = "originalScheduledFor")]
    original_scheduled_for_ms: Option<f64>,
}

impl Facts {
    /// When the row was to be sent before the rules first put it off.
    pub fn original_scheduled_for(&self) -> Option<Timestamp> {
        self.original_scheduled_for_ms.map(Timestamp::from_contract)
    }
}

/// An event in the contract's form.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) origin: Origin,
    pub(crate) now: Timestamp,
    pub(crate) seed: u32,
    pub(crate) id: String,
    pub(crate) enterprise_id: String,
    pub(crate) name: String,
    pub(crate) workflow_key: String,
    pub(crate) category: Option<String>,
    pub(crate) rule_id: Option<String>,
    pub(crate) recipients: Vec<String>,
    pub(crate) channels: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) payload: String,
    pub(crate) overrides: Option<String>,
    pub(crate) scheduled_for: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) facts: String,
}

impl<P> Event<P> {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, payload: OnceCell::new(), facts: OnceCell::new() }
    }

    #[cfg(test)]
    pub(crate) fn into_parts(self) -> Parts {
        self.parts
    }

    /// Where the notification came from.
    pub fn origin(&self) -> Origin {
        self.parts.origin
    }

    /// The only clock a rule has: the same event always gives the same answer.
    pub fn now(&self) -> Timestamp {
        self.parts.now
    }

    /// The only randomness a rule has. Fixed for a notification: a retry sees the same number.
    pub fn seed(&self) -> u32 {
        self.parts.seed
    }

    /// The row's primary key, decimal.
    pub fn id(&self) -> &str {
        &self.parts.id
    }

    /// The enterprise the row belongs to.
    pub fn enterprise_id(&self) -> &str {
        &self.parts.enterprise_id
    }

    /// The row's name, unique within the enterprise.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// Key of the Novu workflow the row points to. Empty where the row names none.
    pub fn workflow_key(&self) -> &str {
        &self.parts.workflow_key
    }

    /// Code of the row's category.
    pub fn category(&self) -> Option<&str> {
        self.parts.category.as_deref()
    }

    /// Primary key, decimal, of the cron rule that made the row.
    pub fn rule_id(&self) -> Option<&str> {
        self.parts.rule_id.as_deref()
    }

    /// Novu subscriber ids, in the row's order.
    pub fn recipients(&self) -> &[String] {
        &self.parts.recipients
    }

    /// Channel names as they stand in the row, for example `EMAIL`. New names may appear.
    pub fn channels(&self) -> &[String] {
        &self.parts.channels
    }

    /// The row's tags, in the row's order.
    pub fn tags(&self) -> &[String] {
        &self.parts.tags
    }

    /// Whether the row bears this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.parts.tags.iter().any(|one| one == tag)
    }

    /// The row's payload as JSON text.
    pub fn payload_json(&self) -> &str {
        &self.parts.payload
    }

    /// The row's overrides for Novu as JSON text.
    pub fn overrides_json(&self) -> Option<&str> {
        self.parts.overrides.as_deref()
    }

    /// The row's overrides for Novu.
    ///
    /// # Errors
    /// They are not what `T` reads; names the field.
    pub fn overrides<T: DeserializeOwned>(&self) -> Result<Option<T>, RuleError> {
        self.overrides_json().map(|text| read("overrides", text)).transpose()
    }

    /// When the row is to be sent. None: at once.
    pub fn scheduled_for(&self) -> Option<Timestamp> {
        self.parts.scheduled_for
    }

    /// When the row was made.
    pub fn created_at(&self) -> Timestamp {
        self.parts.created_at
    }

    /// When the row was last changed.
    pub fn updated_at(&self) -> Timestamp {
        self.parts.updated_at
    }

    /// What the host knows beside the row.
    ///
    /// # Errors
    /// The host sent something this version of the SDK cannot read.
    pub fn facts(&self) -> Result<&Facts, RuleError> {
        self.facts.get_or_init(|| read("facts", &self.parts.facts)).as_ref().map_err(Clone::clone)
    }

    /// The payload's field `severity`, in whatever case it is written; None where there is none or it is null.
    ///
    /// # Errors
    /// It is none of the four words.
    pub fn severity(&self) -> Result<Option<Severity>, RuleError> {
        #[derive(Deserialize)]
        struct Part {
            severity: Option<String>,
        }
        let Some(word) = read::<Part>("payload", &self.parts.payload)?.severity else { return Ok(None) };
        Severity::ALL
            .into_iter()
            .find(|one| one.word().eq_ignore_ascii_case(&word))
            .map(Some)
            .ok_or_else(|| RuleError::new(format!("payload.severity: {word:?} is none of low, medium, high, critical")))
    }
}

impl<P: DeserializeOwned> Event<P> {
    /// The payload. Read at the first call.
    ///
    /// # Errors
    /// It is not what `P` reads; names the field.
    pub fn payload(&self) -> Result<&P, RuleError> {
        self.payload.get_or_init(|| read("payload", &self.parts.payload)).as_ref().map_err(Clone::clone)
    }
}

impl Severity {
    const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word as it stands in a payload.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_nobody_asks_for_is_not_read() {
        let event: Event<u8> = Event::builder().payload(json!({"not": "a number"})).build();
        assert!(event.payload.get().is_none());
        assert_eq!(event.category(), None);
        assert!(event.payload.get().is_none());
    }

    #[test]
    fn a_payload_of_another_form_is_an_error_that_names_the_field() {
        #[derive(Debug, Deserialize)]
        struct Incident {
            #[allow(dead_code, reason = "only read to fail")]
            floor: u8,
        }
        let event: Event<Incident> = Event::builder().payload(json!({"floor": "three"})).build();
        let words = event.payload().unwrap_err().to_string();
        assert_eq!(words, "payload.floor: invalid type: string \"three\", expected u8");
    }

    #[test]
    fn severity_is_read_in_any_case_and_is_ordered() {
        let severity = |payload: Value| Event::builder().payload(payload).build::<Value>().severity();
        assert_eq!(severity(json!({"severity": "HIGH"})), Ok(Some(Severity::High)));
        assert_eq!(severity(json!({})), Ok(None));
        assert_eq!(severity(json!({"severity": null})), Ok(None));
        assert!(Severity::High < Severity::Critical);
    }

    #[test]
    fn an_unknown_severity_is_an_error() {
        let event: Event = Event::builder().severity("urgent").build();
        let words = event.severity().unwrap_err().to_string();
        assert_eq!(words, "payload.severity: \"urgent\" is none of low, medium, high, critical");
    }

    #[test]
    fn facts_that_are_not_known_are_absent_and_new_ones_are_ignored() {
        let event: Event = Event::builder().fact("deferrals", 2).fact("moonPhase", "full").build();
        assert_eq!(event.facts().unwrap(), &Facts { deferrals: 2, ..Facts::default() });
        let event: Event = Event::builder().fact("originalScheduledFor", 1_767_323_045_000_u64).build();
        let original = event.facts().unwrap().original_scheduled_for();
        assert_eq!(original, Some("2026-01-02T03:04:05Z".parse().unwrap()));
    }
}
