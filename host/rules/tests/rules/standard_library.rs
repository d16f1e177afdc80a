//! What a component's standard library finds: a world without files, time or chance, in which nothing can wait.

use serde_json::json;
use xnovu_rules::{BrokenKind, Limits, LogLevel, Tried};

use crate::support::{A, NOW_MS, event, failure, hostile_wasi};

fn admit(act: &str) -> Tried<xnovu_domain::Verdict> {
    hostile_wasi(json!({ "admit": act }), Limits { wall_ms: 10_000, ..Limits::default() }).admit(event(A))
}

/// The one line a successful act logged.
#[track_caller]
fn said(act: &str) -> String {
    let tried = admit(act);
    tried.answer.unwrap();
    assert_eq!(tried.log.len(), 1, "{:?}", tried.log);
    tried.log[0].text.clone()
}

#[track_caller]
fn trapped(act: &str, want: &str) {
    let tried = admit(act);
    assert!(tried.duration < std::time::Duration::from_secs(5), "{:?}", tried.duration);
    let (kind, reason) = failure(tried);
    assert_eq!(kind, BrokenKind::Trap, "{reason}");
    assert!(reason.contains(want), "{reason}");
}

#[test]
fn printed_lines_are_log_lines() {
    let log = admit("print:3").log;
    let lines: Vec<_> = log.iter().map(|line| (line.level, line.text.as_str())).collect();
    assert_eq!(lines, [(LogLevel::Info, "line 0"), (LogLevel::Info, "line 1"), (LogLevel::Info, "line 2")]);
}

#[test]
fn a_flood_of_printed_lines_is_cut_without_a_word() {
    let tried = admit("print:2000");
    assert!(tried.answer.is_ok());
    assert_eq!(tried.log.len(), 64);
}

#[test]
fn a_panic_speaks_through_standard_error() {
    trapped("panic:oh dear", "its last words: ");
}

#[test]
fn clocks_stand_at_the_events_now() {
    assert_eq!(said("clock"), format!("{NOW_MS} ms, 0 ns since"));
}

#[test]
fn chance_follows_from_the_seed() {
    let first = said("random");
    assert_eq!(said("random"), first);
    let mut other = event(A);
    other.seed += 1;
    let trial = hostile_wasi(json!({"admit": "random"}), Limits { wall_ms: 10_000, ..Limits::default() });
    assert_ne!(trial.admit(other).log[0].text, first);
}

#[test]
fn environment_and_arguments_are_empty_and_input_is_at_its_end() {
    assert_eq!(said("environment"), "[] []");
    assert_eq!(said("input"), "Ok(0) \"\"");
}

#[test]
fn waiting_for_a_clock_traps_at_once() {
    trapped("sleep:5000", "it waits for a clock, and clocks stand while a rule decides");
}

#[test]
fn leaving_traps() {
    trapped("exit", "it called exit instead of answering");
}

#[test]
fn a_flood_of_random_bytes_traps_before_it_is_made() {
    trapped("flood-random", "requested len 18446744073709551615 exceeds limit 65536");
}

#[test]
fn handles_are_given_up_to_their_limit() {
    assert!(admit("handles:60").answer.is_ok());
    trapped("handles:1000", "it trapped");
}
