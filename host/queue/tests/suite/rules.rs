//! The jobs of rules, in both queues.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{Micros, Origin, Priority, RuleId, RuleSlot};
use xnovu_queue::{Drained, Job, JobQueue, Offer, Offered, Outcome, QueueName, RuleDefaults, Work, WorkOptions};

use crate::support::{Notes, PATIENCE, RedisServer, Running, until};

const RULES: QueueName = QueueName::RuleExecution;

/// The slot that many seconds after 2026-01-01.
fn slot(seconds: i64) -> RuleSlot {
    let at = Micros::parse("2026-01-01T00:00:00Z").unwrap().get() + seconds * 1_000_000;
    let enterprise = "11111111-1111-4111-8111-111111111111".parse().unwrap();
    RuleSlot::new(enterprise, RuleId::new(17).unwrap(), Micros::new(at)).unwrap()
}

fn offer(seconds: i64) -> Offer<RuleSlot> {
    Offer {
        job: slot(seconds),
        origin: Origin::Cron,
        priority: Priority::new(1).unwrap(),
        delay: None,
        attempts: None,
        ruled: false,
        defaults: Some(RuleDefaults { timezone: "Asia/Tokyo".to_owned(), misfire_window_ms: 60_000 }),
    }
}

/// Work that notes every slot it was given.
#[derive(Default)]
struct Fired(Mutex<Vec<Job<RuleSlot>>>);

#[async_trait]
impl Work<RuleSlot> for Fired {
    async fn perform(&self, job: Job<RuleSlot>) -> Outcome {
        self.0.lock().unwrap().push(job);
        Outcome::Done("fired".to_owned())
    }
}

impl Fired {
    fn slots(&self) -> Vec<RuleSlot> {
        self.0.lock().unwrap().iter().map(|job| job.id.clone()).collect()
    }

    async fn until(&self, count: usize) {
        until(&format!("{count} slots were fired"), async || (self.slots().len() >= count).then_some(())).await;
    }
}

struct Firing {
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Drained>,
}

impl Firing {
    #[expect(clippy::disallowed_methods, reason = "a test starts its own worker")]
    fn start(queue: &Arc<dyn JobQueue>, fired: &Arc<Fired>) -> Self {
        let stop = CancellationToken::new();
        let (queue, work, token) = (Arc::clone(queue), Arc::clone(fired) as Arc<dyn Work<RuleSlot>>, stop.clone());
        let options = WorkOptions { concurrency: 1, grace: Duration::from_secs(10) };
        let ended = tokio::spawn(async move { queue.work_rules(options, work, token).await.unwrap() });
        Self { stop, ended }
    }

    async fn end(self) {
        self.stop.cancel();
        let drained = tokio::time::timeout(PATIENCE, self.ended).await.expect("the worker stops").unwrap();
        assert_eq!(drained.still_running, 0);
    }
}

pub async fn rules_a_slot_offered_twice_is_fired_once(queue: Arc<dyn JobQueue>) {
    assert_eq!(queue.offer_rules(&[offer(0), offer(60)]).await.unwrap(), [Offered::New, Offered::New]);
    assert_eq!(queue.offer_rules(&[offer(60), offer(120)]).await.unwrap(), [Offered::Present, Offered::New]);
    assert_eq!(queue.counts(RULES).await.unwrap().waiting, 3);
    let fired = Arc::new(Fired::default());
    let firing = Firing::start(&queue, &fired);
    fired.until(3).await;
    firing.end().await;
    assert_eq!(fired.slots(), [slot(0), slot(60), slot(120)]);
    let job = fired.0.lock().unwrap()[0].clone();
    assert_eq!((job.data.rule_id, job.data.slot, job.attempt), (slot(0).rule(), slot(0).at(), 1));
    assert_eq!((job.data.enterprise_id, job.data.defaults), (slot(0).enterprise().clone(), offer(0).defaults));
}

