//! One row of `notify.ent_notification_rule`, as PostgREST answers it, and the notification it asks for.
//!
//! Owns the shape of the row and whether it may fire. When it fires is the application's business, which knows calendars.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{EnterpriseId, Json, Micros, PublishStatus, RuleId, RuleSlot, WorkflowKey};

/// The workflow a rule points to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RuleWorkflow {
    /// Its key in Novu.
    pub workflow_key: WorkflowKey,
    /// Whose it is.
    #[serde(default)]
    pub enterprise_id: Option<EnterpriseId>,
    /// Whether it may be used.
    pub publish_status: PublishStatus,
    /// Switched off.
    pub deactivated: bool,
    /// When it was last changed.
    pub updated_at: Micros,
    /// The channels of the notifications made of it.
    #[serde(default)]
    pub default_channels: Option<Vec<String>>,
}

/// One rule, as it was read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NotificationRule {
    /// Primary key.
    pub id: RuleId,
    /// The enterprise it belongs to. Rules without one are not served.
    pub enterprise_id: EnterpriseId,
    /// What it is, for people.
    #[serde(default)]
    pub description: Option<String>,
    /// The unit of the enterprise it belongs to.
    #[serde(default)]
    pub business_id: Option<String>,
    /// Whether it may fire.
    pub publish_status: PublishStatus,
    /// Switched off.
    pub deactivated: bool,
    /// When it was last changed.
    pub updated_at: Micros,
    /// The workflow it points to.
    pub notification_workflow_id: i64,
    /// `CRON` or `SCHEDULE`.
    pub trigger_type: String,
    /// When it fires.
    #[serde(default)]
    pub trigger_config: Option<Value>,
    /// What it sends. None also where it was not asked for.
    #[serde(default)]
    pub rule_payload: Option<Json>,
    /// The workflow, where there is one.
    #[serde(default)]
    pub workflow: Option<RuleWorkflow>,
}

/// Why a rule does not fire though nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asleep {
    /// It is not published.
    Unpublished,
    /// It is deactivated.
    Deactivated,
    /// Its workflow is not published.
    WorkflowUnpublished,
    /// Its workflow is deactivated.
    WorkflowDeactivated,
    /// `enabled` is false.
    Disabled,
}

impl Asleep {
    /// The reason in words for operators.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unpublished => "the rule is not published",
            Self::Deactivated => "the rule is deactivated",
            Self::WorkflowUnpublished => "its workflow is not published",
            Self::WorkflowDeactivated => "its workflow is deactivated",
            Self::Disabled => "the rule is not enabled",
        }
    }
}

/// Why a rule cannot make a notification. Names no recipient and quotes no payload.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleError {
    /// No workflow, or one of another enterprise.
    #[error("notification_workflow_id points to no workflow of the rule's enterprise")]
    NoWorkflow,
    /// `rule_payload` is empty.
    #[error("rule_payload is empty: it must be {{\"recipients\": [...], \"payload\": {{...}}}}")]
    NoPayload,
    /// `rule_payload` has another shape.
    #[error("rule_payload is not understood: {0}")]
    Payload(&'static str),
}

/// A notification to be made by a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Draft {
    name: String,
    description: Option<String>,
    enterprise_id: EnterpriseId,
    business_id: Option<String>,
    notification_rule_id: i64,
    notification_workflow_id: i64,
    notification_status: &'static str,
    publish_status: &'static str,
    deactivated: bool,
    recipients: Vec<String>,
    payload: Json,
    overrides: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Vec<String>>,
}

impl Draft {
    /// Unique within the enterprise: what makes a slot fire once.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose it will be.
    #[must_use]
    pub fn enterprise(&self) -> &EnterpriseId {
        &self.enterprise_id
    }
}

/// `rule_payload`.
#[derive(Deserialize)]
struct Payload {
    recipients: Option<Vec<Value>>,
    payload: Option<Json>,
    overrides: Option<Json>,
}

impl NotificationRule {
    /// The later of the rule's and its workflow's last change: no earlier slot fires.
    #[must_use]
    pub fn changed_at(&self) -> Micros {
        self.workflow.as_ref().map_or(self.updated_at, |workflow| workflow.updated_at.max(self.updated_at))
    }

