//! What is loaded and what is refused, and in which words.

use serde_json::json;
use xnovu_rules::{InspectError, Limits, LoadError, Names, Rules, inspect};

use crate::support::components::{contract, stub};
use crate::support::{A, Plugins, compiler, entry, event, failure, guests, hostile, refusal, ruled};

#[track_caller]
fn refused_as(wasm: &[u8], want: &InspectError) {
    assert_eq!(refusal(wasm), LoadError::Refused(want.clone()));
}

#[test]
fn a_component_that_reads_files_is_refused_with_all_it_asks_for() {
    let LoadError::Refused(InspectError::ForbiddenImports(imports)) = refusal(guests::hostile_files()) else {
        panic!("not refused for its imports")
    };
    let names: Vec<_> = imports.shown.iter().map(|import| import.split('@').next().unwrap()).collect();
    assert_eq!(names, ["wasi:filesystem/types", "wasi:filesystem/preopens"], "{imports:?}");
    assert_eq!(imports.more, 0);
    let first = &imports.shown[0];
    assert!(first.contains("[method]descriptor.open-at"), "the functions are named too: {first}");
}

#[test]
fn imports_of_every_kind_are_named_at_once() {
    let sockets = "package wasi:sockets@0.2.6;\ninterface tcp { connect: func(); }";
    let world = "package test:odd;\nworld odd {\n import wasi:sockets/tcp@0.2.6;\n import secrets: interface { read: func() -> string; }\n import fetch: func(url: string) -> string;\n}";
    let LoadError::Refused(InspectError::ForbiddenImports(imports)) = refusal(&stub(&[sockets, world], "odd")) else {
        panic!("not refused for its imports")
    };
    let mut imports = imports.shown;
    imports.sort();
    assert_eq!(imports, ["fetch", "secrets (read)", "wasi:sockets/tcp@0.2.6 (connect)"]);
}

#[test]
fn an_interface_of_a_later_contract_is_named() {
    let later = contract().replace("@0.1.0", "@0.1.1")
        + "\ninterface secrets { read: func() -> string; }\nworld later { include rules; import secrets; }";
    let error = refusal(&stub(&[&later], "later")).to_string();
    assert_eq!(
        error,
        "it was built for xnovu:rules@0.1.1; this host has 0.1.0 and lacks xnovu:rules/secrets@0.1.1 (read)"
    );
}

#[test]
fn another_world_is_refused_with_what_it_exports() {
    let world = "package test:odd;\nworld odd { export run: func(); }";
    let names = Names { shown: vec!["run".to_owned()], more: 0 };
    refused_as(&stub(&[world], "odd"), &InspectError::WrongWorld(names));
    let error = refusal(&stub(&["package test:odd;\nworld odd {}"], "odd")).to_string();
    assert_eq!(error, "it does not export xnovu:rules/ruleset@0.1.0; it exports nothing");
}

#[test]
fn another_series_of_the_contract_is_refused() {
    let other = contract().replace("@0.1.0", "@0.2.0").replace("import log;", "").replace("import calendar;", "");
    let error = refusal(&stub(&[&other], "rules")).to_string();
    let words = "it was built for xnovu:rules@0.2.0; this host has 0.1.0 and lacks ";
    assert!(error.starts_with(words) && error.ends_with("the question ruleset@0.2.0"), "{error}");
}

#[test]
fn a_later_version_of_the_series_is_loaded() {
    let later = contract().replace("@0.1.0", "@0.1.9");
    let plugins = Plugins::new();
    let bench = xnovu_rules::Workbench::open(&plugins.cache(), compiler()).unwrap();
    assert!(bench.trial(&stub(&[&later], "rules"), &json!({}), Limits::default()).is_ok());
}

#[test]
fn a_record_of_another_shape_is_refused_by_name() {
    let other = contract().replace("        seed: u32,\n", "");
    let LoadError::Link(why) = refusal(&stub(&[&other], "rules")) else { panic!("not refused for its types") };
    assert!(why.contains("expected record of 6 fields, found 5 fields"), "{why}");
}

