//! Each demand on an answer, obeyed and violated.

use super::*;
use crate::bindings::contract::xnovu::rules::types::Deferral;

const NOW_MS: i64 = 1_767_225_600_000;

fn now() -> Micros {
    Micros::from_millis(NOW_MS)
}

fn defer(until: f64) -> Result<Verdict, Fault> {
    let answer = wit::Verdict::Defer(Deferral { until, reason: "later".to_owned() });
    verdict(answer, now(), &Limits::default())
}

fn minimal() -> wit::Message {
    wit::Message {
        workflow_key: "w".to_owned(),
        recipients: vec!["r".to_owned()],
        payload: "{}".to_owned(),
        overrides: None,
        tenant: None,
        actor: None,
        extra: None,
    }
}

#[track_caller]
fn refused(change: impl FnOnce(&mut wit::Message), want: &str) {
    let mut message = minimal();
    change(&mut message);
    let fault = messages(vec![minimal(), message], &Limits::default()).unwrap_err();
    assert_eq!((fault.kind, fault.reason.as_str()), (BrokenKind::InvalidAnswer, want));
}

#[test]
fn priorities_end_at_a_thousand() {
    let answer = |priority| verdict(wit::Verdict::Deliver(priority), now(), &Limits::default());
    assert_eq!(answer(None).unwrap(), Verdict::Deliver { priority: None });
    assert_eq!(answer(Some(1000)).unwrap(), Verdict::Deliver { priority: Some(Priority::MAX) });
    let fault = answer(Some(1001)).unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (BrokenKind::InvalidAnswer, "priority 1001 is not within 0 to 1000")
    );
}

#[test]
fn a_deferral_ends_a_second_from_now_at_the_earliest() {
    let second = NOW_MS as f64 + 1000.0;
    let want = Verdict::Defer { until: Micros::from_millis(NOW_MS + 1000), reason: "later".into() };
    assert_eq!(defer(second).unwrap(), want);
    assert_eq!(defer(second - 0.5).unwrap(), want, "part of a millisecond is rounded up");
    for early in [second - 1.0, NOW_MS as f64, 0.0, -1.0, f64::MIN] {
        assert_eq!(defer(early).unwrap_err().kind, BrokenKind::InvalidAnswer, "{early}");
    }
}

#[test]
fn a_deferral_ends_within_the_year_9999() {
    assert!(
        matches!(defer(END_OF_TIME_MS), Ok(Verdict::Defer { until, .. }) if until.to_string().starts_with("9999-12-31T23:59:59"))
    );
    for endless in [END_OF_TIME_MS + 1.0, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        assert_eq!(defer(endless).unwrap_err().kind, BrokenKind::InvalidAnswer, "{endless}");
    }
}

#[test]
fn a_long_reason_is_cut_and_an_endless_one_refused() {
    let drop = |bytes| {
        verdict(wit::Verdict::Drop("x".repeat(bytes)), now(), &Limits { output_bytes: 1024, ..Limits::default() })
    };
    assert!(matches!(drop(1024), Ok(Verdict::Drop { reason }) if reason.as_str().len() == 200));
    assert_eq!(drop(1025).unwrap_err().kind, BrokenKind::OutputTooLarge);
}

#[test]
fn a_message_is_taken_over_field_by_field() {
    let full = wit::Message {
        overrides: Some(r#"{"o":1}"#.to_owned()),
        tenant: Some("t".to_owned()),
        actor: Some("a".to_owned()),
        extra: Some(r#"{"e":1}"#.to_owned()),
        ..minimal()
    };
    let taken = messages(vec![full], &Limits::default()).unwrap();
    let object = |text: &str| Json::object(text.to_owned()).unwrap();
    let want = Message {
        workflow_key: "w".into(),
        recipients: vec!["r".to_owned()],
        payload: object("{}"),
        overrides: Some(object(r#"{"o":1}"#)),
        tenant: Some("t".to_owned()),
        actor: Some("a".to_owned()),
        extra: Some(object(r#"{"e":1}"#)),
    };
    assert_eq!(taken, [want]);
    assert!(messages(Vec::new(), &Limits::default()).unwrap().is_empty(), "no message at all is an answer");
}

#[test]
fn a_message_that_cannot_be_sent_is_named_by_its_place() {
    refused(|it| it.workflow_key.clear(), "message 1: its workflow-key is empty");
    refused(|it| it.recipients.clear(), "message 1: it has no recipients");
    refused(|it| it.recipients.push(String::new()), "message 1: one of its recipients is empty");
    refused(|it| it.payload = "[]".to_owned(), "message 1: its payload is JSON, but not an object");
    refused(|it| it.payload = "{secret}".to_owned(), "message 1: its payload is not JSON (line 1, column 2)");
    refused(|it| it.overrides = Some("1".to_owned()), "message 1: its overrides is JSON, but not an object");
    refused(|it| it.extra = Some(String::new()), "message 1: its extra is not JSON (line 1, column 0)");
}

#[test]
fn the_number_of_messages_has_a_limit() {
    let limits = Limits { messages: 2, ..Limits::default() };
    assert_eq!(messages(vec![minimal(), minimal()], &limits).unwrap().len(), 2);
    assert_eq!(messages(vec![minimal(), minimal(), minimal()], &limits).unwrap_err().kind, BrokenKind::InvalidAnswer);
}

#[test]
fn the_size_of_all_messages_together_has_a_limit() {
    let limits = Limits { output_bytes: 1024, ..Limits::default() };
    let sized = |bytes: usize| wit::Message { tenant: Some("t".repeat(bytes - 4)), ..minimal() };
    assert!(messages(vec![sized(512), sized(512)], &limits).is_ok());
    assert_eq!(messages(vec![sized(512), sized(513)], &limits).unwrap_err().kind, BrokenKind::OutputTooLarge);
}
