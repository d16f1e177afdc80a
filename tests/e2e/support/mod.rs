//! What every test here needs: a house with its own stand-in, Redis, plugins and processes.
//!
//! Owns the settings the processes get and how a test looks at rows and deliveries. Promises that nothing outlives its test, and that a
//! test which waits in vain says what it saw last.

pub mod marked;
pub mod page;
pub mod plugins;
pub mod postgres;
pub mod process;
pub mod redis;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use xnovu_standin::{Delivery, Effect, Face, Faults, HttpFault, Options, Outcome, Standin, StandinConfig, State};

pub use process::{Ran, Xnovu};
pub use redis::RedisServer;

/// Enterprises of the tests. The second is bound to the sample plugin `priority-desk` where a test says so.
pub const ENTERPRISES: [&str; 5] = [
    "e1111111-1111-4111-8111-111111111111",
    "e2222222-2222-4222-8222-222222222222",
    "e3333333-3333-4333-8333-333333333333",
    "e4444444-4444-4444-8444-444444444444",
    "e5555555-5555-4555-8555-555555555555",
];

/// The notifications.
pub const TABLE: &str = "ent_notification";

/// Longest wait for a condition on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Keys that must never be seen outside the stand-in.
pub const SUPABASE_KEY: &str = "sb_secret_PLANTEDSUPABASE";
pub const NOVU_KEY: &str = "PLANTEDNOVUKEY";

/// What stands in payloads and must be seen nowhere but on the row and at Novu.
pub const IN_PAYLOAD: &str = "planted-in-payload";

/// One installation: the services it talks to, and the settings of its processes.
pub struct House {
    pub standin: Standin,
    redis_url: Option<String>,
    settings: Vec<(&'static str, String)>,
    dir: TempDir,
    names: AtomicU64,
}

impl House {
    /// A house whose queue is in this Redis.
    pub async fn on(redis: &RedisServer) -> Self {
        Self::with(Some(redis), Options::default()).await
    }

    /// A house with services that behave so; its queue is in memory where there is no Redis.
    pub async fn with(redis: Option<&RedisServer>, options: Options) -> Self {
        let (supabase_key, novu_key) = (SUPABASE_KEY.to_owned(), NOVU_KEY.to_owned());
        let config = StandinConfig { supabase_key, novu_key, options, ..StandinConfig::default() };
        Self {
            standin: Standin::start(config).await.unwrap(),
            redis_url: redis.map(RedisServer::url),
            settings: Vec::new(),
            dir: tempfile::tempdir().unwrap(),
            names: AtomicU64::new(1),
        }
    }

    /// Sets a variable of the processes started from now on.
    pub fn set(&mut self, name: &'static str, value: impl ToString) {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_string()));
    }

    /// Where the processes run.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the processes look for plugins.
    pub fn plugins(&self) -> PathBuf {
        self.dir().join("plugins")
    }

    /// Starts a daemon. Without Redis it has a worker inside.
    pub fn daemon(&self) -> Xnovu {
        let port = free_port();
        Xnovu::start("daemon", &["daemon"], self.dir(), &self.environment(port), Some(port))
    }

    /// Starts a daemon with these arguments.
    pub fn daemon_with(&self, arguments: &[&str]) -> Xnovu {
        let port = free_port();
        let arguments = [&["daemon"], arguments].concat();
        Xnovu::start("daemon", &arguments, self.dir(), &self.environment(port), Some(port))
    }

    /// Starts a daemon of another machine: it shares everything but its state directory.
    pub fn another_daemon(&self) -> Xnovu {
        let port = free_port();
        let mut environment = self.environment(port);
        environment.retain(|(name, _)| *name != "XNOVU_STATE_DIR");
        environment.push(("XNOVU_STATE_DIR", self.dir().join("another").display().to_string()));
        Xnovu::start("other daemon", &["daemon"], self.dir(), &environment, Some(port))
    }

    /// Starts a worker.
    pub fn worker(&self) -> Xnovu {
        Xnovu::start("worker", &["worker", "start"], self.dir(), &self.environment(0), None)
    }

    /// Starts a worker that serves its health.
    pub fn observed_worker(&self) -> Xnovu {
        let port = free_port();
        let arguments = ["worker", "start", "--health-port", &port.to_string()];
        Xnovu::start("worker", &arguments, self.dir(), &self.environment(0), Some(port))
    }

