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
    /// What ran before and was good: what a failing version falls back to, and what a roll-back goes to.
    pub(crate) previous: Option<Running>,
}

/// What runs for a subject.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) plugin: Arc<Plugin>,
    /// What the operator had decided when it was bound.
    pub(crate) entry: Entry,
    /// What this component has done with this config.
    pub(crate) tally: Arc<Tally>,
    /// Since when it runs.
    pub(crate) since: SystemTime,
}

impl Running {
    /// Something that begins to run now.
    pub(crate) fn new(plugin: Arc<Plugin>, entry: Entry) -> Self {
        Self { plugin, entry, tally: Arc::default(), since: clock::now() }
    }

    /// Which component with which config.
    pub(crate) fn pin(&self) -> Pin {
        Pin { digest: self.plugin.image.digest(), config_hash: self.entry.config.hash() }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            plugin: self.plugin.name.clone(),
            version: self.plugin.version.to_string(),
            digest: self.plugin.image.digest(),
            config_hash: self.entry.config.hash(),
        }
    }
}

impl Set {
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

    /// Whether the set runs a component, or has it ready to.
    pub(crate) fn holds(&self, digest: Digest) -> bool {
        self.loaded_plugins().any(|plugin| plugin.image.digest() == digest)
    }

    /// Every plugin that runs, ran before or is ready to.
    pub(crate) fn loaded_plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let states = self.bindings.values().flat_map(|bound| bound.running.iter().chain(&bound.previous));
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
            stamp: Some(running.stamp()),
            policy: entry.on_error,
            grants: entry.grants.clone(),
            limits: entry.limits,
        };
        Self { subject, binding, running: Some(running), previous: None }
    }

    pub(crate) fn with_previous(self, previous: Option<Running>) -> Self {
        Self { previous, ..self }
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
        Self { subject, binding, running: None, previous: None }
    }

    /// Whether what runs is what a pin asks for.
    pub(crate) fn is(&self, pin: &Pin) -> bool {
        self.binding.stamp.as_ref().is_some_and(|stamp| stamp.pin() == *pin)
    }
}
