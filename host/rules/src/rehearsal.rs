//! A call before the first one that counts.
//!
//! Owns the plain notification a new version is tried on while another one decides. Refuses only what no rule can mean: using up all the
//! fuel, time or memory there is. What a rule says, and even a trap, may be about this notification and not about the next.

use serde_json::json;
use xnovu_domain::{Event, Micros};

use crate::bindings_file::Subject;
use crate::fault::Fault;
use crate::sandbox::Sandbox;
use crate::set::Running;
use crate::{BrokenKind, Limits, clock};

/// Least wall time of what a reload asks, in milliseconds: a machine that is busy with the reload must not fail a good version.
const WALL_MS_MIN: u64 = 1_000;

/// The limits a binding has where a reload asks.
pub(crate) fn unhurried(limits: &Limits) -> Limits {
    Limits { wall_ms: limits.wall_ms.max(WALL_MS_MIN), ..*limits }
}

/// Asks `admit` and `transform` about a plain notification.
pub(crate) fn try_out(sandbox: &Sandbox, subject: &Subject, running: &Running) -> Result<(), Fault> {
    let Some(event) = plain(subject) else { return Ok(()) };
    let entry = &running.entry;
    let limits = unhurried(&entry.limits);
    let conditions = sandbox.conditions(&running.plugin.image, entry.config.json(), &limits, false);
    match conditions.decide(event).result {
        Err(fault) if matches!(fault.kind, BrokenKind::Fuel | BrokenKind::TimedOut | BrokenKind::Memory) => Err(fault),
        _ => Ok(()),
    }
}

fn plain(subject: &Subject) -> Option<Event> {
    let enterprise = match subject {
        Subject::Enterprise(id) => id.to_string(),
        Subject::Rest => "00000000-0000-4000-8000-000000000000".to_owned(),
    };
    let row = json!({
        "id": 1, "enterprise_id": enterprise, "name": "trial", "notification_status": "PENDING",
        "publish_status": "PUBLISH", "deactivated": false, "payload": {}, "recipients": ["trial"],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "workflow": {"workflow_key": "trial"},
    });
    let now = i64::try_from(clock::millis(clock::now())).ok()?;
    Some(Event::new(serde_json::from_value(row).ok()?, Micros::from_millis(now)))
}
