//! The component's side of the contract. Compiled for WebAssembly only.
//!
//! Owns the exports, the imports and the allocator. The bindings are generated from this package's own copy of the contract.

use bindings::exports::xnovu::rules::ruleset::{self, Guest};
use bindings::xnovu::rules::{log, types};

use crate::event::Parts;
use crate::log::Level;
use crate::rules::Unit;
use crate::{Origin, RuleError, Timestamp, Verdict, answer, message};

#[cfg(feature = "allocator")]
mod allocator;
pub(crate) mod calendar;

#[doc(hidden)]
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated from the contract")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "rules",
        pub_export_macro: true,
        export_macro_name: "__export_bindings",
    });
}

/// Exports the rules of a unit struct.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($rules:path) => {
        #[allow(unsafe_code, reason = "exported functions of a component are unsafe to name")]
        const _: () = {
            type Exported = $crate::__private::Component<$rules>;
    $crate::__private::bindings::__export_bindings!(Exported with_types_in $crate::__private::bindings);
        };
    };
}

/// The contract's exports, answered by the rules `R`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Component<R>(std::marker::PhantomData<R>);

impl<R: Unit> Guest for Component<R> {
    fn validate_config(config: String) -> Result<(), String> {
        log_panics();
        answer::validate_config(&R::RULES, &config).map_err(|error| error.to_string())
    }

    fn admit(event: ruleset::Event) -> Result<ruleset::Verdict, ruleset::RuleError> {
        log_panics();
        let (event, config) = parts(event);
        answer::admit(&R::RULES, event, &config).map(Into::into).map_err(Into::into)
    }

    fn transform(event: ruleset::Event) -> Result<Vec<ruleset::Message>, ruleset::RuleError> {
        log_panics();
        let (event, config) = parts(event);
        let messages = answer::transform(&R::RULES, event, &config)?;
        Ok(messages.into_iter().map(Into::into).collect())
    }
}

/// Without WASI a panic has nowhere to leave its text, so the host would know of a trap and nothing more.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
}

pub(crate) fn write_log(level: Level, text: &str) {
    let level = match level {
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::write(level, text);
}

/// An event and its config.
fn parts(event: ruleset::Event) -> (Parts, String) {
    let row = event.notification;
    let parts = Parts {
        origin: match event.origin {
            types::Origin::Realtime => Origin::Realtime,
            types::Origin::Scheduled => Origin::Scheduled,
            types::Origin::Cron => Origin::Cron,
        },
        now: Timestamp::from_contract(event.now),
        seed: event.seed,
        id: row.id,
        enterprise_id: row.enterprise_id,
        name: row.name,
        workflow_key: row.workflow_key,
        category: row.category,
        rule_id: row.rule_id,
        recipients: row.recipients,
        channels: row.channels,
        tags: row.tags,
        payload: row.payload,
        overrides: row.overrides,
        scheduled_for: row.scheduled_for.map(Timestamp::from_contract),
        created_at: Timestamp::from_contract(row.created_at),
        updated_at: Timestamp::from_contract(row.updated_at),
        facts: event.facts,
    };
    (parts, event.config)
}

impl From<Verdict> for ruleset::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Deliver { priority } => Self::Deliver(priority),
            Verdict::Defer { until, reason } => Self::Defer(types::Deferral { until: until.to_contract(), reason }),
            Verdict::Drop { reason } => Self::Drop(reason),
        }
    }
}

impl From<RuleError> for ruleset::RuleError {
    fn from(error: RuleError) -> Self {
        Self { reason: error.into_reason() }
    }
}

impl From<message::Parts> for ruleset::Message {
    fn from(parts: message::Parts) -> Self {
        Self {
            workflow_key: parts.workflow_key,
            recipients: parts.recipients,
            payload: parts.payload,
            overrides: parts.overrides,
            tenant: parts.tenant,
            actor: parts.actor,
            extra: parts.extra,
        }
    }
}
