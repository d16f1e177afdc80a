//! A plan for each pair of what is loaded and what was found.

use std::path::PathBuf;

use super::*;
use crate::bindings_file::Config;
use crate::lock_file::Locked;
use crate::manifest::{Manifest, Target};
use crate::mistake::Mistake;
use crate::scan::FoundComponent;
use crate::{FailurePolicy, Grants, Limits, Stamp};

const VERSION: Version = Version::new(1, 0, 0);

fn entry(plugin: &str) -> Entry {
    Entry {
        plugin: plugin.to_owned(),
        on_error: FailurePolicy::Hold,
        log_guest: false,
        config: Config::from_text("{}"),
        limits: Limits::default(),
        grants: Grants::default(),
    }
}

fn subject(id: &str) -> Subject {
    Subject::Enterprise(id.parse().unwrap())
}

fn component(wasm: &[u8]) -> Result<FoundPlugin, Hinted> {
    let manifest = Manifest {
        name: "p".to_owned(),
        version: VERSION,
        description: String::new(),
        config_schema: None,
        target: Target::Unknown,
    };
    let bytes = u64::try_from(wasm.len()).unwrap();
    let component = FoundComponent { path: PathBuf::from("plugins/p/p.wasm"), digest: Digest::of(wasm), bytes };
    Ok(FoundPlugin { manifest, component })
}

/// A directory with the plugin `p` and an entry that binds `e` to it.
fn found(plugin: Result<FoundPlugin, Hinted>) -> Found {
    let file = BindingsFile { entries: [(subject("e"), Ok(entry("p")))].into(), mistakes: Vec::new() };
    Found {
        dir: PathBuf::from("plugins"),
        bindings: FoundBindings::Read(file),
        unbinds_in: Duration::ZERO,
        lock: Ok(None),
        plugins: [("p".to_owned(), plugin)].into(),
    }
}

fn with_entry(mut found: Found, entry: Result<Entry, Vec<Mistake>>) -> Found {
    let file = BindingsFile { entries: [(subject("e"), entry)].into(), mistakes: Vec::new() };
    found.bindings = FoundBindings::Read(file);
    found
}

/// `p` is loaded from these bytes and `e` runs it.
fn loaded(wasm: &[u8]) -> Loaded {
    Loaded {
        plugins: [("p".to_owned(), (VERSION, Digest::of(wasm)))].into(),
        bindings: [(subject("e"), Some((entry("p"), VERSION, Digest::of(wasm))))].into(),
        refused: BTreeMap::new(),
        lock: Lock::default(),
    }
}

#[track_caller]
fn check(loaded: &Loaded, found: &Found, plugin: &PluginStep, binding: &BindingStep) -> Plan {
    let plan = plan(loaded, found);
    assert_eq!(plan.plugins.get("p"), Some(plugin));
    assert_eq!(plan.bindings.get(&subject("e")), Some(binding));
    plan
}

fn fall(why: Hinted) -> BindingStep {
    BindingStep::Fall { plugin: "p".to_owned(), entry: Some(entry("p")), why }
}

#[test]
fn what_is_new_is_loaded_and_bound() {
    check(&Loaded::default(), &found(component(b"1")), &PluginStep::Load, &BindingStep::Bind(entry("p")));
}

#[test]
fn what_has_not_changed_is_left_alone() {
    let plan = check(&loaded(b"1"), &found(component(b"1")), &PluginStep::Keep, &BindingStep::Keep);
    assert!(plan.notes.is_empty());
}

#[test]
fn a_changed_component_is_loaded_and_bound_anew() {
    check(&loaded(b"1"), &found(component(b"2")), &PluginStep::Load, &BindingStep::Bind(entry("p")));
}

#[test]
fn a_changed_version_of_the_same_component_is_bound_anew() {
    let mut plugin = component(b"1").unwrap();
    plugin.manifest.version = Version::new(1, 0, 1);
    check(&loaded(b"1"), &found(Ok(plugin)), &PluginStep::Load, &BindingStep::Bind(entry("p")));
}

