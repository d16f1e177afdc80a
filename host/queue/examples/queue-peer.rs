//! A process that speaks for this crate to clients in other languages.
//!
//! Owns a line protocol: each line on stdin is a command, each is answered by one line of JSON on stdout, in order. Jobs that are performed are
//! told in between as `{"performed":…}`. Takes the place of Redis from `REDIS_URL` and the prefix from `QUEUE_PREFIX`. For tests only.
//!
//! - `offer <job> <priority> [delay in ms]` → `{"offered":"New"}`
//! - `state <job>` → `{"state":"Waiting"}`
//! - `counts` → `{"counts":{…}}`
//! - `failed` → `{"failed":[…]}`; `retry <job>` → `{"retried":[…]}`
//! - `refuse <job>` → `{"refused":…}`: the job fails for good until `accept <job>`
//! - `work` → `{"working":true}`; `stop` → `{"stillRunning":0,"tookMs":…}`
#![allow(
    clippy::disallowed_methods,
    reason = "the one file of this program, which reads its environment and starts its worker"
)]

use std::collections::HashSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin, stdout};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{JobId, Origin, Priority};
use xnovu_queue::{
    Drained, Job, JobOptions, JobQueue, Offer, Outcome, QueueError, QueueName, RedisOptions, RedisQueue, RedisTls,
    Work, WorkOptions,
};

const QUEUE: QueueName = QueueName::NotificationProcessing;

/// Lines that wait to be written.
const LINES_MAX: usize = 1_024;

/// Longest wait for jobs under way after a stop.
const GRACE: Duration = Duration::from_secs(10);

type Failure = Box<dyn Error + Send + Sync>;

/// Work that tells what it was given and fails the jobs it was told to refuse.
struct Teller {
    lines: mpsc::Sender<Value>,
    refused: Mutex<HashSet<JobId>>,
}

#[async_trait]
impl Work for Teller {
    async fn perform(&self, job: Job) -> Outcome {
        let line = json!({"performed": job.id, "attempt": job.attempt, "attemptsMax": job.attempts_max});
        if self.lines.send(line).await.is_err() {
            return Outcome::Retry { error: "nobody listens".to_owned() };
        }
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(&job.id);
        if refused { Outcome::Fail { error: "refused".to_owned() } } else { Outcome::Done("done".to_owned()) }
    }
}

struct Worker {
    stop: CancellationToken,
    ended: JoinHandle<Result<Drained, QueueError>>,
}

struct Peer {
    queue: Arc<RedisQueue>,
    teller: Arc<Teller>,
    worker: Option<Worker>,
}

impl Peer {
    async fn obey(&mut self, line: &str) -> Result<Value, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["offer", job, priority] => self.offer(job, priority, None).await,
            ["offer", job, priority, delay_ms] => {
                self.offer(job, priority, Some(Duration::from_millis(delay_ms.parse()?))).await
            }
            ["state", job] => Ok(json!({"state": format!("{:?}", self.queue.state(&job.parse()?).await?)})),
            ["counts"] => Ok(json!({"counts": self.queue.counts(QUEUE).await?})),
            ["failed"] => Ok(json!({"failed": self.queue.failed(QUEUE, 0).await?})),
            ["retry", job] => Ok(json!({"retried": self.queue.retry(QUEUE, &[(*job).to_owned()]).await?})),
            ["refuse", job] => self.refuse(|refused, job| refused.insert(job), job),
            ["accept", job] => self.refuse(|refused, job| refused.remove(&job), job),
            ["work"] => Ok(self.work()),
            ["stop"] => self.stop().await,
            _ => Err(format!("{line:?} is no command").into()),
        }
    }

    async fn offer(&self, job: &str, priority: &str, delay: Option<Duration>) -> Result<Value, Failure> {
        let priority = Priority::new(priority.parse()?)?;
        let offer = Offer {
            job: job.parse()?,
            origin: Origin::Realtime,
            priority,
            delay,
            attempts: None,
            ruled: false,
            defaults: None,
        };
        let offered = self.queue.offer(&[offer]).await?;
        Ok(json!({"offered": offered.first().map(|outcome| format!("{outcome:?}"))}))
    }

    fn refuse(&self, change: impl FnOnce(&mut HashSet<JobId>, JobId) -> bool, job: &str) -> Result<Value, Failure> {
        let mut refused = self.teller.refused.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut refused, job.parse()?);
        Ok(json!({"refused": *refused}))
    }

    fn work(&mut self) -> Value {
        let stop = CancellationToken::new();
        let (queue, teller, token) = (Arc::clone(&self.queue), Arc::clone(&self.teller), stop.clone());
        let options = WorkOptions { concurrency: 4, grace: GRACE };
        let ended = tokio::spawn(async move { queue.work(options, teller, token).await });
        self.worker = Some(Worker { stop, ended });
        json!({"working": true})
    }

    async fn stop(&mut self) -> Result<Value, Failure> {
        let worker = self.worker.take().ok_or("no worker runs")?;
        let asked = Instant::now();
        worker.stop.cancel();
        let drained = worker.ended.await??;
        let took_ms = u64::try_from(asked.elapsed().as_millis())?;
        Ok(json!({"stillRunning": drained.still_running, "tookMs": took_ms}))
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (lines, mut outgoing) = mpsc::channel::<Value>(LINES_MAX);
    let writer = tokio::spawn(async move {
        let mut out = stdout();
        while let Some(line) = outgoing.recv().await {
            out.write_all(format!("{line}\n").as_bytes()).await?;
            out.flush().await?;
        }
        Ok::<(), std::io::Error>(())
    });
    let options = RedisOptions {
        tls: RedisTls::default(),
        url: std::env::var("REDIS_URL")?,
        prefix: std::env::var("QUEUE_PREFIX")?,
        jobs: JobOptions::default(),
    };
    let queue = Arc::new(RedisQueue::connect(options).await?);
    let teller = Arc::new(Teller { lines: lines.clone(), refused: Mutex::default() });
    let mut peer = Peer { queue, teller, worker: None };
    let mut commands = BufReader::new(stdin()).lines();
    while let Some(line) = commands.next_line().await? {
        let answer = peer.obey(&line).await.unwrap_or_else(|failure| json!({"error": failure.to_string()}));
        lines.send(answer).await?;
    }
    if peer.worker.is_some() {
        peer.stop().await?;
    }
    drop((peer, lines));
    writer.await??;
    Ok(())
}
