//! The notifications of the demonstration.
//!
//! Owns enterprises, workflows and rows that show each sample plugin at work. Deterministic: the same turn makes the same row.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use xnovu_domain::EnterpriseId;
use xnovu_standin::State;

/// The enterprises: one for each sample plugin, and one without rules.
const ENTERPRISES: [&str; 4] = [
    "11111111-1111-4111-8111-111111111111",
    "22222222-2222-4222-8222-222222222222",
    "33333333-3333-4333-8333-333333333333",
    "44444444-4444-4444-8444-444444444444",
];

/// Workflows each enterprise owns. Keys are unique across enterprises, as the table demands.
const WORKFLOWS: [(usize, &str); 6] = [
    (0, "task-reminder"),
    (1, "desk-message"),
    (2, "fire-assessment"),
    (2, "fire-drill"),
    (2, "fire-emergency"),
    (3, "newsletter"),
];

/// The enterprises of the demonstration.
pub(super) fn enterprises() -> Vec<EnterpriseId> {
    ENTERPRISES.iter().filter_map(|id| id.parse().ok()).collect()
}

/// Puts the workflows into the tables.
pub(super) fn workflows(state: &State) -> anyhow::Result<()> {
    for (enterprise, key) in WORKFLOWS {
        let row = json!({"name": key, "workflow_key": key, "workflow_type": "STATIC", "publish_status": "PUBLISH",
            "enterprise_id": ENTERPRISES[enterprise]});
        state
            .insert("ent_notification_workflow", &row)
            .map_err(|error| anyhow::Error::msg(error.to_string()))
            .with_context(|| format!("inserting the workflow {key}"))?;
    }
    Ok(())
}

/// Makes rows, one a `pause`, until `stop` is cancelled or `count` are made.
pub(super) async fn make(state: &State, pause: Duration, count: Option<u64>, stop: CancellationToken) {
    let mut turn = 0;
    while count.is_none_or(|count| turn < count) {
        if let Err(error) = state.insert("ent_notification", &row(turn)) {
            tracing::error!(%error, "a sample notification could not be inserted");
        }
        turn += 1;
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// What is told apart in the demonstration.
fn row(turn: u64) -> Value {
    let recipient = format!("aaaaaaaa-0000-4000-8000-{:012}", turn % 50);
    let (enterprise, workflow, payload, tags) = match turn % 8 {
        0 => (0, "task-reminder", json!({"severity": "low", "task": "check the extinguisher"}), json!(["task"])),
        1 => (1, "desk-message", json!({"severity": "medium", "subject": "parcel"}), json!(["vip"])),
        2 => {
            (2, "fire-drill", json!({"kind": "drill", "building": "HQ", "startsAt": "2030-01-01T10:00:00Z"}), json!([]))
        }
        3 => (3, "newsletter", json!({"issue": turn}), json!([])),
        4 => (0, "task-reminder", json!({"severity": "high", "task": "close the fire door"}), json!(["task"])),
        5 => (1, "desk-message", json!({"severity": "low", "subject": "advert"}), json!(["promo"])),
        6 => (2, "fire-emergency", json!({"kind": "emergency", "building": "HQ", "floor": 3}), json!([])),
        _ => (2, "fire-drill", json!({"kind": "picnic"}), json!([])),
    };
    json!({"name": format!("sample {turn}"), "enterprise_id": ENTERPRISES[enterprise], "workflow_key": workflow,
        "recipients": [recipient], "payload": payload, "tags": tags})
}

/// A command that inserts a notification of the user's own.
pub(super) fn curl(url: &str) -> String {
    let row = json!({"enterprise_id": ENTERPRISES[3], "workflow_key": "newsletter",
        "recipients": ["aaaaaaaa-0000-4000-8000-000000000001"], "payload": {"hello": "world"}});
    format!("curl -sS {url}/admin/rows/ent_notification -H 'content-type: application/json' -d '{row}'")
}