    /// Whether the rule and its workflow are published and active.
    #[must_use]
    pub fn asleep(&self) -> Option<Asleep> {
        let workflow = self.workflow.as_ref();
        if self.publish_status != PublishStatus::Publish {
            Some(Asleep::Unpublished)
        } else if self.deactivated {
            Some(Asleep::Deactivated)
        } else if workflow.is_some_and(|workflow| workflow.publish_status != PublishStatus::Publish) {
            Some(Asleep::WorkflowUnpublished)
        } else if workflow.is_some_and(|workflow| workflow.deactivated) {
            Some(Asleep::WorkflowDeactivated)
        } else {
            None
        }
    }

    /// The workflow, if it belongs to the rule's enterprise.
    ///
    /// # Errors
    /// It does not, or there is none.
    pub fn own_workflow(&self) -> Result<&RuleWorkflow, RuleError> {
        let own = |workflow: &&RuleWorkflow| workflow.enterprise_id.as_ref() == Some(&self.enterprise_id);
        self.workflow.as_ref().filter(own).ok_or(RuleError::NoWorkflow)
    }

    /// The notification of one slot: recipients, payload and overrides as the rule has them, the channels of its workflow.
    ///
    /// # Errors
    /// What of the rule does not make a notification.
    pub fn draft(&self, slot: &RuleSlot) -> Result<Draft, RuleError> {
        let workflow = self.own_workflow()?;
        let Payload { recipients, payload, overrides } = self.payload()?;
        let recipients = recipients.unwrap_or_default().into_iter().map(|recipient| match recipient {
            Value::String(recipient) if !recipient.is_empty() => Ok(recipient),
            _ => Err(RuleError::Payload("every recipient must be a subscriber id as text")),
        });
        let recipients = recipients.collect::<Result<Vec<_>, _>>()?;
        if recipients.is_empty() {
            return Err(RuleError::Payload("recipients must name at least one subscriber"));
        }
        let payload = payload.filter(Json::is_object).ok_or(RuleError::Payload("payload must be a JSON object"))?;
        if overrides.as_ref().is_some_and(|overrides| !overrides.is_object()) {
            return Err(RuleError::Payload("overrides must be a JSON object"));
        }
        Ok(Draft {
            name: slot.row_name(),
            description: self.description.clone(),
            enterprise_id: self.enterprise_id.clone(),
            business_id: self.business_id.clone(),
            notification_rule_id: self.id.get(),
            notification_workflow_id: self.notification_workflow_id,
            notification_status: "PENDING",
            publish_status: "PUBLISH",
            deactivated: false,
            recipients,
            payload,
            overrides,
            channels: workflow.default_channels.clone(),
        })
    }

