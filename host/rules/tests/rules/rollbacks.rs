//! Back to the version before: at once, for everybody who shares the directory, and for as long as the bad one lies there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::json;
use xnovu_domain::Verdict;
use xnovu_rules::{BindingState, RollbackError, Rules, Runtime, RuntimeOptions, State, Subject};

use crate::support::components::{contract, stub};
use crate::support::{A, B, Plugins, broken, compiler, entry, event, event_with, guests, id, ruled};

const PATIENT: &str = "limits = { wall_ms = 10_000 }";

/// How long a roll-back may take, with room for a busy machine; the bench holds it to 10 ms.
const AT_ONCE: Duration = Duration::from_secs(5);

fn subject(enterprise: &str) -> Subject {
    enterprise.parse().unwrap()
}

async fn decides(runtime: &Runtime, enterprise: &str) -> (String, String) {
    let ruled = ruled(runtime.admit(event(enterprise)).await);
    match ruled.answer {
        Verdict::Drop { reason } => (reason.to_string(), ruled.stamp.version),
        other => panic!("not dropped: {other:?}"),
    }
}

fn state(runtime: &Runtime, enterprise: &str) -> State {
    runtime.standings().into_iter().find(|standing| standing.enterprise == enterprise).unwrap().state
}

/// Binds A and B to `p` with a config that drops for this reason.
fn bind(plugins: &Plugins, reason: &str) {
    let config = format!("{{ admit = \"drop:{reason}\" }}");
    plugins.bind(&(entry(A, "p", PATIENT, &config) + &entry(B, "p", PATIENT, &config)));
}

/// A runtime that ran version 1.0.0 for the reason `one` and now runs 2.0.0 for the reason `two`.
async fn two_versions() -> (Plugins, Runtime) {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    bind(&plugins, "one");
    let (runtime, _) = plugins.open().await;
    plugins.put("p", "2.0.0", guests::hostile_wasi());
    bind(&plugins, "two");
    let report = runtime.reconcile().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(decides(&runtime, A).await, ("two".to_owned(), "2.0.0".to_owned()));
    (plugins, runtime)
}

fn one() -> (String, String) {
    ("one".to_owned(), "1.0.0".to_owned())
}

#[tokio::test]
async fn the_version_before_decides_at_once_and_for_that_enterprise_only() {
    let (_plugins, runtime) = two_versions().await;
    let started = Instant::now();
    let rolled = runtime.rollback(&subject(A)).await.unwrap();
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    assert_eq!((rolled.from.version.as_str(), rolled.to.version.as_str()), ("2.0.0", "1.0.0"));
    assert_eq!(decides(&runtime, A).await, one());
    assert_eq!(decides(&runtime, B).await.1, "2.0.0");
    assert_eq!((state(&runtime, A), state(&runtime, B)), (State::RolledBack, State::Ready));
    let report = runtime.reconcile().await;
    assert!(report.is_clean() && !report.changed, "the choice is what is written: {report}");
    assert_eq!(decides(&runtime, A).await, one());
}

#[tokio::test]
async fn a_roll_back_survives_a_restart_and_reaches_a_machine_that_never_ran_that_version() {
    let (plugins, runtime) = two_versions().await;
    runtime.rollback(&subject(A)).await.unwrap();
    drop(runtime);
    let (runtime, report) = plugins.open().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((decides(&runtime, A).await, state(&runtime, A)), (one(), State::RolledBack));
    assert!(matches!(runtime.rollback(&subject(A)).await, Err(RollbackError::Already(..))));

    let elsewhere = tempfile::tempdir().unwrap();
    let options = RuntimeOptions::new(plugins.path(), elsewhere.path().join("state/compiled"), compiler());
    let (stranger, report) = Runtime::open(options).await.unwrap();
    assert_eq!((decides(&stranger, A).await, state(&stranger, A)), (one(), State::RolledBack), "{report}");
    bind(&plugins, "three");
    stranger.reconcile().await;
    assert_eq!(decides(&stranger, A).await, ("three".to_owned(), "1.0.0".to_owned()));
}

