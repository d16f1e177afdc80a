//! What a start and a reload make of a directory: what is good is taken, what is not leaves the last good state alone.

use std::fs;
use std::time::Duration;

use xnovu_domain::Verdict;
use xnovu_rules::{
    BindingOutcome, BindingState, BrokenKind, FailurePolicy, OpenError, Rules, Runtime, RuntimeOptions, Stamp, Subject,
};

use crate::support::components::{contract, stub};
use crate::support::{A, B, Plugins, broken, entry, event, guests, id, ruled};

/// Time no evaluation of these tests needs, however busy the machine is.
const PATIENT: &str = "limits = { wall_ms = 10_000 }";

/// A directory whose plugin `p` drops what comes for A.
fn dropping() -> Plugins {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"drop:one\" }"));
    plugins
}

async fn dropped(runtime: &Runtime, enterprise: &str) -> (String, Stamp) {
    let ruled = ruled(runtime.admit(event(enterprise)).await);
    match ruled.answer {
        Verdict::Drop { reason } => (reason.to_string(), ruled.stamp),
        other => panic!("not dropped: {other:?}"),
    }
}

#[tokio::test]
async fn nothing_there_binds_nobody_and_says_so() {
    let plugins = Plugins::new();
    let (runtime, report) = plugins.open().await;
    assert!(report.to_string().contains("bindings.toml is not there: no enterprise has rules"), "{report}");
    assert_eq!(runtime.snapshot().bindings().count(), 0);
    fs::remove_dir(plugins.path()).unwrap();
    assert_eq!(runtime.reconcile().await.notes, report.notes);
}

#[tokio::test]
async fn a_bound_enterprise_is_ruled_and_the_answer_is_stamped() {
    let plugins = dropping();
    let (runtime, report) = plugins.open().await;
    assert!(report.is_clean() && report.changed, "{report}");
    let (reason, stamp) = dropped(&runtime, A).await;
    assert_eq!((reason.as_str(), stamp.plugin.as_str(), stamp.version.as_str()), ("one", "p", "1.0.0"));
    let binding = runtime.binding(&id(A)).unwrap();
    assert_eq!((binding.state, binding.stamp), (BindingState::Ready, Some(stamp)));
    assert_eq!(runtime.snapshot().enterprises().collect::<Vec<_>>(), [&id(A)]);
}

#[tokio::test]
async fn the_rest_is_bound_by_a_star() {
    let plugins = dropping();
    plugins.bind(
        &(entry(A, "p", PATIENT, "{ admit = \"drop:own\" }") + &entry("*", "p", PATIENT, "{ admit = \"drop:rest\" }")),
    );
    let (runtime, _) = plugins.open().await;
    assert_eq!(dropped(&runtime, A).await.0, "own");
    assert_eq!(dropped(&runtime, B).await.0, "rest");
    assert_eq!(runtime.snapshot().enterprises().count(), 1, "a star names nobody");
}

#[tokio::test]
async fn a_plugin_that_is_not_built_holds_its_enterprise_and_no_other() {
    let plugins = dropping();
    plugins.put_manifest("unbuilt", "1.0.0");
    let unbuilt = entry(B, "unbuilt", "on_error = \"drop\"", "{}");
    plugins.bind(&(entry(A, "p", PATIENT, "{ admit = \"drop:one\" }") + &unbuilt));
    let (runtime, report) = plugins.open().await;
    let hint = format!("\n  hint: xnovu plugin build {}", plugins.path().join("unbuilt").display());
    assert!(report.to_string().contains(&hint), "{report}");
    let broken = broken(runtime.admit(event(B)).await);
    assert_eq!((broken.kind, broken.policy, broken.stamp), (BrokenKind::NotLoaded, FailurePolicy::Hold, None));
    assert!(broken.reason.ends_with("unbuilt.wasm is not there"), "{}", broken.reason);
    dropped(&runtime, A).await;

    plugins.put("unbuilt", "1.0.0", guests::hostile());
    assert!(runtime.reconcile().await.is_clean());
    assert!(matches!(ruled(runtime.admit(event(B)).await).answer, Verdict::Deliver { .. }));
}

