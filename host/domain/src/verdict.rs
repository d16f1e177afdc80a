//! What rules answer, checked and in the host's own types.
//!
//! Owns the bound on what a rule may write onto a row. Never holds an answer that was not validated: `xnovu-rules` makes these.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Json, Micros, Priority, WorkflowKey};

/// Longest reason kept, in bytes. Longer ones are cut at a character's border.
pub const REASON_BYTES_MAX: usize = 200;

/// Why a rule decided so. At most [`REASON_BYTES_MAX`] bytes, one line. It may quote a notification, so it stands on the row and in the
/// decision log only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Reason(String);

impl Reason {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        let mut text = text.replace(|c: char| c.is_control(), " ");
        text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
        Self(text)
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Shows the length only, because a reason may quote a payload.
impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({} bytes)", self.0.len())
    }
}

/// Whether, when and how urgently a notification is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Deliver {
        /// None keeps the priority of its origin.
        priority: Option<Priority>,
    },
    /// Put it off.
    Defer {
        /// At least one second after the event's `now`.
        until: Micros,
        /// Why.
        reason: Reason,
    },
    /// Never send it.
    Drop {
        /// Why.
        reason: Reason,
    },
}

impl Verdict {
    /// The word for metrics and logs: `deliver`, `defer` or `drop`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Deliver { .. } => "deliver",
            Self::Defer { .. } => "defer",
            Self::Drop { .. } => "drop",
        }
    }
}

/// One trigger of a Novu workflow, before it is split into calls.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The workflow to trigger.
    pub workflow_key: WorkflowKey,
    /// Novu subscriber ids.
    pub recipients: Vec<String>,
    /// A JSON object.
    pub payload: Json,
    /// A JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Json>,
    /// Identifier of a Novu tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Subscriber id of the actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Further fields of the trigger, a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Json>,
}

/// Shows what is no secret: workflow, number of recipients, sizes.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("workflow_key", &self.workflow_key)
            .field("recipients", &self.recipients.len())
            .field("payload", &self.payload)
            .field("overrides", &self.overrides)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let reason = Reason::from("é".repeat(101) + "x");
        assert_eq!(reason.as_str().len(), 200);
        assert!(Reason::from("a".to_owned() + &"é".repeat(100)).as_str().len() == 199);
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(Reason::from("a\nb\u{1b}[31m").as_str(), "a b [31m");
    }
}
