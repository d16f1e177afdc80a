//! The contract's versions: what may change under which number, and that what was built for an older one still runs.
//!
//! `wit/README.md` holds the rules; `wit/released` every version there has been, each with a component built for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use semver::Version;
use serde_json::json;
use wasmtime::component::{Component, Linker};
use wit_component::semver_check;
use wit_parser::Resolve;
use xnovu_domain::{Priority, Verdict};
use xnovu_rules::{Limits, Workbench, inspect};

use crate::support::components::contract;
use crate::support::{A, Plugins, compiler, event_with};

/// The texts of all released versions.
fn released() -> BTreeMap<Version, String> {
    let versions = fs::read_dir(released_dir()).unwrap().map(|entry| entry.unwrap().path());
    let read = |dir: PathBuf| {
        let version = dir.file_name().unwrap().to_str().unwrap().parse().unwrap();
        (version, fs::read_to_string(dir.join("rules.wit")).unwrap())
    };
    versions.map(read).collect()
}

/// A component built for a released version, as its toolchain left it.
fn built_for(version: &Version) -> Vec<u8> {
    fs::read(released_dir().join(version.to_string()).join("component.wasm")).unwrap()
}

fn released_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/released")
}

fn version_of(text: &str) -> Version {
    let line = text.lines().find_map(|line| line.strip_prefix("package xnovu:rules@")).unwrap();
    line.trim_end_matches(';').parse().unwrap()
}

/// Whether every component built for `older` runs on a host of `newer`; the versions themselves are not looked at.
fn serves(newer: &str, older: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let mut world = |text: &str, version: &str| {
        let text = text.replace(&format!("@{};", version_of(text)), &format!("@{version};"));
        let package = resolve.push_str(format!("{version}.wit"), &text).map_err(|error| format!("{error:#}"))?;
        resolve.select_world(&[package], Some("rules")).map_err(|error| format!("{error:#}"))
    };
    let (older, newer) = (world(older, "0.0.1")?, world(newer, "0.0.2")?);
    semver_check(resolve, older, newer).map_err(|error| format!("{error:#}"))
}

/// What is wrong with a contract that is to follow the released ones.
fn mistake(text: &str, released: &BTreeMap<Version, String>) -> Option<String> {
    let version = version_of(text);
    let of_its_series =
        |it: &Version| if it.major == 0 { it.minor == version.minor } else { it.major == version.major };
    for (older, older_text) in released.iter().filter(|(it, _)| of_its_series(it)) {
        if let Err(why) = serves(text, older_text) {
            return Some(format!("it breaks components of {older}, so it needs a new series: {why}"));
        }
        if *older == version && serves(older_text, text).is_err() {
            return Some(format!("it has more than {older}, so it needs a new patch version"));
        }
        if *older > version {
            return Some(format!("{older} is released already"));
        }
    }
    None
}

#[test]
fn the_contract_keeps_what_was_released() {
    assert_eq!(mistake(&contract(), &released()), None);
}

#[test]
fn an_addition_is_a_patch() {
    let patch = |from: &str, to: &str| {
        let text = contract();
        let changed = text.replace(from, to).replace("rules@0.1.0", "rules@0.1.1");
        assert!(changed.contains(to), "the change changes nothing");
        assert_eq!(mistake(&changed, &released()), None, "{to}");
        // The same without a new number is told.
        let unnumbered = mistake(&text.replace(from, to), &released()).unwrap();
        assert_eq!(unnumbered, "it has more than 0.1.0, so it needs a new patch version", "{to}");
    };
    patch("    write: func(", "    flush: func();\n    write: func(");
    patch(
        "    import calendar;",
        "    import calendar;\n    import counters: interface { add: func(key: string) -> u32; }",
    );
    patch("interface calendar {", "interface calendar {\n    zones: func() -> list<string>;");
}

