//! States of rules that are no longer in force, for retries of what was begun under them.
//!
//! Owns the way from a [`Pin`] to something that runs: what is still loaded, else what the archive kept. What was found is
//! remembered, because retries come in groups. Never changes what is in force.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use semver::Version;
use xnovu_domain::EnterpriseId;

use crate::archive::Archive;
use crate::bindings_file::{Config, Entry, Subject};
use crate::history::History;
use crate::sandbox::Sandbox;
use crate::set::{Bound, Plugin, Running, Set};
use crate::{BindingState, Digest, Pin, Stamp};

/// States remembered.
const REMEMBERED_MAX: usize = 16;

/// The states found last, the latest in front.
#[derive(Default)]
pub(crate) struct Pinned {
    found: Mutex<VecDeque<(Wanted, Arc<Bound>)>>,
}

/// A state that is asked for. With the generation of the set, because limits and grants are those in force.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) enterprise: EnterpriseId,
    pub(crate) pin: Pin,
    pub(crate) generation: u64,
}

impl Pinned {
    /// A state that was found before.
    pub(crate) fn recall(&self, wanted: &Wanted) -> Option<Arc<Bound>> {
        self.lock().iter().find(|(found, _)| found == wanted).map(|(_, bound)| bound.clone())
    }

    /// Finds a state, with the limits and grants in force now. Reads files and may compile.
    pub(crate) fn find(
        &self,
        sandbox: &Sandbox,
        archive: &Archive,
        set: &Set,
        current: &Bound,
        wanted: Wanted,
    ) -> Option<Arc<Bound>> {
        let config = config(archive, current, &wanted.enterprise, wanted.pin.config_hash)?;
        let plugin = plugin(sandbox, archive, set, wanted.pin.digest)?;
        let running = Running::new(plugin, Entry { config, ..entry(current) });
        let bound = Arc::new(Bound::running(current.subject.clone(), running, BindingState::Ready));
        let mut found = self.lock();
        found.push_front((wanted, bound.clone()));
        found.truncate(REMEMBERED_MAX);
        Some(bound)
    }

    /// What is remembered is complete at every moment, whatever panicked.
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Wanted, Arc<Bound>)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn config(archive: &Archive, current: &Bound, enterprise: &EnterpriseId, hash: Digest) -> Option<Config> {
    let in_force = current.running.as_ref().map(|running| running.entry.config.clone()).filter(|it| it.hash() == hash);
    // The enterprise may have had a binding of its own where it now falls under `*`, or the other way round.
    in_force
        .or_else(|| archive.config(&Subject::Enterprise(enterprise.clone()), hash))
        .or_else(|| archive.config(&Subject::Rest, hash))
}

/// The plugin with that component: one that is loaded, else one that was kept.
pub(crate) fn plugin(sandbox: &Sandbox, archive: &Archive, set: &Set, digest: Digest) -> Option<Arc<Plugin>> {
    if let Some(plugin) = set.loaded_plugins().find(|plugin| plugin.image.digest() == digest) {
        return Some(plugin.clone());
    }
    let kept = archive.component(digest)?;
    let version = Version::parse(&kept.version).ok()?;
    let image = sandbox.known(digest).unwrap_or_else(|| sandbox.load_new(digest, &kept.wasm)).ok()?;
    image.read_schema(&kept.wasm);
    Some(Arc::new(Plugin { name: kept.plugin, version, image }))
}

/// A state that ran before, under an entry: loaded already, or of what was kept. What has proved good has done so still.
pub(crate) fn running(
    sandbox: &Sandbox,
    archive: &Archive,
    subject: &Subject,
    history: &History,
    stamp: &Stamp,
    entry: &Entry,
) -> Option<Running> {
    let config = archive.config(subject, stamp.config_hash)?;
    let compiled = sandbox.known(stamp.digest).and_then(Result::ok);
    let image = compiled.or_else(|| sandbox.load(&archive.component_of(stamp)?).ok())?;
    let plugin = Plugin { name: stamp.plugin.clone(), version: Version::parse(&stamp.version).ok()?, image };
    let entry = Entry { plugin: stamp.plugin.clone(), config, ..entry.clone() };
    let running = Running::new(Arc::new(plugin), entry);
    Some(if history.is_good(stamp.pin()) { running.proved_before() } else { running })
}

fn entry(current: &Bound) -> Entry {
    let binding = &current.binding;
    current.running.as_ref().map_or_else(
        || Entry {
            plugin: binding.plugin.clone(),
            on_error: binding.policy,
            log_guest: false,
            config: Config::from_text("{}"),
            limits: binding.limits,
            grants: binding.grants.clone(),
        },
        |running| running.entry.clone(),
    )
}
