//! Rules from the database to the worker: a stand-in's rows, the catalog, the clockwork, a queue in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, Micros, Origin, Priority, RuleSlot};
use xnovu_queue::{Job, JobOptions, JobQueue, MemoryQueue, Offer, Outcome, Work, WorkOptions};
use xnovu_standin::{Effect, ErrorBody, Face, Faults, HttpFault, Options, Standin, StandinConfig};

use super::catalog::Catalog;
use super::misfire::{Misfire, Policy};
use super::tick::Ticker;
use super::{Book, Defaults};
use crate::clock::{Clock, SystemClock};
use crate::config::{PerEnterprise, Secret, Supabase};
use crate::metrics::Metrics;
use crate::store::postgrest::Postgrest;
use crate::worker::execute::RuleWorker;

const RULES: &str = "ent_notification_rule";
const TABLE: &str = "ent_notification";
const TOKYO: Defaults = Defaults {
    zone: chrono_tz::Tz::Asia__Tokyo,
    misfire: Misfire { policy: Policy::Once, window: Duration::from_secs(3_600) },
};
/// Under these, no slot of a civil time in Tokyo exists, and none of a minute ago would fire.
const STRICT_UTC: Defaults =
    Defaults { zone: chrono_tz::Tz::UTC, misfire: Misfire { policy: Policy::Skip, window: Duration::ZERO } };

/// Ids that are UUIDs.
fn enterprises(count: usize) -> Vec<EnterpriseId> {
    (0..count).map(|n| format!("{n:08x}-1111-4111-8111-111111111111").parse().unwrap()).collect()
}

struct Bench {
    standin: Standin,
    store: Arc<Postgrest>,
    book: Arc<Book>,
    queue: Arc<dyn JobQueue>,
}

impl Bench {
    async fn start(defaults: Defaults) -> Self {
        let options = Options { touch_updated_at: false, ..Options::default() };
        let standin = Standin::start(StandinConfig { options, ..StandinConfig::default() }).await.unwrap();
        let supabase = Supabase { url: standin.url(), key: Secret::new("sb_secret_standin"), concurrency: 8 };
        let store = Arc::new(Postgrest::new(&supabase, Arc::new(SystemClock)).unwrap());
        Self {
            standin,
            store,
            book: Arc::new(Book::new(defaults)),
            queue: Arc::new(MemoryQueue::new(JobOptions::default())),
        }
    }

    /// A rule that was last changed two hours ago.
    fn rule(&self, enterprise: &EnterpriseId, trigger_type: &str, trigger_config: &Value) -> i64 {
        let state = self.standin.state();
        let long_ago = SystemClock.now().minus(Duration::from_secs(7_200));
        let row = json!({"enterprise_id": enterprise, "workflow_key": format!("digest-{enterprise}"), "trigger_type": trigger_type,
            "trigger_config": trigger_config, "updated_at": long_ago,
            "rule_payload": {"recipients": ["22222222-2222-4222-8222-222222222222"], "payload": {"kind": "digest"}}});
        let row = state.insert(RULES, &row).unwrap();
        let workflow = row["notification_workflow_id"].as_i64().unwrap();
        state.update("ent_notification_workflow", workflow, &json!({"updated_at": long_ago})).unwrap();
        row["id"].as_i64().unwrap()
    }

    fn catalog(&self, enterprises: &[EnterpriseId]) -> Catalog {
        Catalog {
            store: Arc::clone(&self.store) as _,
            enterprises: enterprises.to_vec(),
            interval: Duration::from_secs(3),
            book: Arc::clone(&self.book),
            metrics: Metrics::new(),
        }
    }

    /// From now on the database takes 50 ms a request and answers so many; it refuses what comes after them.
    fn answers_only(&self, requests: u64) {
        let slow = HttpFault { count: Some(requests), latency_ms: 50, ..HttpFault::new(Face::Rest, Effect::Pass) };
        let status =
            Effect::Status { status: 401, body: ErrorBody::Json, retry_after_s: None, behind_idempotency: false };
        let http = vec![slow, HttpFault::new(Face::Rest, status)];
        self.standin.state().set_faults(Faults { http, ..Faults::default() });
    }

    /// Queues what is due.
    async fn tick(&self) {
        let ticker = Ticker {
            book: Arc::clone(&self.book),
            queue: Arc::clone(&self.queue),
            settings: Arc::new(PerEnterprise::default()),
            clock: Arc::new(SystemClock),
            metrics: Metrics::new(),
        };
        ticker.tick(&mut std::collections::VecDeque::new()).await;
    }

    /// Lets a worker with these settings perform one job.
    async fn perform_one(&self, defaults: Defaults) -> Outcome {
        let worker = RuleWorker { store: Arc::clone(&self.store) as _, defaults, metrics: Metrics::new() };
        let one = Arc::new(One { worker, stop: CancellationToken::new(), outcome: Mutex::default() });
        let options = WorkOptions { concurrency: 1, grace: Duration::from_secs(30) };
        self.queue.work_rules(options, Arc::clone(&one) as _, one.stop.clone()).await.unwrap();
        one.outcome.lock().unwrap().take().expect("a job was performed")
    }
}

/// Stops after one job.
struct One {
    worker: RuleWorker,
    stop: CancellationToken,
    outcome: Mutex<Option<Outcome>>,
}

