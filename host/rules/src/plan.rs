//! What a reload is to do, decided from what is loaded and what was found, and from nothing else.
//!
//! Owns the rule that what runs is only ever replaced by something better: whatever is missing or wrong leaves the last good state
//! alone. Pure, so that each case is a line of a table.

use std::collections::BTreeMap;
use std::time::Duration;

use semver::Version;

use crate::Digest;
use crate::bindings_file::{BINDINGS_FILE, BindingsFile, Entry, Subject};
use crate::lock_file::{Lock, Rolled};
use crate::report::Hinted;
use crate::scan::{Found, FoundBindings, FoundPlugin, build_hint};

/// What is loaded, as far as a plan needs to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded {
    pub(crate) plugins: BTreeMap<String, (Version, Digest)>,
    pub(crate) bindings: BTreeMap<Subject, LoadedBinding>,
    pub(crate) refused: BTreeMap<Digest, Hinted>,
    pub(crate) lock: Lock,
}

/// What runs for a subject; None where nothing does.
pub(crate) type LoadedBinding = Option<(Entry, Version, Digest)>;

/// What a reload is to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    pub(crate) plugins: BTreeMap<String, PluginStep>,
    pub(crate) bindings: BTreeMap<Subject, BindingStep>,
    /// What operators have rolled back.
    pub(crate) lock: Lock,
    pub(crate) notes: Vec<Hinted>,
    /// When to look again, though nothing may have changed by then.
    pub(crate) again: Option<Duration>,
}

/// What is to become of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PluginStep {
    /// What is loaded is what was found.
    Keep,
    /// Something else was found.
    Load,
    /// Nothing that could be loaded was found. What is loaded stays for whoever runs it.
    Refuse(Hinted),
    /// Nobody is bound to it.
    Leave,
}

/// What is to become of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BindingStep {
    /// It runs what is written already.
    Keep,
    /// Bind it as it is written.
    Bind(Entry),
    /// An operator has rolled it back.
    Roll(Box<Rolled>),
    /// What is written cannot run: the last good state goes on, if there is one.
    Fall {
        /// Name of the plugin, where it is known.
        plugin: String,
        /// What is written, where it can be read.
        entry: Option<Entry>,
        /// Why.
        why: Hinted,
    },
}

/// Decides what a reload is to do.
pub(crate) fn plan(loaded: &Loaded, found: &Found) -> Plan {
    let mut plan = Plan { lock: lock(loaded, found), ..Plan::default() };
    plan.notes.extend(found.lock.as_ref().err().cloned());
    let entries = entries(loaded, found, &mut plan);
    let allowed = bytes_allowed(&entries);
    let missing = allowed.keys().filter(|name| !found.plugins.contains_key(**name));
    let names = found.plugins.keys().map(String::as_str).chain(missing.copied());
    plan.plugins =
        names.map(|name| (name.to_owned(), plugin_step(loaded, found, name, allowed.get(name).copied()))).collect();
    for (subject, entry) in entries {
        let step = match entry {
            Ok(entry) => rolled(found, &plan.lock, &subject, &entry).map_or_else(
                || binding_step(loaded, found, &plan.plugins, &subject, entry),
                |rolled| BindingStep::Roll(Box::new(rolled)),
            ),
            Err(why) => BindingStep::Fall { plugin: String::new(), entry: None, why },
        };
        plan.bindings.insert(subject, step);
    }
    plan
}

/// What was rolled back; as it was last where the file cannot be read.
fn lock(loaded: &Loaded, found: &Found) -> Lock {
    match &found.lock {
        Ok(lock) => lock.clone().unwrap_or_default(),
        Err(_) => loaded.lock.clone(),
    }
}

/// What is to run for a subject by an operator's choice, while that holds.
fn rolled(found: &Found, lock: &Lock, subject: &Subject, entry: &Entry) -> Option<Rolled> {
    let there = found.plugins.get(&entry.plugin)?.as_ref().ok()?;
    lock.enterprises.get(subject)?.holds(entry, there.component.digest)
}

type Entries = BTreeMap<Subject, Result<Entry, Hinted>>;

