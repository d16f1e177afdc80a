//! A question of the domain in the words of the contract.
//!
//! Owns how a row is shown to rules and how large a question is. Never shows what the contract does not name.

use serde_json::Value;
use xnovu_domain::{Event, Json, Micros, Notification, Origin};

use crate::bindings::contract::exports::xnovu::rules::ruleset as wit;
use crate::bindings::contract::xnovu::rules::types;

/// The question, with the binding's config.
pub(crate) fn to_guest(event: Event, config: &str) -> wit::Event {
    wit::Event {
        origin: match event.origin {
            Origin::Realtime => types::Origin::Realtime,
            Origin::Scheduled => types::Origin::Scheduled,
            Origin::Cron => types::Origin::Cron,
        },
        now: timestamp(event.now),
        seed: event.seed,
        notification: row(event.notification),
        facts: Value::Object(event.facts).to_string(),
        config: config.to_owned(),
    }
}

/// Bytes of all text in a question.
pub(crate) fn size(event: &wit::Event) -> u64 {
    let row = &event.notification;
    let texts = [&row.id, &row.enterprise_id, &row.name, &row.workflow_key, &row.payload, &event.facts, &event.config];
    let maybe = [&row.category, &row.rule_id, &row.overrides];
    let lists = [&row.recipients, &row.channels, &row.tags];
    let bytes = texts.into_iter().map(String::len).sum::<usize>()
        + maybe.into_iter().flatten().map(String::len).sum::<usize>()
        + lists.into_iter().flatten().map(String::len).sum::<usize>();
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn row(row: Notification) -> types::Notification {
    types::Notification {
        id: row.id.to_string(),
        enterprise_id: row.enterprise_id.into(),
        name: row.name,
        workflow_key: row.workflow.map_or_else(String::new, |workflow| workflow.workflow_key.as_str().to_owned()),
        category: row.category.and_then(|category| category.code),
        rule_id: row.notification_rule_id.map(String::from),
        recipients: row.recipients,
        channels: row.channels.unwrap_or_default(),
        tags: row.tags.unwrap_or_default(),
        payload: row.payload.get().to_owned(),
        overrides: row.overrides.filter(Json::is_object).map(|overrides| overrides.get().to_owned()),
        scheduled_for: row.scheduled_for.map(timestamp),
        created_at: timestamp(row.created_at),
        updated_at: timestamp(row.updated_at),
    }
}

fn timestamp(at: Micros) -> f64 {
    at.millis() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let row = r#"{"id":9007199254740993,"enterprise_id":"e","name":"n","notification_status":"PENDING",
            "publish_status":"PUBLISH","deactivated":false,"payload":{"a":1},"recipients":["r1","r2"],"overrides":null,
            "created_at":"2026-01-01T00:00:00.0019Z","updated_at":"2026-01-01T00:00:00Z",
            "workflow":{"workflow_key":"w"},"category":{"code":"c","path_text":null},"notification_rule_id":3}"#;
        Event::new(serde_json::from_str(row).unwrap(), Micros::from_millis(5))
    }

    #[test]
    fn an_id_beyond_a_double_arrives_whole_and_times_are_whole_milliseconds() {
        let question = to_guest(event(), "{}");
        assert_eq!(question.notification.id, "9007199254740993");
        assert_eq!(question.notification.created_at.to_bits(), 1_767_225_600_001_f64.to_bits());
        assert_eq!(question.now.to_bits(), 5_f64.to_bits());
    }

    #[test]
    fn what_the_row_does_not_have_is_absent() {
        let row = to_guest(event(), "{}").notification;
        assert_eq!((row.category.as_deref(), row.rule_id.as_deref()), (Some("c"), Some("3")));
        assert!(row.overrides.is_none() && row.scheduled_for.is_none() && row.tags.is_empty());
    }

    #[test]
    fn the_size_counts_every_text() {
        let small = size(&to_guest(event(), "{}"));
        let mut larger = event();
        larger.notification.recipients.push("0123456789".to_owned());
        larger.notification.tags = Some(vec!["0123456789".to_owned()]);
        assert_eq!(size(&to_guest(larger, r#"{"k":1}"#)), small + 25);
    }
}
