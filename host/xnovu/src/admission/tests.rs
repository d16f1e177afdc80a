//! The daemon's half over the real store, against the stand-in, with rules and a queue of the test's own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, Event, Micros, NotificationId, Priority, Verdict};
use xnovu_queue::{Job, JobOptions, JobQueue, JobState, Ledger, MemoryQueue, Outcome, QueueName, Work, WorkOptions};
use xnovu_rules::{Broken, BrokenKind, Decided, Digest, FailurePolicy, Grants, Pin, Ruled, Rules, Ruling, Stamp};
use xnovu_standin::{Standin, StandinConfig};

use super::Admission;
use crate::clock::SystemClock;
use crate::config::{Config, Layer, Layers, Novu, PerEnterprise, Secret, Supabase};
use crate::gateway::novu::NovuGateway;
use crate::metrics::Metrics;
use crate::pressure::Pressure;
use crate::reaper::Reaper;
use crate::retraction::Retractions;
use crate::source::due::Due;
use crate::source::{Hint, Via};
use crate::store::NotificationStore;
use crate::store::postgrest::Postgrest;
use crate::tasks::Tasks;
use crate::trail::{Trail, What};

const ENTERPRISE: &str = "11111111-1111-4111-8111-111111111111";

type Admit = dyn Fn(&Event) -> Ruling<Verdict> + Send + Sync;

/// Rules whose answer the test sets.
struct SetRules(Box<Admit>);

#[async_trait]
impl Rules for SetRules {
    fn knows_who_has_some(&self) -> bool {
        true
    }

    fn binds(&self, _: &EnterpriseId) -> bool {
        true
    }

    async fn admit(&self, event: Event) -> Ruling<Verdict> {
        (self.0)(&event)
    }

    async fn decide(&self, _: Event, _: Option<&Pin>) -> Ruling<Decided> {
        Ruling::Unbound
    }
}

fn ruled(verdict: Verdict) -> Ruling<Verdict> {
    let digest: Digest = "ab".repeat(32).parse().unwrap();
    let stamp = Stamp { plugin: "set".to_owned(), version: "1.0.0".to_owned(), digest, config_hash: digest };
    Ruling::Ruled(Ruled {
        answer: verdict,
        stamp,
        fuel: 1,
        duration: Duration::ZERO,
        log: Vec::new(),
        grants: Grants::default(),
    })
}

/// A daemon's admission without its sources: the test hints.
struct Bench {
    standin: Arc<Standin>,
    store: Arc<Postgrest>,
    queue: Arc<MemoryQueue>,
    due: Arc<Due>,
    hints: mpsc::Sender<Hint>,
    asked: Arc<Mutex<u32>>,
    epoch: Arc<AtomicU64>,
    trail: Trail,
    pressure: watch::Sender<Pressure>,
    metrics: Arc<Metrics>,
}

impl Bench {
    async fn new(admit: impl Fn(&Event, &Standin) -> Ruling<Verdict> + Send + Sync + 'static) -> Self {
        Self::with(PerEnterprise::default(), admit).await
    }

    async fn with(
        settings: PerEnterprise,
        admit: impl Fn(&Event, &Standin) -> Ruling<Verdict> + Send + Sync + 'static,
    ) -> Self {
        let config = StandinConfig::default();
        let supabase_key = Secret::new(&config.supabase_key);
        let novu = |url| Novu { url, key: Secret::new("standin-novu-key"), timeout: Duration::from_secs(2) };
        let standin = Arc::new(Standin::start(config).await.unwrap());
        let supabase = Supabase { url: standin.url(), key: supabase_key, concurrency: 5 };
        let store = Arc::new(Postgrest::new(&supabase, Arc::new(SystemClock)).unwrap());
        let gateway = Arc::new(NovuGateway::new(&novu(standin.url())).unwrap());
        let queue = Arc::new(MemoryQueue::new(JobOptions::default()));
        let due = Arc::new(Due::new(Duration::from_secs(600), Arc::new(SystemClock)));
        let (trail, metrics, settings) = (Trail::default(), Metrics::new(), Arc::new(settings));
        let retractions = Retractions {
            store: Arc::clone(&store) as _,
            queue: Arc::clone(&queue) as _,
            ledger: Arc::new(Ledger::memory()),
            gateway,
            trail: trail.clone(),
        };
        let pressure = watch::Sender::new(Pressure::Free);
        let epoch = Arc::<AtomicU64>::default();
        let (asked, seen_by_rules) = (Arc::new(Mutex::new(0)), Arc::clone(&standin));
        let counted = Arc::clone(&asked);
        let rules = SetRules(Box::new(move |event| {
            *counted.lock().unwrap() += 1;
            admit(event, &seen_by_rules)
        }));
        let rules: Arc<dyn Rules> = Arc::new(rules);
        let reaper = Reaper {
            store: Arc::clone(&store) as _,
            queue: Arc::clone(&queue) as _,
            rules: Arc::clone(&rules),
            settings: Arc::clone(&settings),
            trail: trail.clone(),
            metrics: Arc::clone(&metrics),
        };
        let admission = Arc::new(Admission {
            store: Arc::clone(&store) as _,
            rules,
            queue: Arc::clone(&queue) as _,
            due: Arc::clone(&due),
            retractions: Arc::new(retractions),
            reaper: Arc::new(reaper),
            settings,
            seen_for: Duration::from_secs(60),
            clock: Arc::new(SystemClock),
            pressure: pressure.subscribe(),
            requests: Arc::default(),
            epoch: Arc::clone(&epoch),
            trail: trail.clone(),
            metrics: Arc::clone(&metrics),
        });
        let (hints, heard) = mpsc::channel(100);
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("admission", admission.run(vec![enterprise()], heard, tasks.clone()));
        Self { standin, store, queue, due, hints, asked, epoch, trail, pressure, metrics }
    }

