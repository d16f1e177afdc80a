use std::sync::atomic::Ordering;

use serde_json::json;
use xnovu_domain::{Details, Verdict};
use xnovu_queue::{CallState, Outcome};
use xnovu_rules::{BrokenKind, FailurePolicy, Grants, Ruling};
use xnovu_standin::{Effect, ErrorBody, Face, Faults, HttpFault, NovuFaults, RestFaults};

use super::{Bench, broken, messages, ruled, ruled_under};
use crate::store::{NotificationStore, Settlement};

const DELIVER: Verdict = Verdict::Deliver { priority: None };

fn done(word: &str) -> Outcome {
    Outcome::Done(word.to_owned())
}

fn is_later(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Later { .. })
}

fn novu(effect: Effect) -> HttpFault {
    HttpFault {
        face: Face::Novu,
        method: None,
        path_prefix: None,
        body_contains: None,
        skip: 0,
        count: None,
        latency_ms: 0,
        effect,
    }
}

fn status(status: u16) -> Effect {
    Effect::Status { status, body: ErrorBody::Json, retry_after_s: None, behind_idempotency: false }
}

#[tokio::test]
async fn a_plain_row_is_sent_once_and_says_under_which_id() {
    let bench = Bench::new().await;
    let id = bench.insert(2, json!({}));
    let job = bench.job(id).await;
    assert_eq!(bench.attempt(&job, 1).await, done("sent"));
    assert_eq!(bench.attempt(&job, 1).await, done("over"));
    let row = bench.row(id).await;
    assert_eq!(row.transaction_id.as_deref(), Some(job.as_str()));
    assert_eq!(Details::of(&row).novu_transaction_ids, [format!("{job}-m0-c0")]);
    let delivered = bench.delivered();
    assert_eq!((delivered.len(), delivered[0].recipients.len()), (1, 2));
    assert_eq!(delivered[0].idempotency_key.as_deref(), Some(format!("{job}-m0-c0-g0").as_str()));
    assert!(bench.ledger.get(&job).await.unwrap().is_none());
}

#[tokio::test]
async fn hazard_1_an_attempt_that_lost_its_lease_cannot_settle() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    let frozen = bench.store.stamp();
    bench.store.claim(&job, frozen).await.unwrap().unwrap();
    // The first worker freezes; its lease runs out and a second one takes the job.
    bench.update(id, json!({"processed_at": "2020-01-01T00:00:00Z"}));
    assert_eq!(bench.attempt(&job, 1).await, done("sent"));
    let fence = crate::store::Fence { job: job.clone(), stamp: frozen };
    let failed = Settlement::Failed { details: json!({"error": "late"}) };
    assert!(!bench.store.settle(&fence, &failed).await.unwrap());
    assert_eq!(bench.status(id), "SENT");
}

#[tokio::test]
async fn hazard_2_a_key_that_may_not_write_spends_attempts_and_sends_nothing() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    let rest = RestFaults { filter_updates: true, ..RestFaults::default() };
    bench.standin.state().set_faults(Faults { rest, ..Faults::default() });
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Retry { error } if error.contains("update")));
    assert!(bench.delivered().is_empty());
    bench.no_faults();
    assert_eq!(bench.attempt(&job, 2).await, done("sent"));
}

#[tokio::test]
async fn hazard_2_a_stamp_taken_away_by_hand_does_not_lock_the_row_for_ever() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.store.claim(&job, bench.store.stamp()).await.unwrap().unwrap();
    bench.update(id, json!({"processed_at": null}));
    assert_eq!(bench.attempt(&job, 1).await, done("sent"));
}

#[tokio::test]
async fn hazard_3_a_message_that_changed_after_another_was_accepted_is_not_sent() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.rule(|event| ruled(DELIVER, Some(messages(event, &[json!({"m": "A"}), json!({"m": "B"})]))));
    // A is accepted, B is lost on the way.
    bench.http_fault(HttpFault { skip: 1, ..novu(Effect::Timeout) });
    assert!(is_later(&bench.attempt(&job, 1).await));
    bench.no_faults();
    // The plugin was reloaded meanwhile: key 0 would now carry another body.
    bench.rule(|event| ruled(DELIVER, Some(messages(event, &[json!({"m": "B2"}), json!({"m": "A2"})]))));
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Fail { error } if error == "changed after partial send"));
    assert_eq!(bench.status(id), "FAILED");
    let details = Details::of(&bench.row(id).await);
    assert_eq!(details.accepted.len(), 1);
    assert_eq!(details.uncertain, [format!("{job}-m1-c0")]);
    assert_eq!(bench.delivered().len(), 1);
}