    /// Starts any command.
    pub fn start(&self, name: &'static str, arguments: &[&str]) -> Xnovu {
        Xnovu::start(name, arguments, self.dir(), &self.environment(0), None)
    }

    /// Runs any command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_at(free_port(), arguments).await
    }

    /// The same, for a command whose daemon serves its health at this port.
    pub async fn run_at(&self, health_port: u16, arguments: &[&str]) -> Ran {
        process::run(arguments, self.dir(), &self.environment(health_port)).await
    }

    /// A file of the state directory.
    pub fn state_file(&self, name: &str) -> PathBuf {
        self.dir().join("state").join(name)
    }

    /// The variables of a process that serves its health at this port.
    pub fn environment(&self, health_port: u16) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("NEXT_PUBLIC_SUPABASE_URL", self.standin.url()),
            ("SUPABASE_SERVICE_ROLE_KEY", SUPABASE_KEY.to_owned()),
            ("NOVU_API_URL", self.standin.url()),
            ("NOVU_SECRET_KEY", NOVU_KEY.to_owned()),
            ("DAEMON_ENTERPRISE_IDS", ENTERPRISES.join(",")),
            ("DAEMON_HEALTH_PORT", health_port.to_string()),
            ("DAEMON_LOG_LEVEL", "debug".to_owned()),
            ("XNOVU_SWEEP_INTERVAL", "500".to_owned()),
            ("XNOVU_STATE_DIR", self.dir().join("state").display().to_string()),
            ("SUBSCRIPTION_RECONNECT_DELAY", "100".to_owned()),
            ("RULE_ENGINE_RETRY_DELAY", "50".to_owned()),
        ];
        environment.extend(self.redis_url.iter().map(|url| ("REDIS_URL", url.clone())));
        for (name, value) in &self.settings {
            environment.retain(|(known, _)| known != name);
            environment.push((name, value.clone()));
        }
        environment
    }

    pub fn state(&self) -> &State {
        self.standin.state()
    }

    /// Inserts a notification of the first enterprise with these columns besides the usual ones.
    pub fn insert(&self, columns: Value) -> i64 {
        self.state().insert(TABLE, &self.draft(columns)).unwrap()["id"].as_i64().unwrap()
    }

    /// Inserts as many plain notifications and answers their ids.
    pub fn insert_plain(&self, count: usize) -> Vec<i64> {
        (0..count).map(|_| self.insert(json!({}))).collect()
    }

    /// A row as it may be inserted. Its workflow belongs to its enterprise; a column that is null here is left out.
    pub fn draft(&self, columns: Value) -> Value {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let enterprise = columns["enterprise_id"].as_str().unwrap_or(ENTERPRISES[0]);
        let mut row = json!({"name": format!("notification {number}"), "enterprise_id": enterprise,
            "workflow_key": own_workflow("welcome", enterprise), "recipients": [subscriber(number)], "payload": {"number": number, "text": IN_PAYLOAD}});
        let row_columns = row.as_object_mut().unwrap();
        row_columns.extend(columns.as_object().unwrap().clone());
        row_columns.retain(|_, value| !value.is_null());
        row
    }

    pub fn update(&self, id: i64, columns: Value) {
        self.state().update(TABLE, id, &columns).unwrap().expect("the row is there");
    }

    pub fn row(&self, id: i64) -> Value {
        self.state().row(TABLE, id).unwrap().expect("the row is there")
    }

    pub fn status(&self, id: i64) -> String {
        self.row(id)["notification_status"].as_str().unwrap().to_owned()
    }

    /// Waits until all these rows have the status.
    pub async fn until_all(&self, ids: &[i64], status: &str) {
        until(&format!("{} rows are {status}", ids.len()), async || {
            let others: Vec<Value> =
                ids.iter().map(|id| self.row(*id)).filter(|row| row["notification_status"] != status).collect();
            if others.is_empty() {
                Ok(())
            } else {
                Err(format!("{} are not; the first is {}", others.len(), others[0]))
            }
        })
        .await;
    }

    pub async fn until_status(&self, id: i64, status: &str) {
        self.until_all(&[id], status).await;
    }

    /// What Novu has accepted for a row, refused duplicates among it.
    pub fn deliveries(&self, id: i64) -> Vec<Delivery> {
        let own = |delivery: &Delivery| row_of(&delivery.transaction_id) == Some(id);
        self.state().deliveries(0).into_iter().filter(own).collect()
    }

    /// Asserts that each of these rows was sent to its recipients exactly once, and nothing else to anybody.
    pub fn assert_sent_once(&self, ids: &[i64]) {
        for id in ids {
            let row = self.row(*id);
            assert_eq!(row["notification_status"], "SENT", "{row}");
            assert_delivered_once(&row, &self.deliveries(*id));
        }
        let strangers: Vec<Delivery> = self.state().deliveries(0);
        let strangers: Vec<&Delivery> =
            strangers.iter().filter(|one| !row_of(&one.transaction_id).is_some_and(|id| ids.contains(&id))).collect();
        assert!(strangers.is_empty(), "sent without being asked for: {strangers:?}");
    }

    /// Asserts that nothing has been written to a row and nothing sent for it.
    pub fn assert_untouched(&self, id: i64) {
        let row = self.row(id);
        for column in ["transaction_id", "processed_at", "error_details", "retraction_reason"] {
            assert_eq!(row[column], Value::Null, "{column} of {row}");
        }
        assert_eq!(row["notification_status"], "PENDING");
        assert_eq!(self.deliveries(id), []);
    }

    /// Every call to Novu goes wrong like that, until the faults are cleared.
    pub fn break_novu(&self, effect: Effect) {
        self.fault(HttpFault::new(Face::Novu, effect));
    }

    /// Adds a fault of single requests.
    pub fn fault(&self, fault: HttpFault) {
        let mut faults = self.state().faults();
        faults.http.push(fault);
        self.state().set_faults(faults);
    }

    pub fn mend(&self) {
        self.state().set_faults(Faults::default());
    }
}

