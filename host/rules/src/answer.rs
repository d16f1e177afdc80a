//! What a component answered, checked and in the domain's types.
//!
//! Owns every demand the contract makes on an answer beyond its shape. Promises that nothing leaves this file that the rest of the
//! host would have to doubt. Never repairs an answer; only reasons are cut.

use std::time::Duration;

use xnovu_domain::{Json, JsonError, Message, Micros, Priority, Reason, Verdict};

use crate::bindings::contract::exports::xnovu::rules::ruleset as wit;
use crate::fault::Fault;
use crate::ruling::guest_words;
use crate::{BrokenKind, Limits};

/// Least time a notification may be put off.
const DEFER_MIN: Duration = Duration::from_secs(1);

/// The last millisecond of the year 9999.
const END_OF_TIME_MS: f64 = 253_402_300_799_999.0;

/// Checks a verdict on an event of that `now`.
pub(crate) fn verdict(answer: wit::Verdict, now: Micros, limits: &Limits) -> Result<Verdict, Fault> {
    match answer {
        wit::Verdict::Deliver(priority) => {
            let priority = priority.map(Priority::new).transpose().map_err(|error| invalid(error.to_string()))?;
            Ok(Verdict::Deliver { priority })
        }
        wit::Verdict::Defer(wit_deferral) => {
            check_size(wit_deferral.reason.len(), limits)?;
            Ok(Verdict::Defer { until: until(wit_deferral.until, now)?, reason: Reason::from(wit_deferral.reason) })
        }
        wit::Verdict::Drop(reason) => {
            check_size(reason.len(), limits)?;
            Ok(Verdict::Drop { reason: Reason::from(reason) })
        }
    }
}

/// Checks the messages a notification becomes.
pub(crate) fn messages(answer: Vec<wit::Message>, limits: &Limits) -> Result<Vec<Message>, Fault> {
    let count = u64::try_from(answer.len()).unwrap_or(u64::MAX);
    if count > limits.messages {
        let limit = limits.messages;
        return Err(invalid(format!("it answered {count} messages; at most {limit} are allowed (limits.messages)")));
    }
    check_size(answer.iter().map(size).sum(), limits)?;
    answer
        .into_iter()
        .enumerate()
        .map(|(at, it)| message(it).map_err(|what| invalid(format!("message {at}: {what}"))))
        .collect()
}

/// Why a rule says it cannot answer.
pub(crate) fn rule_error(error: &wit::RuleError) -> Fault {
    Fault::new(BrokenKind::RuleError, guest_words(&error.reason))
}

fn until(until: f64, now: Micros) -> Result<Micros, Fault> {
    if !until.is_finite() || until > END_OF_TIME_MS {
        return Err(invalid(format!("it defers until {until}, which is no time up to the year 9999")));
    }
    // In the range just checked, a double holds every millisecond exactly; a number below the range saturates and is refused next.
    let at = Micros::from_millis(until.ceil() as i64);
    if at < now.plus(DEFER_MIN) {
        return Err(invalid(format!("it defers until {at}, which is less than a second after {now}")));
    }
    Ok(at)
}

fn message(message: wit::Message) -> Result<Message, String> {
    if message.workflow_key.is_empty() {
        return Err("its workflow-key is empty".to_owned());
    }
    if message.recipients.is_empty() {
        return Err("it has no recipients".to_owned());
    }
    if message.recipients.iter().any(String::is_empty) {
        return Err("one of its recipients is empty".to_owned());
    }
    Ok(Message {
        workflow_key: message.workflow_key.into(),
        recipients: message.recipients,
        payload: object("payload", message.payload)?,
        overrides: message.overrides.map(|json| object("overrides", json)).transpose()?,
        tenant: message.tenant,
        actor: message.actor,
        extra: message.extra.map(|json| object("extra", json)).transpose()?,
    })
}

/// The parser's own words are left out: they may quote what it read.
fn object(field: &str, json: String) -> Result<Json, String> {
    Json::object(json).map_err(|error| match error {
        JsonError::NotAnObject => format!("its {field} is JSON, but not an object"),
        JsonError::Syntax(error) => {
            format!("its {field} is not JSON (line {}, column {})", error.line(), error.column())
        }
    })
}

fn size(message: &wit::Message) -> usize {
    let maybe = [&message.overrides, &message.tenant, &message.actor, &message.extra];
    message.workflow_key.len()
        + message.payload.len()
        + message.recipients.iter().map(String::len).sum::<usize>()
        + maybe.into_iter().flatten().map(String::len).sum::<usize>()
}

fn check_size(bytes: usize, limits: &Limits) -> Result<(), Fault> {
    let limit = limits.output_bytes;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes <= limit) {
        return Ok(());
    }
    let reason = format!("its answer has {bytes} bytes; at most {limit} are allowed (limits.output_bytes)");
    Err(Fault::new(BrokenKind::OutputTooLarge, reason))
}

fn invalid(reason: String) -> Fault {
    Fault::new(BrokenKind::InvalidAnswer, reason)
}

#[cfg(test)]
mod tests;
