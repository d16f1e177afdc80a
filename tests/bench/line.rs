//! Times the whole path: rows in the stand-in's tables, daemon and worker as processes, a real Redis, the stand-in's Novu.
//!
//! Owns the load and the arithmetic. The load of the latency part is open: rows are put at their times, whatever has become of those
//! before. Prints figures; judges nothing. Everything it starts ends with it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on should say where")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock and its own arguments")]

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const ENTERPRISES: [(&str, &str); 4] = [
    ("11111111-1111-4111-8111-111111111111", "task-reminder"),
    ("22222222-2222-4222-8222-222222222222", "desk-message"),
    ("33333333-3333-4333-8333-333333333333", "fire-emergency"),
    ("44444444-4444-4444-8444-444444444444", "newsletter"),
];

/// Time between two sweeps, so that a bench need not wait for the usual one.
const SWEEP: Duration = Duration::from_secs(1);

/// Longest wait for the last delivery of a part.
const PATIENCE: Duration = Duration::from_secs(120);

struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    fn start(name: &'static str, command: &mut Command) -> Self {
        let log = std::fs::File::create(std::env::temp_dir().join(format!("xnovu-bench-{name}.log"))).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        Self { name, child: child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}")) }
    }

    /// CPU time spent so far, user and system.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory now and at its highest, KiB.
    fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (field("VmRSS:"), field("VmHWM:"))
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

struct House {
    url: String,
    http: reqwest::Client,
    /// Stand-in, Redis, daemon, worker.
    processes: Vec<Process>,
    _state: tempfile::TempDir,
}

impl House {
    async fn open() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let (standin_port, redis_port, state) = (free_port(), free_port(), tempfile::tempdir().unwrap());
        let url = format!("http://127.0.0.1:{standin_port}");
        let mut standin = Command::new(root.join("target/release/xnovu-standin"));
        standin.args(["--listen", &format!("127.0.0.1:{standin_port}"), "--deliveries-max", "200000"]);
        let mut redis = Command::new("redis-server");
        let port = redis_port.to_string();
        redis.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"]);
        let mut house = Self {
            url,
            http: reqwest::Client::new(),
            processes: vec![Process::start("standin", &mut standin), Process::start("redis", &mut redis)],
            _state: state,
        };
        house.until("the stand-in answers", async |house| house.try_get("admin/stats").await.is_some()).await;
        for (enterprise, key) in ENTERPRISES {
            let workflow = json!({"name": key, "workflow_key": key, "workflow_type": "STATIC", "publish_status": "PUBLISH",
                "enterprise_id": enterprise});
            house.post("admin/rows/ent_notification_workflow", &workflow).await;
        }
        let redis_url = format!("redis://127.0.0.1:{redis_port}");
        for (name, arguments) in [("daemon", ["daemon", "start"]), ("worker", ["worker", "start"])] {
            let mut command = house.xnovu(&root, &redis_url);
            command.args(arguments);
            house.processes.push(Process::start(name, &mut command));
        }
        house
    }

    fn xnovu(&self, root: &Path, redis_url: &str) -> Command {
        let mut command = Command::new(root.join("target/release/xnovu"));
        let ids: Vec<&str> = ENTERPRISES.iter().map(|(id, _)| *id).collect();
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(self._state.path()).envs([
            ("NEXT_PUBLIC_SUPABASE_URL", self.url.as_str()),
            ("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_standin"),
            ("NOVU_API_URL", &self.url),
            ("NOVU_SECRET_KEY", "standin-novu-key"),
            ("REDIS_URL", redis_url),
            ("DAEMON_ENTERPRISE_IDS", &ids.join(",")),
            ("DAEMON_HEALTH_PORT", "0"),
            ("DAEMON_LOG_LEVEL", "warn"),
            ("XNOVU_SWEEP_INTERVAL", &SWEEP.as_millis().to_string()),
            ("WORKER_CONCURRENCY", "50"),
            ("SUPABASE_MAX_CONCURRENCY", "20"),
            ("XNOVU_PLUGINS", &root.join("plugins").to_string_lossy()),
        ]);
        command
    }

    async fn try_get(&self, path: &str) -> Option<Value> {
        self.http.get(format!("{}/{path}", self.url)).send().await.ok()?.json().await.ok()
    }

    async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.unwrap_or_else(|| panic!("the stand-in answers GET {path}"))
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.http.post(format!("{}/{path}", self.url)).json(body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "POST {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
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

    async fn delivered(&self) -> u64 {
        self.get("admin/stats").await["novu"]["delivered"].as_u64().unwrap()
    }

    /// Milliseconds from these times to the acceptance of the notifications with these ids.
    async fn delays(&self, since: impl Iterator<Item = (u64, chrono::DateTime<chrono::Utc>)>) -> Vec<f64> {
        let deliveries = self.get("admin/deliveries?limit=200000").await;
        let at_ms: HashMap<u64, f64> = deliveries
            .as_array()
            .unwrap()
            .iter()
            .map(|delivery| {
                let id = delivery["transaction_id"].as_str().unwrap().rsplit('-').nth(3).unwrap().parse().unwrap();
                (id, delivery["at_ms"].as_f64().unwrap())
            })
            .collect();
        since.map(|(id, time)| at_ms[&id] - time.timestamp_micros() as f64 / 1000.0).collect()
    }

    fn cpu(&self) -> Vec<Duration> {
        self.processes.iter().map(Process::cpu).collect()
    }
}