/// What is written, or what ran last where nothing that could be read is.
fn entries(loaded: &Loaded, found: &Found, plan: &mut Plan) -> Entries {
    let path = found.dir.join(BINDINGS_FILE);
    match &found.bindings {
        FoundBindings::Read(file) => {
            let read = read_entries(file, &mut plan.notes);
            let gone = loaded.bindings.keys().filter(|subject| !read.contains_key(subject));
            let gone: Vec<_> = gone.map(ToString::to_string).collect();
            if gone.is_empty() || found.unbinds_in.is_zero() {
                return read;
            }
            plan.again = Some(found.unbinds_in);
            let note = format!(
                "{} names {} no more and may not be whole; what it said last goes on",
                path.display(),
                gone.join(", ")
            );
            plan.notes.push(
                Hinted::new(note).hint(format!(
                    "it counts when it has not changed for another {} s",
                    found.unbinds_in.as_secs() + 1
                )),
            );
            let mut entries = last(loaded, "it may be bound no more");
            entries
                .extend(read.into_iter().filter(|(subject, _)| !matches!(loaded.bindings.get(subject), Some(Some(_)))));
            return entries;
        }
        FoundBindings::Unreadable(why) => plan.notes.extend(why.iter().cloned()),
        FoundBindings::Missing if loaded.bindings.is_empty() => {
            let note =
                format!("{} is not there: no enterprise has rules, every notification passes as it is", path.display());
            plan.notes.push(Hinted::new(note));
        }
        FoundBindings::Missing => {
            let note = format!("{} is gone; what it said last goes on", path.display());
            plan.notes.push(Hinted::new(note).hint("put an empty file there to unbind every enterprise"));
        }
    }
    last(loaded, &format!("{} is not there or cannot be read", path.display()))
}

/// What every subject runs; `why` those that run nothing are held.
fn last(loaded: &Loaded, why: &str) -> Entries {
    let last = loaded.bindings.iter().map(|(subject, binding)| {
        let entry = binding.as_ref().map(|(entry, ..)| entry.clone());
        (subject.clone(), entry.ok_or_else(|| Hinted::new(why)))
    });
    last.collect()
}

fn read_entries(file: &BindingsFile, notes: &mut Vec<Hinted>) -> Entries {
    notes.extend(file.mistakes.iter().map(|mistake| Hinted::new(mistake.to_string())));
    let entries = file.entries.iter().map(|(subject, entry)| {
        let all =
            |mistakes: &Vec<crate::Mistake>| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        (subject.clone(), entry.clone().map_err(|mistakes| Hinted::new(all(&mistakes))))
    });
    entries.collect()
}

/// Each plugin somebody is bound to, with the largest component any of them allows.
fn bytes_allowed(entries: &Entries) -> BTreeMap<&str, u64> {
    let mut allowed = BTreeMap::new();
    for entry in entries.values().flatten() {
        let bytes = allowed.entry(entry.plugin.as_str()).or_default();
        *bytes = entry.limits.component_bytes.max(*bytes);
    }
    allowed
}

/// What is to become of a plugin. `allowed`: the most bytes anybody bound to it allows, so that none is compiled whom nobody could
/// run. None: nobody is bound to it.
fn plugin_step(loaded: &Loaded, found: &Found, name: &str, allowed: Option<u64>) -> PluginStep {
    let Some(allowed) = allowed else { return PluginStep::Leave };
    match found.plugins.get(name) {
        None => {
            let why = format!("there is no directory {}", found.dir.join(name).display());
            PluginStep::Refuse(Hinted::new(why).hint(format!("xnovu plugin new {name}")))
        }
        Some(Err(why)) => PluginStep::Refuse(why.clone()),
        Some(Ok(plugin)) => match loaded.refused.get(&plugin.component.digest) {
            Some(why) => PluginStep::Refuse(why.clone()),
            None if loaded.plugins.get(name) == Some(&identity(plugin)) => PluginStep::Keep,
            None => too_large(found, name, plugin, allowed).map_or(PluginStep::Load, PluginStep::Refuse),
        },
    }
}

fn binding_step(
    loaded: &Loaded,
    found: &Found,
    plugins: &BTreeMap<String, PluginStep>,
    subject: &Subject,
    entry: Entry,
) -> BindingStep {
    let plugin = entry.plugin.clone();
    if let Some(PluginStep::Refuse(why)) = plugins.get(&plugin) {
        return BindingStep::Fall { plugin, entry: Some(entry), why: why.clone() };
    }
    let Some(Ok(there)) = found.plugins.get(&plugin) else { return BindingStep::Bind(entry) };
    if let Some(why) = too_large(found, &plugin, there, entry.limits.component_bytes) {
        return BindingStep::Fall { plugin, entry: Some(entry), why };
    }
    let (version, digest) = identity(there);
    match loaded.bindings.get(subject) {
        Some(Some(running)) if *running == (entry.clone(), version, digest) => BindingStep::Keep,
        _ => BindingStep::Bind(entry),
    }
}

fn too_large(found: &Found, name: &str, plugin: &FoundPlugin, limit: u64) -> Option<Hinted> {
    let bytes = plugin.component.bytes;
    let why = format!("its component has {bytes} bytes; at most {limit} are allowed (limits.component_bytes)");
    (bytes > limit).then(|| Hinted::new(why).hint(build_hint(&found.dir, name)))
}

fn identity(plugin: &FoundPlugin) -> (Version, Digest) {
    (plugin.manifest.version.clone(), plugin.component.digest)
}

#[cfg(test)]
mod tests;