#[tokio::test]
async fn roll_backs_at_once_are_all_written_down() {
    let (plugins, runtime) = two_versions().await;
    let (other, _) = plugins.open().await;
    for _ in 0..10 {
        let (a, b) = (subject(A), subject(B));
        let (one, two) = tokio::join!(runtime.rollback(&a), other.rollback(&b));
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        for runtime in [&runtime, &other] {
            assert!(runtime.reconcile().await.is_clean());
            assert_eq!([state(runtime, A), state(runtime, B)], [State::RolledBack; 2]);
        }
        let (one, two) = tokio::join!(other.undo_rollback(&a), runtime.undo_rollback(&b));
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        for runtime in [&runtime, &other] {
            runtime.reconcile().await;
            assert_eq!([state(runtime, A), state(runtime, B)], [State::Ready; 2]);
        }
    }
}

#[tokio::test]
async fn a_version_whose_component_is_lost_is_not_rolled_back_to_as_that_would_end_with_the_process() {
    let (plugins, runtime) = two_versions().await;
    let kept = plugins.cached("_1.0.0.wasm");
    assert_eq!(kept.len(), 1);
    fs::write(&kept[0], "damaged").unwrap();
    let refused = runtime.rollback(&subject(A)).await;
    assert!(matches!(refused, Err(RollbackError::ComponentLost(_))), "{refused:?}");
    assert_eq!((decides(&runtime, A).await.1.as_str(), state(&runtime, A)), ("2.0.0", State::Ready));
    assert!(!plugins.path().join("bindings.lock.toml").exists());
}

#[tokio::test]
async fn another_process_follows_when_it_sees_the_file() {
    let (plugins, runtime) = two_versions().await;
    let (other, _) = plugins.open().await;
    runtime.rollback(&subject(A)).await.unwrap();
    assert_eq!(decides(&other, A).await.1, "2.0.0");
    let report = other.reconcile().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(decides(&other, A).await, one());
    runtime.undo_rollback(&subject(A)).await.unwrap();
    other.reconcile().await;
    assert_eq!(decides(&other, A).await.1, "2.0.0");
}

#[tokio::test]
async fn undone_the_directory_decides_again() {
    let (_plugins, runtime) = two_versions().await;
    assert!(matches!(runtime.undo_rollback(&subject(A)).await, Err(RollbackError::NotRolledBack(_))));
    runtime.rollback(&subject(A)).await.unwrap();
    assert!(runtime.undo_rollback(&subject(A)).await.unwrap().is_clean());
    assert_eq!((decides(&runtime, A).await.1.as_str(), state(&runtime, A)), ("2.0.0", State::Ready));
    runtime.rollback(&subject(A)).await.unwrap();
    assert_eq!(decides(&runtime, A).await, one(), "and back once more");
}

#[tokio::test]
async fn what_was_rolled_back_from_does_not_decide_however_often_the_version_before_fails() {
    let plugins = Plugins::new();
    // A large notification becomes too large an answer of the version before.
    let more = "on_error = \"drop\"\nlimits = { wall_ms = 10_000, output_bytes = 1024 }";
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&entry(A, "p", more, "{}"));
    let (runtime, _) = plugins.open().await;
    plugins.put("p", "2.0.0", guests::hostile_wasi());
    plugins.bind(&entry(A, "p", more, "{ admit = \"drop:two\" }"));
    runtime.reconcile().await;
    runtime.rollback(&subject(A)).await.unwrap();
    for again in [false, true] {
        if again {
            runtime.reconcile().await;
        }
        for _ in 0..10 {
            let large = event_with(A, &json!({"text": "x".repeat(2000)}));
            let failed = broken(runtime.decide(large, None).await);
            assert_eq!(failed.stamp.unwrap().version, "1.0.0");
        }
        assert_eq!(state(&runtime, A), State::Suspended);
    }
}

