//! What the rules are asked, and what follows from their answers.

use super::*;

#[tokio::test]
async fn only_what_is_owed_is_asked_about_and_queued() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    for asleep in [
        json!({"publish_status": "DRAFT"}),
        json!({"deactivated": true}),
        json!({"notification_status": "SENT"}),
        json!({"notification_status": "PROCESSING"}),
    ] {
        let id = bench.insert(asleep);
        bench.hint(id).await;
    }
    let later = bench.insert(json!({"scheduled_for": "2099-01-01T00:00:00Z"}));
    let soon = Micros::from(chrono::DateTime::from_timestamp(4_070_908_800, 0).unwrap());
    assert_eq!(bench.row(later).await.scheduled_for, Some(soon));
    bench.hint(later).await;
    bench.settle_down().await;
    assert_eq!((bench.waiting().await, *bench.asked.lock().unwrap()), (1, 1));
    assert_eq!(bench.due.waiting(), 0, "a row years ahead has no timer; the sweep brings it within the horizon");
}

#[tokio::test]
async fn an_event_seen_many_times_is_asked_about_and_queued_once() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    let id = bench.insert(json!({}));
    bench.hint(id).await;
    until("it is queued", async || bench.state(id).await == JobState::Waiting).await;
    for _ in 0..5 {
        bench.hint(id).await;
        bench.sweep(vec![bench.row(id).await], Via::Sweep).await;
    }
    bench.settle_down().await;
    assert_eq!((bench.waiting().await, *bench.asked.lock().unwrap()), (2, 2));
}

#[tokio::test]
async fn an_edited_row_is_a_new_episode_and_is_asked_about_again() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    let id = bench.insert(json!({}));
    bench.hint(id).await;
    until("it is queued", async || bench.state(id).await == JobState::Waiting).await;
    let before = bench.row(id).await.job();
    bench.update(id, json!({"payload": {"v": 2}}));
    bench.hint(id).await;
    until("the edit is queued", async || bench.state(id).await == JobState::Waiting).await;
    assert_ne!(bench.row(id).await.job(), before);
}

#[tokio::test]
async fn hazard_8_a_drop_decided_on_an_old_version_leaves_the_new_one_alone() {
    // A person raises the severity while the rules decide about the row as it was.
    let bench = Bench::new(|event, standin| {
        if event.notification.payload.get().contains("low") {
            let raised = json!({"payload": {"severity": "high"}});
            standin.state().update("ent_notification", event.notification.id.get(), &raised).unwrap();
            return ruled(Verdict::Drop { reason: "low".into() });
        }
        ruled(DELIVER)
    })
    .await;
    let id = bench.insert(json!({"payload": {"severity": "low"}}));
    bench.hint(id).await;
    bench.settle_down().await;
    assert_eq!(bench.raw(id)["notification_status"], "PENDING");
    bench.hint(id).await;
    until("the new version is queued", async || bench.state(id).await == JobState::Waiting).await;
}

#[tokio::test]
async fn a_refusal_stands_on_the_row_and_is_not_carried_to_novu() {
    let bench = Bench::new(|event, _| match let_in(event) {
        true => ruled(DELIVER),
        false => ruled(Verdict::Drop { reason: "not wanted".into() }),
    })
    .await;
    // An earlier episode has failed after something was accepted; our refusal of this one must not cancel that.
    let id = bench.insert(json!({"transaction_id": format!("xn-{ENTERPRISE}-1-5"),
        "error_details": {"novu_transaction_ids": ["earlier"]}}));
    bench.hint(id).await;
    until("it is retracted", async || bench.raw(id)["notification_status"] == "RETRACTED").await;
    assert_eq!(bench.raw(id)["retraction_reason"], "rule: not wanted");
    bench.sweep(vec![bench.row(id).await], Via::Retraction).await;
    bench.settle_down().await;
    assert!(bench.raw(id)["error_details"].get("cancelled").is_none());
}

#[tokio::test]
async fn a_deferral_moves_the_row_and_gives_it_a_timer() {
    let until_ms = (std::time::Duration::from_secs(300), "later");
    let bench = Bench::new(move |event, _| match let_in(event) {
        true => ruled(DELIVER),
        false => ruled(Verdict::Defer { until: event.now.plus(until_ms.0), reason: until_ms.1.into() }),
    })
    .await;
    let id = bench.insert(json!({}));
    bench.hint(id).await;
    until("it is put off", async || !bench.raw(id)["scheduled_for"].is_null()).await;
    assert_eq!(bench.raw(id)["notification_status"], "PENDING");
    assert_eq!(bench.raw(id)["error_details"]["deferrals"], 1);
    bench.hint(id).await;
    until("it has a timer", async || bench.due.waiting() == 1).await;
}

#[tokio::test]
async fn rules_that_cannot_answer_hold_and_are_not_asked_at_every_hint() {
    let bench = Bench::new(|event, _| match let_in(event) {
        true => ruled(DELIVER),
        false => Ruling::Broken(Broken {
            kind: BrokenKind::TimedOut,
            reason: "20 ms".to_owned(),
            policy: FailurePolicy::Drop,
            stamp: None,
            cost: None,
        }),
    })
    .await;
    let id = bench.insert(json!({}));
    for _ in 0..3 {
        bench.hint(id).await;
        bench.settle_down().await;
    }
    assert_eq!(bench.raw(id)["notification_status"], "PENDING");
    assert_eq!(bench.state(id).await, JobState::Missing);
    assert_eq!(*bench.asked.lock().unwrap(), 1 + 3, "once about the held row, once about each row behind it");
}

#[tokio::test]
async fn the_sweep_finds_what_nobody_told_of_and_not_what_was_held_or_queued_before() {
    let answering = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&answering);
    let bench = Bench::new(move |event, _| match let_in(event) || answers.load(Ordering::Relaxed) {
        true => ruled(DELIVER),
        false => Ruling::Broken(Broken {
            kind: BrokenKind::Trap,
            reason: "unreachable".to_owned(),
            policy: FailurePolicy::Hold,
            stamp: None,
            cost: None,
        }),
    })
    .await;
    let (held, queued, found) =
        (bench.insert(json!({})), bench.insert(json!({"tags": ["let-in"]})), bench.insert(json!({})));
    bench.hint(held).await;
    bench.hint(queued).await;
    bench.settle_down().await;
    // Its rules answer, and the queue is emptied: everything that is owed is found again.
    assert!(bench.queue.remove(&bench.row(queued).await.job()).await.unwrap());
    answering.store(true, Ordering::Relaxed);
    bench.epoch.fetch_add(1, Ordering::Relaxed);
    let mut rows = Vec::new();
    for id in [held, queued, found] {
        rows.push(bench.row(id).await);
    }
    bench.sweep(rows, Via::Sweep).await;
    for id in [held, queued, found] {
        until("it is queued", async || bench.state(id).await == JobState::Waiting).await;
    }
    let line = format!("xnovu_sweep_finds_total{{enterprise_id=\"{ENTERPRISE}\"}} 1");
    bench.settle_down().await;
    let text = bench.metrics.text();
    assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
}