    fn insert(&self, changes: Value) -> NotificationId {
        let mut row = json!({"name": format!("n{}", fastrand::u64(..)), "enterprise_id": ENTERPRISE,
            "recipients": ["aaaaaaaa-0000-4000-8000-000000000001"], "payload": {"v": 1}});
        for (key, value) in changes.as_object().unwrap() {
            row[key] = value.clone();
        }
        let inserted = self.standin.state().insert("ent_notification", &row).unwrap();
        NotificationId::new(inserted["id"].as_i64().unwrap()).unwrap()
    }

    fn update(&self, id: NotificationId, columns: Value) {
        self.standin.state().update("ent_notification", id.get(), &columns).unwrap().unwrap();
    }

    fn raw(&self, id: NotificationId) -> Value {
        self.standin.state().row("ent_notification", id.get()).unwrap().unwrap()
    }

    async fn hint(&self, id: NotificationId) {
        self.hints.send(Hint::Id { enterprise: enterprise(), id, via: Via::Realtime, change: None }).await.unwrap();
    }

    async fn sweep(&self, rows: Vec<xnovu_domain::Notification>, via: Via) {
        self.hints.send(Hint::Rows { enterprise: enterprise(), rows, via }).await.unwrap();
    }

    async fn row(&self, id: NotificationId) -> xnovu_domain::Notification {
        self.store.read(&enterprise(), &[id]).await.unwrap().rows.remove(0)
    }

    async fn state(&self, id: NotificationId) -> JobState {
        self.queue.state(&self.row(id).await.job()).await.unwrap()
    }

    async fn waiting(&self) -> u64 {
        self.queue.counts(QueueName::NotificationProcessing).await.unwrap().waiting
    }

    /// Hints at a row that the rules let in, and waits for it: everything hinted before has then been dealt with.
    async fn settle_down(&self) {
        let last = self.insert(json!({"tags": ["let-in"]}));
        self.hint(last).await;
        until("the row behind is queued", async || self.state(last).await == JobState::Waiting).await;
    }
}

fn enterprise() -> EnterpriseId {
    ENTERPRISE.parse().unwrap()
}

fn let_in(event: &Event) -> bool {
    event.notification.tags.as_ref().is_some_and(|tags| tags.iter().any(|tag| tag == "let-in"))
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}

const DELIVER: Verdict = Verdict::Deliver { priority: None };

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

#[tokio::test]
async fn a_job_has_the_priority_and_the_attempts_of_its_enterprise() {
    let set = |id: &str, priority: &str| {
        let mut layers = Layers::default();
        let settings = [
            ("NEXT_PUBLIC_SUPABASE_URL", "http://localhost"),
            ("SUPABASE_SERVICE_ROLE_KEY", "k"),
            ("NOVU_SECRET_KEY", "k"),
            (&format!("ENT_{id}_REALTIME_PRIORITY"), priority),
            (&format!("ENT_{id}_RETRY_ATTEMPTS"), "7"),
        ];
        settings.iter().for_each(|(name, value)| layers.set(name, value, Layer::Environment));
        PerEnterprise::clone(&Config::read(&layers).unwrap().per_enterprise)
    };
    let folded = ENTERPRISE.replace('-', "_").to_uppercase();
    for (settings, priority, attempts) in [(set(&folded, "900"), 900, 7), (set("another", "900"), 10, 3)] {
        let bench = Bench::with(settings, |_, _| ruled(DELIVER)).await;
        let mut steps = bench.trail.watch();
        let id = bench.insert(json!({}));
        bench.hint(id).await;
        let What::Offered { priority: offered, .. } = steps.recv().await.unwrap().what else { panic!("not offered") };
        assert_eq!(offered.get(), priority);
        let taken = Taken::default();
        let (work, stop) = (Arc::new(taken.clone()), CancellationToken::new());
        let options = WorkOptions { concurrency: 1, grace: Duration::from_secs(5) };
        let working = bench.queue.work(options, work, stop.clone());
        let (_, ended) = tokio::join!(
            async {
                until("the job is taken", async || taken.0.lock().unwrap().is_some()).await;
                stop.cancel();
            },
            working
        );
        ended.unwrap();
        assert_eq!(*taken.0.lock().unwrap(), Some(attempts));
    }
}

/// Keeps the attempts of the job it was given.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Option<u32>>>);

