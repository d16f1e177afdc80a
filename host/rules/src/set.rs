//! What is loaded and whom it binds, as one value that never changes.
//!
//! Owns the answer to "whose rules decide over this enterprise?". A reload makes a new set; an evaluation keeps the one it began
//! with. Never loads anything itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use semver::Version;
use xnovu_domain::EnterpriseId;

use crate::bindings_file::{Entry, Subject};
use crate::report::Hinted;
use crate::sandbox::Image;
use crate::{Binding, BindingState, Digest, FailurePolicy, Grants, Limits, Pin, Stamp};

/// Everything that is loaded.
#[derive(Default)]
pub struct Set {
    pub(crate) generation: u64,
    pub(crate) bindings: BTreeMap<Subject, Arc<Bound>>,
    pub(crate) plugins: BTreeMap<String, Arc<Plugin>>,
    /// Components that were refused for what they are, so that they are not compiled again and again.
    pub(crate) refused: BTreeMap<Digest, Hinted>,
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
}

/// What runs for a subject.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) plugin: Arc<Plugin>,
    /// What the operator had decided when it was bound.
    pub(crate) entry: Entry,
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
        let running = self.bindings.values().filter_map(|bound| bound.running.as_ref()).map(|running| &running.plugin);
        running.chain(self.plugins.values()).any(|plugin| plugin.image.digest() == digest)
    }

    pub(crate) fn bound(&self, enterprise: &EnterpriseId) -> Option<&Arc<Bound>> {
        let own = self.bindings.get(&Subject::Enterprise(enterprise.clone()));
        own.or_else(|| self.bindings.get(&Subject::Rest))
    }
}

impl Bound {
    /// A subject whose plugin runs. `stale`: why what lies on disk does not.
    pub(crate) fn running(subject: Subject, running: Running, stale: Option<String>) -> Self {
        let Running { plugin, entry } = &running;
        let stamp = Stamp {
            plugin: plugin.name.clone(),
            version: plugin.version.to_string(),
            digest: plugin.image.digest(),
            config_hash: entry.config.hash(),
        };
        let binding = Binding {
            plugin: plugin.name.clone(),
            state: stale.map_or(BindingState::Ready, |reason| BindingState::LastGood { reason }),
            stamp: Some(stamp),
            policy: entry.on_error,
            grants: entry.grants.clone(),
            limits: entry.limits,
        };
        Self { subject, binding, running: Some(running) }
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
        Self { subject, binding, running: None }
    }

    /// Whether what runs is what a pin asks for.
    pub(crate) fn is(&self, pin: &Pin) -> bool {
        self.binding.stamp.as_ref().is_some_and(|stamp| stamp.pin() == *pin)
    }
}