#[tokio::test]
async fn a_new_version_is_taken_and_a_bad_one_is_not() {
    let plugins = dropping();
    let (runtime, _) = plugins.open().await;
    let generation = runtime.snapshot().generation();
    let mut changes = runtime.changes();
    runtime.reconcile().await;
    assert!(!changes.has_changed().unwrap(), "nothing has changed");
    plugins.put("p", "1.1.0", guests::hostile());
    assert!(runtime.reconcile().await.changed);
    assert_eq!(*changes.borrow_and_update(), generation + 1);
    assert_eq!(dropped(&runtime, A).await.1.version, "1.1.0");
    assert_eq!(runtime.snapshot().generation(), generation + 1);

    plugins.put("p", "1.2.0", b"\0asm no more");
    let report = runtime.reconcile().await;
    assert!(!report.is_clean());
    assert_eq!(dropped(&runtime, A).await.1.version, "1.1.0");
    let state = runtime.binding(&id(A)).unwrap().state;
    assert!(
        matches!(&state, BindingState::LastGood { reason } if reason.contains("not a valid component")),
        "{state:?}"
    );
    let again = runtime.reconcile().await;
    assert!(!again.changed && again.plugins == report.plugins, "a second look finds the same: {again}");

    plugins.put("p", "1.1.0", guests::hostile());
    assert!(runtime.reconcile().await.is_clean());
    assert_eq!(runtime.binding(&id(A)).unwrap().state, BindingState::Ready);
}

#[tokio::test]
async fn an_evaluation_under_way_keeps_what_it_began_with() {
    let plugins = dropping();
    let long = "limits = { wall_ms = 10_000, fuel = 10_000_000_000 }";
    plugins.bind(&entry(A, "p", long, "{ admit = \"burn:20000000\" }"));
    let (runtime, _) = plugins.open().await;
    plugins.put("p", "2.0.0", guests::hostile());
    let (ruling, report) = tokio::join!(runtime.admit(event(A)), runtime.reconcile());
    assert!(report.changed, "{report}");
    assert_eq!(ruled(ruling).stamp.version, "1.0.0");
    assert_eq!(ruled(runtime.admit(event(A)).await).stamp.version, "2.0.0");
}

#[tokio::test]
async fn whatever_vanishes_leaves_what_runs() {
    let plugins = dropping();
    let options = RuntimeOptions { unbind_after: Duration::ZERO, ..plugins.options() };
    let (runtime, _) = Runtime::open(options).await.unwrap();
    fs::remove_file(plugins.component_path("p")).unwrap();
    assert!(matches!(&runtime.reconcile().await.bindings[..], [(_, BindingOutcome::LastGood(..))]));
    dropped(&runtime, A).await;
    fs::remove_file(plugins.path().join("bindings.toml")).unwrap();
    let report = runtime.reconcile().await;
    assert!(report.to_string().contains("bindings.toml is gone; what it said last goes on"), "{report}");
    dropped(&runtime, A).await;
    plugins.bind("");
    runtime.reconcile().await;
    assert!(runtime.binding(&id(A)).is_none(), "an empty file unbinds");
}