#[async_trait]
impl Work for Taken {
    async fn perform(&self, job: Job) -> Outcome {
        *self.0.lock().unwrap() = Some(job.attempts_max);
        Outcome::Done("done".to_owned())
    }
}

#[tokio::test]
async fn hazard_14_a_row_retracted_while_it_waits_leaves_the_queue_and_is_marked() {
    let bench = Bench::new(|_, _| ruled(Verdict::Deliver { priority: Some(Priority::MAX) })).await;
    let id = bench.insert(json!({}));
    bench.hint(id).await;
    until("it is queued", async || bench.state(id).await == JobState::Waiting).await;
    let job = bench.row(id).await.job();
    // As after a claim whose attempt has ended: the row knows its job.
    bench.update(id, json!({"notification_status": "RETRACTED", "transaction_id": job.as_str()}));
    bench.hint(id).await;
    until("it is marked", async || !bench.raw(id)["error_details"]["cancelled"].is_null()).await;
    assert_eq!(bench.queue.state(&job).await.unwrap(), JobState::Missing);
}

#[tokio::test]
async fn hazard_5_a_row_whose_job_is_gone_is_offered_again_and_given_up_the_third_time() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    let id = bench.insert(json!({}));
    let job = format!("xn-{ENTERPRISE}-{id}-5");
    let stuck =
        json!({"notification_status": "PROCESSING", "transaction_id": job, "processed_at": "2026-01-01T00:00:00Z"});
    for reaps in 1..=2 {
        bench.update(id, stuck.clone());
        bench.sweep(vec![bench.row(id).await], Via::Reap).await;
        let job = job.parse().unwrap();
        until("its job is back", async || bench.queue.state(&job).await.unwrap() == JobState::Waiting).await;
        assert_eq!(bench.raw(id)["error_details"]["reaped"], reaps);
        assert!(bench.queue.remove(&job).await.unwrap());
    }
    bench.sweep(vec![bench.row(id).await], Via::Reap).await;
    until("it is given up", async || bench.raw(id)["notification_status"] == "FAILED").await;
    assert_eq!(bench.raw(id)["error_details"]["stage"], "reaper");
}

#[tokio::test]
async fn a_stuck_row_of_another_sender_is_left_alone() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    let theirs = json!({"notification_status": "PROCESSING", "transaction_id": "txn_theirs", "processed_at": "2026-01-01T00:00:00Z"});
    let id = bench.insert(theirs);
    let before = bench.raw(id);
    bench.sweep(vec![bench.row(id).await], Via::Reap).await;
    bench.settle_down().await;
    assert_eq!(bench.raw(id), before);
}

#[tokio::test]
async fn a_lane_is_bounded_in_hints_and_in_rows_and_notes_what_it_missed() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    let id = bench.insert(json!({}));
    let row = bench.row(id).await;
    let (sender, mut receiver) = mpsc::channel(super::LANE_HINTS_MAX);
    let rows = Arc::new(tokio::sync::Semaphore::new(super::LANE_ROWS_MAX));
    let door = super::Door { sender, rows, missed: Arc::default() };
    let page = |rows| Hint::Rows { enterprise: enterprise(), rows: vec![row.clone(); rows], via: Via::Sweep };
    assert!(door.admit(page(super::LANE_ROWS_MAX - 1)) && door.admit(page(1)));
    assert!(!door.missed.load(std::sync::atomic::Ordering::Relaxed));
    assert!(!door.admit(page(1)), "the rows are at their bound");
    assert!(door.missed.load(std::sync::atomic::Ordering::Relaxed));
    drop(receiver.recv().await);
    assert!(door.admit(page(500)), "room is given back with the page");
    let hint = || Hint::Id { enterprise: enterprise(), id, via: Via::Realtime, change: None };
    let entered = (0..super::LANE_HINTS_MAX + 10).filter(|_| door.admit(hint())).count();
    assert_eq!(entered, super::LANE_HINTS_MAX - 2, "two pages are in the lane");
}

#[tokio::test]
async fn under_pressure_an_enterprise_queues_its_allowance_and_in_a_full_queue_nothing() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    let rows = async |count: usize| {
        let ids: Vec<NotificationId> = (0..count).map(|_| bench.insert(json!({}))).collect();
        bench.store.read(&enterprise(), &ids).await.unwrap().rows
    };
    let held_back = async |times: usize| {
        let line = format!("xnovu_discarded_total{{intentional=\"false\",reason=\"queue-full\"}} {times}\n");
        until("rows are left in the database", async || bench.metrics.text().contains(&line)).await;
    };
    bench.pressure.send_replace(Pressure::Full);
    bench.sweep(rows(10).await, Via::Sweep).await;
    held_back(1).await;
    assert_eq!(bench.waiting().await, 0);
    bench.pressure.send_replace(Pressure::High);
    bench.sweep(rows(1_500).await, Via::Sweep).await;
    held_back(2).await;
    bench.settle_down().await;
    let waiting = bench.waiting().await;
    assert!((1_000..1_400).contains(&waiting), "{waiting}");
}