#[test]
fn a_stub_of_the_contract_loads_and_traps() {
    let plugins = Plugins::new();
    let bench = xnovu_rules::Workbench::open(&plugins.cache(), compiler()).unwrap();
    let trial = bench.trial(&stub(&[&contract()], "rules"), &json!({}), Limits::default()).unwrap();
    assert_eq!(failure(trial.admit(event(A))).1, "it trapped: wasm `unreachable` instruction executed");
}

#[test]
fn what_is_no_component_is_refused_as_what_it_is() {
    refused_as(b"", &InspectError::NotWasm);
    refused_as(b"#!/bin/sh\n", &InspectError::NotWasm);
    refused_as(b"\0asm\x01\0\0\0", &InspectError::CoreModule);
}

#[test]
fn machine_code_is_never_taken() {
    let engine = wasmtime::Engine::default();
    let code = engine.precompile_component(b"\0asm\x0d\0\x01\0").unwrap();
    refused_as(&code, &InspectError::Precompiled);
}

#[test]
fn a_truncated_component_is_refused() {
    let whole = guests::hostile();
    for len in [8, 9, 100, whole.len() / 2, whole.len() - 1] {
        assert!(matches!(refusal(&whole[..len]), LoadError::Refused(_)), "the first {len} bytes of {}", whole.len());
    }
}

#[test]
fn a_component_with_flipped_bits_is_refused_or_stays_in_its_sandbox() {
    let bench_dir = Plugins::new();
    let bench = xnovu_rules::Workbench::open(&bench_dir.cache(), compiler()).unwrap();
    let whole = stub(&[&contract()], "rules");
    let (mut refused, mut ran) = (0, 0);
    for at in (8..whole.len()).step_by(whole.len() / 60) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        match bench.trial(&damaged, &json!({}), Limits::default()) {
            Err(_) => refused += 1,
            // A damaged name or number may still be a component. It ends one way or another, and so do we.
            Ok(trial) => ran += u32::from(trial.admit(event(A)).duration < std::time::Duration::from_secs(5)),
        }
    }
    assert!(refused > 20, "{refused} refused, {ran} ran");
}

#[test]
fn a_component_is_inspected_in_words() {
    let inspection = inspect(guests::hostile()).unwrap();
    inspection.check().unwrap();
    assert_eq!(inspection.contract.as_deref(), Some("0.1.0"));
    let imports: Vec<_> = inspection.imports.iter().map(ToString::to_string).collect();
    assert_eq!(
        imports,
        ["xnovu:rules/log@0.1.0 (write)", "xnovu:rules/types@0.1.0", "xnovu:rules/calendar@0.1.0 (local, next)"]
    );
    let words = inspection.to_string();
    assert!(words.contains("imports   xnovu:rules/log@0.1.0 (write): lines to the host's log\n"), "{words}");
    assert!(words.contains("exports   xnovu:rules/ruleset@0.1.0\n"), "{words}");
    assert!(inspection.producers.iter().any(|it| it.starts_with("wit-component ")), "{:?}", inspection.producers);
}

#[tokio::test]
async fn a_component_above_the_limit_of_its_binding_is_not_bound() {
    let plugins = Plugins::new();
    plugins.put("hostile", "1.0.0", guests::hostile());
    let bytes = guests::hostile().len();
    plugins.bind(&entry(A, "hostile", &format!("limits = {{ component_bytes = {} }}", bytes - 1), "{}"));
    let (runtime, report) = plugins.open().await;
    assert!(
        report.to_string().contains(&format!("its component has {bytes} bytes; at most {} are allowed", bytes - 1)),
        "{report}"
    );
    plugins.bind(&entry(A, "hostile", &format!("limits = {{ component_bytes = {bytes}, wall_ms = 10_000 }}"), "{}"));
    assert!(runtime.reconcile().await.is_clean());
    ruled(runtime.admit(event(A)).await);
}

#[test]
fn identical_components_are_one_whatever_their_config() {
    let (one, other) = (hostile(json!({"admit": "drop:a"}), Limits::default()), hostile(json!({}), Limits::default()));
    assert_eq!(one.digest(), other.digest());
    assert_ne!(one.config_hash(), other.config_hash());
}
