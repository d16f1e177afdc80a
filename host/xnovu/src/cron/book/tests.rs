//! What is due, when and how often.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::cron::misfire::{Misfire, Policy};

fn defaults(policy: Policy) -> Defaults {
    Defaults { zone: chrono_tz::Tz::UTC, misfire: Misfire { policy, window: Duration::from_secs(3_600) } }
}

fn enterprise() -> EnterpriseId {
    "ent1".parse().unwrap()
}

fn at(time: &str) -> Micros {
    Micros::parse(&format!("2026-01-01T{time}Z")).unwrap()
}

/// A rule with this id and expression, last changed at this time.
fn rule(id: i64, cron: &str, changed: &str) -> Value {
    let workflow = json!({"workflow_key": "w", "enterprise_id": "ent1", "publish_status": "PUBLISH", "deactivated": false,
        "updated_at": "2025-01-01T00:00:00Z"});
    json!({"id": id, "enterprise_id": "ent1", "publish_status": "PUBLISH", "deactivated": false,
        "updated_at": at(changed), "notification_workflow_id": 3, "trigger_type": "CRON",
        "trigger_config": {"cron": cron}, "workflow": workflow})
}

fn read(rules: &[Value]) -> ReadRules {
    let rules = rules.iter().map(|rule| serde_json::from_str(&rule.to_string()).unwrap()).collect();
    ReadRules { rules, ..ReadRules::default() }
}

fn put(book: &Book, rules: &[Value], read_at: &str) -> Vec<i64> {
    book.replace(&enterprise(), &read(rules), at(read_at)).into_iter().map(RuleId::get).collect()
}

fn due(book: &Book, now: &str) -> Vec<String> {
    book.due(at(now)).slots.iter().map(ToString::to_string).collect()
}

#[test]
fn a_slot_is_due_once() {
    let book = Book::new(defaults(Policy::Once));
    put(&book, &[rule(1, "* * * * *", "11:00:00")], "11:59:30");
    due(&book, "11:59:30");
    assert_eq!(book.next(), Some(at("12:00:00")));
    assert_eq!(due(&book, "11:59:59.999"), Vec::<String>::new());
    assert_eq!(due(&book, "12:00:00"), ["rule-1-20260101T120000Z"]);
    assert_eq!(due(&book, "12:00:00.5"), Vec::<String>::new());
    assert_eq!(due(&book, "12:01:00.1"), ["rule-1-20260101T120100Z"]);
}

#[test]
fn reading_an_unchanged_rule_again_makes_nothing_due_again() {
    let book = Book::new(defaults(Policy::All));
    let rules = [rule(1, "* * * * *", "11:00:00")];
    assert_eq!(put(&book, &rules, "11:59:30"), [1]);
    // Until somebody has seen what it sends, it is asked for again.
    assert_eq!(put(&book, &rules, "11:59:33"), [1]);
    book.note_payload(&enterprise(), RuleId::new(1).unwrap(), None, at("11:59:34"));
    due(&book, "12:00:00");
    assert_eq!(put(&book, &rules, "12:00:10"), Vec::<i64>::new());
    assert_eq!(due(&book, "12:00:20"), Vec::<String>::new());
}

#[test]
fn no_slot_before_the_last_change_is_due() {
    let book = Book::new(defaults(Policy::All));
    put(&book, &[rule(1, "*/15 * * * *", "11:40:00")], "12:05:00");
    assert_eq!(due(&book, "12:05:00"), ["rule-1-20260101T114500Z", "rule-1-20260101T120000Z"]);
    let mut changed = rule(1, "*/15 * * * *", "11:40:00");
    changed["workflow"]["updated_at"] = json!(at("12:20:00"));
    let book = Book::new(defaults(Policy::All));
    put(&book, &[changed], "12:25:00");
    assert_eq!(due(&book, "12:25:00"), Vec::<String>::new());
}

#[test]
fn a_slot_between_a_change_and_the_look_that_finds_it_is_due() {
    let book = Book::new(defaults(Policy::Once));
    put(&book, &[rule(1, "0 9 * * *", "08:00:00")], "12:00:00");
    due(&book, "12:00:00");
    put(&book, &[rule(1, "1 12 * * *", "12:00:30")], "12:01:03");
    assert_eq!(due(&book, "12:01:03"), ["rule-1-20260101T120100Z"]);
}

#[test]
fn a_change_that_moved_no_updated_at_makes_nothing_due_that_was_before_it() {
    let book = Book::new(defaults(Policy::All));
    put(&book, &[rule(1, "0 9 * * *", "08:00:00")], "12:00:00");
    due(&book, "12:00:00");
    put(&book, &[rule(1, "*/15 * * * *", "08:00:00")], "12:31:00");
    // Between the two looks it may have been either; before them it was not this.
    assert_eq!(due(&book, "12:31:00"), ["rule-1-20260101T121500Z", "rule-1-20260101T123000Z"]);
}

#[test]
fn a_rule_that_is_gone_fires_no_more() {
    let book = Book::new(defaults(Policy::Once));
    put(&book, &[rule(1, "* * * * *", "11:00:00"), rule(2, "* * * * *", "11:00:00")], "11:59:30");
    due(&book, "11:59:30");
    put(&book, &[rule(2, "* * * * *", "11:00:00")], "11:59:40");
    assert_eq!(due(&book, "12:00:00"), ["rule-2-20260101T120000Z"]);
}

