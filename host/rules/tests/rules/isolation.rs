//! No evaluation sees another, none changes with time or place, and none holds up another enterprise.

use std::time::Duration;

use serde_json::json;
use xnovu_domain::{Origin, Priority, Verdict};
use xnovu_rules::{BrokenKind, Limits, Rules};

use crate::support::{A, B, Plugins, broken, entry, event, event_with, guests, hostile, id, payloads, ruled};

fn patient() -> Limits {
    Limits { wall_ms: 10_000, ..Limits::default() }
}

#[test]
fn a_thousand_instances_each_begin_at_nothing() {
    let trial = hostile(json!({"admit": "count"}), patient());
    let counts: Vec<_> = (0..1000).map(|_| trial.admit(event(A)).answer.unwrap()).collect();
    let zero = Verdict::Deliver { priority: Some(Priority::new(0).unwrap()) };
    assert!(counts.iter().all(|count| *count == zero), "{counts:?}");
}

#[test]
fn admit_and_transform_share_one_instance_and_no_more() {
    let trial = hostile(json!({"admit": "count", "transform": "count"}), patient());
    for _ in 0..100 {
        assert_eq!(payloads(&trial.decide(event(A)).answer.unwrap()), [r#"{"calls":1}"#]);
    }
}

#[test]
fn what_is_not_delivered_is_not_transformed() {
    let decided =
        hostile(json!({"admit": "drop:no", "transform": "panic:no"}), patient()).decide(event(A)).answer.unwrap();
    assert_eq!((decided.verdict.word(), decided.messages), ("drop", None));
}

#[test]
fn the_same_event_gets_the_same_answer_for_the_same_fuel() {
    let seen = || {
        let tried = hostile(json!({"admit": "seen"}), patient()).admit(event(A));
        (tried.answer.unwrap(), tried.fuel)
    };
    let first = seen();
    for _ in 0..20 {
        assert_eq!(std::thread::spawn(seen).join().unwrap(), first);
    }
}

#[test]
fn a_component_sees_the_row_and_nothing_else() {
    let tried = hostile(json!({"admit": "seen"}), patient()).admit(event_with(A, &json!({"a": 1})));
    let Verdict::Drop { reason } = tried.answer.unwrap() else { panic!("not dropped") };
    let want = format!(
        "Origin::Realtime now=1767225600000 seed={} id=7 enterprise={A} name=invoice 7 workflow=invoice",
        event(A).seed
    );
    assert!(reason.as_str().starts_with(&want), "{reason}");
    assert_eq!(event(A).origin, Origin::Realtime);
}

#[test]
fn civil_time_comes_from_the_host() {
    let reason = |act: &str| match hostile(json!({ "admit": act }), patient()).admit(event(A)).answer.unwrap() {
        Verdict::Drop { reason } => reason.to_string(),
        other => panic!("not dropped: {other:?}"),
    };
    let local = reason("local:Asia/Shanghai");
    assert!(local.contains("year: 2026, month: 1, day: 1, hour: 8, minute: 0, second: 0, weekday: 4"), "{local}");
    assert_eq!(reason("next:Asia/Shanghai"), "Ok(1767231000000.0)");
    assert_eq!(reason("local:Asia/Atlantis"), "Err(\"\\\"Asia/Atlantis\\\" is no time zone of the IANA database\")");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enterprise_that_burns_all_its_time_does_not_hold_up_another() {
    let plugins = Plugins::new();
    plugins.put("hostile", "1.0.0", guests::hostile());
    let burns = "limits = { fuel = 10_000_000_000, wall_ms = 200 }";
    plugins.bind(
        &(entry(A, "hostile", burns, "{ admit = \"loop\" }")
            + &entry(B, "hostile", "limits = { wall_ms = 10_000 }", "{}")),
    );
    let (runtime, report) = plugins.open().await;
    assert!(report.is_clean(), "{report}");
    // One lane never holds both threads: what B asks is answered while most of A's five evaluations still wait.
    let slow = async {
        let all = (0..5).map(|_| runtime.admit(event(A)));
        let mut all: Vec<_> = all.map(Box::pin).collect();
        let mut kinds = Vec::new();
        for one in &mut all {
            kinds.push(broken(one.await).kind);
        }
        kinds
    };
    let quick = async {
        for _ in 0..20 {
            ruled(runtime.admit(event(B)).await);
        }
        std::time::Instant::now()
    };
    let (kinds, quick_done, slow_done) = {
        let slow = async { (slow.await, std::time::Instant::now()) };
        let ((kinds, slow_done), quick_done) = tokio::join!(slow, quick);
        (kinds, quick_done, slow_done)
    };
    assert_eq!(kinds, [BrokenKind::TimedOut; 5]);
    assert!(slow_done.saturating_duration_since(quick_done) > Duration::from_millis(200), "B waited for A");
}

#[tokio::test]
async fn an_enterprise_without_rules_is_unbound() {
    let plugins = Plugins::new();
    let (runtime, _) = plugins.open().await;
    assert!(runtime.binding(&id(A)).is_none());
    assert!(matches!(runtime.admit(event(A)).await, xnovu_rules::Ruling::Unbound));
    assert!(matches!(runtime.decide(event(A), None).await, xnovu_rules::Ruling::Unbound));
}