pub async fn rules_a_finished_slot_makes_room_for_a_new_offer(queue: Arc<dyn JobQueue>) {
    let fired = Arc::new(Fired::default());
    let firing = Firing::start(&queue, &fired);
    queue.offer_rules(&[offer(0)]).await.unwrap();
    until("the slot is done", async || (queue.counts(RULES).await.unwrap().completed == 1).then_some(())).await;
    assert_eq!(queue.offer_rules(&[offer(0)]).await.unwrap(), [Offered::Replaced]);
    fired.until(2).await;
    firing.end().await;
}

pub async fn rules_and_notifications_never_take_each_others_jobs(queue: Arc<dyn JobQueue>) {
    queue.offer_rules(&[offer(0)]).await.unwrap();
    queue.offer(&[crate::offer(1, 10)]).await.unwrap();
    let notes = Notes::done();
    let running = Running::start(&queue, 2, &notes);
    notes.until_seen(1).await;
    running.ended().await;
    assert_eq!(queue.counts(RULES).await.unwrap().waiting, 1);
    queue.offer(&[crate::offer(2, 10)]).await.unwrap();
    let fired = Arc::new(Fired::default());
    let firing = Firing::start(&queue, &fired);
    fired.until(1).await;
    firing.end().await;
    assert_eq!(queue.counts(QueueName::NotificationProcessing).await.unwrap().waiting, 1);
}

#[tokio::test]
async fn a_rules_job_in_redis_holds_ids_and_the_settings_of_its_slot_only() {
    let server = RedisServer::start().await;
    let queue = crate::in_redis(&server).await;
    queue.offer_rules(&[offer(0)]).await.unwrap();
    let key = "xnovu-test:rule-execution:rule-17-20260101T000000Z";
    let data: String = server.command(&["HGET", key, "data"]).await;
    let want = serde_json::json!({"v": 1, "enterpriseId": "11111111-1111-4111-8111-111111111111", "ruleId": "17",
        "slot": "2026-01-01T00:00:00.000000Z", "defaults": {"timezone": "Asia/Tokyo", "misfireWindowMs": 60_000}});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&data).unwrap(), want);
    let name: String = server.command(&["HGET", key, "name"]).await;
    assert_eq!(name, "execute-rule");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rules_job_of_before_it_held_settings_is_performed() {
    let server = RedisServer::start().await;
    let queue: Arc<dyn JobQueue> = Arc::new(crate::in_redis(&server).await);
    queue.offer_rules(&[Offer { defaults: None, ..offer(0) }]).await.unwrap();
    let key = "xnovu-test:rule-execution:rule-17-20260101T000000Z";
    let data: String = server.command(&["HGET", key, "data"]).await;
    assert!(!data.contains("defaults"), "{data}");
    let fired = Arc::new(Fired::default());
    let firing = Firing::start(&queue, &fired);
    fired.until(1).await;
    firing.end().await;
    assert_eq!(fired.0.lock().unwrap()[0].data.defaults, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rules_job_of_another_shape_fails_with_the_reason_and_stops_nobody() {
    let server = RedisServer::start().await;
    let queue: Arc<dyn JobQueue> = Arc::new(crate::in_redis(&server).await);
    queue.offer_rules(&[offer(0), offer(60)]).await.unwrap();
    let key = "xnovu-test:rule-execution:rule-17-20260101T000000Z";
    let foreign =
        r#"{"ruleId":"17","enterpriseId":"ent1","triggerType":"CRON","executionTime":"2026-01-01T00:00:00Z"}"#;
    let _: i64 = server.command(&["HSET", key, "data", foreign]).await;
    let fired = Arc::new(Fired::default());
    let firing = Firing::start(&queue, &fired);
    fired.until(1).await;
    until("the job has failed", async || (queue.counts(RULES).await.unwrap().failed == 1).then_some(())).await;
    firing.end().await;
    let reason: String = server.command(&["HGET", key, "failedReason"]).await;
    assert!(reason.contains("rule-17-20260101T000000Z cannot be performed"), "{reason}");
    assert_eq!(fired.slots(), [slot(60)]);
}
