//! Rules that fail too often give way, and come back by themselves.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use xnovu_domain::{Event, Verdict};
use xnovu_rules::{BrokenKind, FailurePolicy, RetryWaits, Rules, Ruling, Runtime, RuntimeOptions, State};

use crate::support::{A, B, Plugins, broken, entry, event, event_with, guests, ruled};

const PATIENT: &str = "limits = { wall_ms = 10_000 }";

/// Waits no test waits for.
const LONG: RetryWaits = RetryWaits { first: Duration::from_secs(3600), longest: Duration::from_secs(3600) };

/// Waits that are over at once.
const SHORT: RetryWaits = RetryWaits { first: Duration::ZERO, longest: Duration::ZERO };

async fn open(plugins: &Plugins, retry: RetryWaits) -> Runtime {
    Runtime::open(RuntimeOptions { retry, ..plugins.options() }).await.unwrap().0
}

fn state(runtime: &Runtime) -> State {
    runtime.standings().into_iter().find(|standing| standing.enterprise == A).unwrap().state
}

/// A plugin that was good and then traps on everything.
async fn good_then_trapping() -> (Plugins, Runtime) {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"drop:good\" }"));
    let runtime = open(&plugins, LONG).await;
    plugins.put("p", "2.0.0", guests::hostile_wasi());
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"panic:oh dear\" }"));
    let report = runtime.reconcile().await;
    assert!(report.is_clean(), "a trap may be about the one notification: {report}");
    (plugins, runtime)
}

async fn version_that_drops(runtime: &Runtime) -> String {
    let ruled = ruled(runtime.admit(event(A)).await);
    assert!(matches!(&ruled.answer, Verdict::Drop { reason } if reason.as_str() == "good"), "{:?}", ruled.answer);
    ruled.stamp.version
}

#[tokio::test]
async fn a_version_that_traps_too_often_gives_way_to_the_last_good_one() {
    let (plugins, runtime) = good_then_trapping().await;
    for _ in 0..30 {
        assert_eq!(version_that_drops(&runtime).await, "1.0.0", "what it fails is answered already");
    }
    assert_eq!(state(&runtime), State::Fallback);
    let standing = runtime.standings().remove(0);
    assert_eq!((standing.version.as_deref(), standing.counted.errors), (Some("2.0.0"), 5));
    assert!(standing.failing[0].fallback && standing.reason.unwrap().contains("trapped"));

    plugins.put("p", "3.0.0", guests::hostile());
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"drop:good\", more = \"new\" }"));
    runtime.reconcile().await;
    assert_eq!((version_that_drops(&runtime).await.as_str(), state(&runtime)), ("3.0.0", State::Ready));
    runtime.rollback(&A.parse().unwrap()).await.unwrap();
    assert_eq!(version_that_drops(&runtime).await, "1.0.0", "what failed is not gone back to");
}

/// Two hundred calls, all of them made before the first is answered.
async fn two_hundred_at_once(runtime: &Runtime) -> Vec<Ruling<Verdict>> {
    join_all((0..200).map(|_| runtime.admit(event(A)))).await
}

#[tokio::test]
async fn with_a_last_good_version_none_of_many_calls_at_once_is_left_to_the_policy() {
    let (_plugins, runtime) = good_then_trapping().await;
    for ruling in two_hundred_at_once(&runtime).await {
        assert_eq!(ruled(ruling).stamp.version, "1.0.0");
    }
    let standing = runtime.standings().remove(0);
    assert_eq!(
        (standing.state, standing.counted.errors),
        (State::Fallback, 5),
        "it is asked five times, however many wait"
    );
}

#[tokio::test]
async fn without_a_last_good_version_five_of_many_calls_at_once_are_evaluated() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"panic:oh dear\" }"));
    let runtime = open(&plugins, LONG).await;
    let kinds = two_hundred_at_once(&runtime).await.into_iter().map(|ruling| broken(ruling).kind);
    let (trapped, others): (Vec<_>, Vec<_>) = kinds.partition(|kind| *kind == BrokenKind::Trap);
    assert_eq!((trapped.len(), others.iter().all(|kind| *kind == BrokenKind::Suspended)), (5, true), "{others:?}");
}

/// A notification that becomes too large an answer under [`SMALL_ANSWERS`].
fn large() -> Event {
    event_with(A, &json!({"text": "x".repeat(2000)}))
}

const SMALL_ANSWERS: &str = "limits = { wall_ms = 10_000, output_bytes = 1024 }";

