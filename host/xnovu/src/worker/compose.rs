//! From messages to the bytes Novu gets.
//!
//! Owns what a rule may put into a call and how the call is written. Pure: the same messages give the same bytes, so a retry can be held
//! against what the first attempt fixed. Promises that no call reaches a workflow or a subscriber the enterprise does not own unless the
//! operator granted it.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;
use serde::ser::SerializeMap;
use sha2::{Digest, Sha256};
use thiserror::Error;
use xnovu_domain::{Chunk, JobId, Json, Message, Notification, WorkflowKey, chunks};
use xnovu_rules::{Grants, RecipientGrant};

/// Calls one notification may need.
const CALLS_MAX: usize = 1_000;

/// Why messages are not sent. Names no recipient.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The row names no workflow, or one that is not published.
    #[error("the row points to no published workflow of its enterprise")]
    NoWorkflow,
    /// A workflow of nobody, or of another enterprise.
    #[error("workflow {0:?} is none of the enterprise's published workflows, and no grant allows it")]
    ForeignWorkflow(WorkflowKey),
    /// A subscriber who does not stand on the row.
    #[error("message {message} names {count} recipients who do not stand on the row, and no grant allows it")]
    ForeignRecipients {
        /// Index of the message.
        message: usize,
        /// How many.
        count: usize,
    },
    /// Nobody to send to.
    #[error("message {0} has no recipients")]
    NoRecipients(usize),
    /// A field of the trigger that was not granted.
    #[error("field {0:?} of the trigger is not granted")]
    ForeignField(String),
    /// `extra` is no object.
    #[error("extra of message {0} is not a JSON object")]
    ExtraNotAnObject(usize),
    /// Too many calls.
    #[error("{0} calls are needed, the limit is {CALLS_MAX}")]
    TooManyCalls(usize),
}

impl Refusal {
    /// The same without words of the rules, who know the payload and may quote it.
    #[must_use]
    pub fn without_words(&self) -> String {
        match self {
            Self::ForeignWorkflow(_) => {
                "a workflow is none of the enterprise's published workflows, and no grant allows it".to_owned()
            }
            Self::ForeignField(_) => "a field of the trigger is not granted".to_owned(),
            other => other.to_string(),
        }
    }
}

/// One call, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedCall {
    /// The body, JSON.
    pub body: String,
    /// SHA-256 of the body without its transaction id, lower-case hex: the same in every episode.
    pub hash: String,
    /// Novu's `transactionId`.
    pub transaction_id: String,
    /// The workflow, for those who watch.
    pub workflow_key: WorkflowKey,
    /// How many recipients, for those who watch.
    pub recipients: usize,
}

/// The row as it is, for an enterprise without rules.
///
/// # Errors
/// The row names no workflow.
pub fn unmapped(row: &Notification) -> Result<Vec<Message>, Refusal> {
    let workflow_key = row.workflow_key().cloned().ok_or(Refusal::NoWorkflow)?;
    let (payload, overrides) = (row.payload.clone(), row.overrides.clone());
    let recipients = row.recipients.clone();
    Ok(vec![Message { workflow_key, recipients, payload, overrides, tenant: None, actor: None, extra: None }])
}

/// Whether a message names a workflow that must be looked up among the enterprise's own.
#[must_use]
pub fn needs_workflows(messages: &[Message], grants: &Grants) -> bool {
    messages.iter().any(|message| !grants.allows_workflow(message.workflow_key.as_str()))
}

/// The calls the messages need, in order.
///
/// # Errors
/// The first thing that may not be sent. Nothing is sent then.
pub fn compose(
    job: &JobId,
    row: &Notification,
    messages: &[Message],
    own: &BTreeSet<WorkflowKey>,
    grants: &Grants,
) -> Result<Vec<PreparedCall>, Refusal> {
    for (index, message) in messages.iter().enumerate() {
        check(index, message, row, own, grants)?;
    }
    let count = chunks(messages).count();
    if count > CALLS_MAX {
        return Err(Refusal::TooManyCalls(count));
    }
    chunks(messages).map(|chunk| prepare(job, &chunk, grants)).collect()
}