/// Each recipient of the row got it once, and each call had a transaction id of its own under the row's job.
pub fn assert_delivered_once(row: &Value, deliveries: &[Delivery]) {
    let refused: Vec<&Delivery> = deliveries.iter().filter(|delivery| delivery.outcome != Outcome::Delivered).collect();
    assert!(refused.is_empty(), "refused as duplicates: {refused:?}");
    let job = row["transaction_id"].as_str().unwrap_or_default();
    for delivery in deliveries {
        assert!(delivery.transaction_id.starts_with(&format!("{job}-m")), "{} of {row}", delivery.transaction_id);
    }
    assert_eq!(recipients_of(deliveries), sorted(&row["recipients"]), "{row}");
}

/// Everybody the deliveries went to, in order, as often as they got one.
pub fn recipients_of(deliveries: &[Delivery]) -> Vec<String> {
    let mut recipients: Vec<String> = deliveries.iter().flat_map(|delivery| delivery.recipients.clone()).collect();
    recipients.sort();
    recipients
}

fn sorted(recipients: &Value) -> Vec<String> {
    let mut recipients: Vec<String> = serde_json::from_value(recipients.clone()).unwrap();
    recipients.sort();
    recipients
}

/// The row a transaction id of ours is about: `xn-<enterprise>-<row>-<episode>-m<message>-c<chunk>`.
fn row_of(transaction_id: &str) -> Option<i64> {
    transaction_id.rsplit('-').nth(3)?.parse().ok()
}

/// A subscriber of the tests. All of them are told apart from anything else by how they begin.
pub fn subscriber(number: u64) -> String {
    format!("5ec4e700-0000-4000-8000-{number:012}")
}

/// A workflow of this enterprise's own; keys are unique across enterprises.
pub fn own_workflow(name: &str, enterprise: &str) -> String {
    format!("{name}-{}", &enterprise[..2])
}

/// The time in so many seconds, as a row has it.
#[expect(clippy::disallowed_methods, reason = "rows of a test are scheduled by the machine's clock, as a user's are")]
pub fn in_seconds(seconds: i64) -> String {
    (chrono::Utc::now() + chrono::TimeDelta::seconds(seconds)).to_rfc3339()
}

/// A port nobody listens on, below those connections are made from, so that none is taken before its owner listens.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let turn = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + (std::process::id().wrapping_mul(61).wrapping_add(turn)) % 20_000;
        let port = u16::try_from(port).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Asks again and again until the answer is good; panics with the last answer that was not.
pub async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    until_within(PATIENCE, what, ask).await
}

/// The same, for what takes its time.
pub async fn until_within<T>(patience: Duration, what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(last) if tokio::time::Instant::now() >= deadline => {
                panic!("waited {patience:?} in vain until {what}: {last}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
