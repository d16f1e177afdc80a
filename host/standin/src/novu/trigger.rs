//! The trigger itself: what a body has to look like, and what Novu answers to it.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::schema::TableId;
use crate::state::State;
use crate::value::Value as Stored;

use super::WorkflowState;
use super::answer::Answer;
use super::worker::Accepted;

const PATH: &str = "/v1/events/trigger";
const BULK_PATH: &str = "/v1/events/trigger/bulk";
/// Recipients of one trigger.
const RECIPIENTS_MAX: usize = 100;
/// Triggers of one bulk call.
const EVENTS_MAX: usize = 100;

/// The members of a body that decide.
#[derive(Debug, Deserialize)]
struct Body {
    name: Option<Value>,
    to: Option<Value>,
    payload: Option<Box<RawValue>>,
    #[serde(rename = "transactionId")]
    transaction_id: Option<Value>,
}

/// Why a trigger is not accepted.
enum Refusal {
    /// 422: a field is missing or of the wrong type.
    Invalid { field: &'static str, message: &'static str },
    /// 422: no such workflow.
    WorkflowNotFound,
    /// 400: more than 100 recipients.
    TooManyRecipients,
}

/// What was answered to an accepted body.
struct Outcome {
    status: String,
    transaction_id: String,
}

/// `POST /v1/events/trigger`.
pub(super) fn single(state: &State, body: &[u8], idempotency_key: Option<&str>) -> Answer {
    let now = state.now();
    let outcome = match std::str::from_utf8(body) {
        Ok(text) => process(state, text, idempotency_key),
        Err(_) => return Answer::error(400, now, PATH, "Unexpected token in JSON"),
    };
    match outcome {
        None => Answer::error(400, now, PATH, "Unexpected token in JSON"),
        Some(Ok(outcome)) => {
            state.novu().worker().count_answer(&outcome.status);
            Answer::data(201, &outcome.json().to_string())
        }
        Some(Err(refusal)) => {
            state.novu().worker().count_answer(refusal.message());
            match refusal {
                Refusal::Invalid { field, message } => {
                    let errors = json!({field: {"messages": [message]}});
                    Answer::invalid(now, PATH, "Validation Error", errors)
                }
                Refusal::WorkflowNotFound => Answer::invalid(now, PATH, refusal.message(), json!({})),
                Refusal::TooManyRecipients => Answer::bad_payload(now, PATH, "to", refusal.message()),
            }
        }
    }
}

/// `POST /v1/events/trigger/bulk`: each event has its own result, also one that fails.
pub(super) fn bulk(state: &State, body: &[u8], idempotency_key: Option<&str>) -> Answer {
    #[derive(Deserialize)]
    struct Bulk {
        events: Vec<Box<RawValue>>,
    }
    let now = state.now();
    let Ok(Bulk { events }) = serde_json::from_slice(body) else {
        let errors = json!({"events": {"messages": ["events must be an array"]}});
        return Answer::invalid(now, BULK_PATH, "Validation Error", errors);
    };
    if events.len() > EVENTS_MAX {
        let message = format!("events must contain no more than {EVENTS_MAX} elements");
        return Answer::bad_payload(now, BULK_PATH, "events", &message);
    }
    let results: Vec<Value> = events.iter().map(|event| bulk_item(state, event.get(), idempotency_key)).collect();
    Answer::data(201, &json!(results).to_string())
}

/// Subscriber ids of a `to`, and topics as `topic:<key>`. None: something in it is no recipient.
pub(super) fn recipients(to: &Value) -> Option<Vec<String>> {
    match to {
        Value::Array(items) => items.iter().map(recipient).collect(),
        one => recipient(one).map(|recipient| vec![recipient]),
    }
}

fn bulk_item(state: &State, event: &str, idempotency_key: Option<&str>) -> Value {
    let processed = process(state, event, idempotency_key);
    let word = match &processed {
        Some(Ok(outcome)) => outcome.status.as_str(),
        _ => "error",
    };
    state.novu().worker().count_answer(word);
    match processed {
        Some(Ok(outcome)) => outcome.json(),
        Some(Err(refusal)) => json!({"acknowledged": true, "status": "error", "error": [refusal.message()]}),
        None => json!({"acknowledged": true, "status": "error", "error": ["event must be an object"]}),
    }
}

/// Accepts or refuses one body. None: it is no JSON object.
fn process(state: &State, text: &str, idempotency_key: Option<&str>) -> Option<Result<Outcome, Refusal>> {
    let body: Body = serde_json::from_str(text).ok()?;
    Some(accept(state, &body, text, idempotency_key))
}

