//! Each limit, obeyed and violated, by a component that does as it is told.

use std::time::Duration;

use serde_json::{Value, json};
use xnovu_domain::{Priority, Verdict};
use xnovu_rules::{BrokenKind, Limits, LogLevel};

use crate::support::{A, event, event_with, failure, hostile, payloads};

/// Time for anything a test measures to come to an end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Wall time that no honest evaluation needs, however busy the machine is.
fn patient() -> Limits {
    Limits { wall_ms: 10_000, ..Limits::default() }
}

fn admit(act: &str) -> Value {
    json!({ "admit": act })
}

fn transform(act: &str) -> Value {
    json!({ "transform": act })
}

#[test]
fn fuel_is_enough_or_is_not() {
    let config = admit("burn:10000");
    let used = hostile(config.clone(), patient()).admit(event(A)).fuel;
    assert!((10_000..1_000_000).contains(&used), "{used}");
    let exact = hostile(config.clone(), Limits { fuel: used, ..patient() }).admit(event(A));
    assert_eq!((exact.answer.unwrap(), exact.fuel), (Verdict::Deliver { priority: None }, used));
    // The engine looks at loops and calls, so what comes after the last of them is on the house.
    let limit = used - 1000;
    let short = hostile(config, Limits { fuel: limit, ..patient() }).admit(event(A));
    assert_eq!(failure(short), (BrokenKind::Fuel, format!("it used up its fuel of {limit} (limits.fuel)")));
}

#[test]
fn an_endless_loop_ends_with_its_wall_time() {
    let limits = Limits { fuel: 10_000_000_000, wall_ms: 20, ..Limits::default() };
    let tried = hostile(admit("loop"), limits).admit(event(A));
    assert!(tried.duration >= Duration::from_millis(20), "{:?}", tried.duration);
    assert!(tried.duration < PATIENCE, "{:?}", tried.duration);
    assert_eq!(failure(tried), (BrokenKind::TimedOut, "it ran longer than 20 ms (limits.wall_ms)".to_owned()));
}

#[test]
fn an_endless_loop_ends_with_its_fuel_if_that_is_sooner() {
    let tried = hostile(admit("loop"), Limits { fuel: 100_000, ..patient() }).admit(event(A));
    assert_eq!(failure(tried).0, BrokenKind::Fuel);
}

#[test]
fn memory_is_granted_up_to_the_limit() {
    let config = admit("grow:8388608");
    assert!(hostile(config.clone(), Limits { memory_bytes: 16 << 20, ..patient() }).admit(event(A)).answer.is_ok());
    let (kind, reason) = failure(hostile(config, Limits { memory_bytes: 8 << 20, ..patient() }).admit(event(A)));
    assert_eq!(
        (kind, reason.as_str()),
        (BrokenKind::Memory, "it needs more than 8388608 bytes of memory (limits.memory_bytes)")
    );
}

#[test]
fn a_component_may_live_on_with_a_refusal() {
    assert!(hostile(admit("try-grow:1073741824"), patient()).admit(event(A)).answer.is_ok());
}

#[test]
fn a_component_whose_first_page_is_too_many_does_not_start() {
    let tried = hostile(admit("ok"), Limits { memory_bytes: 64 << 10, ..patient() }).admit(event(A));
    assert_eq!(failure(tried).0, BrokenKind::Memory);
}

#[test]
fn a_bottomless_recursion_traps() {
    let tried = hostile(admit("recurse:1"), patient()).admit(event(A));
    assert_eq!(failure(tried).0, BrokenKind::Trap);
}

#[test]
fn input_is_given_up_to_the_limit() {
    let large = || event_with(A, &json!({ "text": "x".repeat(5000) }));
    let admit = |input_bytes| hostile(json!({}), Limits { input_bytes, ..patient() }).admit(large());
    let (BrokenKind::InputTooLarge { bytes, limit: 1024 }, _) = failure(admit(1024)) else { panic!("not too large") };
    assert!(bytes > 5000);
    assert!(admit(bytes).answer.is_ok());
    let short = failure(admit(bytes - 1));
    let reason = format!("the event has {bytes} bytes; at most {} are given to rules (limits.input_bytes)", bytes - 1);
    assert_eq!(short, (BrokenKind::InputTooLarge { bytes, limit: bytes - 1 }, reason));
}

#[test]
fn a_verdict_is_taken_up_to_the_limit() {
    let tried = |bytes: u64| hostile(admit(&format!("big:{bytes}")), patient()).admit(event(A));
    assert!(matches!(tried(65_536).answer, Ok(Verdict::Drop { reason }) if reason.as_str().len() == 200));
    assert_eq!(failure(tried(65_537)).0, BrokenKind::OutputTooLarge);
}

#[test]
fn messages_are_taken_up_to_the_limit_of_bytes() {
    let tried = |bytes: u64| {
        let limits = Limits { output_bytes: 2048, ..patient() };
        hostile(transform(&format!("big:{bytes}")), limits).decide(event(A))
    };
    assert!(tried(2000).answer.is_ok());
    assert_eq!(failure(tried(2048)).0, BrokenKind::OutputTooLarge);
}