#[tokio::test]
async fn bindings_that_cannot_be_read_stop_a_start_but_not_what_runs() {
    let plugins = dropping();
    let (runtime, _) = plugins.open().await;
    plugins.bind("[enterprises.\nplugin = 1\n");
    let report = runtime.reconcile().await;
    assert!(report.notes[0].reason.contains("bindings.toml:1: "), "{report}");
    dropped(&runtime, A).await;
    let refused = Runtime::open(plugins.options()).await.map(drop);
    assert!(
        matches!(&refused, Err(OpenError::Bindings(why)) if why[0].reason.contains("bindings.toml:1: ")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_mistake_in_one_entry_disables_that_enterprise_only() {
    let plugins = dropping();
    plugins.bind(&(entry(A, "p", PATIENT, "{ admit = \"drop:one\" }") + &entry(B, "p", "on_eror = \"hold\"", "{}")));
    let (runtime, report) = plugins.open().await;
    assert!(report.to_string().contains(&format!("enterprises.\"{B}\".on_eror: is no key here")), "{report}");
    assert_eq!(broken(runtime.admit(event(B)).await).kind, BrokenKind::NotLoaded);
    dropped(&runtime, A).await;
}

#[tokio::test]
async fn a_config_its_plugin_refuses_is_not_bound() {
    let plugins = dropping();
    plugins.bind(&entry(A, "p", PATIENT, "{ validate = \"reject:timezone is missing\" }"));
    let (runtime, report) = plugins.open().await;
    assert!(report.to_string().contains("p refuses its config: timezone is missing"), "{report}");
    assert!(broken(runtime.admit(event(A)).await).reason.contains("timezone is missing"));
}

#[tokio::test]
async fn a_config_its_plugin_refuses_later_leaves_the_last_good_one() {
    let plugins = dropping();
    let (runtime, _) = plugins.open().await;
    plugins.bind(&entry(A, "p", PATIENT, "{ validate = \"reject:no\", admit = \"drop:two\" }"));
    let report = runtime.reconcile().await;
    assert!(matches!(&report.bindings[..], [(Subject::Enterprise(_), BindingOutcome::LastGood(..))]), "{report}");
    assert_eq!(dropped(&runtime, A).await.0, "one");
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"drop:three\" }"));
    runtime.reconcile().await;
    assert_eq!(dropped(&runtime, A).await.0, "three");
}

#[tokio::test]
async fn a_config_check_that_never_ends_is_ended() {
    let plugins = dropping();
    plugins.bind(&entry(A, "p", "", "{ validate = \"loop\" }"));
    let (_, report) = plugins.open().await;
    assert!(report.to_string().contains("p cannot check its config: it "), "{report}");
}

#[tokio::test]
async fn a_start_finds_what_was_compiled_and_trusts_it_only_unchanged() {
    let plugins = dropping();
    drop(plugins.open().await);
    let [compiled] = &plugins.cached(".cwasm")[..] else { panic!("not one compiled component") };
    let before = fs::read(compiled).unwrap();
    let mut tampered = before.clone();
    *tampered.last_mut().unwrap() ^= 1;
    fs::write(compiled, &tampered).unwrap();
    let (runtime, report) = plugins.open().await;
    assert!(report.is_clean(), "{report}");
    dropped(&runtime, A).await;
    assert_ne!(fs::read(compiled).unwrap(), tampered, "it was compiled anew");
}

#[tokio::test]
async fn one_component_under_two_names_is_compiled_once() {
    let plugins = dropping();
    plugins.put("q", "2.0.0", guests::hostile());
    plugins
        .bind(&(entry(A, "p", PATIENT, "{ admit = \"drop:p\" }") + &entry(B, "q", PATIENT, "{ admit = \"drop:q\" }")));
    let (runtime, _) = plugins.open().await;
    let ((p, p_stamp), (q, q_stamp)) = (dropped(&runtime, A).await, dropped(&runtime, B).await);
    assert_eq!((p.as_str(), q.as_str()), ("p", "q"));
    assert_eq!((p_stamp.digest, q_stamp.version.as_str()), (q_stamp.digest, "2.0.0"));
    assert_eq!(plugins.cached(".cwasm").len(), 1);
}

#[tokio::test]
async fn compiled_code_nobody_wants_any_more_is_removed() {
    let plugins = dropping();
    let (runtime, _) = plugins.open().await;
    // Each stub differs in what it exports beside the contract.
    for version in 1..=5 {
        let world = format!("world more {{ include rules; export extra-{}: func(); }}", "abcde".split_at(version).0);
        plugins.put("p", &format!("2.{version}.0"), &stub(&[&(contract() + &world)], "more"));
        let report = runtime.reconcile().await;
        assert!(report.changed, "{report}");
    }
    // A stub cannot check a config, so the first component still runs, and beside it only what lies there is ready.
    assert_eq!(plugins.cached(".wasm").len(), 1, "what is refused is not kept");
    assert_eq!(plugins.cached(".cwasm").len(), 2);
    drop(runtime);
    fs::write(plugins.component_path("p"), "no component").unwrap();
    let (runtime, _) = plugins.open().await;
    assert_eq!(dropped(&runtime, A).await.1.version, "1.0.0", "no number of bad versions pushes the good one out");
}

#[tokio::test]
async fn whoever_only_looks_changes_nothing_that_a_start_goes_back_to() {
    let plugins = dropping();
    drop(plugins.open().await);
    let others = Plugins::new();
    others.put("p", "2.0.0", guests::hostile_wasi());
    others.bind(&entry(A, "p", PATIENT, "{ admit = \"drop:two\" }"));
    let kept = plugins.cached(".json");
    let look = RuntimeOptions { plugins_dir: others.path(), remembers: false, ..plugins.options() };
    let (looked, _) = Runtime::open(look).await.unwrap();
    assert_eq!(dropped(&looked, A).await.0, "two");
    assert_eq!((plugins.cached(".json"), plugins.cached(".wasm").len()), (kept, 1));
    drop(looked);
    fs::write(plugins.component_path("p"), "no component").unwrap();
    let (runtime, _) = plugins.open().await;
    assert_eq!(dropped(&runtime, A).await.0, "one");
}

#[tokio::test]
async fn what_the_operator_takes_back_is_gone_though_the_plugin_or_its_config_is_refused() {
    let plugins = dropping();
    let generous = format!("on_error = \"drop\"\nlog_guest = true\ngrants = {{ workflows = [\"*\"] }}\n{PATIENT}");
    plugins.bind(&entry(A, "p", &generous, "{ admit = \"drop:one\" }"));
    let (runtime, _) = plugins.open().await;
    assert!(runtime.binding(&id(A)).unwrap().grants.allows_workflow("any"));
    for (component, config) in [
        (&b"no component"[..], "{ admit = \"drop:one\" }"),
        (guests::hostile(), "{ validate = \"reject:no\", admit = \"drop:two\" }"),
    ] {
        plugins.bind(&entry(A, "p", &generous, "{ admit = \"drop:one\" }"));
        plugins.put("p", "1.0.0", guests::hostile());
        assert!(runtime.reconcile().await.is_clean());
        plugins.put("p", "2.0.0", component);
        plugins.bind(&entry(A, "p", PATIENT, config));
        runtime.reconcile().await;
        let binding = runtime.binding(&id(A)).unwrap();
        assert!(matches!(binding.state, BindingState::LastGood { .. }), "{binding:?}");
        assert_eq!((binding.policy, binding.grants.allows_workflow("any")), (FailurePolicy::Hold, false));
        assert_eq!(dropped(&runtime, A).await.0, "one", "what ran goes on, with its own config");
        let again = runtime.reconcile().await;
        assert!(!again.changed, "{again}");
    }
}

#[tokio::test]
async fn what_a_component_logs_stays_with_it_unless_the_operator_asks() {
    let plugins = dropping();
    let acts = "{ admit = \"log:2x3\", transform = \"panic:secret\" }";
    plugins.bind(&(entry(A, "p", PATIENT, acts) + &entry(B, "p", &format!("log_guest = true\n{PATIENT}"), acts)));
    let (runtime, _) = plugins.open().await;
    assert!(ruled(runtime.admit(event(A)).await).log.is_empty());
    assert_eq!(ruled(runtime.admit(event(B)).await).log.len(), 2);
    let quiet = broken(runtime.decide(event(A), None).await).reason;
    assert_eq!(quiet, "it trapped: wasm `unreachable` instruction executed");
    let loud = broken(runtime.decide(event(B), None).await).reason;
    assert!(loud.contains("its last words: ") && loud.contains("secret"), "{loud}");
}
