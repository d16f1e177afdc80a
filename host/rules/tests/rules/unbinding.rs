//! When a `bindings.toml` that names fewer than before is believed, and who is held where it is missing.

use std::fs;
use std::time::Duration;

use xnovu_domain::Verdict;
use xnovu_rules::{BindingState, BrokenKind, FailurePolicy, OpenError, Report, Rules, Ruling, Runtime, RuntimeOptions};

use crate::support::{A, B, Plugins, broken, entry, event, guests, id, ruled};

const PATIENT: &str = "on_error = \"drop\"\nlimits = { wall_ms = 10_000 }";

/// Longer than any of these tests takes.
const HOUR: Duration = Duration::from_secs(3_600);

fn one(enterprise: &str, says: &str) -> String {
    entry(enterprise, "p", PATIENT, &format!("{{ admit = \"drop:{says}\" }}"))
}

/// A directory whose plugin `p` drops what comes for A and for B.
fn dropping() -> Plugins {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&(one(A, "first") + &one(B, "first")));
    plugins
}

async fn open(plugins: &Plugins, unbind_after: Duration) -> (Runtime, Report) {
    Runtime::open(RuntimeOptions { unbind_after, ..plugins.options() }).await.unwrap()
}

async fn reason(runtime: &Runtime, enterprise: &str) -> String {
    match ruled(runtime.admit(event(enterprise)).await).answer {
        Verdict::Drop { reason } => reason.to_string(),
        other => panic!("not dropped: {other:?}"),
    }
}

async fn assert_held(runtime: &Runtime, enterprise: &str) {
    let broken = broken(runtime.admit(event(enterprise)).await);
    assert_eq!((broken.kind, broken.policy), (BrokenKind::NotLoaded, FailurePolicy::Hold), "{}", broken.reason);
}

#[tokio::test]
async fn a_half_written_file_takes_nobodys_rules_away_and_changes_nobodys() {
    let plugins = dropping();
    let (runtime, _) = open(&plugins, HOUR).await;
    for half in [one(A, "second"), String::new()] {
        plugins.bind(&half);
        let report = runtime.reconcile().await;
        assert!(report.to_string().contains(" no more and may not be whole; what it said last goes on"), "{report}");
        assert!(report.again.is_some_and(|again| again <= HOUR), "{report:?}");
        assert_eq!((reason(&runtime, A).await, reason(&runtime, B).await), ("first".to_owned(), "first".to_owned()));
    }
    plugins.bind(&(one(A, "second") + &one(B, "second")));
    let report = runtime.reconcile().await;
    assert!(report.is_clean() && report.again.is_none(), "{report}");
    assert_eq!((reason(&runtime, A).await, reason(&runtime, B).await), ("second".to_owned(), "second".to_owned()));
}

#[tokio::test]
async fn an_enterprise_that_is_taken_out_has_no_rules_once_the_file_has_been_left_alone_and_none_after_a_start() {
    let plugins = dropping();
    let (runtime, _) = open(&plugins, Duration::from_secs(1)).await;
    plugins.bind(&one(A, "second"));
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while let Some(again) = runtime.reconcile().await.again {
            assert!(runtime.binding(&id(B)).is_some());
            tokio::time::sleep(again).await;
        }
    });
    waited.await.expect("it was never believed");
    assert!(runtime.binding(&id(B)).is_none());
    assert_eq!(reason(&runtime, A).await, "second");
    drop(runtime);
    let (runtime, report) = open(&plugins, HOUR).await;
    assert!(report.is_clean(), "{report}");
    assert!(matches!(runtime.admit(event(B)).await, Ruling::Unbound), "it was unbound before");
}

#[tokio::test]
async fn a_start_without_the_file_holds_who_had_rules_and_nobody_else() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&one(A, "first"));
    drop(plugins.open().await);
    fs::remove_file(plugins.path().join("bindings.toml")).unwrap();
    for _ in 0..2 {
        let (runtime, report) = plugins.open().await;
        assert!(report.to_string().contains("put an empty file there to unbind every enterprise"), "{report}");
        assert_held(&runtime, A).await;
        assert!(matches!(runtime.admit(event(B)).await, Ruling::Unbound));
        assert_eq!(runtime.snapshot().enterprises().collect::<Vec<_>>(), [&id(A)], "a daemon serves it still");
    }
    let (runtime, _) = plugins.open().await;
    plugins.bind(&one(A, "second"));
    assert!(runtime.reconcile().await.is_clean());
    assert_eq!(reason(&runtime, A).await, "second");
}

#[tokio::test]
async fn a_start_while_the_file_is_being_written_holds_who_is_not_in_it_yet() {
    let plugins = dropping();
    drop(plugins.open().await);
    plugins.bind(&one(A, "second"));
    let (runtime, report) = open(&plugins, HOUR).await;
    assert!(report.again.is_some(), "{report:?}");
    assert_eq!(reason(&runtime, A).await, "second");
    assert_held(&runtime, B).await;
    let state = runtime.binding(&id(B)).unwrap().state;
    assert!(matches!(&state, BindingState::NotLoaded { reason } if reason.contains("bound no more")), "{state:?}");
    drop(runtime);
    let (runtime, report) = open(&plugins, Duration::ZERO).await;
    assert!(report.is_clean(), "{report}");
    assert!(matches!(runtime.admit(event(B)).await, Ruling::Unbound));
}

#[tokio::test]
async fn a_record_of_who_had_rules_that_cannot_be_read_refuses_a_start() {
    let plugins = dropping();
    drop(plugins.open().await);
    fs::write(plugins.cache().join("bound.json"), "[").unwrap();
    let refused = Runtime::open(plugins.options()).await.map(drop);
    assert!(matches!(&refused, Err(OpenError::Io(error)) if error.to_string().contains("bound.json")), "{refused:?}");
}
