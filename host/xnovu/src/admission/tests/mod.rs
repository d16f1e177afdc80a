//! The daemon's half over the real store, against the stand-in, with rules and a queue of the test's own.

mod bounds;
mod jobs;
mod verdicts;

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
