//! What a rule sends.

use serde::Serialize;

use crate::Event;
use crate::json::Object;

/// One trigger of a Novu workflow. The host splits its recipients into calls of at most 100.
///
/// Begin with the notification as it stands, `Message::from(event)`, or with nothing, [`Message::new`], and change what differs. What
/// cannot be made JSON is reported when the message is handed over, as an error of the rule that names the field.
///
/// Two messages are equal if Novu would be told the same.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a message is sent by being returned from `transform`"]
pub struct Message {
    workflow_key: String,
    recipients: Vec<String>,
    payload: Object,
    overrides: Option<Object>,
    tenant: Option<String>,
    actor: Option<String>,
    extra: Option<Object>,
}

impl Message {
    /// A trigger of this workflow with an empty payload. The host refuses a workflow that is not one of the enterprise's published
    /// ones, and recipients that are not among the row's, unless the operator has granted more.
    pub fn new<R>(workflow_key: impl Into<String>, recipients: impl IntoIterator<Item = R>) -> Self
    where
        R: Into<String>,
    {
        Self {
            workflow_key: workflow_key.into(),
            recipients: strings(recipients),
            payload: Object::Text("{}".to_owned()),
            overrides: None,
            tenant: None,
            actor: None,
            extra: None,
        }
    }

    /// Triggers this workflow instead.
    pub fn workflow(mut self, key: impl Into<String>) -> Self {
        self.workflow_key = key.into();
        self
    }

    /// Goes to these Novu subscribers instead.
    pub fn recipients<R: Into<String>>(mut self, recipients: impl IntoIterator<Item = R>) -> Self {
        self.recipients = strings(recipients);
        self
    }

    /// Replaces the payload by what serializes to a JSON object.
    pub fn payload(mut self, payload: impl Serialize) -> Self {
        self.payload = Object::of(payload);
        self
    }

    /// Adds one field to the payload, or replaces it.
    pub fn put(mut self, key: &str, value: impl Serialize) -> Self {
        self.payload = self.payload.with(key, value);
        self
    }

    /// Replaces Novu's overrides by what serializes to a JSON object.
    pub fn overrides(mut self, overrides: impl Serialize) -> Self {
        self.overrides = Some(Object::of(overrides));
        self
    }

    /// Adds one field to Novu's overrides, such as `channels` or `severity`, or replaces it.
    pub fn put_override(mut self, key: &str, value: impl Serialize) -> Self {
        let overrides = self.overrides.unwrap_or_else(|| Object::Text("{}".to_owned()));
        self.overrides = Some(overrides.with(key, value));
        self
    }

    /// Names the Novu tenant.
    pub fn tenant(mut self, identifier: impl Into<String>) -> Self {
        self.tenant = Some(identifier.into());
        self
    }

    /// Names the subscriber who caused the notification.
    pub fn actor(mut self, subscriber_id: impl Into<String>) -> Self {
        self.actor = Some(subscriber_id.into());
        self
    }

    /// Further fields of Novu's trigger. Only those the operator allows are sent.
    pub fn extra(mut self, extra: impl Serialize) -> Self {
        self.extra = Some(Object::of(extra));
        self
    }

    /// The parts as text, for the contract.
    #[cfg(any(test, target_arch = "wasm32"))]
    pub(crate) fn into_parts(self) -> Result<Parts, crate::RuleError> {
        let optional = |object: Option<Object>, what| object.map(|object| object.into_text(what)).transpose();
        Ok(Parts {
            payload: self.payload.into_text("message.payload")?,
            overrides: optional(self.overrides, "message.overrides")?,
            extra: optional(self.extra, "message.extra")?,
            workflow_key: self.workflow_key,
            recipients: self.recipients,
            tenant: self.tenant,
            actor: self.actor,
        })
    }
}

/// A message in the contract's form.
#[derive(Debug, PartialEq)]
#[cfg(any(test, target_arch = "wasm32"))]
pub(crate) struct Parts {
    pub(crate) workflow_key: String,
    pub(crate) recipients: Vec<String>,
    pub(crate) payload: String,
    pub(crate) overrides: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) extra: Option<String>,
}

/// The notification as it stands: its workflow, recipients, payload and overrides, none of them parsed.
impl<P> From<&Event<P>> for Message {
    fn from(event: &Event<P>) -> Self {
        Self {
            payload: Object::Text(event.payload_json().to_owned()),
            overrides: event.overrides_json().map(|text| Object::Text(text.to_owned())),
            ..Self::new(event.workflow_key(), event.recipients())
        }
    }
}

fn strings<R: Into<String>>(items: impl IntoIterator<Item = R>) -> Vec<String> {
    items.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_of_an_event_is_the_row_as_it_stands() {
        let event: Event = Event::builder()
            .workflow("digest")
            .recipients(["ann", "bob"])
            .payload(json!({"a": 1}))
            .overrides(json!({"severity": "low"}))
            .build();
        let want = Message::new("digest", ["ann", "bob"]).put("a", 1).put_override("severity", "low");
        assert_eq!(Message::from(&event), want);
    }

    #[test]
    fn what_cannot_be_sent_names_the_field() {
        let check = |message: Message, want: &str| assert_eq!(message.into_parts().unwrap_err().reason(), want);
        check(Message::new("w", ["a"]).payload(1), "message.payload: must be a JSON object and is a number");
        check(Message::new("w", ["a"]).overrides("x"), "message.overrides: must be a JSON object and is a string");
        check(Message::new("w", ["a"]).extra([1]), "message.extra: must be a JSON object and is an array");
    }

    #[test]
    fn every_part_arrives() {
        let parts = Message::new("w", ["a"])
            .workflow("v")
            .recipients(["b"])
            .payload(json!({"p": 1}))
            .overrides(json!({"o": 1}))
            .tenant("t")
            .actor("c")
            .extra(json!({"e": 1}))
            .into_parts()
            .unwrap();
        let some = |text: &str| Some(text.to_owned());
        let want = Parts {
            workflow_key: "v".to_owned(),
            recipients: vec!["b".to_owned()],
            payload: r#"{"p":1}"#.to_owned(),
            overrides: some(r#"{"o":1}"#),
            tenant: some("t"),
            actor: some("c"),
            extra: some(r#"{"e":1}"#),
        };
        assert_eq!(parts, want);
    }
}
