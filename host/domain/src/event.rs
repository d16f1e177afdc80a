//! The question the host puts to rules.
//!
//! Owns what a rule gets to know beside the row. Everything in it is fixed by the row and by `now`, so the same question always has the
//! same answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Details, Micros, Notification};

/// Where a notification came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// To be sent at once.
    Realtime,
    /// To be sent at a time.
    Scheduled,
    /// Made by a cron rule.
    Cron,
}

impl Origin {
    /// The word for metrics, logs and job data.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Scheduled => "scheduled",
            Self::Cron => "cron",
        }
    }
}

/// One question. The enterprise's config is added by the rules runtime, which knows the binding.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Where the notification came from.
    pub origin: Origin,
    /// The only clock a rule has, whole milliseconds.
    pub now: Micros,
    /// The only randomness a rule has.
    pub seed: u32,
    /// The row.
    pub notification: Notification,
    /// Further facts, a JSON object.
    pub facts: Map<String, Value>,
}

impl Event {
    /// The question about a row at `now`, which is cut to the millisecond.
    #[must_use]
    pub fn new(notification: Notification, now: Micros) -> Self {
        Self {
            origin: notification.origin(),
            now: now.floor_to_millis(),
            seed: seed(&notification),
            facts: facts(&notification),
            notification,
        }
    }
}

/// FNV-1a over what identifies the notification: stable across versions of this program, unlike the standard hasher.
fn seed(notification: &Notification) -> u32 {
    let identity = format!("{}/{}", notification.enterprise_id, notification.id);
    identity.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn facts(notification: &Notification) -> Map<String, Value> {
    let details = Details::of(notification);
    let category_path = notification.category.as_ref().and_then(|category| category.path_text.clone());
    let priority_code = notification.priority.as_ref().and_then(|priority| priority.code.clone());
    let known = [
        ("priorityCode", priority_code.map(Value::from)),
        ("categoryPath", category_path.map(Value::from)),
        ("deferrals", Some(json!(details.deferrals))),
        ("originalScheduledFor", details.original_scheduled_for.map(|at| json!(at.millis()))),
    ];
    known.into_iter().filter_map(|(key, fact)| Some((key.to_owned(), fact?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification() -> Notification {
        serde_json::from_str(
            r#"{"id":7,"enterprise_id":"e","name":"n","notification_status":"PENDING","publish_status":"PUBLISH","deactivated":false,
            "payload":{},"recipients":[],"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z",
            "priority":{"code":"P1"},"error_details":{"deferrals":2,"original_scheduled_for":"2026-01-01T00:00:00Z"}}"#,
        )
        .unwrap()
    }

    #[test]
    fn facts_hold_what_is_known_and_nothing_else() {
        let event = Event::new(notification(), Micros::new(1_999));
        let want = json!({"priorityCode": "P1", "deferrals": 2, "originalScheduledFor": 1_767_225_600_000_i64});
        assert_eq!(Value::Object(event.facts), want);
        assert_eq!(event.now, Micros::new(1_000));
    }

    #[test]
    fn the_seed_belongs_to_the_notification() {
        let event = Event::new(notification(), Micros::new(0));
        assert_eq!(event.seed, Event::new(notification(), Micros::new(9_000_000)).seed);
        let mut other = notification();
        other.id = "8".parse().unwrap();
        assert_ne!(event.seed, Event::new(other, Micros::new(0)).seed);
    }
}
