//! A component that does whatever its config says, so that tests can see how the host takes it.
//!
//! The config is a JSON object with the keys `validate`, `admit` and `transform`, each naming an act and, after a colon, its
//! argument: `{"admit":"priority:7","transform":"messages:3"}`. What is not said is done well.

#![allow(unsafe_code, reason = "a component's exports are unsafe to name, and so is a counter in static memory")]

mod acts;
#[cfg(target_os = "wasi")]
mod wasi;

use std::sync::atomic::{AtomicU32, Ordering};

use exports::xnovu::rules::ruleset::{Event, Guest, Message, RuleError, Verdict};
use xnovu::rules::calendar;
use xnovu::rules::types::Deferral;

wit_bindgen::generate!({ path: "../../../wit", world: "rules" });

struct Hostile;

export!(Hostile);

/// Counts calls. In a fresh instance it is zero.
static CALLS: AtomicU32 = AtomicU32::new(0);

impl Guest for Hostile {
    fn validate_config(config: String) -> Result<(), String> {
        log_panics();
        match act(&config, "validate") {
            ("ok", _) => Ok(()),
            ("reject", reason) => Err(reason.to_owned()),
            (other, argument) => {
                acts::perform(other, argument);
                Ok(())
            }
        }
    }

    fn admit(event: Event) -> Result<Verdict, RuleError> {
        log_panics();
        let (name, argument) = act(&event.config, "admit");
        match name {
            "ok" => Ok(Verdict::Deliver(None)),
            "priority" => Ok(Verdict::Deliver(argument.parse().ok())),
            "count" => Ok(Verdict::Deliver(Some(CALLS.fetch_add(1, Ordering::Relaxed)))),
            "drop" => Ok(Verdict::Drop(argument.to_owned())),
            "big" => Ok(Verdict::Drop("x".repeat(number(argument)))),
            "error" => Err(RuleError { reason: argument.to_owned() }),
            "defer-by" => Ok(defer(event.now + argument.parse::<f64>().unwrap_or(f64::NAN))),
            "defer-until" => Ok(defer(argument.parse().unwrap_or(f64::NAN))),
            "seen" => Ok(Verdict::Drop(acts::seen(&event))),
            "local" => Ok(Verdict::Drop(format!("{:?}", calendar::local(event.now, argument)))),
            "next" => Ok(Verdict::Drop(format!("{:?}", calendar::next(event.now, argument, 9, 30)))),
            other => {
                acts::perform(other, argument);
                Ok(Verdict::Deliver(None))
            }
        }
    }

    fn transform(event: Event) -> Result<Vec<Message>, RuleError> {
        let (name, argument) = act(&event.config, "transform");
        match name {
            "ok" => Ok(vec![message(&event)]),
            "messages" => Ok((0..number(argument)).map(|_| message(&event)).collect()),
            "big" => {
                let payload = format!("{{\"x\":\"{}\"}}", "x".repeat(number(argument)));
                Ok(vec![Message { payload, ..message(&event) }])
            }
            "payload" => Ok(vec![Message { payload: argument.to_owned(), ..message(&event) }]),
            "count" => {
                let calls = CALLS.fetch_add(1, Ordering::Relaxed);
                Ok(vec![Message { payload: format!("{{\"calls\":{calls}}}"), ..message(&event) }])
            }
            "error" => Err(RuleError { reason: argument.to_owned() }),
            other => {
                acts::perform(other, argument);
                Ok(vec![message(&event)])
            }
        }
    }
}

/// The act the config names for an export, and its argument.
fn act<'a>(config: &'a str, export: &str) -> (&'a str, &'a str) {
    let key = format!("\"{export}\":\"");
    let Some(start) = config.find(&key) else { return ("ok", "") };
    let act = config[start + key.len()..].split('"').next().unwrap_or_default();
    act.split_once(':').unwrap_or((act, ""))
}

fn number(argument: &str) -> usize {
    argument.parse().unwrap_or(0)
}

fn defer(until: f64) -> Verdict {
    Verdict::Defer(Deferral { until, reason: "later".to_owned() })
}

fn message(event: &Event) -> Message {
    Message {
        workflow_key: event.notification.workflow_key.clone(),
        recipients: event.notification.recipients.clone(),
        payload: event.notification.payload.clone(),
        overrides: None,
        tenant: None,
        actor: None,
        extra: None,
    }
}

/// Where there is no standard error, a panic's text goes to the host's log.
fn log_panics() {
    #[cfg(not(target_os = "wasi"))]
    std::panic::set_hook(Box::new(|panic| {
        xnovu::rules::log::write(xnovu::rules::log::Level::Error, &panic.to_string());
    }));
}
