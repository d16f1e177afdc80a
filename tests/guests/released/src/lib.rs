//! A rule that asks and answers everything the contract has. A component of it is kept for every released version (see wit/README.md).

#![allow(unsafe_code, reason = "a component's exports are unsafe to name")]

use exports::xnovu::rules::ruleset::{Event, Guest, Message, RuleError, Verdict};
use xnovu::rules::calendar;
use xnovu::rules::log::{self, Level};

wit_bindgen::generate!({ path: "../../../wit", world: "rules" });

struct Released;

export!(Released);

impl Guest for Released {
    fn validate_config(config: String) -> Result<(), String> {
        if config.contains("\"urgent\"") { Ok(()) } else { Err("urgent is missing".to_owned()) }
    }

    fn admit(event: Event) -> Result<Verdict, RuleError> {
        log::write(Level::Info, &event.notification.name);
        if event.notification.payload.contains("critical") {
            return Ok(Verdict::Deliver(Some(900)));
        }
        let tomorrow = calendar::next(event.now, "UTC", 9, 0);
        tomorrow.map_err(|reason| RuleError { reason })?;
        Ok(Verdict::Drop("not urgent".to_owned()))
    }

    fn transform(event: Event) -> Result<Vec<Message>, RuleError> {
        let hour = calendar::local(event.now, "UTC").map_err(|reason| RuleError { reason })?.hour;
        let row = event.notification;
        let payload = row.payload.replacen('{', &format!("{{\"hour\":{hour},"), 1);
        let (workflow_key, recipients, overrides) = (row.workflow_key, row.recipients, row.overrides);
        Ok(vec![Message { workflow_key, recipients, payload, overrides, tenant: None, actor: None, extra: None }])
    }
}