fn check(
    index: usize,
    message: &Message,
    row: &Notification,
    own: &BTreeSet<WorkflowKey>,
    grants: &Grants,
) -> Result<(), Refusal> {
    let key = &message.workflow_key;
    if !own.contains(key) && !grants.allows_workflow(key.as_str()) {
        return Err(match row.workflow_key() {
            Some(of_row) if of_row != key => Refusal::ForeignWorkflow(key.clone()),
            _ => Refusal::NoWorkflow,
        });
    }
    if message.recipients.is_empty() {
        return Err(Refusal::NoRecipients(index));
    }
    if grants.recipients == RecipientGrant::Row {
        let on_row: HashSet<&str> = row.recipients.iter().map(String::as_str).collect();
        let count = message.recipients.iter().filter(|recipient| !on_row.contains(recipient.as_str())).count();
        if count > 0 {
            return Err(Refusal::ForeignRecipients { message: index, count });
        }
    }
    Ok(())
}

fn prepare(job: &JobId, chunk: &Chunk<'_>, grants: &Grants) -> Result<PreparedCall, Refusal> {
    let extra = extra(chunk, grants)?;
    let transaction_id = chunk.transaction_id(job);
    let write = |transaction_id| {
        let body = Body { chunk, transaction_id, extra: &extra };
        serde_json::to_string(&body).expect("strings and JSON texts are JSON")
    };
    Ok(PreparedCall {
        hash: hex::encode(Sha256::digest(write(None))),
        body: write(Some(&transaction_id)),
        transaction_id,
        workflow_key: chunk.message.workflow_key.clone(),
        recipients: chunk.recipients.len(),
    })
}

/// The further fields a message asks for, each granted.
fn extra(chunk: &Chunk<'_>, grants: &Grants) -> Result<Vec<(String, Json)>, Refusal> {
    let Some(extra) = &chunk.message.extra else { return Ok(Vec::new()) };
    let fields: std::collections::BTreeMap<String, Json> =
        serde_json::from_str(extra.get()).map_err(|_| Refusal::ExtraNotAnObject(chunk.message_index))?;
    match fields.keys().find(|field| !grants.allows_extra(field) || OURS.contains(&field.as_str())) {
        Some(field) => Err(Refusal::ForeignField(field.clone())),
        None => Ok(fields.into_iter().collect()),
    }
}

/// Fields of the trigger the host writes itself, whatever is granted.
const OURS: [&str; 7] = ["name", "to", "payload", "overrides", "transactionId", "tenant", "actor"];

/// The body of `POST /v1/events/trigger`, in a fixed order of fields.
struct Body<'a> {
    chunk: &'a Chunk<'a>,
    transaction_id: Option<&'a str>,
    extra: &'a [(String, Json)],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct To<'a> {
    subscriber_id: &'a str,
}