#[tokio::test]
async fn a_newer_good_component_ends_it_and_a_newer_bad_one_does_not() {
    let (plugins, runtime) = two_versions().await;
    runtime.rollback(&subject(A)).await.unwrap();
    plugins.put("p", "3.0.0", b"no component");
    runtime.reconcile().await;
    assert_eq!((decides(&runtime, A).await, state(&runtime, A)), (one(), State::LastGood));
    plugins.put("p", "4.0.0", guests::hostile());
    let report = runtime.reconcile().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((decides(&runtime, A).await.1.as_str(), state(&runtime, A)), ("4.0.0", State::Ready));
    plugins.put("p", "2.0.0", guests::hostile_wasi());
    runtime.reconcile().await;
    assert_eq!(state(&runtime, A), State::RolledBack, "what was rolled back from does not come back by itself");
}

#[tokio::test]
async fn a_config_can_be_rolled_back_and_an_edit_of_it_ends_that() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    bind(&plugins, "one");
    let (runtime, _) = plugins.open().await;
    bind(&plugins, "two");
    runtime.reconcile().await;
    runtime.rollback(&subject(A)).await.unwrap();
    assert_eq!((decides(&runtime, A).await.0.as_str(), decides(&runtime, B).await.0.as_str()), ("one", "two"));
    bind(&plugins, "three");
    runtime.reconcile().await;
    assert_eq!((decides(&runtime, A).await.0.as_str(), state(&runtime, A)), ("three", State::Ready));
}

#[tokio::test]
async fn what_cannot_be_rolled_back_says_why() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    bind(&plugins, "one");
    let (runtime, _) = plugins.open().await;
    assert!(matches!(runtime.rollback(&subject(A)).await, Err(RollbackError::NoPrevious(_))));
    assert!(matches!(runtime.rollback(&subject("*")).await, Err(RollbackError::NotBound(_))));
    assert!(!plugins.path().join("bindings.lock.toml").exists());
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_refuses_and_nothing_changes() {
    let (plugins, runtime) = two_versions().await;
    // Root may write anywhere, but not into a directory that is a file.
    fs::write(plugins.path().join(".locked"), "").unwrap();
    fs::set_permissions(plugins.path(), Permissions::from_mode(0o555)).unwrap();
    let refused = runtime.rollback(&subject(A)).await;
    fs::set_permissions(plugins.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(refused, Err(RollbackError::Unwritable { .. })), "{refused:?}");
    assert_eq!((decides(&runtime, A).await.1.as_str(), state(&runtime, A)), ("2.0.0", State::Ready));
}

#[tokio::test]
async fn a_roll_back_does_not_wait_for_a_reload_and_outlasts_it() {
    let (plugins, runtime) = two_versions().await;
    // B gets something to be compiled meanwhile.
    let world = "world more { include rules; export extra: func(); }";
    plugins.put("q", "1.0.0", &stub(&[&(contract() + world)], "more"));
    plugins.bind(
        &(entry(A, "p", PATIENT, "{ admit = \"drop:two\" }") + &entry(B, "q", PATIENT, "{ admit = \"drop:two\" }")),
    );
    let a = subject(A);
    let (report, rolled) = tokio::join!(runtime.reconcile(), runtime.rollback(&a));
    rolled.unwrap();
    assert!(report.to_string().contains("q cannot check its config"), "{report}");
    assert_eq!(decides(&runtime, A).await, one());
    runtime.reconcile().await;
    assert_eq!(decides(&runtime, A).await, one());
}

#[tokio::test]
async fn the_version_before_a_restart_can_be_rolled_back_to() {
    let (plugins, runtime) = two_versions().await;
    drop(runtime);
    let (runtime, _) = plugins.open().await;
    assert_eq!(decides(&runtime, A).await.1, "2.0.0");
    runtime.rollback(&subject(A)).await.unwrap();
    assert_eq!(decides(&runtime, A).await, one());
}

#[tokio::test]
async fn what_was_good_before_a_restart_goes_on_while_what_lies_there_is_bad() {
    let (plugins, runtime) = two_versions().await;
    drop(runtime);
    fs::write(plugins.component_path("p"), "no component").unwrap();
    let (runtime, report) = plugins.open().await;
    assert!(!report.is_clean());
    assert_eq!((decides(&runtime, A).await.1.as_str(), state(&runtime, A)), ("2.0.0", State::LastGood));
    assert!(matches!(runtime.binding(&id(A)).unwrap().state, BindingState::LastGood { .. }));
}
