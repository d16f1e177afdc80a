//! The worker's line over the real store and gateway, against the stand-in: one attempt at a time, so that every interleaving can be made.
//! Names are claims; the numbers are those of the list of hazards the design was made from.

mod hazards;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use xnovu_domain::{EnterpriseId, Event, JobId, Json, Message, Micros, Notification, Verdict};
use xnovu_queue::{Identity, Job, JobOptions, Ledger, MemoryQueue, Offer, Outcome, Work};
use xnovu_rules::{Broken, Decided, Digest, FailurePolicy, Grants, Pin, Ruled, Rules, Ruling, Stamp};
use xnovu_standin::{Delivery, Faults, HttpFault, Options, Standin, StandinConfig};

use super::Worker;
use crate::clock::SystemClock;
use crate::config::{Novu, Secret, Supabase};
use crate::gateway::novu::NovuGateway;
use crate::metrics::Metrics;
use crate::retraction::Retractions;
use crate::store::NotificationStore;
use crate::store::postgrest::Postgrest;
use crate::trail::Trail;
use crate::workflows::Workflows;

const ENTERPRISE: &str = "11111111-1111-4111-8111-111111111111";

type Decide = dyn Fn(&Event) -> Ruling<Decided> + Send + Sync;

/// Rules whose answer the test sets, and whether they know who has some.
struct SetRules(Mutex<Box<Decide>>, AtomicBool);

#[async_trait]
impl Rules for SetRules {
    fn knows_who_has_some(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    fn binds(&self, _: &EnterpriseId) -> bool {
        true
    }

    async fn admit(&self, _: Event) -> Ruling<Verdict> {
        Ruling::Unbound
    }

    async fn decide(&self, event: Event, _: Option<&Pin>) -> Ruling<Decided> {
        (self.0.lock().unwrap())(&event)
    }
}

fn stamp() -> Stamp {
    let digest: Digest = "ab".repeat(32).parse().unwrap();
    Stamp { plugin: "set".to_owned(), version: "1.0.0".to_owned(), digest, config_hash: digest }
}

fn ruled(verdict: Verdict, messages: Option<Vec<Message>>) -> Ruling<Decided> {
    ruled_under(Grants::default(), verdict, messages)
}

fn ruled_under(grants: Grants, verdict: Verdict, messages: Option<Vec<Message>>) -> Ruling<Decided> {
    let (answer, duration) = (Decided { verdict, messages }, Duration::from_micros(1));
    Ruling::Ruled(Ruled { answer, stamp: stamp(), fuel: 1, duration, log: Vec::new(), grants })
}

fn messages(event: &Event, payloads: &[Value]) -> Vec<Message> {
    let message = |payload: &Value| Message {
        workflow_key: "w".into(),
        recipients: event.notification.recipients.clone(),
        payload: Json::from_value(payload),
        overrides: None,
        tenant: None,
        actor: None,
        extra: None,
    };
    payloads.iter().map(message).collect()
}

fn broken(kind: xnovu_rules::BrokenKind, policy: FailurePolicy) -> Ruling<Decided> {
    Ruling::Broken(Broken { kind, reason: "on purpose".to_owned(), policy, stamp: None, cost: None })
}

/// A worker, the stand-in it works against, and rules that let everything pass.
struct Bench {
    standin: Standin,
    store: Arc<Postgrest>,
    ledger: Arc<Ledger>,
    rules: Arc<SetRules>,
    worker: Worker,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let config = StandinConfig { options, ..StandinConfig::default() };
        let (key, novu_key) = (Secret::new(&config.supabase_key), Secret::new(&config.novu_key));
        let standin = Standin::start(config).await.unwrap();
        let timeout = Duration::from_millis(400);
        let store = Arc::new(
            Postgrest::new(&Supabase { url: standin.url(), key, concurrency: 5 }, Arc::new(SystemClock)).unwrap(),
        );
        let gateway = Arc::new(NovuGateway::new(&Novu { url: standin.url(), key: novu_key, timeout }).unwrap());
        let (ledger, trail) = (Arc::new(Ledger::memory()), Trail::default());
        let retractions = Arc::new(Retractions {
            store: Arc::clone(&store) as _,
            queue: Arc::new(MemoryQueue::new(JobOptions::default())),
            ledger: Arc::clone(&ledger),
            gateway: Arc::clone(&gateway) as _,
            trail: trail.clone(),
        });
        let rules = Arc::new(SetRules(Mutex::new(Box::new(|_| Ruling::Unbound)), AtomicBool::new(true)));
        let worker = Worker {
            store: Arc::clone(&store) as _,
            rules: Arc::clone(&rules) as _,
            gateway,
            ledger: Arc::clone(&ledger),
            workflows: Arc::new(Workflows::new(Arc::clone(&store) as _)),
            retractions,
            give_up_after: Duration::from_secs(86_400),
            call_timeout: timeout,
            trail,
            metrics: Metrics::new(),
        };
        let bench = Self { standin, store, ledger, rules, worker };
        for (enterprise, key) in [(ENTERPRISE, "w"), ("99999999-1111-4111-8111-111111111111", "theirs")] {
            let workflow = json!({"name": key, "workflow_key": key, "workflow_type": "STATIC", "publish_status": "PUBLISH",
                "enterprise_id": enterprise});
            bench.standin.state().insert("ent_notification_workflow", &workflow).unwrap();
        }
        bench
    }