#[test]
fn a_changed_entry_is_bound_anew_without_loading() {
    let changed = Entry { config: Config::from_text(r#"{"a":1}"#), ..entry("p") };
    let found = with_entry(found(component(b"1")), Ok(changed.clone()));
    check(&loaded(b"1"), &found, &PluginStep::Keep, &BindingStep::Bind(changed));
}

#[test]
fn a_subject_that_does_not_run_is_tried_again() {
    let mut loaded = loaded(b"1");
    loaded.bindings.insert(subject("e"), None);
    check(&loaded, &found(component(b"1")), &PluginStep::Keep, &BindingStep::Bind(entry("p")));
}

#[test]
fn a_component_that_is_gone_or_unreadable_leaves_the_last_good_one() {
    let why = Hinted::new("it is not there");
    check(&loaded(b"1"), &found(Err(why.clone())), &PluginStep::Refuse(why.clone()), &fall(why));
}

#[test]
fn a_plugin_without_a_directory_says_how_to_make_one() {
    let mut found = found(component(b"1"));
    found.plugins.clear();
    let why = Hinted::new("there is no directory plugins/p").hint("xnovu plugin new p");
    check(&Loaded::default(), &found, &PluginStep::Refuse(why.clone()), &fall(why));
}

#[test]
fn a_component_that_was_refused_is_not_loaded_again() {
    let mut loaded = loaded(b"1");
    let why = Hinted::new("it is not WebAssembly");
    loaded.refused.insert(Digest::of(b"2"), why.clone());
    check(&loaded, &found(component(b"2")), &PluginStep::Refuse(why.clone()), &fall(why));
    check(&loaded, &found(component(b"3")), &PluginStep::Load, &BindingStep::Bind(entry("p")));
}

#[test]
fn a_component_above_an_entrys_limit_falls_for_that_entry() {
    let limited = |bytes| Entry { limits: Limits { component_bytes: bytes, ..Limits::default() }, ..entry("p") };
    let at = |bytes| plan(&Loaded::default(), &with_entry(found(component(b"12345")), Ok(limited(bytes))));
    assert_eq!(at(5).bindings[&subject("e")], BindingStep::Bind(limited(5)));
    assert_eq!(at(5).plugins["p"], PluginStep::Load);
    assert!(matches!(at(4).plugins["p"], PluginStep::Refuse(_)), "what nobody may run is not compiled either");
    assert!(
        matches!(&at(4).bindings[&subject("e")], BindingStep::Fall { why, .. } if why.reason.contains("5 bytes; at most 4"))
    );
}

#[test]
fn a_component_is_loaded_for_the_entry_that_allows_the_most() {
    let limited = |bytes| Entry { limits: Limits { component_bytes: bytes, ..Limits::default() }, ..entry("p") };
    let mut found = found(component(b"12345"));
    let entries = [(subject("e"), Ok(limited(4))), (subject("f"), Ok(limited(5)))].into();
    found.bindings = FoundBindings::Read(BindingsFile { entries, mistakes: Vec::new() });
    let plan = plan(&Loaded::default(), &found);
    assert_eq!(plan.plugins["p"], PluginStep::Load);
    assert!(matches!(&plan.bindings[&subject("e")], BindingStep::Fall { why, .. } if why.reason.contains("at most 4")));
    assert_eq!(plan.bindings[&subject("f")], BindingStep::Bind(limited(5)));
}

#[test]
fn an_entry_with_mistakes_falls_and_its_plugin_is_left() {
    let mistake = Mistake { file: "b".to_owned(), line: 3, key: "k".to_owned(), what: "is wrong".to_owned() };
    let found = with_entry(found(component(b"1")), Err(vec![mistake]));
    let step = BindingStep::Fall { plugin: String::new(), entry: None, why: Hinted::new("b:3: k: is wrong") };
    check(&loaded(b"1"), &found, &PluginStep::Leave, &step);
}

#[test]
fn a_removed_entry_unbinds_and_a_plugin_nobody_is_bound_to_is_left() {
    let mut found = found(component(b"1"));
    found.bindings = FoundBindings::Read(BindingsFile::default());
    let plan = plan(&loaded(b"1"), &found);
    assert!(plan.bindings.is_empty());
    assert_eq!(plan.plugins["p"], PluginStep::Leave);
}

#[test]
fn bindings_that_are_gone_or_unreadable_stay_as_they_were() {
    for bindings in [FoundBindings::Missing, FoundBindings::Unreadable(vec![Hinted::new("line 1")])] {
        let found = Found { bindings, ..found(component(b"2")) };
        let plan = check(&loaded(b"1"), &found, &PluginStep::Load, &BindingStep::Bind(entry("p")));
        assert_eq!(plan.notes.len(), 1);
    }
}

#[test]
fn no_bindings_at_all_bind_nobody_and_say_so() {
    let found = Found { bindings: FoundBindings::Missing, ..found(component(b"1")) };
    let plan = plan(&Loaded::default(), &found);
    assert!(plan.bindings.is_empty());
    assert!(plan.notes[0].reason.contains("every notification passes as it is"), "{:?}", plan.notes);
}

fn stamp(component: &[u8]) -> Stamp {
    let config_hash = entry("p").config.hash();
    Stamp { plugin: "p".to_owned(), version: VERSION.to_string(), digest: Digest::of(component), config_hash }
}

/// `e` was rolled back from `2` to `1`.
fn locked() -> Lock {
    let locked = Locked { at: "2026-01-01T00:00:00Z".to_owned(), from: stamp(b"2"), to: stamp(b"1"), config: None };
    Lock { enterprises: [(subject("e"), locked)].into() }
}

fn roll() -> BindingStep {
    let (from, to) = (stamp(b"2"), stamp(b"1"));
    let config = Some(to.config_hash);
    BindingStep::Roll(Box::new(Rolled { entry: entry("p"), from, to, config, written: None }))
}

#[test]
fn what_was_rolled_back_from_does_not_run_while_it_lies_there() {
    let with_lock = |wasm: &[u8]| Found { lock: Ok(Some(locked())), ..found(component(wasm)) };
    for loaded in [Loaded::default(), loaded(b"1"), loaded(b"2")] {
        assert_eq!(plan(&loaded, &with_lock(b"2")).bindings[&subject("e")], roll());
    }
    assert_eq!(plan(&loaded(b"1"), &with_lock(b"3")).bindings[&subject("e")], BindingStep::Bind(entry("p")));
}

#[test]
fn a_lock_that_cannot_be_read_goes_on_as_it_was() {
    let unreadable = Found { lock: Err(Hinted::new("unreadable")), ..found(component(b"2")) };
    let plan = plan(&Loaded { lock: locked(), ..loaded(b"1") }, &unreadable);
    assert_eq!((&plan.bindings[&subject("e")], &plan.notes[..]), (&roll(), &[Hinted::new("unreadable")][..]));
    assert_eq!(plan.lock, locked());
}
