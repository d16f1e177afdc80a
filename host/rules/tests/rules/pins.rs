//! A retry is decided as its first attempt was, for as long as that can be had.

use xnovu_domain::Verdict;
use xnovu_rules::{Digest, Pin, Rules, Runtime, Stamp};

use crate::support::{A, B, Plugins, entry, event, guests, ruled};

const PATIENT: &str = "limits = { wall_ms = 10_000 }";

async fn decide(runtime: &Runtime, enterprise: &str, pin: Option<&Pin>) -> (String, Stamp) {
    let ruled = ruled(runtime.decide(event(enterprise), pin).await);
    match ruled.answer.verdict {
        Verdict::Drop { reason } => (reason.to_string(), ruled.stamp),
        other => panic!("not dropped: {other:?}"),
    }
}

/// A runtime that drops with the reason `old`, and what it takes to have that again.
async fn old() -> (Plugins, Runtime, Pin) {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"drop:old\" }"));
    let (runtime, _) = plugins.open().await;
    let pin = decide(&runtime, A, None).await.1.pin();
    (plugins, runtime, pin)
}

/// Another component and another config are in force.
fn renew(plugins: &Plugins) {
    plugins.put("p", "2.0.0", guests::hostile_wasi());
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"drop:new\" }"));
}

#[tokio::test]
async fn what_is_in_force_answers_to_its_own_pin() {
    let (_plugins, runtime, pin) = old().await;
    assert_eq!(decide(&runtime, A, Some(&pin)).await.0, "old");
}

#[tokio::test]
async fn a_pin_is_honoured_after_a_reload() {
    let (plugins, runtime, pin) = old().await;
    renew(&plugins);
    runtime.reconcile().await;
    assert_eq!(decide(&runtime, A, None).await.0, "new");
    for _ in 0..2 {
        let (reason, stamp) = decide(&runtime, A, Some(&pin)).await;
        assert_eq!((reason.as_str(), stamp.version.as_str(), stamp.pin()), ("old", "1.0.0", pin));
    }
}

#[tokio::test]
async fn a_pin_is_honoured_after_a_restart() {
    let (plugins, runtime, pin) = old().await;
    drop(runtime);
    renew(&plugins);
    let (runtime, _) = plugins.open().await;
    assert_eq!(decide(&runtime, A, None).await.0, "new");
    let (reason, stamp) = decide(&runtime, A, Some(&pin)).await;
    assert_eq!((reason.as_str(), stamp.plugin.as_str(), stamp.version.as_str()), ("old", "p", "1.0.0"));
}

#[tokio::test]
async fn a_pin_is_honoured_while_what_lies_there_is_broken() {
    let (plugins, runtime, pin) = old().await;
    drop(runtime);
    std::fs::write(plugins.component_path("p"), "").unwrap();
    let (runtime, _) = plugins.open().await;
    let ruled = ruled(runtime.decide(event(A), Some(&pin)).await);
    assert_eq!(ruled.stamp.pin(), pin);
}

#[tokio::test]
async fn a_pin_nobody_knows_gives_way_to_what_is_in_force() {
    let (_plugins, runtime, pin) = old().await;
    let unknown = Digest::of(b"unknown");
    for lost in [Pin { digest: unknown, ..pin }, Pin { config_hash: unknown, ..pin }] {
        let (reason, stamp) = decide(&runtime, A, Some(&lost)).await;
        assert_eq!((reason.as_str(), stamp.pin()), ("old", pin));
    }
}

#[tokio::test]
async fn a_config_is_pinned_for_its_own_enterprise_only() {
    let (plugins, runtime, pin) = old().await;
    plugins.bind(
        &(entry(A, "p", PATIENT, "{ admit = \"drop:old\" }") + &entry(B, "p", PATIENT, "{ admit = \"drop:b\" }")),
    );
    runtime.reconcile().await;
    assert_eq!(decide(&runtime, B, Some(&pin)).await.0, "b");
}