#[tokio::test]
async fn hazard_3_a_retry_of_the_same_messages_sends_only_what_is_missing() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.rule(|event| ruled(DELIVER, Some(messages(event, &[json!({"m": "A"}), json!({"m": "B"})]))));
    bench.http_fault(HttpFault { skip: 1, count: Some(1), ..novu(Effect::Cut) });
    assert!(is_later(&bench.attempt(&job, 1).await));
    assert_eq!(bench.attempt(&job, 1).await, done("sent"));
    // B was carried out before its answer was cut; the same key asked again and Novu replayed its answer.
    assert_eq!(bench.delivered().len(), 2);
    assert_eq!(Details::of(&bench.row(id).await).uncertain, [format!("{job}-m1-c0")]);
}

#[tokio::test]
async fn hazard_4_two_hundred_and_fifty_recipients_are_reached_once_each() {
    let bench = Bench::new().await;
    let id = bench.insert(250, json!({}));
    let job = bench.job(id).await;
    assert_eq!(bench.attempt(&job, 1).await, done("sent"));
    let mut reached: Vec<String> = bench.delivered().into_iter().flat_map(|delivery| delivery.recipients).collect();
    reached.sort();
    let mut wanted = bench.row(id).await.recipients;
    wanted.sort();
    assert_eq!(reached, wanted);
}

#[tokio::test]
async fn hazard_6_a_retry_button_on_a_failed_row_sends_it() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({"workflow_key": "theirs"}));
    let job = bench.job(id).await;
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Fail { .. }));
    assert_eq!(bench.status(id), "FAILED");
    let own = bench.standin.state().rows("ent_notification_workflow", &[("workflow_key", "w")]).unwrap();
    bench.update(id, json!({"notification_workflow_id": own[0]["id"]}));
    assert_eq!(bench.attempt(&job, 1).await, done("sent"));
    assert_eq!(bench.status(id), "SENT");
}

#[tokio::test]
async fn hazard_7_an_outage_spends_no_attempt_and_judges_nobody() {
    let bench = Bench::new().await;
    let ids: Vec<i64> = (0..8).map(|_| bench.insert(1, json!({}))).collect();
    bench.http_fault(novu(Effect::Timeout));
    for id in &ids {
        let job = bench.job(*id).await;
        assert!(is_later(&bench.attempt(&job, 3).await), "the last attempt would have failed it");
        assert_ne!(bench.status(*id), "FAILED");
    }
    assert!(bench.delivered().is_empty());
}

#[tokio::test]
async fn hazard_8_a_verdict_of_the_worker_binds_over_what_the_daemon_admitted() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.rule(|event| match event.notification.payload.get() {
        text if text.contains("advert") => ruled(Verdict::Drop { reason: "no adverts".into() }, None),
        _ => ruled(DELIVER, Some(messages(event, &[json!({})]))),
    });
    bench.update(id, json!({"payload": {"advert": true}}));
    assert_eq!(bench.attempt(&job, 1).await, done("dropped"));
    let row = bench.row(id).await;
    assert_eq!(bench.status(id), "RETRACTED");
    assert_eq!(row.retraction_reason.as_deref(), Some("rule: no adverts"));
    assert!(bench.delivered().is_empty());
    // Our own refusal is nothing to cancel at Novu.
    assert!(!crate::retraction::wants_carrying(&row));
}

#[tokio::test]
async fn hazard_8_a_row_that_was_put_to_sleep_or_rescheduled_while_it_waited_is_not_sent() {
    let bench = Bench::new().await;
    for change in [json!({"publish_status": "DRAFT"}), json!({"deactivated": true})] {
        let id = bench.insert(1, json!({}));
        let job = bench.job(id).await;
        bench.update(id, change);
        assert_eq!(bench.attempt(&job, 1).await, done("over"));
    }
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.update(id, json!({"scheduled_for": "2099-01-01T00:00:00Z"}));
    assert!(is_later(&bench.attempt(&job, 1).await));
    assert!(bench.delivered().is_empty());
}

