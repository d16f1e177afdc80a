//! How the rules of each subject stand, for operators.
//!
//! Owns the form in which a process tells it: to its health, to `xnovu plugin list`, to its metrics. Never holds anything of an event, and
//! words of a component only where its log may be read.

use serde::{Deserialize, Serialize};

use crate::breaker::Open;
use crate::set::Bound;
use crate::tally::Counted;
use crate::{BindingState, Digest, clock};

/// How the rules of one subject stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The enterprise, or `*` for those without a binding of their own.
    pub enterprise: String,
    /// Name of the plugin; empty where nothing that could be read says.
    pub plugin: String,
    /// Version of what runs.
    pub version: Option<String>,
    /// Digest of what runs.
    pub digest: Option<Digest>,
    /// Whether it decides, in a word.
    pub state: State,
    /// Why it is not simply `ready`.
    pub reason: Option<String>,
    /// Since when it runs, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Version that is ready to be rolled back to.
    pub previous: Option<String>,
    /// What it has done since then.
    pub counted: Counted,
    /// Enterprises whose calls fail too often. Under a binding of its own that is the enterprise itself; under `*`, whoever it is.
    pub failing: Vec<Failing>,
}

/// Whether rules decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// What lies in the directory decides.
    Ready,
    /// What an operator rolled back to decides.
    RolledBack,
    /// What lies in the directory was refused; the version before decides.
    LastGood,
    /// What is in force fails too often; the version before decides until it answers again.
    Fallback,
    /// What is in force fails too often and there is nothing better: the failure policy decides until it answers again.
    Suspended,
    /// Nothing runs; everything is held.
    NotLoaded,
}

impl State {
    /// Every state, from the best to the worst.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::RolledBack, Self::LastGood, Self::Fallback, Self::Suspended, Self::NotLoaded];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::RolledBack => "rolled-back",
            Self::LastGood => "last-good",
            Self::Fallback => "fallback",
            Self::Suspended => "suspended",
            Self::NotLoaded => "not-loaded",
        }
    }

    /// Whether somebody should look: what an operator chose is as it should be.
    #[must_use]
    pub fn is_trouble(self) -> bool {
        !matches!(self, Self::Ready | Self::RolledBack)
    }
}

/// An enterprise whose calls fail too often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The enterprise.
    pub enterprise: String,
    /// Whether the version before decides meanwhile.
    pub fallback: bool,
    /// How the last call failed: the kind of failure, never words of the rules, which may quote a notification.
    pub reason: String,
}

/// How an open breaker is told of: without a word of the rules.
fn told(open: &Open) -> String {
    format!("its calls fail too often; the last failure: {}", open.reason)
}

/// In which state a subject is, and why it is not simply ready.
pub(crate) fn state(bound: &Bound, open: &[Open]) -> (State, Option<String>) {
    let (state, reason) = match &bound.binding.state {
        BindingState::Ready => (State::Ready, None),
        BindingState::RolledBack { from } => (State::RolledBack, Some(format!("rolled back from {from}"))),
        BindingState::LastGood { reason } => (State::LastGood, Some(reason.clone())),
        BindingState::NotLoaded { reason } => (State::NotLoaded, Some(reason.clone())),
    };
    let Some(worst) = theirs(bound, open).min_by_key(|open| open.last_good) else { return (state, reason) };
    let failing = if worst.last_good { State::Fallback } else { State::Suspended };
    (state.max(failing), Some(told(worst)))
}

fn theirs<'a>(bound: &'a Bound, open: &'a [Open]) -> impl Iterator<Item = &'a Open> {
    open.iter().filter(|open| open.subject == bound.subject && bound.is(&open.pin))
}

impl Standing {
    pub(crate) fn of(bound: &Bound, open: &[Open]) -> Self {
        let (binding, running) = (&bound.binding, bound.running.as_ref());
        let (state, reason) = state(bound, open);
        let failing = theirs(bound, open).map(|open| Failing {
            enterprise: open.enterprise.to_string(),
            fallback: open.last_good,
            reason: told(open),
        });
        Self {
            enterprise: bound.subject.to_string(),
            plugin: binding.plugin.clone(),
            version: binding.stamp.as_ref().map(|stamp| stamp.version.clone()),
            digest: binding.stamp.as_ref().map(|stamp| stamp.digest),
            state,
            reason,
            since_ms: running.map(|running| clock::millis(running.since)),
            previous: bound.last_good.as_ref().map(|last_good| last_good.plugin.version.to_string()),
            counted: running.map(|running| running.tally.counted()).unwrap_or_default(),
            failing: failing.collect(),
        }
    }
}
