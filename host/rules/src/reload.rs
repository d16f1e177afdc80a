//! Carries out a plan: compiles, checks configs, and puts together the next set.
//!
//! Owns the steps between what was found on disk and what decides from then on. Promises that the set it returns is complete: for
//! every subject that is bound, either something runs, or the reason why not stands there. Takes as long as compiling takes, so it
//! never runs on a thread that others need.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::archive::Archive;
use crate::bindings_file::{Entry, Subject};
use crate::plan::{BindingStep, Loaded, Plan, PluginStep, plan};
use crate::report::{BindingOutcome, Hinted, PluginOutcome, Report};
use crate::ruling::guest_words;
use crate::sandbox::{LoadError, Sandbox};
use crate::scan::{Found, FoundPlugin, build_hint};
use crate::set::{Bound, Plugin, Running, Set};

/// Makes the next set.
pub(crate) fn reload(sandbox: &Sandbox, archive: &Archive, before: &Set, found: &Found) -> (Set, Report) {
    let Plan { plugins, bindings, notes } = plan(&before.loaded(), found);
    let mut reload = Reload { sandbox, archive, before, found, usable: BTreeMap::new(), after: Set::default() };
    reload.after.refused = before.refused.clone();
    let mut report = Report { notes, ..Report::default() };
    for (name, step) in plugins {
        let outcome = reload.plugin(&name, step);
        report.plugins.push((name, outcome));
    }
    for (subject, step) in bindings {
        let outcome = reload.binding(&subject, step);
        report.bindings.push((subject, outcome));
    }
    let Reload { mut after, .. } = reload;
    after.refused.retain(|digest, _| found.plugins.values().flatten().any(|plugin| plugin.component.digest == *digest));
    report.changed = !after.same_as(before);
    after.generation = before.generation + u64::from(report.changed);
    report.generation = after.generation;
    (after, report)
}

struct Reload<'a> {
    sandbox: &'a Sandbox,
    archive: &'a Archive,
    before: &'a Set,
    found: &'a Found,
    /// What lies on disk, loaded, or why it is not.
    usable: BTreeMap<String, Result<Arc<Plugin>, Hinted>>,
    after: Set,
}