#[tokio::test]
async fn hazard_9_a_rule_cannot_reach_another_enterprises_workflow_or_subscriber() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    bench.rule(|event| {
        let mut messages = messages(event, &[json!({})]);
        messages[0].workflow_key = "theirs".into();
        ruled(DELIVER, Some(messages))
    });
    let job = bench.job(id).await;
    // The queue keeps words of ours; what the rules named stands on the row.
    let failed = bench.attempt(&job, 1).await;
    assert!(
        matches!(&failed, Outcome::Fail { error } if error.contains("published") && !error.contains("theirs")),
        "{failed:?}"
    );
    assert!(Details::of(&bench.row(id).await).error.unwrap().contains("\"theirs\""));
    let id = bench.insert(1, json!({}));
    bench.rule(|event| {
        let mut messages = messages(event, &[json!({})]);
        messages[0].recipients = vec!["stranger".to_owned()];
        ruled(DELIVER, Some(messages))
    });
    let job = bench.job(id).await;
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Fail { error } if !error.contains("stranger")));
    assert!(bench.delivered().is_empty());
}

#[tokio::test]
async fn an_answer_reaches_what_the_binding_it_was_made_under_grants() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    bench.rule(|event| {
        let mut messages = messages(event, &[json!({})]);
        messages[0].workflow_key = "theirs".into();
        ruled_under(Grants { workflows: vec!["theirs".to_owned()], ..Grants::default() }, DELIVER, Some(messages))
    });
    let job = bench.job(id).await;
    assert_eq!(bench.attempt(&job, 1).await, done("sent"));
}

#[tokio::test]
async fn what_was_partly_sent_as_it_stands_goes_on_as_it_stands_though_rules_answer_since() {
    for first in [|| Ruling::Unbound, || broken(BrokenKind::Trap, FailurePolicy::Deliver)] {
        let bench = Bench::new().await;
        let id = bench.insert(150, json!({}));
        let job = bench.job(id).await;
        bench.rule(move |_| first());
        bench.http_fault(HttpFault { skip: 1, count: Some(1), ..novu(Effect::Cut) });
        assert!(is_later(&bench.attempt(&job, 1).await));
        bench.rule(|event| ruled(DELIVER, Some(messages(event, &[json!({"mapped": true})]))));
        assert_eq!(bench.attempt(&job, 1).await, done("sent"));
        let delivered = bench.delivered();
        assert_eq!(delivered.iter().map(|delivery| delivery.recipients.len()).sum::<usize>(), 150);
        assert!(delivered.iter().all(|delivery| delivery.payload.get("mapped").is_none()), "{delivered:?}");
    }
}

#[tokio::test]
async fn what_has_rules_elsewhere_is_held_where_none_are_known_and_what_has_none_is_sent() {
    let bench = Bench::new().await;
    let (with, without) = (bench.insert(2, json!({})), bench.insert(2, json!({})));
    bench.rules.1.store(false, Ordering::Relaxed);
    let job = bench.job(with).await;
    let outcome = bench.attempt_as(&job, 1, true).await;
    assert!(is_later(&outcome), "{outcome:?}");
    assert!(bench.raw(with)["error_details"]["hold"].as_str().unwrap().contains("XNOVU_PLUGINS"));
    assert_eq!((bench.status(with).as_str(), bench.delivered().len()), ("PROCESSING", 0));
    bench.attempt_as(&bench.job(without).await, 1, false).await;
    assert_eq!((bench.status(without).as_str(), bench.delivered().len()), ("SENT", 1));
    bench.rules.1.store(true, Ordering::Relaxed);
    bench.attempt_as(&job, 1, true).await;
    assert_eq!((bench.status(with).as_str(), bench.delivered().len()), ("SENT", 2), "it was unbound since");
}

