//! A Redis of one's own and work that tells what it was given.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{JobId, Origin, Priority};
use xnovu_queue::{Drained, Job, JobOptions, JobQueue, Offer, Outcome, Work, WorkOptions};

/// Longest wait for a condition.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis server without persistence on a free port, killed when dropped.
pub struct RedisServer {
    child: Child,
    pub port: u16,
}

impl RedisServer {
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { child: Self::spawn(port), port };
        server.wait_until_it_answers().await;
        server
    }

    fn spawn(port: u16) -> Child {
        let port = port.to_string();
        let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"];
        let mut command = Command::new("redis-server");
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("redis-server is installed (tests/run installs it)")
    }

    async fn wait_until_it_answers(&self) {
        until("Redis answers", async || self.try_command(&["PING"]).await.is_some().then_some(())).await;
    }

    /// Ends the server and starts it again, empty, on the same port.
    pub async fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(self.port);
        self.wait_until_it_answers().await;
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn try_command(&self, words: &[&str]) -> Option<redis::Value> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.ok()
    }

    pub async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let value = self.try_command(words).await.expect("Redis did as asked");
        T::from_redis_value(value).unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls a condition until it holds.
pub async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Options with short waits.
pub fn quick() -> JobOptions {
    JobOptions {
        backoff: Duration::from_millis(60),
        lock: Duration::from_secs(2),
        stalled_interval: Duration::from_millis(500),
        ..JobOptions::default()
    }
}

pub fn job(number: u32) -> JobId {
    format!("xn-11111111-1111-4111-8111-111111111111-{number}-1767323045123456").parse().unwrap()
}

pub fn offer(number: u32, priority: u32) -> Offer {
    let priority = Priority::new(priority).unwrap();
    Offer {
        job: job(number),
        origin: Origin::Realtime,
        priority,
        delay: None,
        attempts: None,
        ruled: false,
        defaults: None,
    }
}

type Answer = dyn Fn(&Job) -> Outcome + Send + Sync;

/// Work that notes every job and answers as it was told. `hold` keeps it in the job until a permit is given.
pub struct Notes {
    answer: Box<Answer>,
    seen: Mutex<Vec<(Job, tokio::time::Instant)>>,
    gate: Option<tokio::sync::Semaphore>,
}

impl Notes {
    pub fn new(answer: impl Fn(&Job) -> Outcome + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { answer: Box::new(answer), seen: Mutex::default(), gate: None })
    }

    pub fn done() -> Arc<Self> {
        Self::new(|_| Outcome::Done("done".to_owned()))
    }

    pub fn held() -> Arc<Self> {
        let answer = |_: &Job| Outcome::Done("done".to_owned());
        Arc::new(Self { answer: Box::new(answer), seen: Mutex::default(), gate: Some(tokio::sync::Semaphore::new(0)) })
    }

    pub fn let_go(&self) {
        self.gate.as_ref().expect("made by held").add_permits(1_000);
    }

    pub fn seen(&self) -> Vec<Job> {
        self.seen.lock().unwrap().iter().map(|(job, _)| job.clone()).collect()
    }

    pub fn times(&self) -> Vec<tokio::time::Instant> {
        self.seen.lock().unwrap().iter().map(|(_, at)| *at).collect()
    }

    pub async fn until_seen(&self, count: usize) -> Vec<Job> {
        until(&format!("{count} jobs were begun"), async || {
            let seen = self.seen();
            (seen.len() >= count).then_some(seen)
        })
        .await
    }
}

#[async_trait]
impl Work for Notes {
    async fn perform(&self, job: Job) -> Outcome {
        self.seen.lock().unwrap().push((job.clone(), tokio::time::Instant::now()));
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        (self.answer)(&job)
    }
}

/// A worker that runs beside the test.
pub struct Running {
    stop: CancellationToken,
    handle: tokio::task::JoinHandle<Drained>,
}

impl Running {
    pub fn start(queue: &Arc<dyn JobQueue>, concurrency: usize, work: &Arc<Notes>) -> Self {
        Self::with_grace(queue, concurrency, work, Duration::from_secs(10))
    }

    pub fn with_grace(queue: &Arc<dyn JobQueue>, concurrency: usize, work: &Arc<Notes>, grace: Duration) -> Self {
        Self::begin(queue, concurrency, Arc::clone(work) as Arc<dyn Work>, grace)
    }

    pub fn work(queue: &Arc<dyn JobQueue>, concurrency: usize, work: Arc<dyn Work>) -> Self {
        Self::begin(queue, concurrency, work, Duration::from_secs(10))
    }

    #[expect(clippy::disallowed_methods, reason = "a test starts its own worker")]
    fn begin(queue: &Arc<dyn JobQueue>, concurrency: usize, work: Arc<dyn Work>, grace: Duration) -> Self {
        let stop = CancellationToken::new();
        let (queue, token) = (Arc::clone(queue), stop.clone());
        let options = WorkOptions { concurrency, grace };
        let handle = tokio::spawn(async move { queue.work(options, work, token).await.unwrap() });
        Self { stop, handle }
    }

    pub fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    pub async fn ended(self) -> Drained {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.handle).await.expect("the worker stops").unwrap()
    }
}