/// A row that the enterprise's rules let through at any hour.
fn row(enterprise: usize, name: &str) -> Value {
    let (id, workflow) = ENTERPRISES[enterprise];
    let payload = match enterprise {
        0 => json!({"severity": "high", "task": "close the fire door"}),
        2 => json!({"kind": "emergency", "building": "HQ", "floor": 3}),
        _ => json!({"severity": "medium", "subject": "parcel", "text": "x".repeat(300)}),
    };
    json!({"name": name, "enterprise_id": id, "workflow_key": workflow, "payload": payload, "tags": ["bench"],
        "recipients": ["aaaaaaaa-0000-4000-8000-000000000001"]})
}

/// A backlog put at once: notifications per second until the last is delivered.
async fn throughput(house: &House, count: u64) {
    let (before, cpu_before) = (house.delivered().await, house.cpu());
    let started = Instant::now();
    for enterprise in 0..ENTERPRISES.len() {
        let rows: Vec<Value> = (0..count / 4).map(|n| row(enterprise, &format!("backlog {before} {n}"))).collect();
        house.post("admin/bulk", &json!({"table": "ent_notification", "rows": rows})).await;
    }
    let wanted = before + count / 4 * 4;
    house.until("the backlog is delivered", async |house| house.delivered().await >= wanted).await;
    let took = started.elapsed();
    println!("backlog of {count}: {:.0} notifications/s", (wanted - before) as f64 / took.as_secs_f64());
    for ((process, before), after) in house.processes.iter().zip(cpu_before).zip(house.cpu()) {
        let (now, highest) = process.memory();
        println!(
            "  {:<8} {:>5.0} µs CPU a notification, {:>6.1} MB resident ({:.1} at its highest)",
            process.name,
            (after - before).as_secs_f64() * 1e6 / count as f64,
            now as f64 / 1024.0,
            highest as f64 / 1024.0
        );
    }
}

/// Rows put at a steady rate: from the commit of each to its acceptance by Novu.
async fn latency(house: &House, rate: u32, lasting: Duration) {
    let before = house.delivered().await;
    let total = u64::from(rate) * lasting.as_secs();
    let started = tokio::time::Instant::now();
    let mut puts = tokio::task::JoinSet::new();
    for n in 0..total {
        tokio::time::sleep_until(started + Duration::from_secs(n) / rate).await;
        let (http, url) = (house.http.clone(), format!("{}/admin/rows/ent_notification", house.url));
        let row = row(usize::try_from(n % 4).unwrap(), &format!("steady {before} {n}"));
        puts.spawn(async move { http.post(url).json(&row).send().await.unwrap().json::<Value>().await.unwrap() });
    }
    let rows = puts.join_all().await;
    house.until("all are delivered", async |house| house.delivered().await >= before + total).await;
    let committed = rows.iter().map(|row| {
        let at = chrono::DateTime::parse_from_rfc3339(row["created_at"].as_str().unwrap()).unwrap();
        (row["id"].as_u64().unwrap(), at.to_utc())
    });
    let what = format!("commit to Novu at {rate}/s for {} s", lasting.as_secs());
    print_quantiles(&what, house.delays(committed).await);
}

/// Rows that fall due one by one: from the time of each to its acceptance by Novu. With `by_sweep`, Realtime loses their events.
async fn punctuality(house: &House, count: u32, lasting: Duration, by_sweep: bool) {
    let before = house.delivered().await;
    if by_sweep {
        house.post("admin/faults", &json!({"realtime": {"discard_events": count}})).await;
    }
    // By then a round of the sweep has found them.
    let first = chrono::Utc::now() + SWEEP * 3;
    let due = |n: u32| first + lasting / count * n;
    let rows: Vec<Value> = (0..count)
        .map(|n| {
            let mut row = row(usize::try_from(n % 4).unwrap(), &format!("due {before} {n}"));
            row["scheduled_for"] = due(n).to_rfc3339().into();
            row
        })
        .collect();
    let inserted = house.post("admin/bulk", &json!({"table": "ent_notification", "rows": rows})).await;
    let first_id = inserted["first_id"].as_u64().unwrap();
    house.until("all are delivered", async |house| house.delivered().await >= before + u64::from(count)).await;
    house.post("admin/faults", &json!({"realtime": {"discard_events": 0}})).await;
    let what = format!("due to Novu, {count} rows heard of by {}", if by_sweep { "sweep" } else { "Realtime" });
    print_quantiles(&what, house.delays((0..count).map(|n| (first_id + u64::from(n), due(n)))).await);
}

fn print_quantiles(what: &str, mut millis: Vec<f64>) {
    millis.sort_by(f64::total_cmp);
    let quantile = |q: f64| millis[((millis.len() - 1) as f64 * q) as usize];
    println!("{what}: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms", quantile(0.5), quantile(0.99), quantile(1.0));
}

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (count, lasting, rounds) = if quick { (4_000, 5, 1) } else { (10_000, 20, 3) };
    let house = House::open().await;
    // Both processes have loaded their plugins and connected once the first rows are through.
    throughput(&house, 400).await;
    for _ in 0..rounds {
        throughput(&house, count).await;
        latency(&house, 200, Duration::from_secs(lasting)).await;
        for by_sweep in [false, true] {
            punctuality(&house, 500, Duration::from_secs(lasting), by_sweep).await;
        }
    }
}