impl Serialize for Body<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = self.chunk.message;
        let to: Vec<To<'_>> = self.chunk.recipients.iter().map(|id| To { subscriber_id: id }).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", message.workflow_key.as_str())?;
        map.serialize_entry("to", &to)?;
        map.serialize_entry("payload", &message.payload)?;
        if let Some(overrides) = &message.overrides {
            map.serialize_entry("overrides", overrides)?;
        }
        if let Some(tenant) = &message.tenant {
            map.serialize_entry("tenant", tenant)?;
        }
        if let Some(actor) = &message.actor {
            map.serialize_entry("actor", actor)?;
        }
        for (field, value) in self.extra {
            map.serialize_entry(field, value)?;
        }
        if let Some(transaction_id) = self.transaction_id {
            map.serialize_entry("transactionId", transaction_id)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn row(recipients: usize) -> Notification {
        let recipients: Vec<String> = (0..recipients).map(|n| format!("u{n}")).collect();
        let row = json!({"id": 7, "enterprise_id": "e", "name": "n", "notification_status": "PROCESSING", "publish_status": "PUBLISH",
            "deactivated": false, "payload": {"z": 1, "a": 2}, "recipients": recipients, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", "workflow": {"workflow_key": "w"}});
        serde_json::from_str(&row.to_string()).unwrap()
    }

    fn own() -> BTreeSet<WorkflowKey> {
        BTreeSet::from(["w".into()])
    }

    fn job() -> JobId {
        "xn-e-7-5".parse().unwrap()
    }

    fn composed(row: &Notification, messages: &[Message], grants: &Grants) -> Result<Vec<PreparedCall>, Refusal> {
        compose(&job(), row, messages, &own(), grants)
    }

    #[test]
    fn a_row_without_rules_is_sent_as_it_is() {
        let row = row(2);
        let calls = composed(&row, &unmapped(&row).unwrap(), &Grants::default()).unwrap();
        let body: Value = serde_json::from_str(&calls[0].body).unwrap();
        let want = json!({"name": "w", "to": [{"subscriberId": "u0"}, {"subscriberId": "u1"}], "payload": {"a": 2, "z": 1},
            "transactionId": "xn-e-7-5-m0-c0"});
        assert_eq!(body, want);
    }

    #[test]
    fn a_chunk_hashes_the_same_in_every_episode_and_differs_from_its_neighbours() {
        let row = row(250);
        let messages = unmapped(&row).unwrap();
        let first = composed(&row, &messages, &Grants::default()).unwrap();
        let later = compose(&"xn-e-7-9".parse().unwrap(), &row, &messages, &own(), &Grants::default()).unwrap();
        assert_eq!(first.iter().map(|call| call.recipients).collect::<Vec<_>>(), [100, 100, 50]);
        for (one, other) in first.iter().zip(&later) {
            assert_eq!(one.hash, other.hash);
            assert_ne!(one.body, other.body);
        }
        assert_ne!(first[0].hash, first[1].hash);
    }

    #[test]
    fn a_rule_reaches_only_what_its_enterprise_owns() {
        let row = row(1);
        let message = |change: fn(&mut Message)| {
            let mut messages = unmapped(&row).unwrap();
            change(&mut messages[0]);
            composed(&row, &messages, &Grants::default()).unwrap_err()
        };
        assert_eq!(message(|m| m.workflow_key = "theirs".into()), Refusal::ForeignWorkflow("theirs".into()));
        assert_eq!(
            message(|m| m.recipients.push("stranger".to_owned())),
            Refusal::ForeignRecipients { message: 0, count: 1 }
        );
        assert_eq!(message(|m| m.recipients.clear()), Refusal::NoRecipients(0));
        assert_eq!(
            message(|m| m.extra = Some(Json::object(r#"{"bridgeUrl":"http://x"}"#.to_owned()).unwrap())),
            Refusal::ForeignField("bridgeUrl".to_owned())
        );
    }

    #[test]
    fn a_grant_opens_what_it_names_and_never_our_own_fields() {
        let row = row(1);
        let mut messages = unmapped(&row).unwrap();
        messages[0].workflow_key = "shared".into();
        messages[0].recipients = vec!["stranger".to_owned()];
        messages[0].extra = Some(Json::object(r#"{"context":{"a":1}}"#.to_owned()).unwrap());
        let mut grants = Grants {
            workflows: vec!["shared".to_owned()],
            recipients: RecipientGrant::Any,
            extra: vec!["context".to_owned(), "transactionId".to_owned()],
        };
        let calls = composed(&row, &messages, &grants).unwrap();
        assert!(calls[0].body.contains(r#""context":{"a":1}"#));
        messages[0].extra = Some(Json::object(r#"{"transactionId":"mine"}"#.to_owned()).unwrap());
        assert_eq!(composed(&row, &messages, &grants), Err(Refusal::ForeignField("transactionId".to_owned())));
        grants.workflows.clear();
        assert!(needs_workflows(&messages, &grants));
    }

    #[test]
    fn an_unpublished_workflow_of_the_row_is_said_so() {
        let row = row(1);
        let messages = unmapped(&row).unwrap();
        assert_eq!(compose(&job(), &row, &messages, &BTreeSet::new(), &Grants::default()), Err(Refusal::NoWorkflow));
    }
}