    fn payload(&self) -> Result<Payload, RuleError> {
        let json = self.rule_payload.as_ref().filter(|json| json.get() != "null").ok_or(RuleError::NoPayload)?;
        if !json.is_object() {
            return Err(RuleError::Payload("it must be a JSON object"));
        }
        serde_json::from_str(json.get()).map_err(|_| RuleError::Payload("recipients must be a list"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(changes: Value) -> NotificationRule {
        let workflow = serde_json::json!({"workflow_key": "w", "enterprise_id": "ent1", "publish_status": "PUBLISH", "deactivated": false,
            "updated_at": "2026-01-01T00:00:00Z", "default_channels": ["EMAIL"]});
        let mut rule = serde_json::json!({"id": 17, "enterprise_id": "ent1", "publish_status": "PUBLISH", "deactivated": false,
            "updated_at": "2026-01-01T00:00:01Z", "notification_workflow_id": 3, "trigger_type": "CRON",
            "rule_payload": {"recipients": ["u1"], "payload": {"total": 1}}, "workflow": workflow});
        for (pointer, value) in changes.as_object().unwrap() {
            match rule.pointer_mut(pointer) {
                Some(place) => *place = value.clone(),
                None => rule[pointer.trim_start_matches('/')] = value.clone(),
            }
        }
        serde_json::from_str(&rule.to_string()).unwrap()
    }

    fn slot() -> RuleSlot {
        RuleSlot::new("ent1".parse().unwrap(), RuleId::new(17).unwrap(), Micros::parse("2026-01-02T03:04:05Z").unwrap())
            .unwrap()
    }

    #[test]
    fn a_slot_makes_one_row_named_after_it() {
        let draft = rule(serde_json::json!({"/description": "Daily"})).draft(&slot()).unwrap();
        let want = serde_json::json!({"name": "rule-17 @ 2026-01-02T03:04:05Z", "description": "Daily", "enterprise_id": "ent1",
            "business_id": null, "notification_rule_id": 17, "notification_workflow_id": 3, "notification_status": "PENDING",
            "publish_status": "PUBLISH", "deactivated": false, "recipients": ["u1"], "payload": {"total": 1}, "overrides": null,
            "channels": ["EMAIL"]});
        assert_eq!(serde_json::to_value(&draft).unwrap(), want);
    }

    #[test]
    fn numbers_of_a_payload_keep_their_digits() {
        let text = r#"{"recipients":["u1"],"payload":{"amount":12345678901234567890.10},"overrides":{"a":1.50}}"#;
        let mut rule = rule(serde_json::json!({}));
        rule.rule_payload = Some(Json::object(text.to_owned()).unwrap());
        let draft = serde_json::to_string(&rule.draft(&slot()).unwrap()).unwrap();
        assert!(draft.contains(r#""payload":{"amount":12345678901234567890.10},"overrides":{"a":1.50}"#), "{draft}");
    }

    #[test]
    fn a_rule_that_makes_no_notification_says_what_is_wrong() {
        let cases = [
            (serde_json::json!({"/workflow": null}), "no workflow"),
            (serde_json::json!({"/workflow/enterprise_id": "ent2"}), "no workflow"),
            (serde_json::json!({"/workflow/enterprise_id": null}), "no workflow"),
            (serde_json::json!({"/rule_payload": null}), "is empty"),
            (serde_json::json!({"/rule_payload": []}), "must be a JSON object"),
            (serde_json::json!({"/rule_payload": {"payload": {}}}), "at least one"),
            (serde_json::json!({"/rule_payload": {"recipients": [], "payload": {}}}), "at least one"),
            (serde_json::json!({"/rule_payload": {"recipients": "u1", "payload": {}}}), "must be a list"),
            (serde_json::json!({"/rule_payload": {"recipients": [7], "payload": {}}}), "as text"),
            (serde_json::json!({"/rule_payload": {"recipients": ["u1"]}}), "payload must be"),
            (serde_json::json!({"/rule_payload": {"recipients": ["u1"], "payload": 7}}), "payload must be"),
            (
                serde_json::json!({"/rule_payload": {"recipients": ["u1"], "payload": {}, "overrides": 7}}),
                "overrides must be",
            ),
        ];
        for (changes, want) in cases {
            let error = rule(changes.clone()).draft(&slot()).unwrap_err().to_string();
            assert!(error.contains(want) && !error.contains("u1"), "{changes}: {error}");
        }
    }

    #[test]
    fn rule_and_workflow_must_both_be_published_and_active() {
        let cases = [
            (serde_json::json!({}), None),
            (serde_json::json!({"/publish_status": "DRAFT"}), Some(Asleep::Unpublished)),
            (serde_json::json!({"/deactivated": true}), Some(Asleep::Deactivated)),
            (serde_json::json!({"/workflow/publish_status": "DRAFT"}), Some(Asleep::WorkflowUnpublished)),
            (serde_json::json!({"/workflow/deactivated": true}), Some(Asleep::WorkflowDeactivated)),
        ];
        for (changes, want) in cases {
            assert_eq!(rule(changes.clone()).asleep(), want, "{changes}");
        }
    }

    #[test]
    fn a_change_of_the_workflow_is_a_change_of_the_rule() {
        let changed = rule(serde_json::json!({"/workflow/updated_at": "2026-01-01T00:00:02Z"}));
        assert_eq!(changed.changed_at(), Micros::parse("2026-01-01T00:00:02Z").unwrap());
        assert_eq!(rule(serde_json::json!({})).changed_at(), Micros::parse("2026-01-01T00:00:01Z").unwrap());
    }
}
