//! What the host asks of rules and what it gets back.
//!
//! Owns the seam between the application and the sandbox: the trait, its answers and the ways an evaluation fails. Promises that
//! whatever a component does comes back as a [`Ruling`], never as a panic and never later than its limits allow.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use xnovu_domain::{EnterpriseId, Event, Message, REASON_BYTES_MAX, Verdict};

use crate::{Digest, Grants};

/// Decides over notifications. Every evaluation sees the same set of plugins from its start to its end.
#[async_trait]
pub trait Rules: Send + Sync {
    /// Whether anybody has said who has rules. False where no `bindings.toml` was ever found: then that an enterprise is
    /// [`Ruling::Unbound`] here says nothing of what it is elsewhere.
    fn knows_who_has_some(&self) -> bool;

    /// Whether this enterprise has some now.
    fn binds(&self, enterprise: &EnterpriseId) -> bool;

    /// Filter and priority of one event, by the enterprise of its notification.
    ///
    /// Cancellation safe: an evaluation that nobody waits for any more is skipped if it has not begun.
    async fn admit(&self, event: Event) -> Ruling<Verdict>;

    /// `admit` and, where it delivers, `transform`, in one instance.
    ///
    /// `pin` asks for the component and the config an earlier attempt was decided with. They are used if they can still be had;
    /// otherwise the current ones are, and the stamp of the answer says so.
    ///
    /// Cancellation safe, as [`Rules::admit`] is.
    async fn decide(&self, event: Event, pin: Option<&Pin>) -> Ruling<Decided>;
}

/// How an evaluation ended.
#[derive(Debug, Clone)]
pub enum Ruling<T> {
    /// No rules bind the enterprise.
    Unbound,
    /// The rules answered.
    Ruled(Ruled<T>),
    /// The rules could not answer; the enterprise's policy decides.
    Broken(Broken),
}

/// An answer and what it took.
#[derive(Debug, Clone)]
pub struct Ruled<T> {
    /// The answer, validated.
    pub answer: T,
    /// Who answered.
    pub stamp: Stamp,
    /// Fuel used. The same for the same event, component and config.
    pub fuel: u64,
    /// Wall time of the evaluation, without the wait for a rule thread.
    pub duration: Duration,
    /// What the component logged, if its binding says `log_guest = true`; empty otherwise.
    pub log: Vec<LogLine>,
    /// What the answer may reach: the grants of the binding it was made under, whatever has been reloaded since.
    pub grants: Grants,
}

/// Answer of [`Rules::decide`].
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Whether, when and how urgently.
    pub verdict: Verdict,
    /// What to send; None unless the verdict is to deliver. Empty: nothing, which counts as dropped.
    pub messages: Option<Vec<Message>>,
}

/// The component and the config behind an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Name of the plugin.
    pub plugin: String,
    /// Version of the plugin, as its author wrote it.
    pub version: String,
    /// Digest of the component.
    pub digest: Digest,
    /// Digest of the config's JSON.
    pub config_hash: Digest,
}

impl Stamp {
    /// What a later evaluation needs in order to be decided alike.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin { digest: self.digest, config_hash: self.config_hash }
    }
}

/// `name@version (digest)`, the digest shortened.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} ({})", self.plugin, self.version, self.digest.short())
    }
}

/// A component and a config an evaluation is to be repeated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Digest of the component.
    pub digest: Digest,
    /// Digest of the config's JSON.
    pub config_hash: Digest,
}

/// The rules could not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What kind of failure.
    pub kind: BrokenKind,
    /// For operators, with at most 200 bytes of the component's own words.
    pub reason: String,
    /// What the enterprise wants to happen.
    pub policy: FailurePolicy,
    /// Who failed, where a component was loaded at all.
    pub stamp: Option<Stamp>,
    /// What it took until then, where something was evaluated.
    pub cost: Option<Cost>,
}

/// What one evaluation took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Fuel used.
    pub fuel: u64,
    /// Wall time, without the wait for a rule thread.
    pub duration: Duration,
}

