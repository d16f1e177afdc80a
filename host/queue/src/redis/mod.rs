//! The queue in Redis, in BullMQ's layout.
//!
//! Owns the use of the official client and guards its known gaps: a short wait after a lost connection, events that are drained, a worker
//! that survives panics, job data that cannot be read, a late check for stalled jobs, waits without a bound. Node's BullMQ and Bull Board
//! read and write the same keys. Promises that neither a finished job nor what is left of a lost one swallows a new offer of its id.

mod desk;
mod erase;
mod facts;
mod gate;
mod look;
mod perform;
mod wake;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use async_trait::async_trait;
use bullmq::options::{RedisConnectionOptions, TlsCerts};
use bullmq::{Error, Queue, QueueOptions, Worker, WorkerOptions};
use tokio_util::sync::CancellationToken;
use xnovu_domain::{JobId, Micros, Priority, RuleSlot};

use crate::options::JobOptions;
use crate::{
    Counts, Drained, FailedJob, Identity, JobQueue, JobState, Ledger, Limits, Memory, Offer, Offered, QueueError,
    QueueName, Registry, Work, WorkOptions,
};
pub use erase::erase;
pub use facts::{RedisFacts, ServerFacts, examine};

use desk::Desk;

/// Wait after a lost connection. The client's own default leaves a worker deaf for 15 s.
const RUN_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Longest time an idle worker blocks in Redis, and so the longest an idle stop takes where Redis does not let it be woken.
const IDLE_BLOCK: Duration = Duration::from_secs(1);

/// Longest wait for an answer, above which a connection counts as lost. The library's default of half a second is short for a loaded machine.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a worker that is closing may have nothing under way before it counts as closed.
const CLOSE_IDLE: Duration = Duration::from_secs(3);

/// Where the queue is and how its jobs are tried.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://` or `rediss://`. May hold a password; never shown.
    pub url: String,
    /// What every key begins with. Never `bull`.
    pub prefix: String,
    /// Certificates beyond the usual ones.
    pub tls: RedisTls,
    /// How jobs are tried and kept.
    pub jobs: JobOptions,
}

/// Certificates of a `rediss://` connection, in PEM. Without any, the server's must be signed by one of Mozilla's authorities.
#[derive(Clone, Default)]
pub struct RedisTls {
    /// Who signed the server's certificate.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its key, where the server asks for them.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl RedisOptions {
    fn client(&self) -> ::redis::RedisResult<::redis::Client> {
        let RedisTls { ca, client } = &self.tls;
        if ca.is_none() && client.is_none() {
            return ::redis::Client::open(self.url.as_str());
        }
        let certificates = ::redis::TlsCertificates {
            root_cert: ca.clone(),
            client_tls: client
                .clone()
                .map(|(client_cert, client_key)| ::redis::ClientTlsConfig { client_cert, client_key }),
        };
        ::redis::Client::build_with_tls(self.url.as_str(), certificates)
    }

    /// The same for the official client.
    fn official(&self) -> RedisConnectionOptions {
        let options = RedisConnectionOptions::new().url(&self.url);
        let RedisTls { ca, client } = self.tls.clone();
        if ca.is_none() && client.is_none() {
            return options;
        }
        let (client_cert, client_key) = client.unzip();
        options.tls_certs(TlsCerts { root_cert: ca, client_cert, client_key })
    }
}

/// A queue in Redis.
pub struct RedisQueue {
    options: RedisOptions,
    notifications: Queue,
    rules: Queue,
    connection: ConnectionManager,
    desk: Desk,
    rule_desk: Desk,
}

fn failed(what: &'static str) -> impl Fn(Error) -> QueueError {
    move |source| QueueError::Redis { what, source: source.into() }
}

fn refused(what: &'static str) -> impl Fn(::redis::RedisError) -> QueueError {
    move |source| QueueError::Redis { what, source: source.into() }
}

impl RedisQueue {
    /// Connects.
    ///
    /// # Errors
    /// The URL or the prefix cannot be used, or Redis cannot be reached.
    pub async fn connect(options: RedisOptions) -> Result<Self, QueueError> {
        if options.prefix == "bull" {
            return Err(QueueError::Settings("the prefix \"bull\" is that of other workers".to_owned()));
        }
        let client = options.client().map_err(refused("read the URL"))?;
        let patient = ConnectionManagerConfig::new().set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connection = ConnectionManager::new_with_config(client, patient).await.map_err(refused("connect"))?;
        let queue = async |name: QueueName| {
            let queue_options = QueueOptions::new().connection(options.official()).prefix(&options.prefix);
            Queue::with_options(name.as_str(), queue_options).await.map_err(failed("open the queue"))
        };
        let notifications = queue(QueueName::NotificationProcessing).await?;
        let rules = queue(QueueName::RuleExecution).await?;
        let rule_desk = desk(&connection, &rules, QueueName::RuleExecution, options.jobs);
        let desk = desk(&connection, &notifications, QueueName::NotificationProcessing, options.jobs);
        Ok(Self { options, notifications, rules, connection, desk, rule_desk })
    }