#[test]
fn a_flood_of_output_is_refused_before_it_is_copied() {
    let tried = hostile(admit("big:8000000"), patient()).admit(event(A));
    let (kind, reason) = failure(tried);
    assert_eq!(kind, BrokenKind::OutputTooLarge);
    assert!(reason.starts_with("it passed more than"), "{reason}");
}

#[test]
fn messages_are_taken_up_to_the_limit_of_their_number() {
    let limits = |messages| Limits { messages, ..patient() };
    let decided = hostile(transform("messages:3"), limits(3)).decide(event(A)).answer.unwrap();
    assert_eq!(payloads(&decided).len(), 3);
    let (kind, reason) = failure(hostile(transform("messages:4"), limits(3)).decide(event(A)));
    assert_eq!(
        (kind, reason.as_str()),
        (BrokenKind::InvalidAnswer, "it answered 4 messages; at most 3 are allowed (limits.messages)")
    );
}

#[test]
fn lines_are_kept_up_to_their_number_and_their_bytes() {
    let lines = |act: &str, log_bytes| {
        let tried = hostile(admit(act), Limits { log_bytes, ..patient() }).admit(event(A));
        assert!(tried.answer.is_ok(), "a component is not told that its lines were cut: {:?}", tried.answer);
        tried.log.iter().map(|line| line.text.len()).collect::<Vec<_>>()
    };
    assert_eq!(lines("log:64x1", 8192), [1; 64]);
    assert_eq!(lines("log:65x1", 8192), [1; 64]);
    assert_eq!(lines("log:3x10", 30), [10, 10, 10]);
    assert_eq!(lines("log:3x10", 25), [10, 10, 5]);
    assert!(lines("log:3x10", 0).is_empty());
}

#[test]
fn a_flood_of_lines_ends_with_fuel_or_time_and_keeps_no_more_than_its_limit() {
    let tried = hostile(admit("log:1000000000x100"), Limits::default()).admit(event(A));
    assert_eq!(tried.log.len(), 64);
    assert!(tried.duration < PATIENCE, "{:?}", tried.duration);
    assert!(matches!(failure(tried).0, BrokenKind::Fuel | BrokenKind::TimedOut));
}

#[test]
fn a_panic_in_any_export_is_a_trap_with_its_words() {
    let expected = |(kind, reason): (BrokenKind, String)| {
        assert_eq!(kind, BrokenKind::Trap);
        assert!(
            reason.starts_with("it trapped: wasm `unreachable` instruction executed; its last words: "),
            "{reason}"
        );
        assert!(reason.contains("oh dear"), "{reason}");
    };
    expected(failure(hostile(json!({"validate": "panic:oh dear"}), patient()).validate_config()));
    expected(failure(hostile(admit("panic:oh dear"), patient()).admit(event(A))));
    expected(failure(hostile(transform("panic:oh dear"), patient()).decide(event(A))));
}

#[test]
fn a_panic_is_in_the_log_of_a_trial() {
    let log = hostile(admit("panic:oh dear"), patient()).admit(event(A)).log;
    assert!(matches!(&log[..], [line] if line.level == LogLevel::Error && line.text.contains("oh dear")), "{log:?}");
}

#[test]
fn limits_hold_in_every_export() {
    let limits = Limits { fuel: 100_000, ..patient() };
    assert_eq!(failure(hostile(json!({"validate": "loop"}), limits).validate_config()).0, BrokenKind::Fuel);
    assert_eq!(failure(hostile(transform("loop"), limits).decide(event(A))).0, BrokenKind::Fuel);
}

#[test]
fn a_rule_that_cannot_answer_says_why_in_two_hundred_bytes() {
    let error = failure(hostile(admit("error:no time zone"), patient()).admit(event(A)));
    assert_eq!(error, (BrokenKind::RuleError, "no time zone".to_owned()));
    let long = failure(hostile(transform(&format!("error:{}", "e".repeat(1000))), patient()).decide(event(A)));
    assert_eq!((long.0, long.1.len()), (BrokenKind::RuleError, 200));
}

#[test]
fn an_answer_the_contract_forbids_is_invalid() {
    for act in
        ["priority:1001", "defer-by:999", "defer-by:-1", "defer-until:nan", "defer-until:inf", "defer-until:1e300"]
    {
        assert_eq!(failure(hostile(admit(act), patient()).admit(event(A))).0, BrokenKind::InvalidAnswer, "{act}");
    }
    let payload = failure(hostile(transform("payload:[]"), patient()).decide(event(A)));
    assert_eq!(payload, (BrokenKind::InvalidAnswer, "message 0: its payload is JSON, but not an object".to_owned()));
}

#[test]
fn an_answer_the_contract_allows_is_taken_over() {
    let verdict = |act: &str| hostile(admit(act), patient()).admit(event(A)).answer.unwrap();
    assert_eq!(verdict("priority:1000"), Verdict::Deliver { priority: Some(Priority::MAX) });
    assert!(
        matches!(verdict("defer-by:1000"), Verdict::Defer { until, .. } if until.millis() == crate::support::NOW_MS + 1000)
    );
    assert_eq!(verdict("drop:quiet hours"), Verdict::Drop { reason: "quiet hours".into() });
}
