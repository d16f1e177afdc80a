//! What a bench of the whole path runs against: the stand-in's tables and Novu, a real Redis, a daemon and workers, each a process.
//!
//! Owns the processes; everything it starts ends with it. Owns the enterprises and the rows they put. Measures nothing but what the
//! system says of its processes.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// Each enterprise, and the one workflow it has.
pub(crate) const ENTERPRISES: [(&str, &str); 4] = [
    ("11111111-1111-4111-8111-111111111111", "task-reminder"),
    ("22222222-2222-4222-8222-222222222222", "desk-message"),
    ("33333333-3333-4333-8333-333333333333", "fire-emergency"),
    ("44444444-4444-4444-8444-444444444444", "newsletter"),
];

/// Time between two sweeps, so that a bench need not wait for the usual one.
pub(crate) const SWEEP: Duration = Duration::from_secs(1);

/// Longest wait for the last delivery of a part.
const PATIENCE: Duration = Duration::from_secs(120);

/// What admin requests on the health ports carry.
const ADMIN_TOKEN: &str = "a-token-of-the-bench";

/// Deliveries the stand-in keeps: more than a bench makes in one house.
const DELIVERIES_MAX: u32 = 400_000;

/// The program, of the same build as the bench; the stand-in lies beside it.
const XNOVU: &str = env!("CARGO_BIN_EXE_xnovu");

/// One process of the house.
pub(crate) struct Process {
    /// What it is called.
    pub(crate) name: String,
    /// Port of health and metrics, where it has one.
    pub(crate) port: Option<u16>,
    child: Child,
}

impl Process {
    fn start(name: String, port: Option<u16>, command: &mut Command) -> Self {
        let log = std::fs::File::create(std::env::temp_dir().join(format!("xnovu-bench-{name}.log"))).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self { name, port, child }
    }

    /// CPU time spent so far, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory at its highest, MB.
    pub(crate) fn memory_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / 1e6
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The processes.
pub(crate) struct House {
    url: String,
    http: reqwest::Client,
    /// Stand-in, Redis, daemon, workers.
    pub(crate) processes: Vec<Process>,
    state: tempfile::TempDir,
}

impl House {
    /// Starts everything, with the rules in a directory.
    pub(crate) async fn open(plugins: &Path, workers: usize) -> Self {
        let (standin_port, redis_port, state) = (free_port(), free_port(), tempfile::tempdir().unwrap());
        let url = format!("http://127.0.0.1:{standin_port}");
        let mut standin = Command::new(Path::new(XNOVU).with_file_name("xnovu-standin"));
        standin.args([
            "--listen",
            &format!("127.0.0.1:{standin_port}"),
            "--deliveries-max",
            &DELIVERIES_MAX.to_string(),
        ]);
        let mut redis = Command::new("redis-server");
        let port = redis_port.to_string();
        redis.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"]);
        let processes = [("standin", &mut standin), ("redis", &mut redis)]
            .map(|(name, command)| Process::start(name.to_owned(), None, command));
        let mut house = Self { url, http: reqwest::Client::new(), processes: processes.into(), state };
        house.until("the stand-in answers", async |house| house.try_get("admin/stats").await.is_some()).await;
        for (enterprise, key) in ENTERPRISES {
            let workflow = json!({"name": key, "workflow_key": key, "workflow_type": "STATIC", "publish_status": "PUBLISH",
                "enterprise_id": enterprise});
            house.post("admin/rows/ent_notification_workflow", &workflow).await;
        }
        let redis_url = format!("redis://127.0.0.1:{redis_port}");
        let names = (1..=workers).map(|number| format!("worker-{number}"));
        for name in ["daemon".to_owned()].into_iter().chain(names) {
            let port = free_port();
            let mut command = house.xnovu(plugins, &redis_url);
            let verb = if name == "daemon" { "daemon" } else { "worker" };
            command.args([verb, "start", "--health-port", &port.to_string()]);
            house.processes.push(Process::start(name, Some(port), &mut command));
        }
        house
    }

    fn xnovu(&self, plugins: &Path, redis_url: &str) -> Command {
        let mut command = Command::new(XNOVU);
        let ids: Vec<&str> = ENTERPRISES.iter().map(|(id, _)| *id).collect();
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(self.state.path()).envs([
            ("NEXT_PUBLIC_SUPABASE_URL", self.url.as_str()),
            ("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_standin"),
            ("NOVU_API_URL", &self.url),
            ("NOVU_SECRET_KEY", "standin-novu-key"),
            ("REDIS_URL", redis_url),
            ("DAEMON_ENTERPRISE_IDS", &ids.join(",")),
            ("DAEMON_LOG_LEVEL", "warn"),
            ("XNOVU_ADMIN_TOKEN", ADMIN_TOKEN),
            ("XNOVU_SWEEP_INTERVAL", &SWEEP.as_millis().to_string()),
            ("WORKER_CONCURRENCY", "50"),
            ("SUPABASE_MAX_CONCURRENCY", "20"),
            ("XNOVU_PLUGINS", &plugins.to_string_lossy()),
        ]);
        command
    }