    /// The same queue, which keeps to the limits of single enterprises.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        let limits = Arc::new(limits);
        (self.desk.limits, self.rule_desk.limits) = (Arc::clone(&limits), limits);
        self
    }

    /// Who works on the queues of this prefix.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::in_redis(self.connection.clone(), &self.options.prefix)
    }

    fn desk(&self, name: QueueName) -> &Desk {
        match name {
            QueueName::NotificationProcessing => &self.desk,
            QueueName::RuleExecution => &self.rule_desk,
        }
    }

    /// The ledger beside this queue.
    #[must_use]
    pub fn ledger(&self, kept: Duration) -> Ledger {
        Ledger::redis(self.connection.clone(), &self.options.prefix, kept)
    }

    fn queue(&self, name: QueueName) -> &Queue {
        match name {
            QueueName::NotificationProcessing => &self.notifications,
            QueueName::RuleExecution => &self.rules,
        }
    }

    async fn take<I: Identity>(
        &self,
        options: WorkOptions,
        work: Arc<dyn Work<I>>,
        stop: CancellationToken,
    ) -> Result<Drained, QueueError> {
        let jobs = &self.options.jobs;
        let name = format!("{:016x}", fastrand::u64(..));
        let worker_options = WorkerOptions::new()
            .connection(self.options.official())
            .prefix(&self.options.prefix)
            .name(&name)
            .concurrency(options.concurrency.max(1))
            .lock_duration(jobs.lock)
            .skip_stalled_check()
            .drain_delay(IDLE_BLOCK)
            .run_retry_delay(RUN_RETRY_DELAY);
        let desk = self.desk(I::QUEUE);
        let processor = perform::processor(work, desk.clone(), stop.clone());
        let worker = Worker::with_options(I::QUEUE.as_str(), processor, worker_options)
            .await
            .map_err(failed("start a worker"))?;
        // Nobody reads the events, and what nobody reads piles up.
        tokio::select! {
            () = stop.cancelled() => {}
            () = async { while worker.next_event().await.is_some() {} } => stop.cancelled().await,
            () = desk.watch_for_stalled() => {}
        }
        let grace_ms = u64::try_from(options.grace.as_millis()).unwrap_or(u64::MAX);
        let blocked = self.queue(I::QUEUE).keys().client_name(&format!(":w:{name}"));
        let mut close = std::pin::pin!(worker.close(grace_ms));
        // Closing begins first: a worker that is woken before it would block again.
        let closed = tokio::select! {
            biased;
            closed = &mut close => closed,
            () = wake::let_go(self.connection.clone(), &blocked) => tokio::select! {
                closed = &mut close => closed,
                // The client would go on telling a Redis that does not answer.
                () = idle(&worker) => Ok(()),
            },
        };
        closed.map_err(failed("stop a worker"))?;
        Ok(Drained { still_running: worker.active_count().await })
    }
}

/// Ends when no job has been under way for [`CLOSE_IDLE`].
async fn idle(worker: &Worker) {
    let mut since = tokio::time::Instant::now();
    while since.elapsed() < CLOSE_IDLE {
        tokio::time::sleep(CLOSE_IDLE / 20).await;
        if worker.active_count().await > 0 {
            since = tokio::time::Instant::now();
        }
    }
}

fn desk(connection: &ConnectionManager, queue: &Queue, name: QueueName, jobs: JobOptions) -> Desk {
    Desk::new(connection.clone(), queue.keys().key_prefix(), name, jobs)
}

/// BullMQ serves lower numbers first, and 0 before all of them. The one place where priorities are turned round.
fn bullmq_priority(priority: Priority) -> u32 {
    Priority::MAX.get() + 1 - priority.get()
}

#[async_trait]
impl JobQueue for RedisQueue {
    async fn offer(&self, offers: &[Offer]) -> Result<Vec<Offered>, QueueError> {
        self.desk.offer(offers).await
    }

    async fn offer_rules(&self, offers: &[Offer<RuleSlot>]) -> Result<Vec<Offered>, QueueError> {
        self.rule_desk.offer(offers).await
    }

