//! What is loaded and whom it binds, as one value that never changes.
//!
//! Owns the answer to "whose rules decide over this enterprise?". A reload makes a new set; an evaluation keeps the one it began
//! with. Never loads anything itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use semver::Version;
use xnovu_domain::EnterpriseId;

use crate::bindings_file::{Entry, Subject};
use crate::lock_file::Lock;
use crate::merit::Merit;
use crate::report::Hinted;
use crate::sandbox::Image;
use crate::tally::Tally;
use crate::{Binding, BindingState, Digest, FailurePolicy, Grants, Limits, Pin, Stamp, clock};

/// Everything that is loaded.
#[derive(Default, Clone)]
pub struct Set {
    pub(crate) generation: u64,
    pub(crate) bindings: BTreeMap<Subject, Arc<Bound>>,
    pub(crate) plugins: BTreeMap<String, Arc<Plugin>>,
    /// Whether `bindings.toml` was ever read.
    pub(crate) informed: bool,
    /// Components that were refused for what they are, so that they are not compiled again and again.
    pub(crate) refused: BTreeMap<Digest, Hinted>,
    /// What operators have rolled back.
    pub(crate) lock: Lock,
}

/// A plugin that is loaded.
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) image: Arc<Image>,
}

/// What one subject has.
pub(crate) struct Bound {
    pub(crate) subject: Subject,
    pub(crate) binding: Binding,
    pub(crate) running: Option<Running>,
    /// What was good before: what a failing version falls back to, and what a roll-back goes to. With limits, grants and policy of what
    /// runs: those are the operator's, not the version's.
    pub(crate) last_good: Option<Running>,
    /// What an operator rolled back from, ready for that to be undone. It never answers.
    pub(crate) undo_to: Option<Running>,
}

/// What runs for a subject.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) plugin: Arc<Plugin>,
    /// What the operator has decided; the config is the one it runs with.
    pub(crate) entry: Entry,
    stamp: Stamp,
    /// What this component has done with this config.
    pub(crate) tally: Arc<Tally>,
    /// Whether that was enough to be fallen back to.
    pub(crate) merit: Arc<Merit>,
    /// Since when it runs.
    pub(crate) since: SystemTime,
}

impl Running {
    /// Something that begins to run now.
    pub(crate) fn new(plugin: Arc<Plugin>, entry: Entry) -> Self {
        let stamp = Stamp {
            plugin: plugin.name.clone(),
            version: plugin.version.to_string(),
            digest: plugin.image.digest(),
            config_hash: entry.config.hash(),
        };
        Self { plugin, entry, stamp, tally: Arc::default(), merit: Arc::default(), since: clock::now() }
    }

    /// The same, of which it is written down that it is good.
    pub(crate) fn proved_before(self) -> Self {
        Self { merit: Arc::new(Merit::of_a_good_one()), ..self }
    }

    /// The same, going on with what it has done and earned as `known`.
    pub(crate) fn going_on_as(self, known: &Self) -> Self {
        Self { tally: known.tally.clone(), merit: known.merit.clone(), since: known.since, ..self }
    }

    /// The same component and config, under what the operator has decided in another entry.
    pub(crate) fn under(self, entry: &Entry) -> Self {
        let (plugin, config) = (self.entry.plugin, self.entry.config);
        Self { entry: Entry { plugin, config, ..entry.clone() }, ..self }
    }

    /// Which component with which config.
    pub(crate) fn pin(&self) -> Pin {
        self.stamp.pin()
    }

    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl Set {
    /// Subjects who had rules, before anybody has looked which. Each is held.
    pub(crate) fn held(subjects: impl IntoIterator<Item = Subject>) -> Self {
        let held = |subject: Subject| {
            let bound = Bound::broken(subject.clone(), String::new(), None, "its rules are not loaded yet".to_owned());
            (subject, Arc::new(bound))
        };
        Self { bindings: subjects.into_iter().map(held).collect(), ..Self::default() }
    }

    /// Number of the set: it grows whenever what is loaded, or whom it binds, changes.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Enterprises with a binding of their own.
    pub fn enterprises(&self) -> impl Iterator<Item = &EnterpriseId> {
        self.bindings.keys().filter_map(|subject| match subject {
            Subject::Enterprise(id) => Some(id),
            Subject::Rest => None,
        })
    }

    /// Whom the set binds, and to what.
    pub fn bindings(&self) -> impl Iterator<Item = (&Subject, &Binding)> {
        self.bindings.iter().map(|(subject, bound)| (subject, &bound.binding))
    }

    /// What binds an enterprise: its own binding, else that of `*`.
    #[must_use]
    pub fn binding(&self, enterprise: &EnterpriseId) -> Option<&Binding> {
        self.bound(enterprise).map(|bound| &bound.binding)
    }

    /// Every plugin that runs, ran before or is ready to.
    pub(crate) fn loaded_plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let states = self.bindings.values().flat_map(|bound| bound.states());
        states.map(|running| &running.plugin).chain(self.plugins.values())
    }

    pub(crate) fn bound(&self, enterprise: &EnterpriseId) -> Option<&Arc<Bound>> {
        let own = self.bindings.get(&Subject::Enterprise(enterprise.clone()));
        own.or_else(|| self.bindings.get(&Subject::Rest))
    }
}

impl Bound {
    /// A subject whose plugin runs.
    pub(crate) fn running(subject: Subject, running: Running, state: BindingState) -> Self {
        let entry = &running.entry;
        let binding = Binding {
            plugin: running.plugin.name.clone(),
            state,
            stamp: Some(running.stamp().clone()),
            policy: entry.on_error,
            grants: entry.grants.clone(),
            limits: entry.limits,
        };
        Self { subject, binding, running: Some(running), last_good: None, undo_to: None }
    }

    /// With what it falls back to, under the entry in force.
    pub(crate) fn with_last_good(self, last_good: Option<Running>) -> Self {
        let last_good = match &self.running {
            Some(running) => last_good.map(|last_good| last_good.under(&running.entry)),
            None => last_good,
        };
        Self { last_good, ..self }
    }

    /// With what it was rolled back from.
    pub(crate) fn with_undo_to(self, undo_to: Option<Running>) -> Self {
        Self { undo_to, ..self }
    }

    /// Everything that is ready to run.
    pub(crate) fn states(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().chain(&self.last_good).chain(&self.undo_to)
    }

    /// A subject for whom nothing runs.
    pub(crate) fn broken(subject: Subject, plugin: String, entry: Option<&Entry>, reason: String) -> Self {
        let binding = Binding {
            plugin,
            state: BindingState::NotLoaded { reason },
            stamp: None,
            policy: entry.map_or(FailurePolicy::Hold, |entry| entry.on_error),
            grants: entry.map_or_else(Grants::default, |entry| entry.grants.clone()),
            limits: entry.map_or_else(Limits::default, |entry| entry.limits),
        };
        Self { subject, binding, running: None, last_good: None, undo_to: None }
    }

    /// Whether it binds one enterprise, and not everybody else.
    pub(crate) fn is_of_one_enterprise(&self) -> bool {
        matches!(self.subject, Subject::Enterprise(_))
    }

    /// Whether what runs is what a pin asks for.
    pub(crate) fn is(&self, pin: &Pin) -> bool {
        self.binding.stamp.as_ref().is_some_and(|stamp| stamp.pin() == *pin)
    }
}
