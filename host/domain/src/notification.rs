//! One row of `notify.ent_notification`, as PostgREST answers it.
//!
//! Owns the shape of the row and what its state means: whether it is owed, when, and which episode it is in. A row that does not have
//! the shape is reported by its id; it never spoils the rows beside it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{Details, EnterpriseId, JobId, Json, Micros, Misfit, NotificationId, Origin, RuleId, WorkflowKey};

/// `shared_types.notification_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Owed, or to be once it is published and due.
    Pending,
    /// Claimed by a worker.
    Processing,
    /// Accepted by Novu, which is not yet delivered.
    Sent,
    /// Given up; terminal until somebody sets it back.
    Failed,
    /// Taken back, by a person or by a rule.
    Retracted,
    /// A status newer than this build. Left alone.
    #[serde(other)]
    Unknown,
}

/// `shared_types.publish_status`. Only `Publish` is ever sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PublishStatus {
    /// To be sent.
    Publish,
    /// NONE, DRAFT, DISCARD, DELETED, REVIEW and whatever follows.
    #[serde(other)]
    Other,
}

/// The workflow a row points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowRef {
    /// Its key in Novu.
    pub workflow_key: WorkflowKey,
}

/// The category a row points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryRef {
    /// Its code.
    pub code: Option<String>,
    /// Its path as text.
    pub path_text: Option<String>,
}

/// The priority a row points to. Not the queue's priority: the original never read it either; rules may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriorityRef {
    /// Its code.
    pub code: Option<String>,
}

/// One notification, as it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Primary key.
    pub id: NotificationId,
    /// The enterprise it belongs to. Rows without one are not served.
    pub enterprise_id: EnterpriseId,
    /// Unique within the enterprise.
    pub name: String,
    /// Where it stands.
    pub notification_status: Status,
    /// Whether it may be sent.
    pub publish_status: PublishStatus,
    /// Switched off.
    pub deactivated: bool,
    /// What templates read, an object as text.
    pub payload: Json,
    /// Novu subscriber ids.
    pub recipients: Vec<String>,
    /// Channel names.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    /// Overrides for Novu.
    #[serde(default)]
    pub overrides: Option<Json>,
    /// Tags.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// The job that last claimed it, where it is ours.
    #[serde(default)]
    pub transaction_id: Option<String>,
    /// When it is to be sent.
    #[serde(default)]
    pub scheduled_for: Option<Micros>,
    /// The stamp of the last claim.
    #[serde(default)]
    pub processed_at: Option<Micros>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
    /// What happened to it so far; see [`crate::Details`].
    #[serde(default)]
    pub error_details: Option<serde_json::Value>,
    /// Why it was taken back.
    #[serde(default)]
    pub retraction_reason: Option<String>,
    /// The cron rule that made it.
    #[serde(default)]
    pub notification_rule_id: Option<RuleId>,
    /// The workflow it points to, where there is one.
    #[serde(default)]
    pub workflow: Option<WorkflowRef>,
    /// The category it points to, where there is one.
    #[serde(default)]
    pub category: Option<CategoryRef>,
    /// The priority it points to, where there is one.
    #[serde(default)]
    pub priority: Option<PriorityRef>,
}

/// What a row's state asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// To be sent now.
    Owed,
    /// To be sent at this time.
    Due(Micros),
    /// Pending, but not published or deactivated: a later change will tell.
    Asleep,
    /// Taken back.
    Retracted,
    /// Under way or done: our own echo, or somebody else's business.
    Settled,
}

impl Notification {
    /// What the row's state asks for at `now`.
    #[must_use]
    pub fn standing(&self, now: Micros) -> Standing {
        match self.notification_status {
            Status::Pending if self.publish_status != PublishStatus::Publish || self.deactivated => Standing::Asleep,
            Status::Pending => match self.scheduled_for {
                Some(due) if due > now => Standing::Due(due),
                _ => Standing::Owed,
            },
            Status::Retracted => Standing::Retracted,
            Status::Processing | Status::Sent | Status::Failed | Status::Unknown => Standing::Settled,
        }
    }

