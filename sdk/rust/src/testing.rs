//! Events for an author's native tests. Not part of a component.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::event::Parts;
use crate::json::Object;
use crate::log::Level;
use crate::{Event, Origin, RuleError, Timestamp};

thread_local! {
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// The lines this thread has logged since it was last asked.
pub fn logged() -> Vec<(Level, String)> {
    LOG.take()
}

pub(crate) fn keep_log(level: Level, text: String) {
    LOG.with_borrow_mut(|lines| lines.push((level, text)));
}

/// The config a rule would be given for this JSON.
///
/// # Errors
/// It is not what `C` reads; names the field, as the host's message at load does.
pub fn config<C: DeserializeOwned>(config: &Value) -> Result<C, RuleError> {
    crate::error::read("config", &config.to_string())
}

impl Event {
    /// An event for a test: a realtime notification with an empty payload for the subscriber `subscriber-1`, made, last changed and
    /// asked about at 2026-01-01T00:00:00Z. `build` makes an event of whatever payload type the rule reads.
    pub fn builder() -> EventBuilder {
        EventBuilder::default()
    }
}

/// Makes an [`Event`]. Every method takes what the row would hold; times are RFC 3339.
///
/// # Panics
/// Methods that take a time panic if it is none; methods that take a value panic if it cannot be made JSON.
#[derive(Debug, Clone)]
pub struct EventBuilder {
    parts: Parts,
    payload: Object,
    facts: Map<String, Value>,
}

impl Default for EventBuilder {
    fn default() -> Self {
        let start = instant("2026-01-01T00:00:00Z");
        let parts = Parts {
            origin: Origin::Realtime,
            now: start,
            seed: 0,
            id: "1".to_owned(),
            enterprise_id: "11111111-1111-4111-8111-111111111111".to_owned(),
            name: "notification-1".to_owned(),
            workflow_key: "default-workflow".to_owned(),
            category: None,
            rule_id: None,
            recipients: vec!["subscriber-1".to_owned()],
            channels: vec!["IN_APP".to_owned()],
            tags: Vec::new(),
            payload: String::new(),
            overrides: None,
            scheduled_for: None,
            created_at: start,
            updated_at: start,
            facts: String::new(),
        };
        Self { parts, payload: Object::Fields(Map::new()), facts: Map::new() }
    }
}

impl EventBuilder {
    /// The event.
    pub fn build<P>(self) -> Event<P> {
        let payload = self.payload.into_text("payload").expect("a test's payload is a JSON object");
        let facts = Value::Object(self.facts).to_string();
        Event::new(Parts { payload, facts, ..self.parts })
    }

    /// The time the rule is asked at.
    pub fn at(mut self, now: &str) -> Self {
        self.parts.now = instant(now);
        self
    }

    /// Where the notification came from.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.parts.origin = origin;
        self
    }

    /// The event's randomness.
    pub fn seed(mut self, seed: u32) -> Self {
        self.parts.seed = seed;
        self
    }

    /// The row's primary key.
    pub fn id(mut self, id: &str) -> Self {
        self.parts.id = id.to_owned();
        self
    }

    /// The enterprise the row belongs to.
    pub fn enterprise(mut self, id: &str) -> Self {
        self.parts.enterprise_id = id.to_owned();
        self
    }

    /// The row's name.
    pub fn name(mut self, name: &str) -> Self {
        self.parts.name = name.to_owned();
        self
    }

    /// Key of the workflow the row points to.
    pub fn workflow(mut self, key: &str) -> Self {
        self.parts.workflow_key = key.to_owned();
        self
    }

    /// Code of the row's category.
    pub fn category(mut self, code: &str) -> Self {
        self.parts.category = Some(code.to_owned());
        self
    }

    /// Primary key of the cron rule that made the row; the origin becomes cron.
    pub fn rule(mut self, id: &str) -> Self {
        self.parts.rule_id = Some(id.to_owned());
        self.origin(Origin::Cron)
    }

    /// Novu subscriber ids.
    pub fn recipients<'a>(mut self, recipients: impl IntoIterator<Item = &'a str>) -> Self {
        self.parts.recipients = strings(recipients);
        self
    }

    /// Channel names.
    pub fn channels<'a>(mut self, channels: impl IntoIterator<Item = &'a str>) -> Self {
        self.parts.channels = strings(channels);
        self
    }

    /// Tags.
    pub fn tags<'a>(mut self, tags: impl IntoIterator<Item = &'a str>) -> Self {
        self.parts.tags = strings(tags);
        self
    }

    /// The whole payload, a JSON object.
    pub fn payload(mut self, payload: impl Serialize) -> Self {
        self.payload = Object::of(payload);
        self
    }

    /// One field of the payload.
    pub fn put(mut self, key: &str, value: impl Serialize) -> Self {
        self.payload = self.payload.with(key, value);
        self
    }

    /// The payload's field `severity`.
    pub fn severity(self, word: &str) -> Self {
        self.put("severity", word)
    }

    /// The row's overrides for Novu, a JSON object.
    pub fn overrides(mut self, overrides: impl Serialize) -> Self {
        let text = Object::of(overrides).into_text("overrides").expect("a test's overrides are a JSON object");
        self.parts.overrides = Some(text);
        self
    }

    /// When the row is to be sent; the origin becomes scheduled.
    pub fn scheduled_for(mut self, at: &str) -> Self {
        self.parts.scheduled_for = Some(instant(at));
        self.origin(Origin::Scheduled)
    }

    /// When the row was made.
    pub fn created_at(mut self, at: &str) -> Self {
        self.parts.created_at = instant(at);
        self
    }

    /// When the row was last changed.
    pub fn updated_at(mut self, at: &str) -> Self {
        self.parts.updated_at = instant(at);
        self
    }

    /// One of the host's facts, by the name it has in the contract.
    pub fn fact(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("a test's fact can be made JSON");
        self.facts.insert(name.to_owned(), value);
        self
    }
}

fn instant(text: &str) -> Timestamp {
    text.parse().expect("a test's times are RFC 3339")
}

fn strings<'a>(items: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    items.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_holds_what_was_put_into_it() {
        let event: Event = Event::builder()
            .at("2026-01-02T03:04:05Z")
            .severity("high")
            .put("floor", 3)
            .recipients(["ann", "bob"])
            .tags(["vip"])
            .category("fire")
            .scheduled_for("2026-02-01T00:00:00Z")
            .build();
        assert_eq!(event.now().to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(event.payload(), Ok(&json!({"severity": "high", "floor": 3})));
        assert_eq!(event.recipients(), ["ann", "bob"]);
        assert!(event.has_tag("vip") && !event.has_tag("staff"));
        assert_eq!(event.category(), Some("fire"));
        assert_eq!(event.origin(), Origin::Scheduled);
    }

    #[test]
    fn a_config_is_read_as_the_host_reads_it() {
        assert_eq!(config::<Vec<u8>>(&json!([1, 2])), Ok(vec![1, 2]));
        let words = config::<Vec<u8>>(&json!([1, "x"])).unwrap_err().to_string();
        assert_eq!(words, "config[1]: invalid type: string \"x\", expected u8");
    }
}