#[test]
fn a_change_that_breaks_components_is_a_new_series() {
    let breaking = |from: &str, to: &str| {
        let changed = contract().replacen(from, to, 1);
        assert_ne!(changed, contract(), "the change changes nothing");
        let patch = changed.replace("rules@0.1.0", "rules@0.1.1");
        let why = mistake(&patch, &released()).unwrap_or_else(|| panic!("{to} was taken for an addition"));
        assert!(why.starts_with("it breaks components of 0.1.0, so it needs a new series: "), "{why}");
        assert_eq!(mistake(&changed.replace("rules@0.1.0", "rules@0.2.0"), &released()), None, "{to}");
    };
    breaking("        seed: u32,", "        seed: u64,");
    breaking("        seed: u32,", "");
    breaking("        tags: list<string>,", "        tags: list<string>,\n        labels: list<string>,");
    breaking("        scheduled,", "");
    breaking("        cron,\n", "        cron,\n        manual,\n");
    breaking("        drop(string),", "        drop(string),\n        pause,");
    breaking("    write: func(level: level, message: string);", "    write: func(message: string);");
    breaking("    write: func(level: level, message: string);", "");
    breaking("    import calendar;\n", "");
    breaking("    admit: func(", "    forget: func();\n    admit: func(");
}

#[test]
fn a_component_of_every_released_version_runs_unchanged() {
    let plugins = Plugins::new();
    let bench = Workbench::open(&plugins.cache(), compiler()).unwrap();
    for version in released().into_keys() {
        let wasm = built_for(&version);
        assert_eq!(inspect(&wasm).unwrap().contract, Some(version.to_string()));
        let limits = Limits { wall_ms: 10_000, ..Limits::default() };
        let trial = bench.trial(&wasm, &json!({"urgent": ["critical"]}), limits).unwrap();
        assert_eq!(trial.validate_config().answer.unwrap(), Ok(()), "{version}");
        let decided = trial.decide(event_with(A, &json!({"severity": "critical"}))).answer.unwrap();
        assert_eq!(decided.verdict, Verdict::Deliver { priority: Some(Priority::new(900).unwrap()) }, "{version}");
        let [message] = &decided.messages.unwrap()[..] else { panic!("{version}: not one message") };
        assert_eq!(message.payload.get(), r#"{"hour":0,"severity":"critical"}"#, "{version}");
        let dropped = trial.admit(event_with(A, &json!({"severity": "low"}))).answer.unwrap();
        assert_eq!(dropped, Verdict::Drop { reason: "not urgent".into() }, "{version}");
    }
}

#[test]
fn a_kept_component_is_small_and_names_no_machine() {
    for version in released().into_keys() {
        let wasm = built_for(&version);
        assert!(wasm.len() < 64 * 1024, "{version}: {}", wasm.len());
        let text = String::from_utf8_lossy(&wasm);
        for path in ["/root/", "/home/", "/Users/", "/tmp/", ".cargo", "registry"] {
            assert!(!text.contains(path), "{version}: it contains {path}");
        }
    }
}

/// The contract has had one release so far. That a host of a later patch serves its components is shown with what the host is built on:
/// names of one series are found whatever the patch.
#[test]
fn the_engine_finds_an_older_patch_under_the_name_of_a_later_one() {
    let engine = wasmtime::Engine::default();
    let component = Component::new(&engine, built_for(&Version::new(0, 1, 0))).unwrap();
    let linked = |version: &str| {
        let mut linker = Linker::<()>::new(&engine);
        linker.allow_shadowing(true);
        linker.define_unknown_imports_as_traps(&component).unwrap();
        let mut later = Linker::<()>::new(&engine);
        later.instance(&format!("xnovu:rules/types@{version}")).unwrap();
        later.instance(&format!("xnovu:rules/log@{version}")).unwrap().func_new("write", |_, _, _, _| Ok(())).unwrap();
        let mut calendar = later.instance(&format!("xnovu:rules/calendar@{version}")).unwrap();
        calendar.func_new("local", |_, _, _, _| Ok(())).unwrap();
        calendar.func_new("next", |_, _, _, _| Ok(())).unwrap();
        let found = component.get_export_index(None, format!("xnovu:rules/ruleset@{version}")).is_some();
        (later.instantiate_pre(&component).map(drop).map_err(|error| format!("{error:#}")), found)
    };
    assert_eq!(linked("0.1.7"), (Ok(()), true));
    let (other_series, found) = linked("0.2.0");
    assert!(other_series.unwrap_err().contains("xnovu:rules/"), "another series was linked");
    assert!(!found);
}