    /// The later of the last change and the last claim: it moves whenever the row becomes owed anew. Only ever computed from a row read
    /// through PostgREST, because Realtime cuts microseconds.
    #[must_use]
    pub fn episode(&self) -> Micros {
        self.processed_at.map_or(self.updated_at, |claimed| claimed.max(self.updated_at))
    }

    /// The job of this episode.
    #[must_use]
    pub fn job(&self) -> JobId {
        JobId::new(self.enterprise_id.clone(), self.id, self.episode())
    }

    /// The job of ours that last claimed the row, if any.
    #[must_use]
    pub fn claimed_by(&self) -> Option<JobId> {
        self.transaction_id.as_deref()?.parse().ok()
    }

    /// Whether a sender other than this program has begun it or ended it.
    #[must_use]
    pub fn is_of_another_sender(&self) -> bool {
        matches!(self.notification_status, Status::Processing | Status::Sent | Status::Failed)
            && self.claimed_by().is_none()
    }

    /// Where the notification came from: by the row, not by the path on which it was heard of. A time that only a deferral has put
    /// there does not make a row a scheduled one.
    #[must_use]
    pub fn origin(&self) -> Origin {
        if self.notification_rule_id.is_some() {
            return Origin::Cron;
        }
        let details = Details::of(self);
        let scheduled = if details.deferrals > 0 { details.original_scheduled_for } else { self.scheduled_for };
        if scheduled.is_some() { Origin::Scheduled } else { Origin::Realtime }
    }

    /// Key of the workflow the row points to.
    #[must_use]
    pub fn workflow_key(&self) -> Option<&WorkflowKey> {
        self.workflow.as_ref().map(|workflow| &workflow.workflow_key)
    }
}

/// A row that does not have the shape it should have.
#[derive(Debug, Error)]
#[error("row {} of {table} cannot be read", id.as_deref().unwrap_or("without an id"))]
pub struct RowError {
    /// The table.
    pub table: &'static str,
    /// The row's id as it stands in the answer, if there is one.
    pub id: Option<String>,
    /// Whose it is, if that can be read.
    pub enterprise: Option<EnterpriseId>,
    /// What is wrong with it; quotes nothing of it.
    #[source]
    pub source: Misfit,
}