impl Reload<'_> {
    fn plugin(&mut self, name: &str, step: PluginStep) -> PluginOutcome {
        let last = self.before.plugins.get(name);
        let usable = match (step, last) {
            (PluginStep::Leave, _) => return PluginOutcome::Unbound,
            (PluginStep::Keep, Some(plugin)) => Ok(plugin.clone()),
            (PluginStep::Keep | PluginStep::Load, _) => self.load(name),
            (PluginStep::Refuse(why), _) => Err(why),
        };
        if let Some(plugin) = usable.as_ref().ok().or(last) {
            self.after.plugins.insert(name.to_owned(), plugin.clone());
        }
        let outcome = match &usable {
            Ok(plugin) => PluginOutcome::Loaded { version: plugin.version.to_string(), digest: plugin.image.digest() },
            Err(why) => {
                PluginOutcome::Refused { stays: last.map(|plugin| plugin.version.to_string()), why: why.clone() }
            }
        };
        self.usable.insert(name.to_owned(), usable);
        outcome
    }

    fn load(&mut self, name: &str) -> Result<Arc<Plugin>, Hinted> {
        let found = match self.found.plugins.get(name) {
            Some(found) => found.as_ref().map_err(Clone::clone)?,
            None => return Err(Hinted::new("it is not there")),
        };
        let wasm = found.component.read()?;
        let image = self.sandbox.load(&wasm).map_err(|error| self.refuse(name, found, &error))?;
        let version = found.manifest.version.clone();
        if let Err(error) = self.archive.keep_component(name, &version.to_string(), found.component.digest, &wasm) {
            tracing::warn!(plugin = name, %error, "a component could not be kept for retries after the next reload");
        }
        Ok(Arc::new(Plugin { name: name.to_owned(), version, image }))
    }

    fn refuse(&mut self, name: &str, found: &FoundPlugin, error: &LoadError) -> Hinted {
        let hint = error.hint().map_or_else(|| build_hint(&self.found.dir, name), str::to_owned);
        let why = Hinted::new(error.to_string()).hint(hint);
        if error.is_lasting() {
            self.after.refused.insert(found.component.digest, why.clone());
        }
        why
    }

    fn binding(&mut self, subject: &Subject, step: BindingStep) -> BindingOutcome {
        let before = self.before.bindings.get(subject);
        let bound = match (step, before.and_then(|bound| bound.running.clone())) {
            (BindingStep::Keep, Some(running)) => Ok(Bound::running(subject.clone(), running, None)),
            // A plan keeps only what runs.
            (BindingStep::Keep, None) => Err((String::new(), None, Hinted::new("it does not run"))),
            (BindingStep::Bind(entry), _) => {
                self.bind(subject, &entry).map_err(|why| (entry.plugin.clone(), Some(entry), why))
            }
            (BindingStep::Fall { plugin, entry, why }, _) => Err((plugin, entry, why)),
        };
        let (bound, why) = match bound {
            Ok(bound) => (bound, None),
            Err((plugin, entry, why)) => (self.fall(subject, plugin, entry.as_ref(), &why), Some(why)),
        };
        let outcome = match (bound.binding.stamp.clone(), why) {
            (Some(stamp), None) => BindingOutcome::Ready(stamp),
            (Some(stamp), Some(why)) => BindingOutcome::LastGood(stamp, why),
            (None, why) => BindingOutcome::NotLoaded(why.unwrap_or_else(|| Hinted::new("it does not run"))),
        };
        self.after.bindings.insert(subject.clone(), Arc::new(bound));
        outcome
    }

    fn bind(&self, subject: &Subject, entry: &Entry) -> Result<Bound, Hinted> {
        let usable = self.usable.get(&entry.plugin).cloned();
        let plugin = usable.unwrap_or_else(|| Err(Hinted::new(format!("there is no plugin {}", entry.plugin))))?;
        let conditions = self.sandbox.conditions(&plugin.image, entry.config.json(), &entry.limits, entry.log_guest);
        match conditions.validate_config().result {
            Ok(Ok(())) => {}
            Ok(Err(words)) => {
                let why = Hinted::new(format!("{} refuses its config: {}", plugin.name, guest_words(&words)));
                return Err(why.hint(format!("mend enterprises.\"{subject}\".config in bindings.toml")));
            }
            Err(fault) => {
                return Err(Hinted::new(format!("{} cannot check its config: {}", plugin.name, fault.reason)));
            }
        }
        if let Err(error) = self.archive.keep_config(subject, &entry.config) {
            tracing::warn!(enterprise.id = %subject, %error, "a config could not be kept for retries after the next reload");
        }
        Ok(Bound::running(subject.clone(), Running { plugin, entry: entry.clone() }, None))
    }

    /// The last good state of a subject, or none.
    fn fall(&self, subject: &Subject, plugin: String, entry: Option<&Entry>, why: &Hinted) -> Bound {
        match self.before.bindings.get(subject).and_then(|bound| bound.running.clone()) {
            Some(running) => Bound::running(subject.clone(), running, Some(why.reason.clone())),
            None => Bound::broken(subject.clone(), plugin, entry, why.reason.clone()),
        }
    }
}

impl Set {
    /// What a plan needs to know of this set.
    fn loaded(&self) -> Loaded {
        let identity = |plugin: &Plugin| (plugin.version.clone(), plugin.image.digest());
        let bindings = self.bindings.iter().map(|(subject, bound)| {
            let running = bound.running.as_ref().map(|Running { plugin, entry }| {
                let (version, digest) = identity(plugin);
                (entry.clone(), version, digest)
            });
            (subject.clone(), running)
        });
        Loaded {
            plugins: self.plugins.iter().map(|(name, plugin)| (name.clone(), identity(plugin))).collect(),
            bindings: bindings.collect(),
            refused: self.refused.clone(),
        }
    }

    fn same_as(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.loaded(), other.loaded());
        let states = self.bindings.values().map(|it| &it.binding).eq(other.bindings.values().map(|it| &it.binding));
        states && ours.plugins == theirs.plugins && ours.bindings == theirs.bindings
    }
}
