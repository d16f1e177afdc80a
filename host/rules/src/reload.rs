//! Carries out a plan: compiles, checks configs, and puts together the next set.
//!
//! Owns the steps between what was found on disk and what decides from then on. Promises that the set it returns is complete: for
//! every subject that is bound, either something runs, or the reason why not stands there. Takes as long as compiling takes, so it
//! never runs on a thread that others need.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use semver::Version;

use crate::archive::Archive;
use crate::bindings_file::{Entry, Subject};
use crate::lock_file::{self, Rolled};
use crate::plan::{BindingStep, Loaded, Plan, PluginStep, plan};
use crate::report::{BindingOutcome, Hinted, PluginOutcome, Report};
use crate::ruling::guest_words;
use crate::sandbox::{Image, LoadError, Sandbox};
use crate::scan::{Found, FoundBindings, FoundPlugin, build_hint};
use crate::set::{Bound, Plugin, Running, Set};
use crate::{BindingState, Digest, Pin, Stamp, pinned, rehearsal, threads};

/// What a reload works with.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) archive: &'a Archive,
    /// Whether what ran for a subject failed too often to be gone back to.
    pub(crate) failing: &'a (dyn Fn(&Subject, &Pin) -> bool + Sync),
}

/// Makes the next set.
pub(crate) fn reload(means: Means<'_>, before: &Set, found: &Found) -> (Set, Report) {
    let Plan { plugins, bindings, lock, notes, again } = plan(&before.loaded(), found);
    let (usable, after) = (BTreeMap::new(), Set::default());
    let mut reload = Reload { means, before, found, compiled: HashMap::new(), usable, after };
    reload.after.refused = before.refused.clone();
    reload.after.lock = lock;
    reload.after.informed = before.informed || matches!(found.bindings, FoundBindings::Read(_));
    let mut report = Report { notes, again, ..Report::default() };
    reload.find_compiled(&plugins);
    for (name, step) in plugins {
        let outcome = reload.plugin(&name, step);
        report.plugins.push((name, outcome));
    }
    let bindings: Vec<_> = bindings.into_iter().collect();
    let bound = threads::each("rules-bind", &bindings, |(subject, step)| reload.bound(subject, step));
    for ((subject, step), bound) in bindings.into_iter().zip(bound) {
        let outcome = reload.binding(&subject, step, bound);
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
    means: Means<'a>,
    before: &'a Set,
    found: &'a Found,
    /// What was compiled before, of what is to be loaded.
    compiled: HashMap<Digest, Result<Arc<Image>, LoadError>>,
    /// What lies on disk, loaded, or why it is not.
    usable: BTreeMap<String, Result<Arc<Plugin>, Hinted>>,
    after: Set,
}

impl Reload<'_> {
    /// Finds what is to be loaded and was compiled before. It is read by several threads at once, so that a start with a thousand plugins
    /// takes no longer than it must.
    fn find_compiled(&mut self, plugins: &BTreeMap<String, PluginStep>) {
        let load = plugins.iter().filter(|(_, step)| **step == PluginStep::Load);
        let found = load.filter_map(|(name, _)| self.found.plugins.get(name)?.as_ref().ok());
        let digests: BTreeSet<_> = found.map(|plugin| plugin.component.digest).collect();
        let digests: Vec<_> = digests.into_iter().collect();
        let images = threads::each("rules-load", &digests, |digest| self.means.sandbox.known(*digest));
        self.compiled = digests.into_iter().zip(images).filter_map(|(digest, image)| Some((digest, image?))).collect();
    }

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
        let component = &found.component;
        let sandbox = self.means.sandbox;
        let image = match self.compiled.get(&component.digest).cloned() {
            Some(image) => image,
            // Another plugin with the same component may have been compiled a moment ago.
            None => match sandbox.in_use(component.digest) {
                Some(image) => Ok(image),
                None => sandbox.load_new(component.digest, &component.read()?),
            },
        };
        let image = image.map_err(|error| self.refuse(name, found, &error))?;
        let version = found.manifest.version.clone();
        let wasm = || component.read().map_err(|why| io::Error::other(why.reason));
        if let Err(error) = self.means.archive.keep_component(name, &version.to_string(), component.digest, wasm) {
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

    /// What is to be bound, bound; None for every other step.
    fn bound(&self, subject: &Subject, step: &BindingStep) -> Option<Result<Bound, Hinted>> {
        match step {
            BindingStep::Bind(entry) => Some(self.bind(subject, entry)),
            BindingStep::Keep | BindingStep::Roll(_) | BindingStep::Fall { .. } => None,
        }
    }

    fn binding(
        &mut self,
        subject: &Subject,
        step: BindingStep,
        bound: Option<Result<Bound, Hinted>>,
    ) -> BindingOutcome {
        let before = self.before.bindings.get(subject);
        let bound = match (step, before.and_then(|bound| bound.running.clone())) {
            (BindingStep::Keep, Some(running)) => {
                let (running, last_good) = self.succeed(subject, running);
                Ok(Bound::running(subject.clone(), running, BindingState::Ready).with_last_good(last_good))
            }
            // A plan keeps only what runs.
            (BindingStep::Keep, None) => Err((String::new(), None, Hinted::new("it does not run"))),
            (BindingStep::Bind(entry), _) => {
                let bound = bound.unwrap_or_else(|| self.bind(subject, &entry));
                bound.map_err(|why| (entry.plugin.clone(), Some(entry), why))
            }
            (BindingStep::Roll(rolled), _) => return self.roll(subject, &rolled),
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
        let running = Running::new(plugin, entry.clone());
        self.check(subject, &running)?;
        if let Err(error) = self.keep(subject, &running) {
            tracing::warn!(enterprise.id = %subject, %error, "a state could not be kept for retries after the next reload");
        }
        let (running, last_good) = self.succeed(subject, running);
        Ok(Bound::running(subject.clone(), running, BindingState::Ready).with_last_good(last_good))
    }

    /// Asks a component about its config and, where something better runs, tries it.
    fn check(&self, subject: &Subject, running: &Running) -> Result<(), Hinted> {
        let Running { plugin, entry, .. } = running;
        let (sandbox, config) = (self.means.sandbox, entry.config.json());
        let limits = rehearsal::unhurried(&entry.limits);
        match sandbox.conditions(&plugin.image, config, &limits, entry.log_guest).validate_config().result {
            Ok(Ok(())) => {}
            Ok(Err(words)) => {
                let why = Hinted::new(format!("{} refuses its config: {}", plugin.name, guest_words(&words)));
                return Err(why.hint(format!("mend enterprises.\"{subject}\".config in bindings.toml")));
            }
            Err(fault) => {
                return Err(Hinted::new(format!("{} cannot check its config: {}", plugin.name, fault.reason)));
            }
        }
        if self.before.bindings.get(subject).is_none_or(|bound| bound.running.is_none()) {
            return Ok(());
        }
        rehearsal::try_out(sandbox, subject, running).map_err(|fault| {
            let why = format!("{} fails on a plain notification: {}", plugin.name, fault.reason);
            Hinted::new(why).hint(format!("xnovu plugin test {}", self.found.dir.join(&plugin.name).display()))
        })
    }

    fn keep(&self, subject: &Subject, running: &Running) -> io::Result<()> {
        self.means.archive.keep_config(subject, &running.entry.config)?;
        self.means.archive.keep_state(subject, running.stamp())
    }

    /// What runs from now on, going on with what it has done if it is known, and what it falls back to.
    ///
    /// That is what ran before if it has proved good, else what that would have fallen back to: a version that has answered little or
    /// nothing does not take the place of one that has. Only where there is none it is better than nothing, if it does not fail.
    fn succeed(&self, subject: &Subject, running: Running) -> (Running, Option<Running>) {
        let Some(before) = self.before.bindings.get(subject) else { return (running, None) };
        let running = match before.states().find(|state| state.pin() == running.pin()) {
            Some(known) => running.going_on_as(known),
            None => running,
        };
        let others = |state: &&Running| state.pin() != running.pin();
        let ran = before.running.as_ref().filter(others);
        let last_good = ran
            .filter(|ran| ran.merit.is_good())
            .or_else(|| before.last_good.as_ref().filter(others))
            .or_else(|| ran.filter(|ran| !(self.means.failing)(subject, &ran.pin())))
            .cloned();
        (running, last_good)
    }

    /// What an operator rolled back to. Where that cannot be had the subject is held: what it was rolled back from must not decide.
    fn roll(&mut self, subject: &Subject, rolled: &Rolled) -> BindingOutcome {
        let bound = match self.rolled(subject, rolled) {
            Ok((running, undo_to)) => {
                let state = BindingState::RolledBack { from: rolled.from.to_string() };
                Bound::running(subject.clone(), running, state).with_undo_to(undo_to)
            }
            Err(why) => Bound::broken(subject.clone(), rolled.to.plugin.clone(), Some(&rolled.entry), why.reason),
        };
        let outcome = match (&bound.binding.stamp, &bound.binding.state) {
            (Some(stamp), _) => BindingOutcome::RolledBack(stamp.clone(), rolled.from.clone()),
            (None, BindingState::NotLoaded { reason }) => BindingOutcome::NotLoaded(
                Hinted::new(reason.clone()).hint(format!("xnovu plugin rollback {subject} --undo")),
            ),
            (None, _) => BindingOutcome::NotLoaded(Hinted::new("it does not run")),
        };
        self.after.bindings.insert(subject.clone(), Arc::new(bound));
        outcome
    }

    /// What is to run, and what it was rolled back from if that is still there. Nothing is fallen back to: what ran last is what must not
    /// decide.
    fn rolled(&self, subject: &Subject, rolled: &Rolled) -> Result<(Running, Option<Running>), Hinted> {
        let lost = |what: &str| Hinted::new(format!("it was rolled back to {}, whose {what} is lost", rolled.to));
        let before = self.before.bindings.get(subject);
        let states: Vec<&Running> = before.iter().flat_map(|bound| bound.states()).collect();
        let plugin = states
            .iter()
            .map(|state| &state.plugin)
            .find(|plugin| plugin.image.digest() == rolled.to.digest)
            .cloned()
            .or_else(|| pinned::plugin(self.means.sandbox, self.means.archive, self.before, rolled.to.digest))
            .or_else(|| self.locked_plugin(&rolled.to))
            .ok_or_else(|| lost("component"))?;
        let config = match rolled.config {
            None => rolled.entry.config.clone(),
            Some(hash) => states
                .iter()
                .map(|state| &state.entry.config)
                .chain([&rolled.entry.config])
                .find(|config| config.hash() == hash)
                .cloned()
                .or_else(|| self.means.archive.config(subject, hash))
                .ok_or_else(|| lost("config"))?,
        };
        let running = Running::new(plugin, Entry { config, ..rolled.entry.clone() });
        let known = states.iter().find(|state| state.pin() == running.pin());
        let running = match known {
            Some(state) => running.going_on_as(state),
            None => {
                self.check(subject, &running)?;
                running
            }
        };
        let undo_to = states.into_iter().find(|state| state.pin() == rolled.from.pin()).cloned();
        Ok((running, undo_to))
    }

    /// The component that was put beside the lock.
    fn locked_plugin(&self, to: &Stamp) -> Option<Arc<Plugin>> {
        let wasm = lock_file::component(&self.found.dir, to.digest)?;
        let image = self.means.sandbox.load(&wasm).ok()?;
        Some(Arc::new(Plugin { name: to.plugin.clone(), version: to.version.parse().ok()?, image }))
    }

    /// The last good state of a subject, or none.
    fn fall(&self, subject: &Subject, plugin: String, entry: Option<&Entry>, why: &Hinted) -> Bound {
        let before = self.before.bindings.get(subject);
        let state = BindingState::LastGood { reason: why.reason.clone() };
        match before.and_then(|bound| bound.running.clone()).or_else(|| self.before_the_start(subject, entry?)) {
            Some(running) => {
                let (last_good, undo_to) = before.map_or((None, None), |it| (it.last_good.clone(), it.undo_to.clone()));
                Bound::running(subject.clone(), running, state).with_last_good(last_good).with_undo_to(undo_to)
            }
            None => Bound::broken(subject.clone(), plugin, entry, why.reason.clone()),
        }
    }

    /// What ran for a subject before this process started, if it was of the plugin that is written now.
    fn before_the_start(&self, subject: &Subject, entry: &Entry) -> Option<Running> {
        let state = self.means.archive.states(subject).into_iter().next()?;
        let plugin = pinned::plugin(self.means.sandbox, self.means.archive, self.before, state.digest)?;
        let config = self.means.archive.config(subject, state.config_hash)?;
        (state.plugin == entry.plugin).then(|| Running::new(plugin, Entry { config, ..entry.clone() }))
    }
}

impl Set {
    /// What a plan needs to know of this set.
    pub(crate) fn loaded(&self) -> Loaded {
        let owned = |(version, digest): (&Version, Digest)| (version.clone(), digest);
        let bindings = self.bindings.iter().map(|(subject, bound)| {
            let running = bound.loaded().map(|(entry, (version, digest))| (entry.clone(), version.clone(), digest));
            (subject.clone(), running)
        });
        Loaded {
            plugins: self.plugins.iter().map(|(name, plugin)| (name.clone(), owned(identity(plugin)))).collect(),
            bindings: bindings.collect(),
            refused: self.refused.clone(),
            lock: self.lock.clone(),
        }
    }

    fn same_as(&self, other: &Self) -> bool {
        let plugins = self.plugins.iter().map(|(name, plugin)| (name, identity(plugin)));
        let bindings = self.bindings.iter().map(|(subject, bound)| (subject, &bound.binding, bound.loaded()));
        plugins.eq(other.plugins.iter().map(|(name, plugin)| (name, identity(plugin))))
            && bindings.eq(other.bindings.iter().map(|(subject, bound)| (subject, &bound.binding, bound.loaded())))
            && self.lock == other.lock
    }
}

impl Bound {
    /// What a plan needs to know of what runs for it.
    fn loaded(&self) -> Option<(&Entry, (&Version, Digest))> {
        self.running.as_ref().map(|Running { plugin, entry, .. }| (entry, identity(plugin)))
    }
}

fn identity(plugin: &Plugin) -> (&Version, Digest) {
    (&plugin.version, plugin.image.digest())
}