/// The rows of a PostgREST answer, each good or bad on its own.
///
/// # Errors
/// When the answer as a whole is no JSON array.
pub fn parse_rows<T: DeserializeOwned>(table: &'static str, body: &[u8]) -> Result<Vec<Result<T, RowError>>, Misfit> {
    #[derive(Deserialize)]
    struct Names<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        #[serde(borrow)]
        enterprise_id: Option<&'a RawValue>,
    }
    let rows: Vec<&RawValue> = Misfit::parse(body)?;
    let parse = |row: &RawValue| {
        Misfit::parse(row.get().as_bytes()).map_err(|source| {
            let names = serde_json::from_str::<Names<'_>>(row.get()).unwrap_or(Names { id: None, enterprise_id: None });
            RowError {
                table,
                id: names.id.map(|id| id.get().to_owned()),
                enterprise: names.enterprise_id.and_then(|id| serde_json::from_str(id.get()).ok()),
                source,
            }
        })
    };
    Ok(rows.into_iter().map(parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &[u8]) -> Vec<Result<Notification, RowError>> {
        parse_rows("ent_notification", body).unwrap()
    }

    fn row(changes: serde_json::Value) -> Notification {
        let mut row = serde_json::json!({
            "id": 7, "enterprise_id": "ent1", "name": "n", "notification_status": "PENDING", "publish_status": "PUBLISH",
            "deactivated": false, "payload": {"a": 1}, "recipients": ["u1"], "created_at": "2026-01-01T00:00:00+00:00",
            "updated_at": "2026-01-01T00:00:01+00:00",
        });
        for (key, value) in changes.as_object().unwrap() {
            row[key] = value.clone();
        }
        parse(serde_json::json!([row]).to_string().as_bytes()).remove(0).unwrap()
    }

    #[test]
    fn only_a_published_active_due_pending_row_is_owed() {
        let now = Micros::parse("2026-01-01T12:00:00Z").unwrap();
        let later = Micros::parse("2026-01-01T12:00:01Z").unwrap();
        let cases = [
            (serde_json::json!({}), Standing::Owed),
            (serde_json::json!({"scheduled_for": "2026-01-01T12:00:00Z"}), Standing::Owed),
            (serde_json::json!({"scheduled_for": "2026-01-01T12:00:01Z"}), Standing::Due(later)),
            (serde_json::json!({"publish_status": "DRAFT"}), Standing::Asleep),
            (serde_json::json!({"publish_status": "REVIEW"}), Standing::Asleep),
            (serde_json::json!({"deactivated": true}), Standing::Asleep),
            (serde_json::json!({"notification_status": "RETRACTED"}), Standing::Retracted),
            (serde_json::json!({"notification_status": "SENT"}), Standing::Settled),
            (serde_json::json!({"notification_status": "PROCESSING"}), Standing::Settled),
            (serde_json::json!({"notification_status": "SOMETHING_NEW"}), Standing::Settled),
        ];
        for (changes, want) in cases {
            assert_eq!(row(changes.clone()).standing(now), want, "{changes}");
        }
    }

    #[test]
    fn an_episode_is_the_later_of_change_and_claim() {
        let claimed_later = row(serde_json::json!({"processed_at": "2026-01-01T00:00:02+00:00"}));
        assert_eq!(claimed_later.episode().to_string(), "2026-01-01T00:00:02.000000Z");
        let claimed_earlier = row(serde_json::json!({"processed_at": "2026-01-01T00:00:00+00:00"}));
        assert_eq!(claimed_earlier.episode(), row(serde_json::json!({})).episode());
    }

    #[test]
    fn the_origin_is_a_property_of_the_row() {
        assert_eq!(row(serde_json::json!({})).origin(), Origin::Realtime);
        assert_eq!(row(serde_json::json!({"scheduled_for": "2026-01-01T00:00:00Z"})).origin(), Origin::Scheduled);
        let by_rule = serde_json::json!({"notification_rule_id": 3, "scheduled_for": "2026-01-01T00:00:00Z"});
        assert_eq!(row(by_rule).origin(), Origin::Cron);
        let deferred = serde_json::json!({"scheduled_for": "2026-01-01T00:00:00Z", "error_details": {"deferrals": 1}});
        assert_eq!(row(deferred).origin(), Origin::Realtime);
    }

    #[test]
    fn a_bad_row_is_named_and_leaves_its_neighbours_alone() {
        let good = serde_json::to_value(row(serde_json::json!({}))).unwrap();
        let mut bad = good.clone();
        bad["id"] = 8.into();
        bad["recipients"] = "nobody".into();
        let rows = parse(serde_json::json!([bad, good]).to_string().as_bytes());
        assert_eq!(rows[0].as_ref().unwrap_err().id.as_deref(), Some("8"));
        assert_eq!(rows[1].as_ref().unwrap().id.get(), 7);
    }

    #[test]
    fn a_payload_keeps_its_bytes() {
        assert_eq!(row(serde_json::json!({"payload": {"b": 1.50, "a": "é"}})).payload.get(), r#"{"a":"é","b":1.5}"#);
        let body = br#"[{"id":1,"enterprise_id":"e","name":"n","notification_status":"PENDING","publish_status":"PUBLISH","deactivated":false,
            "payload":{"z": 12345678901234567890.10, "a":1},"recipients":[],"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}]"#;
        let rows = parse(body);
        assert_eq!(rows[0].as_ref().unwrap().payload.get(), r#"{"z": 12345678901234567890.10, "a":1}"#);
    }
}