#[tokio::test]
async fn once_a_version_has_proved_good_the_policy_decides_what_it_fails_until_it_fails_too_often() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&entry(A, "p", SMALL_ANSWERS, "{ admit = \"drop:good\" }"));
    let runtime = open(&plugins, LONG).await;
    plugins.put("p", "2.0.0", guests::hostile_wasi());
    plugins.bind(&entry(A, "p", SMALL_ANSWERS, "{}"));
    runtime.reconcile().await;
    let version = async |event| ruled(runtime.decide(event, None).await).stamp.version;
    assert_eq!(version(large()).await, "1.0.0", "nothing speaks for it yet");
    for _ in 0..20 {
        assert_eq!(version(event(A)).await, "2.0.0");
    }
    for _ in 0..4 {
        assert_eq!(broken(runtime.decide(large(), None).await).kind, BrokenKind::OutputTooLarge);
    }
    assert_eq!(version(large()).await, "1.0.0", "one was too many");
    assert_eq!(state(&runtime), State::Fallback);
}

#[tokio::test]
async fn a_version_that_has_answered_little_does_not_take_the_place_of_the_last_good_one() {
    let (plugins, runtime) = good_then_trapping().await;
    for number in 3..6 {
        // A failure or two and then the next one, as from an author in a hurry.
        version_that_drops(&runtime).await;
        plugins.put("p", &format!("{number}.0.0"), guests::hostile_wasi());
        plugins.bind(&entry(A, "p", PATIENT, &format!("{{ admit = \"panic:number {number}\" }}")));
        assert!(runtime.reconcile().await.is_clean());
    }
    for ruling in two_hundred_at_once(&runtime).await {
        assert_eq!(ruled(ruling).stamp.version, "1.0.0");
    }
    assert_eq!(runtime.rollback(&A.parse().unwrap()).await.unwrap().to.version, "1.0.0");
}

#[tokio::test]
async fn the_last_good_version_outlives_a_restart() {
    let (plugins, runtime) = good_then_trapping().await;
    version_that_drops(&runtime).await;
    drop(runtime);
    let runtime = open(&plugins, LONG).await;
    for ruling in two_hundred_at_once(&runtime).await {
        assert_eq!(ruled(ruling).stamp.version, "1.0.0");
    }
    assert_eq!(state(&runtime), State::Fallback);
}

#[tokio::test]
async fn a_version_that_has_proved_good_is_fallen_back_to_after_any_number_of_bad_ones_and_restarts() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"drop:good\" }"));
    let runtime = open(&plugins, LONG).await;
    for _ in 0..20 {
        ruled(runtime.decide(event(A), None).await);
    }
    drop(runtime);
    for number in 2..5 {
        plugins.put("p", &format!("{number}.0.0"), guests::hostile_wasi());
        plugins.bind(&entry(A, "p", PATIENT, &format!("{{ admit = \"panic:number {number}\" }}")));
        let runtime = open(&plugins, LONG).await;
        assert_eq!(version_that_drops(&runtime).await, "1.0.0");
    }
    // One that hangs on anything is not even begun with, since a better one is known.
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"loop\" }"));
    let (runtime, report) = plugins.open().await;
    assert!(report.to_string().contains("p fails on a plain notification"), "{report}");
    assert_eq!((version_that_drops(&runtime).await.as_str(), state(&runtime)), ("1.0.0", State::LastGood));
}

#[tokio::test]
async fn a_last_good_version_that_runs_out_of_time_holds_whatever_the_policy() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    let more = "on_error = \"drop\"\nlimits = { wall_ms = 50, fuel = 10_000_000_000 }";
    plugins.bind(&entry(A, "p", more, "{ admit = \"loop\" }"));
    let runtime = open(&plugins, LONG).await;
    plugins.put("p", "2.0.0", guests::hostile_wasi());
    plugins.bind(&entry(A, "p", more, "{ admit = \"panic:oh dear\" }"));
    runtime.reconcile().await;
    for _ in 0..12 {
        let broken = broken(runtime.admit(event(A)).await);
        assert_eq!(broken.applied_policy(), FailurePolicy::Hold, "{broken:?}");
    }
    assert_eq!(state(&runtime), State::Suspended);
}

#[tokio::test]
async fn the_last_good_version_answers_within_the_limits_and_the_privacy_in_force() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    let loud = format!("log_guest = true\n{PATIENT}");
    plugins.bind(&entry(A, "p", &loud, "{ admit = \"log:2x3\" }"));
    let runtime = open(&plugins, LONG).await;
    assert_eq!(ruled(runtime.admit(event(A)).await).log.len(), 2);
    plugins.put("p", "2.0.0", guests::hostile_wasi());
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"panic:oh dear\" }"));
    runtime.reconcile().await;
    let answered = ruled(runtime.admit(event(A)).await);
    assert_eq!((answered.stamp.version.as_str(), answered.log.len()), ("1.0.0", 0), "nobody may read its log any more");
}

