//! The fire desk of a building: assessments, drills and emergencies, each by its own workflow, channels and urgency.
//!
//! The platform writes one kind of row and says in the payload what it is about. This rule refuses a row that leaves something out:
//! the operator reads which field is missing, and the notification waits until the row is corrected.

use std::collections::BTreeMap;

use serde_json::Map;
use xnovu_sdk::prelude::*;

/// `[enterprises."...".config]` of `bindings.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// By kind of incident, what Novu gets as `overrides.channels`, such as `{ sms = { content = "..." } }`.
    #[serde(default)]
    channels: BTreeMap<Kind, Map<String, Value>>,
}

/// What the payload must hold; fields that are not named here are passed on as they are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Incident {
    kind: Kind,
    building: String,
    /// Where it burns. An emergency needs it.
    floor: Option<i32>,
    /// When the drill begins. A drill needs it.
    starts_at: Option<Timestamp>,
    /// Until when the assessment is to be done. An assessment needs it.
    due_by: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Assessment,
    Drill,
    Emergency,
}

struct FireSafety;

#[xnovu_sdk::rules]
impl Rules for FireSafety {
    type Config = Settings;
    type Payload = Incident;

    fn admit(&self, event: &Event<Incident>, _config: &Settings) -> Result<Verdict, RuleError> {
        let incident = event.payload()?;
        match incident.kind {
            Kind::Emergency => needed(incident.floor, "floor").map(|_| Verdict::deliver_at(1000)),
            Kind::Drill if needed(incident.starts_at, "startsAt")? <= event.now() => {
                Ok(Verdict::drop("the drill has begun already"))
            }
            Kind::Drill => Ok(Verdict::deliver_at(200)),
            Kind::Assessment => needed(incident.due_by, "dueBy").map(|_| Verdict::deliver()),
        }
    }

    fn transform(&self, event: &Event<Incident>, config: &Settings) -> Result<Vec<Message>, RuleError> {
        let incident = event.payload()?;
        let workflow = match incident.kind {
            Kind::Assessment => "fire-assessment",
            Kind::Drill => "fire-drill",
            Kind::Emergency => "fire-emergency",
        };
        let mut message = Message::from(event).workflow(workflow).put("title", incident.title()?);
        if let Some(channels) = config.channels.get(&incident.kind) {
            message = message.put_override("channels", channels);
        }
        if incident.kind == Kind::Emergency {
            message = message.put_override("severity", "high");
        }
        Ok(vec![message])
    }
}

impl Incident {
    fn title(&self) -> Result<String, RuleError> {
        let building = &self.building;
        Ok(match self.kind {
            Kind::Assessment => format!("Fire assessment of {building} until {}", needed(self.due_by, "dueBy")?),
            Kind::Drill => format!("Fire drill in {building} at {}", needed(self.starts_at, "startsAt")?),
            Kind::Emergency => format!("FIRE in {building}, floor {}", needed(self.floor, "floor")?),
        })
    }
}

fn needed<T>(field: Option<T>, name: &str) -> Result<T, RuleError> {
    field.ok_or_else(|| format!("payload.{name}: missing, and this kind of incident needs it").into())
}

#[cfg(test)]
mod tests;
