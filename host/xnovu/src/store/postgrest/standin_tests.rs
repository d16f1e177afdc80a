//! The store against a PostgREST that behaves, and misbehaves, as the hosted one does.

use std::time::Duration;

use xnovu_domain::{EmptyClaim, RuleSlot, Standing, after_empty_claim};
use xnovu_standin::{Effect, ErrorBody, Face, Faults, HttpFault, Options, RestFaults, Standin, StandinConfig, State};

use super::*;
use crate::clock::SystemClock;
use crate::config::Secret;

const TABLE: &str = "ent_notification";
const ENTERPRISE: &str = "11111111-1111-4111-8111-111111111111";
const OTHER: &str = "22222222-2222-4222-8222-222222222222";

struct Bench {
    standin: Standin,
    store: Arc<Postgrest>,
}

impl Bench {
    async fn start() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let standin = Standin::start(StandinConfig { options, ..StandinConfig::default() }).await.unwrap();
        let supabase = Supabase { url: standin.url(), key: Secret::new("sb_secret_standin"), concurrency: 8 };
        let store = Arc::new(Postgrest::new(&supabase, Arc::new(SystemClock)).unwrap());
        Self { standin, store }
    }

    fn state(&self) -> &State {
        self.standin.state()
    }

    fn insert(&self, columns: Value) -> NotificationId {
        let mut row = json!({"enterprise_id": ENTERPRISE});
        row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
        let stored = self.state().insert(TABLE, &row).unwrap();
        NotificationId::new(stored["id"].as_i64().unwrap()).unwrap()
    }

    fn column(&self, id: NotificationId, column: &str) -> Value {
        self.state().row(TABLE, id.get()).unwrap().unwrap()[column].clone()
    }

    async fn row(&self, id: NotificationId) -> Notification {
        self.store.read(&enterprise(), &[id]).await.unwrap().rows.remove(0)
    }

    /// A row that is claimed, and its fence.
    async fn claimed(&self) -> (NotificationId, Fence) {
        let id = self.insert(json!({}));
        let fence = Fence { job: self.row(id).await.job(), stamp: self.store.stamp() };
        self.store.claim(&fence.job, fence.stamp).await.unwrap().unwrap();
        (id, fence)
    }

    /// The next request that fits is worked on and its answer lost.
    fn lose_answer_to(&self, body_contains: &str) {
        let body_contains = Some(body_contains.to_owned());
        let fault = HttpFault { count: Some(1), body_contains, ..HttpFault::new(Face::Rest, Effect::Cut) };
        self.state().set_faults(Faults { http: vec![fault], ..Faults::default() });
    }

    fn rest_faults(&self, rest: RestFaults) {
        self.state().set_faults(Faults { rest, ..Faults::default() });
    }
}

fn enterprise() -> EnterpriseId {
    ENTERPRISE.parse().unwrap()
}