    /// Daemon and workers.
    pub(crate) fn xnovus(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| process.port.is_some())
    }

    /// An answer of a process's health port; None where it is not up yet.
    pub(crate) async fn ask(&self, process: &Process, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}{path}", process.port?);
        self.http.get(url).send().await.ok()?.error_for_status().ok()?.text().await.ok()
    }

    /// Lets a process do something, over its health port.
    pub(crate) async fn tell(&self, process: &Process, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", process.port.unwrap());
        let answer = self.http.post(url).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{} {path}: {status} {text}", process.name);
        serde_json::from_str(&text).unwrap()
    }

    async fn try_get(&self, path: &str) -> Option<Value> {
        self.http.get(format!("{}/{path}", self.url)).send().await.ok()?.json().await.ok()
    }

    /// What the stand-in answers.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.unwrap_or_else(|| panic!("the stand-in answers GET {path}"))
    }

    /// Lets the stand-in do something.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.http.post(format!("{}/{path}", self.url)).json(body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "POST {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self).await {
            assert!(
                Instant::now() < deadline,
                "waited {PATIENCE:?} in vain until {what}: {:?}",
                self.try_get("admin/stats").await
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Messages Novu has delivered.
    pub(crate) async fn delivered(&self) -> u64 {
        self.get("admin/stats").await["novu"]["delivered"].as_u64().unwrap()
    }

    /// The deliveries after a number of them, by the id of their notification.
    pub(crate) async fn deliveries(&self, after: u64) -> HashMap<u64, Vec<Value>> {
        let all = self.get(&format!("admin/deliveries?since={after}&limit={DELIVERIES_MAX}")).await;
        let Value::Array(all) = all else { panic!("no deliveries: {all}") };
        let mut deliveries: HashMap<u64, Vec<Value>> = HashMap::new();
        for delivery in all {
            let id = delivery["transaction_id"].as_str().unwrap().rsplit('-').nth(3).unwrap().parse().unwrap();
            deliveries.entry(id).or_default().push(delivery);
        }
        deliveries
    }

    /// CPU time of each process so far.
    pub(crate) fn cpu(&self) -> Vec<Duration> {
        self.processes.iter().map(Process::cpu).collect()
    }

    /// Puts rows at a steady rate, each at its time, whatever has become of those before. Answers each row's id and the time of its commit.
    pub(crate) async fn put_steadily(
        &self,
        rate: u32,
        lasting: Duration,
        row: impl Fn(u64) -> Value,
    ) -> Vec<(u64, DateTime<Utc>)> {
        let total = u64::from(rate) * lasting.as_millis() as u64 / 1_000;
        let started = tokio::time::Instant::now();
        let mut puts = tokio::task::JoinSet::new();
        for n in 0..total {
            tokio::time::sleep_until(started + Duration::from_secs(n) / rate).await;
            let (http, url, row) = (self.http.clone(), format!("{}/admin/rows/ent_notification", self.url), row(n));
            puts.spawn(async move { http.post(url).json(&row).send().await.unwrap().json::<Value>().await.unwrap() });
        }
        let committed = |row: Value| {
            let at = DateTime::parse_from_rfc3339(row["created_at"].as_str().unwrap()).unwrap();
            (row["id"].as_u64().unwrap(), at.to_utc())
        };
        puts.join_all().await.into_iter().map(committed).collect()
    }
}

/// Milliseconds from a time to the last of some deliveries.
pub(crate) fn delay_ms(since: DateTime<Utc>, deliveries: &[Value]) -> f64 {
    let last = deliveries.iter().map(|delivery| delivery["at_ms"].as_f64().unwrap()).fold(0.0, f64::max);
    last - since.timestamp_micros() as f64 / 1000.0
}

/// A row that the sample rules let through at any hour.
pub(crate) fn row(enterprise: usize, name: &str) -> Value {
    let (id, workflow) = ENTERPRISES[enterprise];
    let payload = match enterprise {
        0 => json!({"severity": "high", "task": "close the fire door"}),
        2 => json!({"kind": "emergency", "building": "HQ", "floor": 3}),
        _ => json!({"severity": "medium", "subject": "parcel", "text": "x".repeat(300)}),
    };
    json!({"name": name, "enterprise_id": id, "workflow_key": workflow, "payload": payload, "tags": ["bench"],
        "recipients": ["aaaaaaaa-0000-4000-8000-000000000001"]})
}
