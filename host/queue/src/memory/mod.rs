//! The queue of a process that has no Redis.
//!
//! Owns jobs in memory, in the same order, with the same attempts and waits as the one in Redis. They die with the process: the sweep brings
//! their rows again. Bounded by [`JOBS_MAX`].

mod gate;
mod shelf;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{JobId, Micros, RuleSlot};

use crate::options::JobOptions;
use crate::{
    Counts, Drained, FailedJob, Identity, Job, JobQueue, JobState, Limits, Offer, Offered, Outcome, QueueError,
    QueueName, Registry, Work, WorkOptions,
};
use shelf::Shelf;

/// Jobs one queue holds, finished ones aside.
pub const JOBS_MAX: usize = 200_000;

/// A queue in memory. Clones share it.
#[derive(Clone)]
pub struct MemoryQueue {
    notifications: Arc<Line<JobId>>,
    rules: Arc<Line<RuleSlot>>,
    born: Arc<str>,
    registry: Arc<Registry>,
}

struct Line<I: Identity> {
    shelf: Mutex<Shelf<I>>,
    changed: Notify,
}

impl<I: Identity> Line<I> {
    fn new(options: JobOptions) -> Self {
        Self { shelf: Mutex::new(Shelf::new(options)), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf<I>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, offers: &[Offer<I>]) -> Result<Vec<Offered>, QueueError> {
        let outcomes = {
            let mut shelf = self.lock();
            let room = JOBS_MAX.saturating_sub(shelf.unfinished());
            if offers.len() > room {
                return Err(QueueError::Full { limit: JOBS_MAX });
            }
            offers.iter().map(|offer| shelf.put(offer, Instant::now())).collect()
        };
        self.changed.notify_one();
        Ok(outcomes)
    }

    fn retry(&self, jobs: &[String]) -> Vec<String> {
        let again = {
            let mut shelf = self.lock();
            jobs.iter().filter(|job| shelf.retry(job)).cloned().collect()
        };
        self.changed.notify_one();
        again
    }

    fn set_paused(&self, paused: bool) {
        self.lock().set_paused(paused);
        self.changed.notify_one();
    }

    /// The next job, as soon as there is one.
    async fn take(&self) -> Job<I> {
        loop {
            let changed = self.changed.notified();
            let (job, next) = {
                let (mut shelf, now) = (self.lock(), Instant::now());
                (shelf.take(now), shelf.next_due(now))
            };
            if let Some(job) = job {
                // Others may find one too.
                self.changed.notify_one();
                return job;
            }
            match next {
                Some(at) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    async fn perform(&self, work: &dyn Work<I>, job: Job<I>) {
        let id = job.id.clone();
        let outcome = AssertUnwindSafe(work.perform(job)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(job.id = %id, "a job panicked");
            Outcome::Retry { error: "the job panicked".to_owned() }
        });
        self.lock().finish(&id, outcome, Instant::now(), fastrand::f64());
        self.changed.notify_one();
    }

    async fn work(self: Arc<Self>, options: WorkOptions, work: Arc<dyn Work<I>>, stop: CancellationToken) -> Drained {
        let slots = Arc::new(Semaphore::new(options.concurrency.max(1)));
        let mut running = JoinSet::new();
        loop {
            let slot = tokio::select! {
                () = stop.cancelled() => break,
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            let job = tokio::select! {
                () = stop.cancelled() => break,
                job = self.take() => job,
            };
            let (line, work) = (Arc::clone(&self), Arc::clone(&work));
            running.spawn(async move {
                line.perform(work.as_ref(), job).await;
                drop(slot);
            });
            while running.try_join_next().is_some() {}
        }
        // This worker may have been the one that was told of a job, or that waited for a delayed one.
        self.changed.notify_one();
        let ended = tokio::time::timeout(options.grace, async { while running.join_next().await.is_some() {} });
        let _overrun = ended.await;
        let still_running = running.len();
        // Nobody takes over jobs in memory: one that was aborted would stay under way for ever and swallow every offer of its id.
        running.detach_all();
        Drained { still_running }
    }
}

impl MemoryQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(options: JobOptions) -> Self {
        let born = format!("{:016x}", fastrand::u64(..)).into();
        let (notifications, rules) = (Arc::new(Line::new(options)), Arc::new(Line::new(options)));
        Self { notifications, rules, born, registry: Arc::new(Registry::in_memory()) }
    }

    /// The same queue, which keeps to the limits of single enterprises.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        self.notifications.lock().set_limits(limits);
        self
    }

    /// Who works on it.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }
}

#[async_trait]
impl JobQueue for MemoryQueue {
    async fn offer(&self, offers: &[Offer]) -> Result<Vec<Offered>, QueueError> {
        self.notifications.put(offers)
    }

    async fn offer_rules(&self, offers: &[Offer<RuleSlot>]) -> Result<Vec<Offered>, QueueError> {
        self.rules.put(offers)
    }

    async fn state(&self, job: &JobId) -> Result<JobState, QueueError> {
        Ok(self.notifications.lock().state(job))
    }

    async fn remove(&self, job: &JobId) -> Result<bool, QueueError> {
        Ok(self.notifications.lock().remove(job))
    }

    async fn counts(&self, queue: QueueName) -> Result<Counts, QueueError> {
        Ok(match queue {
            QueueName::NotificationProcessing => self.notifications.lock().counts(),
            QueueName::RuleExecution => self.rules.lock().counts(),
        })
    }

    async fn oldest_waiting(&self, queue: QueueName) -> Result<Option<Micros>, QueueError> {
        Ok(match queue {
            QueueName::NotificationProcessing => self.notifications.lock().oldest_waiting(),
            QueueName::RuleExecution => self.rules.lock().oldest_waiting(),
        })
    }

    async fn failed(&self, queue: QueueName, skip: usize) -> Result<Vec<FailedJob>, QueueError> {
        let all = match queue {
            QueueName::NotificationProcessing => self.notifications.lock().failed_jobs(),
            QueueName::RuleExecution => self.rules.lock().failed_jobs(),
        };
        Ok(all.into_iter().skip(skip).collect())
    }

    async fn retry(&self, queue: QueueName, jobs: &[String]) -> Result<Vec<String>, QueueError> {
        Ok(match queue {
            QueueName::NotificationProcessing => self.notifications.retry(jobs),
            QueueName::RuleExecution => self.rules.retry(jobs),
        })
    }

    async fn pause(&self, queue: QueueName) -> Result<(), QueueError> {
        match queue {
            QueueName::NotificationProcessing => self.notifications.set_paused(true),
            QueueName::RuleExecution => self.rules.set_paused(true),
        }
        Ok(())
    }

    async fn resume(&self, queue: QueueName) -> Result<(), QueueError> {
        match queue {
            QueueName::NotificationProcessing => self.notifications.set_paused(false),
            QueueName::RuleExecution => self.rules.set_paused(false),
        }
        Ok(())
    }

    async fn born(&self) -> Result<String, QueueError> {
        Ok(self.born.to_string())
    }

    async fn ping(&self) -> Result<Duration, QueueError> {
        Ok(Duration::ZERO)
    }

    async fn work(
        &self,
        options: WorkOptions,
        work: Arc<dyn Work>,
        stop: CancellationToken,
    ) -> Result<Drained, QueueError> {
        Ok(Arc::clone(&self.notifications).work(options, work, stop).await)
    }

    async fn work_rules(
        &self,
        options: WorkOptions,
        work: Arc<dyn Work<RuleSlot>>,
        stop: CancellationToken,
    ) -> Result<Drained, QueueError> {
        Ok(Arc::clone(&self.rules).work(options, work, stop).await)
    }
}