fn ids(read: &ReadRows) -> Vec<NotificationId> {
    read.rows.iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn a_row_is_read_with_all_that_rules_need() {
    let bench = Bench::start().await;
    let id = bench.insert(json!({"workflow_key": "welcome", "payload": {"z": 1, "a": "é"}, "tags": ["t"]}));
    let row = bench.row(id).await;
    assert_eq!((row.enterprise_id.as_str(), row.workflow_key().unwrap().as_str()), (ENTERPRISE, "welcome"));
    assert_eq!((row.standing(bench.store.database_now()), row.tags), (Standing::Owed, Some(vec!["t".to_owned()])));
    let others = bench.store.read(&OTHER.parse().unwrap(), &[id]).await.unwrap();
    assert!(others.is_empty());
}

#[tokio::test]
async fn of_many_claims_at_once_one_wins() {
    let bench = Bench::start().await;
    let id = bench.insert(json!({}));
    let job = bench.row(id).await.job();
    let claim = || async { bench.store.claim(&job, bench.store.stamp()).await.unwrap() };
    let claims = futures_util::future::join_all((0..8).map(|_| claim())).await;
    let winners: Vec<Notification> = claims.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    let stamp: Micros = serde_json::from_value(bench.column(id, "processed_at")).unwrap();
    assert_eq!(winners[0].processed_at, Some(stamp));
    assert_eq!(bench.column(id, "transaction_id"), job.as_str());
}

#[tokio::test]
async fn a_row_is_claimed_only_while_it_is_owed_or_the_jobs_own_and_free() {
    let bench = Bench::start().await;
    let now = bench.store.database_now();
    let ago = |seconds| now.minus(Duration::from_secs(seconds)).to_string();
    let soon = now.plus(Duration::from_secs(60)).to_string();
    let mine = format!("xn-{ENTERPRISE}-ID-5");
    let processing =
        |stamp: Value| json!({"notification_status": "PROCESSING", "transaction_id": mine, "processed_at": stamp});
    let cases = [
        (json!({}), true),
        (json!({"scheduled_for": ago(1)}), true),
        (json!({"scheduled_for": soon}), false),
        (json!({"publish_status": "DRAFT"}), false),
        (json!({"deactivated": true}), false),
        (json!({"enterprise_id": OTHER}), false),
        (json!({"notification_status": "SENT", "transaction_id": mine}), false),
        (json!({"notification_status": "RETRACTED"}), false),
        (json!({"notification_status": "FAILED", "transaction_id": mine}), true),
        (json!({"notification_status": "FAILED", "transaction_id": "xn-other-1-5"}), false),
        (processing(Value::Null), true),
        (processing(json!(ago(60))), false),
        (processing(json!(ago(121))), true),
        (json!({"notification_status": "PROCESSING", "transaction_id": "theirs", "processed_at": ago(900)}), false),
    ];
    for (columns, want) in cases {
        let id = bench.insert(columns.clone());
        if let Some(transaction_id) = columns["transaction_id"].as_str() {
            let own = json!({"transaction_id": transaction_id.replace("ID", &id.to_string())});
            bench.state().update(TABLE, id.get(), &own).unwrap();
        }
        let job = JobId::new(enterprise(), id, Micros::new(5));
        let claimed = bench.store.claim(&job, bench.store.stamp()).await.unwrap();
        assert_eq!(claimed.is_some(), want, "{columns}");
    }
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_repeated_and_still_ours() {
    let bench = Bench::start().await;
    let id = bench.insert(json!({}));
    let job = bench.row(id).await.job();
    bench.lose_answer_to("PROCESSING");
    let stamp = bench.store.stamp();
    assert_eq!(bench.store.claim(&job, stamp).await.unwrap().unwrap().processed_at, Some(stamp));
}

#[tokio::test]
async fn a_renewal_and_a_release_whose_answers_were_lost_are_still_ours() {
    let bench = Bench::start().await;
    let (id, mut fence) = bench.claimed().await;
    let renewed = bench.store.stamp();
    bench.lose_answer_to("processed_at");
    assert!(bench.store.renew(&fence, renewed).await.unwrap());
    fence.stamp = renewed;
    bench.lose_answer_to("processed_at");
    assert!(bench.store.release(&fence, Some(json!({"hold": "h"}))).await.unwrap());
    assert_eq!(bench.column(id, "error_details"), json!({"hold": "h"}));
    assert!(bench.store.claim(&fence.job, bench.store.stamp()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_settlement_whose_answer_was_lost_stands_and_the_row_says_so() {
    let bench = Bench::start().await;
    let (id, fence) = bench.claimed().await;
    bench.lose_answer_to("SENT");
    let sent = Settlement::Sent { details: json!({"novu_transaction_ids": ["t"]}) };
    assert!(!bench.store.settle(&fence, &sent).await.unwrap());
    let row = bench.row(id).await;
    assert_eq!((row.claimed_by().unwrap(), row.standing(fence.stamp)), (fence.job.clone(), Standing::Settled));
    assert_eq!(after_empty_claim(Some(&row), &fence.job, fence.stamp), EmptyClaim::Over);
}

#[tokio::test]
async fn whoever_lost_the_claim_writes_nothing() {
    let bench = Bench::start().await;
    let (id, lost) = bench.claimed().await;
    let later = bench.store.stamp();
    assert!(bench.store.renew(&lost, later).await.unwrap());
    for settlement in [
        Settlement::Failed { details: Value::Null },
        Settlement::Deferred { until: later, details: Value::Null },
        Settlement::Retracted { reason: "r".into(), details: Value::Null },
    ] {
        assert!(!bench.store.settle(&lost, &settlement).await.unwrap(), "{settlement:?}");
    }
    assert!(!bench.store.release(&lost, None).await.unwrap());
    assert_eq!(bench.column(id, "notification_status"), "PROCESSING");
}

#[tokio::test]
async fn settlements_write_what_the_design_says() {
    let bench = Bench::start().await;
    let until = bench.store.database_now().plus(Duration::from_secs(3600));
    let (id, fence) = bench.claimed().await;
    let retracted = Settlement::Retracted { reason: "quiet".into(), details: Value::Null };
    assert!(bench.store.settle(&fence, &retracted).await.unwrap());
    assert_eq!(bench.column(id, "notification_status"), "RETRACTED");
    assert_eq!(bench.column(id, "retraction_reason"), "rule: quiet");
    assert_ne!(bench.column(id, "retracted_at"), Value::Null);
    let (id, fence) = bench.claimed().await;
    let deferred = Settlement::Deferred { until, details: json!({"deferrals": 1}) };
    assert!(bench.store.settle(&fence, &deferred).await.unwrap());
    let row = bench.row(id).await;
    assert_eq!(row.standing(bench.store.database_now()), Standing::Due(until));
    assert!(row.episode() > fence.job.episode());
}

#[tokio::test]
async fn a_verdict_on_an_old_version_changes_nothing() {
    let bench = Bench::start().await;
    let id = bench.insert(json!({"transaction_id": format!("xn-{ENTERPRISE}-1-5")}));
    let (seen, until) = (bench.row(id).await, bench.store.database_now().plus(Duration::from_secs(60)));
    bench.state().update(TABLE, id.get(), &json!({"payload": {"severity": "critical"}})).unwrap();
    assert!(!bench.store.drop_seen(&seen, &"r".into()).await.unwrap());
    assert!(!bench.store.defer_seen(&seen, until, Value::Null).await.unwrap());
    assert_eq!(bench.column(id, "notification_status"), "PENDING");
    let seen = bench.row(id).await;
    assert!(bench.store.defer_seen(&seen, until, json!({"deferrals": 1})).await.unwrap());
    assert!(bench.store.drop_seen(&bench.row(id).await, &"r".into()).await.unwrap());
    assert_eq!(
        (bench.column(id, "notification_status"), bench.column(id, "transaction_id")),
        (json!("RETRACTED"), Value::Null)
    );
}

#[tokio::test]
async fn owed_rows_are_found_up_to_the_horizon_and_page_by_page() {
    let bench = Bench::with(Options { max_rows: 2, ..Options::default() }).await;
    let now = bench.store.database_now();
    let at = |seconds| json!({"scheduled_for": now.plus(Duration::from_secs(seconds)).to_string()});
    let owed = [bench.insert(json!({})), bench.insert(at(300)), bench.insert(json!({}))];
    bench.insert(at(900));
    for columns in
        [json!({"publish_status": "DRAFT"}), json!({"deactivated": true}), json!({"notification_status": "SENT"})]
    {
        bench.insert(columns);
    }
    bench.insert(json!({"enterprise_id": OTHER}));
    let (enterprise, horizon) = (enterprise(), now.plus(Duration::from_secs(600)));
    let page = |after| bench.store.owed(&enterprise, after, horizon, 500);
    let first = page(None).await.unwrap();
    assert_eq!(ids(&first), owed[..2]);
    let second = page(first.last_id()).await.unwrap();
    assert_eq!(ids(&second), owed[2..]);
    assert!(page(second.last_id()).await.unwrap().is_empty());
}

#[tokio::test]
async fn retractions_of_ours_are_found_until_they_are_marked() {
    let bench = Bench::start().await;
    let now = bench.store.database_now();
    let long_ago = now.minus(Duration::from_secs(8 * 24 * 3600)).to_string();
    let retracted = |transaction_id: &str, more: Value| {
        let mut columns = json!({"notification_status": "RETRACTED", "transaction_id": transaction_id});
        columns.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.insert(columns)
    };
    let by_hand = retracted("xn-e-1-5", json!({}));
    let dated = retracted("xn-e-2-5", json!({"retracted_at": now.to_string(), "error_details": {"error": "x"}}));
    retracted("theirs", json!({}));
    retracted("xn-e-3-5", json!({"retracted_at": long_ago}));
    retracted("xn-e-4-5", json!({"error_details": {"cancelled": now.to_string()}}));
    let since = now.minus(Duration::from_secs(7 * 24 * 3600));
    let found = bench.store.retracted(&enterprise(), None, since, 500).await.unwrap();
    assert_eq!(ids(&found), [by_hand, dated]);
    assert!(bench.store.mark_cancelled(&found.rows[0], json!({"cancelled": now})).await.unwrap());
    assert!(!bench.store.mark_cancelled(&found.rows[0], json!({"cancelled": now})).await.unwrap());
    assert_eq!(ids(&bench.store.retracted(&enterprise(), None, since, 500).await.unwrap()), [dated]);
}

#[tokio::test]
async fn claims_whose_lease_is_over_are_found_and_noted_once() {
    let bench = Bench::start().await;
    let now = bench.store.database_now();
    let processing = |stamp: Value| {
        bench.insert(json!({"notification_status": "PROCESSING", "processed_at": stamp, "transaction_id": "xn-e-1-5"}))
    };
    let bare = processing(Value::Null);
    let old = processing(json!(now.minus(Duration::from_secs(300)).to_string()));
    processing(json!(now.to_string()));
    let found = bench.store.expired(&enterprise(), now.minus(LEASE), None, 500).await.unwrap();
    assert_eq!(ids(&found), [bare, old]);
    for row in &found.rows {
        assert!(bench.store.note_reaped(row, json!({"reaped": 1})).await.unwrap());
        assert_eq!(bench.column(row.id, "error_details"), json!({"reaped": 1}));
    }
    bench.state().update(TABLE, old.get(), &json!({"processed_at": now.to_string()})).unwrap();
    assert!(!bench.store.note_reaped(&found.rows[1], json!({"reaped": 2})).await.unwrap());
}

#[tokio::test]
async fn workflows_are_the_enterprises_own_published_ones() {
    let bench = Bench::start().await;
    let workflow = |key: &str, enterprise: &str, more: Value| {
        let mut row = json!({"workflow_key": key, "enterprise_id": enterprise, "workflow_type": "STATIC"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.state().insert("ent_notification_workflow", &row).unwrap();
    };
    workflow("mine", ENTERPRISE, json!({}));
    workflow("draft", ENTERPRISE, json!({"publish_status": "DRAFT"}));
    workflow("off", ENTERPRISE, json!({"deactivated": true}));
    workflow("theirs", OTHER, json!({}));
    assert_eq!(bench.store.workflows(&enterprise()).await.unwrap(), BTreeSet::from(["mine".into()]));
}

#[tokio::test]
async fn an_id_that_is_no_uuid_is_a_bad_value() {
    let bench = Bench::start().await;
    let now = bench.store.database_now();
    let error = bench.store.owed(&"acme".parse().unwrap(), None, now, 500).await.unwrap_err();
    assert!(error.is_bad_value() && !error.is_outage(), "{error}");
}

#[tokio::test]
async fn a_key_that_may_not_write_is_told_from_a_row_that_is_gone() {
    let bench = Bench::start().await;
    let id = bench.insert(json!({}));
    let job = bench.row(id).await.job();
    bench.rest_faults(RestFaults { filter_updates: true, ..RestFaults::default() });
    assert_eq!(bench.store.claim(&job, bench.store.stamp()).await.unwrap(), None);
    let row = bench.row(id).await;
    assert_eq!(after_empty_claim(Some(&row), &job, bench.store.database_now()), EmptyClaim::Again);
    bench.rest_faults(RestFaults { deny_writes: true, ..RestFaults::default() });
    let error = bench.store.claim(&job, bench.store.stamp()).await.unwrap_err();
    assert!(error.is_denied(), "{error}");
}

#[tokio::test]
async fn a_gateways_html_page_survives_and_a_short_failure_is_ridden_out() {
    let bench = Bench::start().await;
    let id = bench.insert(json!({}));
    let failing = |count| {
        let effect =
            Effect::Status { status: 502, body: ErrorBody::Html, retry_after_s: None, behind_idempotency: false };
        let fault = HttpFault { count: Some(count), ..HttpFault::new(Face::Rest, effect) };
        bench.state().set_faults(Faults { http: vec![fault], ..Faults::default() });
    };
    failing(2);
    assert_eq!(bench.row(id).await.id, id);
    failing(3);
    let error = bench.store.read(&enterprise(), &[id]).await.unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("HTTP 502: <"), "{error}");
}

#[tokio::test]
async fn stamps_are_by_the_databases_clock() {
    let bench = Bench::with(Options { clock_offset_ms: 90_000, ..Options::default() }).await;
    bench.insert(json!({}));
    bench.store.workflows(&enterprise()).await.unwrap();
    let ahead = bench.store.stamp().since(crate::clock::Clock::now(&SystemClock));
    assert!(ahead > Duration::from_secs(89) && ahead < Duration::from_secs(91), "{ahead:?}");
}

fn rule(bench: &Bench, columns: Value) -> RuleId {
    let mut row = json!({"enterprise_id": ENTERPRISE, "workflow_key": "digest", "trigger_type": "CRON",
        "trigger_config": {"cron": "* * * * *"}, "rule_payload": {"recipients": [OTHER], "payload": {"a": 1.50}}});
    row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    let stored = bench.state().insert(RULES, &row).unwrap();
    RuleId::new(stored["id"].as_i64().unwrap()).unwrap()
}

#[tokio::test]
async fn rules_that_may_fire_are_read_page_by_page_and_none_of_another_enterprise() {
    let bench = Bench::with(Options { max_rows: 2, ..Options::default() }).await;
    let want: Vec<RuleId> = (0..5).map(|_| rule(&bench, json!({}))).collect();
    for left_out in [
        json!({"publish_status": "DRAFT"}),
        json!({"deactivated": true}),
        json!({"trigger_type": "EVENT"}),
        json!({"enterprise_id": null}),
    ] {
        rule(&bench, left_out);
    }
    let theirs = rule(&bench, json!({"enterprise_id": OTHER}));
    let (mut got, mut after) = (Vec::new(), None);
    loop {
        let page = bench.store.rules(&[enterprise()], after, 500).await.unwrap();
        let Some(last) = page.last_id() else { break };
        assert!(page.rules.iter().all(|rule| rule.rule_payload.is_none() && rule.own_workflow().is_ok()));
        got.extend(page.rules.iter().map(|rule| rule.id));
        after = Some(last);
    }
    assert_eq!(got, want);
    assert!(bench.store.rule(&OTHER.parse().unwrap(), want[0]).await.unwrap().is_none());
    // Two rows a page here: the rest is asked for until nothing is left, and one of another enterprise is not found.
    let asked = [&want[..], &[theirs]].concat();
    let whole = bench.store.whole_rules(&[enterprise()], &asked).await.unwrap();
    assert_eq!(whole.rules.iter().map(|rule| rule.id).collect::<Vec<_>>(), want);
    assert!(whole.rules.iter().all(|rule| rule.rule_payload.is_some()));
    let both = bench.store.rules(&[enterprise(), OTHER.parse().unwrap()], Some(want[4]), 500).await.unwrap();
    assert_eq!(both.rules.iter().map(|rule| rule.id).collect::<Vec<_>>(), [theirs]);
}

#[tokio::test]
async fn a_slot_makes_one_row_also_when_the_first_answer_was_lost() {
    let bench = Bench::start().await;
    let id = rule(&bench, json!({}));
    let rule = bench.store.rule(&enterprise(), id).await.unwrap().unwrap();
    let slot = RuleSlot::new(enterprise(), id, bench.store.database_now()).unwrap();
    let draft = rule.draft(&slot).unwrap();
    bench.lose_answer_to("rule-");
    assert!(!bench.store.make(&draft).await.unwrap(), "the first try has made it");
    assert!(!bench.store.make(&draft).await.unwrap());
    let rows = bench.state().rows(TABLE, &[("name", &slot.row_name())]).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["recipients"], &rows[0]["publish_status"]), (&json!([OTHER]), &json!("PUBLISH")));
    assert_eq!(rows[0]["notification_rule_id"], id.get());
}

#[tokio::test]
async fn another_sender_at_work_is_told_from_ourselves() {
    let bench = Bench::start().await;
    let since = bench.store.database_now().minus(Duration::from_secs(5));
    let eyes = crate::monitor::Eyes::of(Arc::clone(&bench.store) as _);
    bench.claimed().await;
    bench.insert(json!({}));
    assert_eq!(crate::monitor::other_sender(&eyes, &enterprise(), since).await.unwrap(), 0);
    bench.insert(json!({"notification_status": "PROCESSING"}));
    bench.insert(json!({"notification_status": "SENT"}));
    bench.insert(json!({"notification_status": "SENT", "enterprise_id": OTHER}));
    assert_eq!(crate::monitor::other_sender(&eyes, &enterprise(), since).await.unwrap(), 2);
}
