//! The job queue and the send ledger.
//!
//! Owns how work waits, how often it is tried and what is remembered of a sending. Jobs hold ids, and a rule's the settings of its slot: no
//! payload and no recipient ever gets here. What is lost here is rebuilt from the rows; nothing here is the truth.

mod clock;
mod identity;
mod job;
mod ledger;
mod limits;
mod memory;
mod options;
mod record;
mod redis;
mod registry;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{JobId, Micros, RuleSlot};

pub use identity::{Identity, JobData, RuleDefaults, RuleJobData};
pub use job::{
    Counts, Drained, FailedJob, Job, JobState, Memory, Offer, Offered, Outcome, QueueError, QueueName, WorkOptions,
};
pub use ledger::{Ledger, RECORD_KEPT};
pub use limits::{Limit, Limits};
pub use memory::{JOBS_MAX, MemoryQueue};
pub use options::JobOptions;
pub use record::{Call, CallState, LedgerError, SendRecord};
pub use redis::{RedisFacts, RedisOptions, RedisQueue, RedisTls, ServerFacts, erase, examine};
pub use registry::{BEAT, JobsOfWorker, Registry, SILENCE_MAX, Tallied, Tally, WorkerInfo};

/// Performs jobs of one kind.
#[async_trait]
pub trait Work<I: Identity = JobId>: Send + Sync {
    /// Performs one job. A panic counts as [`Outcome::Retry`].
    async fn perform(&self, job: Job<I>) -> Outcome;
}

/// The seam. Two implementations, held to one suite of tests.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// The only way in for notifications. A completed or failed job of that id is removed first; one that waits, is delayed or under way is left as it
    /// is. Answers in the order of the offers.
    ///
    /// # Errors
    /// None of the jobs may be assumed to be queued then; offering again is safe.
    async fn offer(&self, offers: &[Offer]) -> Result<Vec<Offered>, QueueError>;

    /// The only way in for slots of rules, with the same promises.
    ///
    /// # Errors
    /// As [`JobQueue::offer`].
    async fn offer_rules(&self, offers: &[Offer<RuleSlot>]) -> Result<Vec<Offered>, QueueError>;

    /// Where a job stands.
    async fn state(&self, job: &JobId) -> Result<JobState, QueueError>;

    /// Removes a job that is not under way. False: there was none, or it is.
    async fn remove(&self, job: &JobId) -> Result<bool, QueueError>;

    /// How many jobs stand where.
    async fn counts(&self, queue: QueueName) -> Result<Counts, QueueError>;

    /// When the job was queued that has waited longest; of each priority the first in turn is looked at.
    async fn oldest_waiting(&self, queue: QueueName) -> Result<Option<Micros>, QueueError>;

    /// Jobs that were given up, the latest first, after as many as `skip`. Empty: there are no more.
    async fn failed(&self, queue: QueueName, skip: usize) -> Result<Vec<FailedJob>, QueueError>;

    /// Queues jobs again that were given up, with all their attempts. Answers the ids of those that were.
    ///
    /// # Errors
    /// Some may have been queued.
    async fn retry(&self, queue: QueueName, jobs: &[String]) -> Result<Vec<String>, QueueError>;

    /// No job is begun until [`JobQueue::resume`].
    async fn pause(&self, queue: QueueName) -> Result<(), QueueError>;

    /// Jobs are begun again.
    async fn resume(&self, queue: QueueName) -> Result<(), QueueError>;

    /// Identity of the queue's data: another one after it was emptied or replaced.
    async fn born(&self) -> Result<String, QueueError>;

    /// What Redis uses of its memory. None: the queue is in this process.
    ///
    /// # Errors
    /// It does not say, also where its user may not ask.
    async fn memory(&self) -> Result<Option<Memory>, QueueError> {
        Ok(None)
    }

    /// The time one round trip takes.
    async fn ping(&self) -> Result<Duration, QueueError>;

    /// Takes and performs jobs of notifications until `stop` is cancelled; then begins none and waits for those under way, at most the options' grace.
    ///
    /// # Errors
    /// The queue cannot be used at all. A connection that is lost later is made again.
    async fn work(
        &self,
        options: WorkOptions,
        work: Arc<dyn Work>,
        stop: CancellationToken,
    ) -> Result<Drained, QueueError>;

    /// Takes and performs jobs of rules, as [`JobQueue::work`] those of notifications.
    ///
    /// # Errors
    /// As [`JobQueue::work`].
    async fn work_rules(
        &self,
        options: WorkOptions,
        work: Arc<dyn Work<RuleSlot>>,
        stop: CancellationToken,
    ) -> Result<Drained, QueueError>;
}