    fn rule(&self, decide: impl Fn(&Event) -> Ruling<Decided> + Send + Sync + 'static) {
        *self.rules.0.lock().unwrap() = Box::new(decide);
    }

    /// Inserts a notification to that many recipients and returns its id.
    fn insert(&self, recipients: usize, changes: Value) -> i64 {
        let recipients: Vec<String> = (0..recipients).map(|n| format!("aaaaaaaa-0000-4000-8000-{n:012}")).collect();
        let mut row = json!({"name": format!("n{}", fastrand::u64(..)), "enterprise_id": ENTERPRISE, "workflow_key": "w",
            "recipients": recipients, "payload": {"v": 1}});
        for (key, value) in changes.as_object().unwrap() {
            row[key] = value.clone();
        }
        self.standin.state().insert("ent_notification", &row).unwrap()["id"].as_i64().unwrap()
    }

    fn update(&self, id: i64, columns: Value) {
        self.standin.state().update("ent_notification", id, &columns).unwrap().unwrap();
    }

    async fn row(&self, id: i64) -> Notification {
        let ids = [xnovu_domain::NotificationId::new(id).unwrap()];
        self.store.read(&ENTERPRISE.parse().unwrap(), &ids).await.unwrap().rows.remove(0)
    }

    fn raw(&self, id: i64) -> Value {
        self.standin.state().row("ent_notification", id).unwrap().unwrap()
    }

    fn status(&self, id: i64) -> String {
        self.raw(id)["notification_status"].as_str().unwrap().to_owned()
    }

    /// The job of the row as it is now.
    async fn job(&self, id: i64) -> JobId {
        self.row(id).await.job()
    }

    /// Performs one attempt.
    async fn attempt(&self, job: &JobId, attempt: u32) -> Outcome {
        self.attempt_as(job, attempt, false).await
    }

    /// Performs one attempt at a job about which rules have a say, or none.
    async fn attempt_as(&self, job: &JobId, attempt: u32, ruled: bool) -> Outcome {
        let offer = Offer {
            job: job.clone(),
            origin: xnovu_domain::Origin::Realtime,
            priority: xnovu_domain::Priority::MAX,
            delay: None,
            attempts: None,
            ruled,
            defaults: None,
        };
        let data = JobId::data(&offer);
        let created = Micros::new(0);
        let job = Job { id: job.clone(), data, attempt, attempts_max: 3, created, last: attempt == 3 };
        self.worker.perform(job).await
    }

    fn delivered(&self) -> Vec<Delivery> {
        let all = self.standin.state().deliveries(0);
        all.into_iter().filter(|delivery| delivery.outcome == xnovu_standin::Outcome::Delivered).collect()
    }

    fn http_fault(&self, fault: HttpFault) {
        self.standin.state().set_faults(Faults { http: vec![fault], ..Faults::default() });
    }

    fn no_faults(&self) {
        self.standin.state().set_faults(Faults::default());
    }
}