fn accept(state: &State, body: &Body, text: &str, idempotency_key: Option<&str>) -> Result<Outcome, Refusal> {
    let name = match &body.name {
        Some(Value::String(name)) if !name.is_empty() => name.as_str(),
        _ => return Err(Refusal::Invalid { field: "name", message: "name must be a string" }),
    };
    let to = body.to.as_ref().filter(|to| !to.is_null());
    let to = to.ok_or(Refusal::Invalid { field: "to", message: "to should not be empty" })?;
    let object = |raw: &RawValue| raw.get().starts_with('{') || raw.get() == "null";
    if !body.payload.as_deref().is_none_or(object) {
        return Err(Refusal::Invalid { field: "payload", message: "payload must be an object" });
    }
    let transaction_id = match &body.transaction_id {
        None | Some(Value::Null) => Uuid::new_v4().to_string(),
        Some(Value::String(id)) => id.clone(),
        Some(_) => return Err(Refusal::Invalid { field: "transactionId", message: "transactionId must be a string" }),
    };
    if to.as_array().is_some_and(|items| items.len() > RECIPIENTS_MAX) {
        return Err(Refusal::TooManyRecipients);
    }
    let (workflow, enterprise_id) = find_workflow(state, name);
    let status = match workflow {
        WorkflowState::Unknown => return Err(Refusal::WorkflowNotFound),
        WorkflowState::Inactive => "trigger_not_active",
        WorkflowState::NoSteps => "no_workflow_steps_defined",
        WorkflowState::NoActiveSteps => "no_workflow_active_steps_defined",
        WorkflowState::Active => "processed",
    };
    let recipients = recipients(to).filter(|recipients| !recipients.is_empty());
    let (switched, again) =
        state.with_faults(|faults| (faults.novu.status_word.clone(), faults.novu.accept_duplicates));
    let status = switched.unwrap_or_else(|| {
        if status == "processed" && recipients.is_none() { "invalid_recipients".to_owned() } else { status.to_owned() }
    });
    if let Some(recipients) = recipients.filter(|_| status == "processed") {
        let accepted = Accepted {
            at_ms: state.now().micros() / 1_000,
            transaction_id: transaction_id.clone(),
            idempotency_key: idempotency_key.map(str::to_owned),
            workflow: name.to_owned(),
            enterprise_id,
            recipients: recipients.len(),
            body: text.to_owned(),
        };
        state.novu().worker().work(accepted, again);
    }
    Ok(Outcome { status, transaction_id })
}

/// A workflow's state, and the enterprise of its row: the admin route's word, else the row's.
fn find_workflow(state: &State, key: &str) -> (WorkflowState, Option<Uuid>) {
    let schema = TableId::Workflow.schema();
    let key_column = schema.column("workflow_key").expect("the workflow table has a key");
    let (of_row, enterprise_id) = state.store().read(|database| {
        let Some(row) = database.table(TableId::Workflow).find_unique_text(key_column, key) else {
            return (WorkflowState::Unknown, None);
        };
        let published = row[schema.known.publish_status]
            == Stored::label(schema.columns[schema.known.publish_status].kind, "PUBLISH");
        let deactivated = row[schema.known.deactivated] == Stored::Bool(true);
        let workflow = match (published, deactivated) {
            (false, _) => WorkflowState::Unknown,
            (true, true) => WorkflowState::Inactive,
            (true, false) => WorkflowState::Active,
        };
        (workflow, row[schema.known.enterprise_id].as_uuid())
    });
    (state.novu().overridden(key).unwrap_or(of_row), enterprise_id)
}

fn recipient(to: &Value) -> Option<String> {
    match to {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Object(recipient) => match (recipient.get("subscriberId"), recipient.get("topicKey")) {
            (Some(Value::String(id)), _) if !id.is_empty() => Some(id.clone()),
            (None, Some(Value::String(key))) => Some(format!("topic:{key}")),
            _ => None,
        },
        _ => None,
    }
}

impl Outcome {
    fn json(&self) -> Value {
        json!({"acknowledged": true, "status": self.status, "transactionId": self.transaction_id})
    }
}

impl Refusal {
    fn message(&self) -> &'static str {
        match self {
            Self::Invalid { message, .. } => message,
            Self::WorkflowNotFound => "workflow_not_found",
            Self::TooManyRecipients => "to must contain no more than 100 elements",
        }
    }
}
