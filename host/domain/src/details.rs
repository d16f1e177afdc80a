//! What `error_details` holds.
//!
//! Owns the one JSON document on a row in which the host remembers what the row's other columns have no place for. Keys it does not know
//! are kept as they are. Never holds a payload or a recipient.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Micros, Notification, Reason};

/// How often rules may put one notification off.
pub const DEFERRALS_MAX: u32 = 100;

/// A call Novu has accepted, or may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedChunk {
    /// SHA-256 of the body without its transaction id, lower-case hex.
    pub hash: String,
    /// The transaction id it was sent under.
    pub transaction_id: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The document. Absent keys mean nothing happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Why the last attempt did not end in SENT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where it happened: `admit`, `transform`, `claim`, `trigger`, `reaper`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Micros>,
    /// Why the rules keep the notification waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Reason>,
    /// Why the rules put it off last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deferred: Option<Reason>,
    /// How often the rules have put it off.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deferrals: u32,
    /// The time it was scheduled for before the first deferral.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_scheduled_for: Option<Micros>,
    /// Transaction ids Novu has accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub novu_transaction_ids: Vec<String>,
    /// Calls Novu has accepted although the notification failed as a whole: a later episode skips them until they are cleared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<AcceptedChunk>,
    /// Transaction ids of calls without an answer: they may have been sent twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncertain: Vec<String>,
    /// How often the reaper has offered the row again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reaped: u32,
    /// When a retraction was carried to Novu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Micros>,
    /// Keys of others.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl Details {
    /// What the row remembers. A document of another shape is kept whole under `previous`.
    #[must_use]
    pub fn of(notification: &Notification) -> Self {
        let Some(value) = &notification.error_details else { return Self::default() };
        serde_json::from_value(value.clone()).unwrap_or_else(|_| Self {
            others: Map::from_iter([("previous".to_owned(), value.clone())]),
            ..Self::default()
        })
    }

    /// The document, or `null` where there is nothing to remember.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match serde_json::to_value(self) {
            Ok(Value::Object(keys)) if keys.is_empty() => Value::Null,
            Ok(value) => value,
            Err(_) => Value::Null,
        }
    }

    /// This document with an error in it.
    #[must_use]
    pub fn with_error(mut self, stage: &str, error: impl Into<String>, at: Micros) -> Self {
        self.error = Some(error.into());
        self.stage = Some(stage.to_owned());
        self.timestamp = Some(at);
        self
    }

    /// This document after the rules have put the notification off once more. `scheduled_for` is the time it had until now.
    #[must_use]
    pub fn with_deferral(mut self, scheduled_for: Option<Micros>, reason: &Reason) -> Self {
        if self.deferrals == 0 {
            self.original_scheduled_for = scheduled_for;
        }
        self.deferrals += 1;
        self.deferred = Some(reason.clone());
        self.hold = None;
        self
    }

    /// This document without what only mattered while the notification was under way.
    #[must_use]
    pub fn without_trouble(mut self) -> Self {
        (self.error, self.stage, self.timestamp, self.hold) = (None, None, None, None);
        (self.reaped, self.accepted) = (0, Vec::new());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Details {
        let row = json!({"id": 7, "enterprise_id": "e", "name": "n", "notification_status": "PENDING", "publish_status": "PUBLISH",
            "deactivated": false, "payload": {}, "recipients": [], "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", "error_details": value});
        Details::of(&serde_json::from_str(&row.to_string()).unwrap())
    }

    #[test]
    fn keys_of_others_survive() {
        let value = json!({"error": "x", "theirs": {"a": 1}, "deferrals": 2});
        assert_eq!(of(value.clone()).to_value(), value);
    }

    #[test]
    fn a_document_of_another_shape_is_kept_whole() {
        for value in [json!("text"), json!([1]), json!({"deferrals": "many"})] {
            assert_eq!(of(value.clone()).to_value(), json!({"previous": value}));
        }
    }

    #[test]
    fn nothing_to_remember_is_null() {
        assert_eq!(of(Value::Null).to_value(), Value::Null);
        assert_eq!(of(json!({"hold": "r", "reaped": 1})).without_trouble().to_value(), Value::Null);
    }
}