#[tokio::test]
async fn hazard_10_a_hold_keeps_the_row_processing_with_its_reason() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.rule(|_| broken(BrokenKind::Trap, FailurePolicy::Hold));
    assert!(is_later(&bench.attempt(&job, 1).await));
    assert_eq!(bench.status(id), "PROCESSING");
    assert_eq!(bench.raw(id)["error_details"]["hold"], "on purpose");
    bench.rule(|event| ruled(DELIVER, Some(messages(event, &[json!({})]))));
    assert_eq!(bench.attempt(&job, 1).await, done("sent"));
    assert!(bench.raw(id)["error_details"].get("hold").is_none());
}

#[tokio::test]
async fn hazard_12_a_later_episode_skips_the_chunks_an_earlier_one_had_accepted() {
    let bench = Bench::new().await;
    let id = bench.insert(250, json!({}));
    let job = bench.job(id).await;
    bench.http_fault(HttpFault { skip: 2, count: Some(1), ..novu(status(400)) });
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Fail { .. }));
    assert_eq!(bench.status(id), "FAILED");
    bench.update(id, json!({"notification_status": "PENDING"}));
    let again = bench.job(id).await;
    assert_ne!(again, job);
    assert_eq!(bench.attempt(&again, 1).await, done("sent"));
    let counts: Vec<usize> = bench.delivered().iter().map(|delivery| delivery.recipients.len()).collect();
    assert_eq!(counts, [100, 100, 50]);
}

#[tokio::test]
async fn hazard_14_a_row_retracted_during_the_send_is_cancelled_at_novu() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    // The call takes long enough for a person to retract the row meanwhile.
    bench.http_fault(HttpFault { latency_ms: 200, ..novu(Effect::Pass) });
    let (outcome, ()) = tokio::join!(bench.attempt(&job, 1), async {
        while bench.status(id) != "PROCESSING" {
            tokio::task::yield_now().await;
        }
        bench.update(id, json!({"notification_status": "RETRACTED"}));
    });
    assert_eq!(outcome, done("retracted"));
    let details = Details::of(&bench.row(id).await);
    assert!(details.cancelled.is_some());
    assert_eq!(details.novu_transaction_ids, [format!("{job}-m0-c0")]);
    assert!(bench.standin.state().deliveries(0)[0].cancelled);
}

#[tokio::test]
async fn hazard_15_a_settlement_whose_answer_was_lost_is_not_sent_again() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.http_fault(HttpFault {
        face: Face::Rest,
        body_contains: Some("SENT".to_owned()),
        count: Some(1),
        ..novu(Effect::Cut)
    });
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Done(_)));
    assert_eq!(bench.status(id), "SENT");
    assert_eq!(bench.delivered().len(), 1);
}

#[tokio::test]
async fn hazard_18_running_out_of_time_never_destroys_a_notification() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.rule(|_| broken(BrokenKind::TimedOut, FailurePolicy::Drop));
    assert!(is_later(&bench.attempt(&job, 3).await));
    assert_eq!(bench.status(id), "PROCESSING");
    bench.rule(|_| broken(BrokenKind::Trap, FailurePolicy::Drop));
    assert_eq!(bench.attempt(&job, 1).await, done("dropped"));
}

#[tokio::test]
async fn hazard_19_a_refused_key_burns_no_row_and_a_probe_reopens() {
    let bench = Bench::new().await;
    let ids: Vec<i64> = (0..3).map(|_| bench.insert(1, json!({}))).collect();
    bench.http_fault(novu(status(401)));
    for id in &ids {
        let job = bench.job(*id).await;
        assert!(is_later(&bench.attempt(&job, 3).await));
        assert!(["PENDING", "PROCESSING"].contains(&bench.status(*id).as_str()));
    }
    let asked = bench.standin.state().deliveries(0).len();
    assert_eq!(asked, 0);
}

#[tokio::test]
async fn an_attempt_that_novu_judges_is_spent_and_the_last_one_fails_the_row() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.http_fault(novu(status(500)));
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Retry { .. }));
    assert_eq!(bench.status(id), "PROCESSING");
    let record = bench.ledger.get(&job).await.unwrap().unwrap();
    assert_eq!((record.calls[0].state, record.calls[0].generation), (CallState::Fresh, 1));
    assert!(matches!(bench.attempt(&job, 3).await, Outcome::Fail { .. }));
    assert_eq!(bench.status(id), "FAILED");
    assert_eq!(bench.raw(id)["error_details"]["stage"], "trigger");
}