    async fn state(&self, job: &JobId) -> Result<JobState, QueueError> {
        let state = self.notifications.get_job_state(job.as_str()).await.map_err(failed("read a job's state"))?;
        Ok(match state {
            bullmq::JobState::Waiting | bullmq::JobState::WaitingChildren | bullmq::JobState::Prioritized => {
                JobState::Waiting
            }
            bullmq::JobState::Delayed => JobState::Delayed,
            bullmq::JobState::Active => JobState::Active,
            bullmq::JobState::Completed => JobState::Completed,
            bullmq::JobState::Failed => JobState::Failed,
            bullmq::JobState::Unknown => JobState::Missing,
        })
    }

    async fn remove(&self, job: &JobId) -> Result<bool, QueueError> {
        // The client's script answers yes for a job that does not exist; for one that has become active meanwhile it answers no.
        if matches!(self.state(job).await?, JobState::Missing | JobState::Active) {
            return Ok(false);
        }
        let removed = self.notifications.remove(job.as_str()).await.map_err(failed("remove a job"))?;
        self.desk.removed(job).await;
        Ok(removed)
    }

    async fn counts(&self, queue: QueueName) -> Result<Counts, QueueError> {
        let queue = self.queue(queue);
        let counts = queue.get_job_counts().await.map_err(failed("count jobs"))?;
        let paused = queue.is_paused().await.map_err(failed("count jobs"))?;
        Ok(Counts {
            waiting: counts.waiting + counts.prioritized + counts.paused,
            active: counts.active,
            delayed: counts.delayed,
            completed: counts.completed,
            failed: counts.failed,
            paused,
        })
    }

    async fn oldest_waiting(&self, queue: QueueName) -> Result<Option<Micros>, QueueError> {
        self.desk(queue).oldest_waiting().await
    }

    async fn failed(&self, queue: QueueName, skip: usize) -> Result<Vec<FailedJob>, QueueError> {
        self.desk(queue).failed(skip).await
    }

    async fn retry(&self, queue: QueueName, jobs: &[String]) -> Result<Vec<String>, QueueError> {
        self.desk(queue).retry(jobs).await
    }

    async fn pause(&self, queue: QueueName) -> Result<(), QueueError> {
        self.queue(queue).pause().await.map_err(failed("pause"))
    }

    async fn resume(&self, queue: QueueName) -> Result<(), QueueError> {
        self.queue(queue).resume().await.map_err(failed("resume"))
    }

    async fn born(&self) -> Result<String, QueueError> {
        let key = format!("{}:born", self.options.prefix);
        let fresh = format!("{:016x}", fastrand::u64(..));
        let mut connection = self.connection.clone();
        let mut pipeline = ::redis::pipe();
        pipeline.cmd("SET").arg(&key).arg(fresh).arg("NX").ignore().get(&key);
        let (born,): (String,) =
            pipeline.query_async(&mut connection).await.map_err(refused("read the queue's birth"))?;
        Ok(born)
    }

    async fn memory(&self) -> Result<Option<Memory>, QueueError> {
        let mut connection = self.connection.clone();
        let asked = ::redis::cmd("INFO").arg("memory").query_async::<::redis::InfoDict>(&mut connection).await;
        let info = asked.map_err(refused("ask for the memory"))?;
        let used = info.get::<u64>("used_memory");
        let max_bytes = info.get::<u64>("maxmemory").filter(|max| *max > 0);
        Ok(used.map(|used_bytes| Memory { used_bytes, max_bytes }))
    }

    async fn ping(&self) -> Result<Duration, QueueError> {
        let (mut connection, started) = (self.connection.clone(), Instant::now());
        ::redis::cmd("PING").query_async::<String>(&mut connection).await.map_err(refused("ping"))?;
        Ok(started.elapsed())
    }

    async fn work(
        &self,
        options: WorkOptions,
        work: Arc<dyn Work>,
        stop: CancellationToken,
    ) -> Result<Drained, QueueError> {
        self.take(options, work, stop).await
    }

    async fn work_rules(
        &self,
        options: WorkOptions,
        work: Arc<dyn Work<RuleSlot>>,
        stop: CancellationToken,
    ) -> Result<Drained, QueueError> {
        self.take(options, work, stop).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_priority_is_a_lower_number_and_never_zero() {
        let number = |priority| bullmq_priority(Priority::new(priority).unwrap());
        assert_eq!([number(1000), number(10), number(5), number(1), number(0)], [1, 991, 996, 1000, 1001]);
    }
}