#[async_trait]
impl Work<RuleSlot> for One {
    async fn perform(&self, job: Job<RuleSlot>) -> Outcome {
        let outcome = self.worker.perform(job).await;
        *self.outcome.lock().unwrap() = Some(outcome.clone());
        self.stop.cancel();
        outcome
    }
}

/// A minute ago by the clocks of Tokyo, without an offset.
fn a_minute_ago_in_tokyo() -> (Micros, Value) {
    let at = Micros::from_millis((SystemClock.now().millis() / 1_000 - 60) * 1_000);
    let civil = chrono::DateTime::from_timestamp_micros(at.get()).unwrap().with_timezone(&TOKYO.zone);
    (at, json!({"schedule_time": civil.format("%Y-%m-%dT%H:%M:%S").to_string()}))
}

#[tokio::test]
async fn a_slot_is_judged_by_the_settings_it_was_found_under_and_not_by_those_of_the_worker() {
    let bench = Bench::start(TOKYO).await;
    let enterprise = enterprises(1);
    let (_, config) = a_minute_ago_in_tokyo();
    let rule = bench.rule(&enterprise[0], "SCHEDULE", &config);
    bench.catalog(&enterprise).round().await;
    bench.tick().await;
    assert_eq!(bench.perform_one(STRICT_UTC).await, Outcome::Done("made a notification".to_owned()));
    let rows = bench.standin.state().rows(TABLE, &[("notification_rule_id", &rule.to_string())]).unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn a_slot_whose_job_carries_no_settings_goes_by_those_of_the_worker() {
    let bench = Bench::start(TOKYO).await;
    let enterprise = enterprises(1);
    let (at, config) = a_minute_ago_in_tokyo();
    let rule = bench.rule(&enterprise[0], "SCHEDULE", &config).to_string().parse().unwrap();
    for (defaults, want) in
        [(STRICT_UTC, "the rule was changed and has no such slot any more"), (TOKYO, "made a notification")]
    {
        let job = RuleSlot::new(enterprise[0].clone(), rule, at).unwrap();
        let (origin, priority) = (Origin::Cron, Priority::MAX);
        let offer = Offer { job, origin, priority, delay: None, attempts: None, ruled: false, defaults: None };
        bench.queue.offer_rules(&[offer]).await.unwrap();
        assert_eq!(bench.perform_one(defaults).await, Outcome::Done(want.to_owned()));
    }
}

#[tokio::test]
async fn twenty_enterprises_cost_three_requests_when_their_rules_are_new_and_two_when_they_are_known() {
    let bench = Bench::start(TOKYO).await;
    let enterprises = enterprises(20);
    for enterprise in &enterprises {
        bench.rule(enterprise, "CRON", &json!({"cron": "0 9 1 1 *"}));
    }
    let catalog = bench.catalog(&enterprises);
    // With one request less the round does not end: the count is what is tested.
    for (requests, unread, firing) in [(1, 20, 0), (3, 0, 20), (2, 0, 20), (1, 20, 20)] {
        bench.answers_only(requests);
        catalog.round().await;
        let report = bench.book.report();
        assert_eq!((report.unread.len(), report.firing), (unread, firing), "{requests} requests: {report:?}");
    }
    let changed = bench.rule(&enterprises[7], "CRON", &json!({"cron": "* * * * *", "misfire": "skip"}));
    bench.answers_only(3);
    catalog.round().await;
    let report = bench.book.report();
    assert_eq!((report.unread.len(), report.firing), (0, 21), "{changed}: {report:?}");
}

#[tokio::test]
async fn two_hundred_new_rules_of_one_enterprise_cost_six_requests_and_a_bad_one_is_named() {
    let bench = Bench::start(TOKYO).await;
    let enterprise = enterprises(1);
    let rules: Vec<i64> = (0..200).map(|_| bench.rule(&enterprise[0], "CRON", &json!({"cron": "0 9 1 1 *"}))).collect();
    let empty = json!({"rule_payload": {"recipients": [], "payload": {}}});
    bench.standin.state().update(RULES, rules[150], &empty).unwrap();
    // A page, the empty one after it, and four of fifty with what they send.
    bench.answers_only(6);
    bench.catalog(&enterprise).round().await;
    let report = bench.book.report();
    assert_eq!((report.unread.len(), report.firing, report.bad), (0, 199, 1), "{report:?}");
    assert_eq!(report.mistakes[0].rule_id.get(), rules[150]);
}

#[tokio::test]
async fn what_rules_send_is_looked_at_again_where_the_first_look_found_no_answer() {
    let bench = Bench::start(TOKYO).await;
    let enterprise = enterprises(1);
    let rule = bench.rule(&enterprise[0], "CRON", &json!({"cron": "0 9 1 1 *"}));
    bench.standin.state().update(RULES, rule, &json!({"rule_payload": null})).unwrap();
    let catalog = bench.catalog(&enterprise);
    bench.answers_only(2);
    catalog.round().await;
    assert_eq!((bench.book.report().unread.len(), bench.book.report().bad), (1, 0));
    bench.answers_only(3);
    catalog.round().await;
    assert_eq!((bench.book.report().unread.len(), bench.book.report().bad), (0, 1));
}
