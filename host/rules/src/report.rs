//! What a reload found and did, for logs and for people.
//!
//! Owns the words. Every failure names what failed, with which input, and what mends it.

use std::fmt;
use std::time::Duration;

use crate::Stamp;
use crate::bindings_file::Subject;

/// What a reload found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Number of the set that decides from now on.
    pub generation: u64,
    /// Whether anything that is loaded, or whom it binds, changed.
    pub changed: bool,
    /// When to look again, though nothing may have changed by then; None where only a change calls for that.
    pub again: Option<Duration>,
    /// What concerns neither a plugin nor a subject: files that are missing or wrong as a whole.
    pub notes: Vec<Hinted>,
    /// Each plugin there is or should be, by name.
    pub plugins: Vec<(String, PluginOutcome)>,
    /// Each subject that is bound.
    pub bindings: Vec<(Subject, BindingOutcome)>,
}

/// A sentence and, where there is one, the command that mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hinted {
    /// What is wrong.
    pub reason: String,
    /// What mends it.
    pub hint: Option<String>,
    /// Whether it may go better by itself when it is tried again.
    pub passing: bool,
}

/// What became of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginOutcome {
    /// It is loaded.
    Loaded {
        /// Its version.
        version: String,
        /// Digest of its component.
        digest: crate::Digest,
    },
    /// What lies there is refused; what was loaded before stays, if anything was.
    Refused {
        /// Version of what stays.
        stays: Option<String>,
        /// Why, and what mends it.
        why: Hinted,
    },
    /// Nobody is bound to it, so it is not loaded.
    Unbound,
}

/// What became of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingOutcome {
    /// It runs as it is written.
    Ready(Stamp),
    /// It runs what an operator rolled back to; the second is what was rolled back from.
    RolledBack(Stamp, Stamp),
    /// What is written cannot run; what ran before goes on.
    LastGood(Stamp, Hinted),
    /// Nothing runs.
    NotLoaded(Hinted),
}

impl Report {
    /// Whether everything there is runs as it is written.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let refused = |outcome: &PluginOutcome| matches!(outcome, PluginOutcome::Refused { .. });
        let bad_binding = self
            .bindings
            .iter()
            .any(|(_, outcome)| !matches!(outcome, BindingOutcome::Ready(_) | BindingOutcome::RolledBack(..)));
        self.notes.is_empty() && !bad_binding && !self.plugins.iter().any(|(_, outcome)| refused(outcome))
    }

    /// Whether something failed that may go better by itself: a compiler that was starved, a disk that hiccupped, time that ran out.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        let plugins = self.plugins.iter().filter_map(|(_, outcome)| match outcome {
            PluginOutcome::Refused { why, .. } => Some(why),
            PluginOutcome::Loaded { .. } | PluginOutcome::Unbound => None,
        });
        let bindings = self.bindings.iter().filter_map(|(_, outcome)| match outcome {
            BindingOutcome::LastGood(_, why) | BindingOutcome::NotLoaded(why) => Some(why),
            BindingOutcome::Ready(_) | BindingOutcome::RolledBack(..) => None,
        });
        self.notes.iter().chain(plugins).chain(bindings).any(|why| why.passing)
    }
}

impl Hinted {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None, passing: false }
    }

    /// It may go better by itself when it is tried again.
    pub(crate) fn passing(self) -> Self {
        Self { passing: true, ..self }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The sentence and, on a line of its own, the hint.
impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// A line or two for each note, plugin and binding.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        for (name, outcome) in &self.plugins {
            writeln!(f, "plugin {name}: {outcome}")?;
        }
        for (subject, outcome) in &self.bindings {
            writeln!(f, "enterprise {subject}: {outcome}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PluginOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded { version, digest } => write!(f, "{version} ({})", digest.short()),
            Self::Refused { stays: Some(version), why } => {
                write!(f, "{version} stays, because what lies there is refused: {why}")
            }
            Self::Refused { stays: None, why } => write!(f, "not loaded: {why}"),
            Self::Unbound => f.write_str("not loaded, because nobody is bound to it"),
        }
    }
}

impl fmt::Display for BindingOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(stamp) => write!(f, "{stamp}"),
            Self::RolledBack(stamp, from) => write!(f, "{stamp}, rolled back from {from}"),
            Self::LastGood(stamp, why) => write!(f, "{stamp} goes on, because what is written cannot run: {why}"),
            Self::NotLoaded(why) => write!(f, "held: {why}"),
        }
    }
}