impl Broken {
    /// What becomes of the notification: the enterprise's policy, but an evaluation that ran out of time or of room may have been slowed
    /// by our own load, so it always holds.
    #[must_use]
    pub fn applied_policy(&self) -> FailurePolicy {
        match self.kind {
            BrokenKind::TimedOut | BrokenKind::Overloaded => FailurePolicy::Hold,
            _ => self.policy,
        }
    }
}

/// How rules failed to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenKind {
    /// The plugin is missing, was refused, or its `validate-config` was against the config.
    NotLoaded,
    /// The rule said that it cannot answer.
    RuleError,
    /// The component trapped: a panic, a stack overflow, a call it may not make.
    Trap,
    /// It used up its fuel.
    Fuel,
    /// It used up its wall time. Our own load may be the cause, so nothing may be dropped for it.
    TimedOut,
    /// It asked for more memory than it may have and gave up.
    Memory,
    /// It answered something the contract forbids.
    InvalidAnswer,
    /// The event is larger than the component may be given.
    InputTooLarge {
        /// Size of the event and the config.
        bytes: u64,
        /// What the limit is.
        limit: u64,
    },
    /// Its answer is too large.
    OutputTooLarge,
    /// Too many events wait for a rule thread; nothing was evaluated.
    Overloaded,
    /// It has failed too often and is not asked for a while.
    Suspended,
}

impl BrokenKind {
    /// The word for metrics and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotLoaded => "not-loaded",
            Self::RuleError => "rule-error",
            Self::Trap => "trap",
            Self::Fuel => "fuel",
            Self::TimedOut => "timed-out",
            Self::Memory => "memory",
            Self::InvalidAnswer => "invalid-answer",
            Self::InputTooLarge { .. } => "input-too-large",
            Self::OutputTooLarge => "output-too-large",
            Self::Overloaded => "overloaded",
            Self::Suspended => "suspended",
        }
    }

    /// The same in words for operators. None of them is the component's own.
    #[must_use]
    pub fn told(self) -> &'static str {
        match self {
            Self::NotLoaded => "nothing could be loaded",
            Self::RuleError => "it said that it cannot answer",
            Self::Trap => "it trapped",
            Self::Fuel => "it used up its fuel",
            Self::TimedOut => "it used up its time",
            Self::Memory => "it asked for more memory than it may have",
            Self::InvalidAnswer => "it answered what the contract forbids",
            Self::InputTooLarge { .. } => "the event was too large for it",
            Self::OutputTooLarge => "its answer was too large",
            Self::Overloaded => "no rule thread was free",
            Self::Suspended => "it was suspended",
        }
    }

    /// Whether it says something about the component: that it traps, uses more than it may or answers what it may not. Not what a rule
    /// says itself, nor what the row or our own load is the cause of.
    pub(crate) fn is_the_components(self) -> bool {
        match self {
            Self::Trap | Self::Fuel | Self::TimedOut | Self::Memory | Self::InvalidAnswer | Self::OutputTooLarge => {
                true
            }
            Self::NotLoaded | Self::RuleError | Self::InputTooLarge { .. } | Self::Overloaded | Self::Suspended => {
                false
            }
        }
    }
}

/// What becomes of a notification whose rules cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailurePolicy {
    /// Keep it and ask again later.
    #[default]
    Hold,
    /// Send it unmapped.
    Deliver,
    /// Do not send it.
    Drop,
}

/// One line a component logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// The text, without line breaks.
    pub text: String,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the author of the rules.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is odd.
    Warn,
    /// Something is wrong.
    Error,
}

/// The component's own words, made fit for one line of an operator's screen: no control characters, at most 200 bytes.
pub(crate) fn guest_words(text: &str) -> String {
    let mut words: String = text.chars().take(REASON_BYTES_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    words.truncate(words.floor_char_boundary(REASON_BYTES_MAX));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_components_words_are_one_short_line() {
        assert_eq!(guest_words("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(guest_words(&"é".repeat(300)).len(), 200);
        assert_eq!(guest_words(&("a".to_owned() + &"é".repeat(300))).len(), 199);
    }
}