#[test]
fn a_bad_rule_is_named_and_stops_no_other() {
    let book = Book::new(defaults(Policy::Once));
    let mut bad_zone = rule(3, "* * * * *", "11:00:00");
    bad_zone["trigger_config"]["timezone"] = json!("Mars/Base");
    let rules = [rule(1, "* * * *", "11:00:00"), rule(2, "* * * * *", "11:00:00"), bad_zone];
    assert_eq!(put(&book, &rules, "11:59:30"), [2]);
    due(&book, "11:59:30");
    assert_eq!(due(&book, "12:00:00"), ["rule-2-20260101T120000Z"]);
    let report = book.report();
    assert_eq!((report.firing, report.asleep, report.bad), (1, 0, 2));
    assert!(report.mistakes[0].reason.contains("has 4 fields"), "{report:?}");
    assert!(report.mistakes[1].rule_id.get() == 3 && report.mistakes[1].reason.contains("Mars/Base"), "{report:?}");
}

#[test]
fn a_row_that_cannot_be_read_is_named_and_stops_no_other() {
    let book = Book::new(defaults(Policy::Once));
    let source = xnovu_domain::Misfit::parse::<i64>(b"\"x\"").unwrap_err();
    let mut read = read(&[rule(2, "* * * * *", "11:00:00")]);
    let (id, enterprise) = (Some("7".to_owned()), Some(enterprise()));
    read.bad.push(xnovu_domain::RowError { table: "ent_notification_rule", id, enterprise, source });
    book.replace(read.bad[0].enterprise.as_ref().unwrap(), &read, at("11:59:30"));
    let report = book.report();
    assert_eq!((report.firing, report.bad, report.mistakes[0].rule_id.get()), (1, 1, 7));
}

#[test]
fn a_rule_that_sends_what_cannot_be_sent_does_not_fire_until_that_is_mended() {
    let book = Book::new(defaults(Policy::All));
    let rules = [rule(1, "* * * * *", "11:00:00")];
    put(&book, &rules, "11:59:30");
    due(&book, "11:59:30");
    let one = RuleId::new(1).unwrap();
    book.note_payload(&enterprise(), one, Some("rule_payload is empty".to_owned()), at("11:59:31"));
    assert_eq!(due(&book, "12:00:00"), Vec::<String>::new());
    assert_eq!(book.report().mistakes[0].reason, "rule_payload is empty");
    // It is looked at again every time, because nobody may maintain `updated_at`.
    assert_eq!(put(&book, &rules, "12:00:05"), [1]);
    book.note_payload(&enterprise(), one, None, at("12:00:06"));
    assert_eq!(due(&book, "12:00:30"), Vec::<String>::new());
    assert_eq!(due(&book, "12:01:00"), ["rule-1-20260101T120100Z"]);
}

#[test]
fn a_rule_that_sleeps_is_counted_and_not_fired() {
    let book = Book::new(defaults(Policy::Once));
    let mut off = rule(1, "* * * * *", "11:00:00");
    off["trigger_config"]["enabled"] = json!(false);
    put(&book, &[off], "11:59:30");
    assert_eq!(due(&book, "12:00:00"), Vec::<String>::new());
    assert_eq!((book.report().asleep, book.next()), (1, None));
}

#[test]
fn a_one_shot_rule_is_over_once_it_has_fired_or_where_it_never_can() {
    let book = Book::new(defaults(Policy::Once));
    let once = |id, time: &str, changed| {
        let mut once = rule(id, "", changed);
        once["trigger_type"] = json!("SCHEDULE");
        once["trigger_config"] = json!({"schedule_time": at(time)});
        once
    };
    let rules = [once(1, "12:00:00", "11:00:00"), once(2, "08:00:00", "11:00:00"), rule(3, "* * * * *", "11:00:00")];
    put(&book, &rules, "11:59:30");
    let states = || (book.report().firing, book.report().over, book.report().bad);
    assert_eq!(states(), (2, 1, 0));
    assert_eq!(due(&book, "12:00:00"), ["rule-1-20260101T120000Z", "rule-3-20260101T120000Z"]);
    assert_eq!(states(), (1, 2, 0));
    // Another time makes it fire again.
    put(&book, &[once(1, "13:00:00", "12:10:00"), once(2, "08:00:00", "11:00:00")], "12:10:03");
    assert_eq!(states(), (1, 1, 0));
    assert_eq!(due(&book, "13:00:00"), ["rule-1-20260101T130000Z"]);
}

#[test]
fn a_clock_that_was_put_far_ahead_and_back_stops_no_rule() {
    let book = Book::new(defaults(Policy::Once));
    put(&book, &[rule(1, "* * * * *", "11:00:00")], "11:59:30");
    due(&book, "11:59:30");
    due(&book, "23:00:00");
    assert_eq!(due(&book, "12:00:30"), Vec::<String>::new());
    assert_eq!(due(&book, "12:01:00"), ["rule-1-20260101T120100Z"]);
}

#[test]
fn what_was_missed_is_counted() {
    let book = Book::new(defaults(Policy::Skip));
    put(&book, &[rule(1, "*/15 * * * *", "11:00:00")], "12:05:00");
    let due = book.due(at("12:05:00"));
    assert_eq!((due.slots.len(), due.skipped.get(&enterprise())), (0, Some(&4)));
}

#[test]
fn an_enterprise_whose_rules_cannot_be_read_keeps_those_it_had() {
    let book = Book::new(defaults(Policy::Once));
    put(&book, &[rule(1, "* * * * *", "11:00:00")], "11:59:30");
    due(&book, "11:59:30");
    assert!(book.note_unread(&enterprise(), "no answer".to_owned()));
    assert!(!book.note_unread(&enterprise(), "no answer".to_owned()));
    assert_eq!(book.report().unread.len(), 1);
    assert_eq!(due(&book, "12:00:00"), ["rule-1-20260101T120000Z"]);
    put(&book, &[rule(1, "* * * * *", "11:00:00")], "12:00:30");
    assert!(book.report().unread.is_empty());
}
