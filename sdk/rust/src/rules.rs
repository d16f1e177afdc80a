//! The trait an author implements.

use serde::de::DeserializeOwned;

use crate::{Event, Message, RuleError, Verdict};

/// The rules of one plugin, implemented for a unit struct under [`macro@crate::rules`].
///
/// Every method has a default, so a rule says only what it changes. The host makes a fresh instance for every event: what a method
/// leaves behind in a static is gone at the next one.
pub trait Rules {
    /// The enterprise's settings, out of `[enterprises."...".config]` of `bindings.toml`. `serde_json::Value` where the attribute
    /// fills it in.
    type Config: DeserializeOwned;

    /// The notification's payload, read when [`Event::payload`] is called and not before. `serde_json::Value` where the attribute
    /// fills it in.
    type Payload: DeserializeOwned;

    /// Asked once when a binding is loaded, with a config that could be read. By default there is nothing more to check.
    ///
    /// # Errors
    /// What is wrong with the config, for the operator who wrote it.
    fn validate_config(&self, config: &Self::Config) -> Result<(), RuleError> {
        let _ = config;
        Ok(())
    }

    /// Filter and priority: asked for every event, and again when it is about to be sent. By default everything is delivered.
    ///
    /// # Errors
    /// Why the rule cannot answer; the enterprise's failure policy decides.
    fn admit(&self, event: &Event<Self::Payload>, config: &Self::Config) -> Result<Verdict, RuleError> {
        let _ = (event, config);
        Ok(Verdict::deliver())
    }

    /// Payload mapping: what is sent for an event that `admit` has just let through. By default the notification as it stands. An
    /// empty list sends nothing and counts as dropped.
    ///
    /// # Errors
    /// Why the rule cannot answer; the enterprise's failure policy decides.
    fn transform(&self, event: &Event<Self::Payload>, config: &Self::Config) -> Result<Vec<Message>, RuleError> {
        let _ = config;
        Ok(vec![Message::from(event)])
    }
}

/// A type with one value, which the attribute macro knows by name.
#[doc(hidden)]
pub trait Unit: Rules + Sized {
    /// The value.
    const RULES: Self;
}

/// Tells the compiler that something outside of the author's crate calls these rules.
#[doc(hidden)]
pub const fn alive<R: Unit>() {}