#[tokio::test]
async fn without_a_last_good_version_the_policy_decides_and_nothing_is_evaluated() {
    for (policy, expected) in
        [("hold", FailurePolicy::Hold), ("deliver", FailurePolicy::Deliver), ("drop", FailurePolicy::Drop)]
    {
        let plugins = Plugins::new();
        plugins.put("p", "1.0.0", guests::hostile());
        plugins.bind(&entry(A, "p", &format!("{PATIENT}\non_error = \"{policy}\""), "{ admit = \"panic:oh dear\" }"));
        let runtime = open(&plugins, LONG).await;
        for _ in 0..5 {
            assert_eq!(broken(runtime.admit(event(A)).await).kind, BrokenKind::Trap);
        }
        let suspended = broken(runtime.admit(event(A)).await);
        assert_eq!((suspended.kind, suspended.applied_policy()), (BrokenKind::Suspended, expected));
        // What the rules said was about another notification.
        let want = "its rules are suspended, because they failed too often; the last failure: it trapped";
        assert_eq!(suspended.reason, want);
        assert_eq!(runtime.standings()[0].failing[0].reason, "its calls fail too often; the last failure: it trapped");
        assert_eq!((state(&runtime), runtime.standings()[0].counted.errors), (State::Suspended, 5));
    }
}

#[tokio::test]
async fn time_that_ran_out_holds_whatever_the_policy_also_when_nothing_is_evaluated_any_more() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    let more = "on_error = \"drop\"\nlimits = { wall_ms = 1, fuel = 10_000_000_000 }";
    plugins.bind(&entry(A, "p", more, "{ admit = \"loop\" }"));
    let runtime = open(&plugins, LONG).await;
    // A check of the config that was itself too slow for a millisecond leaves it held as well, and tells nothing here.
    if state(&runtime) == State::NotLoaded {
        plugins.bind(&entry(A, "p", &more.replace("wall_ms = 1", "wall_ms = 50"), "{ admit = \"loop\" }"));
        runtime.reconcile().await;
    }
    for _ in 0..6 {
        let broken = broken(runtime.admit(event(A)).await);
        assert!(matches!(broken.kind, BrokenKind::TimedOut | BrokenKind::Suspended), "{broken:?}");
        assert_eq!(broken.applied_policy(), FailurePolicy::Hold);
    }
    assert_eq!(state(&runtime), State::Suspended);
}

#[tokio::test]
async fn what_the_rule_says_itself_and_what_the_row_is_to_blame_for_suspends_nothing() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(
        &(entry(A, "p", PATIENT, "{ admit = \"error:not mine\" }")
            + &entry(B, "p", "limits = { wall_ms = 10_000, input_bytes = 1024 }", "{}")),
    );
    let runtime = open(&plugins, LONG).await;
    for _ in 0..20 {
        assert_eq!(broken(runtime.admit(event(A)).await).kind, BrokenKind::RuleError);
        let large = event_with(B, &json!({"text": "x".repeat(2000)}));
        assert!(matches!(broken(runtime.admit(large).await).kind, BrokenKind::InputTooLarge { .. }));
    }
    assert!(runtime.standings().iter().all(|standing| standing.state == State::Ready));
}

#[tokio::test]
async fn a_version_that_answers_again_decides_again() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    // A large notification becomes too large an answer, a small one does not.
    plugins.bind(&entry(A, "p", SMALL_ANSWERS, "{ transform = \"ok\" }"));
    let runtime = open(&plugins, SHORT).await;
    for _ in 0..8 {
        assert_eq!(broken(runtime.decide(large(), None).await).kind, BrokenKind::OutputTooLarge);
    }
    assert_eq!(state(&runtime), State::Suspended);
    assert!(matches!(runtime.decide(event(A), None).await, Ruling::Ruled(_)), "the wait is over, so it is tried");
    assert_eq!(state(&runtime), State::Ready);
}

#[tokio::test]
async fn a_new_version_that_hangs_on_anything_is_refused_while_a_good_one_runs() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"drop:good\" }"));
    let runtime = open(&plugins, LONG).await;
    for act in ["admit = \"loop\"", "transform = \"loop\"", "admit = \"grow:1073741824\""] {
        plugins.bind(&entry(A, "p", PATIENT, &format!("{{ {act} }}")));
        let report = runtime.reconcile().await;
        assert!(report.to_string().contains("p fails on a plain notification: it "), "{act}: {report}");
        assert_eq!((version_that_drops(&runtime).await.as_str(), state(&runtime)), ("1.0.0", State::LastGood));
    }
}

#[tokio::test]
async fn under_a_star_one_enterprise_that_fails_suspends_no_other() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", guests::hostile());
    plugins.bind(&entry("*", "p", SMALL_ANSWERS, "{}"));
    let runtime = open(&plugins, LONG).await;
    for _ in 0..6 {
        broken(runtime.decide(large(), None).await);
    }
    assert_eq!(broken(runtime.decide(event(A), None).await).kind, BrokenKind::Suspended);
    assert!(matches!(runtime.decide(event(B), None).await, Ruling::Ruled(_)));
    let standing = runtime.standings().remove(0);
    assert_eq!((standing.enterprise.as_str(), standing.failing.len()), ("*", 1));
    assert_eq!(standing.failing[0].enterprise, A);
}