#[tokio::test]
async fn a_201_that_novu_will_never_run_is_a_failure() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    let novu = NovuFaults { status_word: Some("trigger_not_active".to_owned()), ..NovuFaults::default() };
    bench.standin.state().set_faults(Faults { novu, ..Faults::default() });
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Fail { error } if error.contains("trigger_not_active")));
    assert_eq!(bench.status(id), "FAILED");
}

#[tokio::test]
async fn a_deferral_keeps_the_time_the_row_had_and_counts() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({"scheduled_for": "2026-01-01T00:00:00Z"}));
    let job = bench.job(id).await;
    let until = xnovu_domain::Micros::parse("2099-01-01T08:00:00Z").unwrap();
    bench.rule(move |_| ruled(Verdict::Defer { until, reason: "night".into() }, None));
    assert_eq!(bench.attempt(&job, 1).await, done("deferred"));
    let row = bench.row(id).await;
    assert_eq!((row.scheduled_for, bench.status(id).as_str()), (Some(until), "PENDING"));
    let details = Details::of(&row);
    assert_eq!((details.deferrals, details.deferred.unwrap().as_str()), (1, "night"));
    assert_eq!(details.original_scheduled_for.unwrap().to_string(), "2026-01-01T00:00:00.000000Z");
    assert_eq!(row.origin(), xnovu_domain::Origin::Scheduled);
}

#[tokio::test]
async fn rules_that_make_no_message_drop_the_row() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.rule(|_| ruled(DELIVER, Some(Vec::new())));
    assert_eq!(bench.attempt(&job, 1).await, done("dropped"));
    assert_eq!(bench.status(id), "RETRACTED");
}

#[tokio::test]
async fn a_row_edited_between_two_attempts_is_sent_as_it_is_now_under_a_key_of_its_own() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    let kept = Effect::Status { status: 500, body: ErrorBody::Json, retry_after_s: None, behind_idempotency: true };
    bench.http_fault(HttpFault { count: Some(1), ..novu(kept) });
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Retry { .. }));
    bench.update(id, json!({"payload": {"v": 2}}));
    assert_eq!(bench.attempt(&job, 2).await, done("sent"));
    let delivered = bench.delivered();
    assert_eq!((delivered.len(), &delivered[0].payload), (1, &json!({"v": 2})));
    assert_eq!(delivered[0].idempotency_key.as_deref(), Some(format!("{job}-m0-c0-g1").as_str()));
}

#[tokio::test]
async fn hazard_17_a_row_that_was_put_off_a_hundred_times_is_given_up() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({"error_details": {"deferrals": 99}}));
    bench.rule(|event| {
        ruled(Verdict::Defer { until: event.now.plus(std::time::Duration::from_secs(2)), reason: "later".into() }, None)
    });
    let job = bench.job(id).await;
    assert_eq!(bench.attempt(&job, 1).await, done("deferred"));
    bench.update(id, json!({"scheduled_for": "2026-01-01T00:00:00Z"}));
    let job = bench.job(id).await;
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Fail { error } if error.contains("100 times")));
    assert_eq!(bench.status(id), "FAILED");
}

#[tokio::test]
async fn a_settlement_the_database_refused_is_made_by_the_next_attempt_without_a_second_send() {
    let bench = Bench::new().await;
    let id = bench.insert(1, json!({}));
    let job = bench.job(id).await;
    bench.http_fault(HttpFault { face: Face::Rest, body_contains: Some("SENT".to_owned()), ..novu(status(400)) });
    assert!(matches!(bench.attempt(&job, 1).await, Outcome::Retry { error } if error.starts_with("settle")));
    assert_eq!(bench.status(id), "PROCESSING");
    bench.no_faults();
    assert_eq!(bench.attempt(&job, 2).await, done("sent"));
    assert_eq!((bench.delivered().len(), bench.status(id).as_str()), (1, "SENT"));
}
