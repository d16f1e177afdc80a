//! The queue of a process that has no Redis.
//!
//! Owns jobs in memory, in the same order, with the same attempts and waits as the one in Redis. They die with the process: the sweep brings
//! their rows again. Bounded by [`JOBS_MAX`].

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
use xnovu_domain::JobId;

use crate::options::JobOptions;
use crate::{
    Counts, Drained, Job, JobQueue, JobState, Offer, Offered, Outcome, QueueError, QueueName, Work, WorkOptions,
};
use shelf::Shelf;

/// Jobs one queue holds, finished ones aside.
pub const JOBS_MAX: usize = 200_000;

/// A queue in memory. Clones share it.
#[derive(Clone)]
pub struct MemoryQueue {
    notifications: Arc<Line>,
    rules: Arc<Line>,
    born: Arc<str>,
}

struct Line {
    shelf: Mutex<Shelf>,
    changed: Notify,
}

impl Line {
    fn new(options: JobOptions) -> Self {
        Self { shelf: Mutex::new(Shelf::new(options)), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, as soon as there is one.
    async fn take(&self) -> Job {
        loop {
            let changed = self.changed.notified();
            let (job, next) = {
                let mut shelf = self.lock();
                (shelf.take(Instant::now()), shelf.next_delayed())
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

    async fn perform(&self, work: &dyn Work, job: Job) {
        let id = job.id.clone();
        let outcome = AssertUnwindSafe(work.perform(job)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(job.id = %id, "a job panicked");
            Outcome::Retry { error: "the job panicked".to_owned() }
        });
        self.lock().finish(&id, outcome, Instant::now(), fastrand::f64());
        self.changed.notify_one();
    }
}

impl MemoryQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(options: JobOptions) -> Self {
        let line = || Arc::new(Line::new(options));
        Self { notifications: line(), rules: line(), born: format!("{:016x}", fastrand::u64(..)).into() }
    }

    fn line(&self, queue: QueueName) -> &Arc<Line> {
        match queue {
            QueueName::NotificationProcessing => &self.notifications,
            QueueName::RuleExecution => &self.rules,
        }
    }
}

#[async_trait]
impl JobQueue for MemoryQueue {
    async fn offer(&self, offers: &[Offer]) -> Result<Vec<Offered>, QueueError> {
        let outcomes = {
            let mut shelf = self.notifications.lock();
            let room = JOBS_MAX.saturating_sub(shelf.unfinished());
            if offers.len() > room {
                return Err(QueueError::Full { limit: JOBS_MAX });
            }
            offers.iter().map(|offer| shelf.put(offer, Instant::now())).collect()
        };
        self.notifications.changed.notify_one();
        Ok(outcomes)
    }

    async fn state(&self, job: &JobId) -> Result<JobState, QueueError> {
        Ok(self.notifications.lock().state(job))
    }

    async fn remove(&self, job: &JobId) -> Result<bool, QueueError> {
        Ok(self.notifications.lock().remove(job))
    }

    async fn counts(&self, queue: QueueName) -> Result<Counts, QueueError> {
        Ok(self.line(queue).lock().counts())
    }

    async fn pause(&self, queue: QueueName) -> Result<(), QueueError> {
        self.line(queue).lock().set_paused(true);
        Ok(())
    }

    async fn resume(&self, queue: QueueName) -> Result<(), QueueError> {
        let line = self.line(queue);
        line.lock().set_paused(false);
        line.changed.notify_one();
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
        queue: QueueName,
        options: WorkOptions,
        work: Arc<dyn Work>,
        stop: CancellationToken,
    ) -> Result<Drained, QueueError> {
        let line = self.line(queue);
        let slots = Arc::new(Semaphore::new(options.concurrency.max(1)));
        let mut running = JoinSet::new();
        loop {
            let slot = tokio::select! {
                () = stop.cancelled() => break,
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            let job = tokio::select! {
                () = stop.cancelled() => break,
                job = line.take() => job,
            };
            let (line, work) = (Arc::clone(line), Arc::clone(&work));
            running.spawn(async move {
                line.perform(work.as_ref(), job).await;
                drop(slot);
            });
            while running.try_join_next().is_some() {}
        }
        // This worker may have been the one that was told of a job, or that waited for a delayed one.
        line.changed.notify_one();
        let ended = tokio::time::timeout(options.grace, async { while running.join_next().await.is_some() {} });
        let _overrun = ended.await;
        let still_running = running.len();
        // Nobody takes over jobs in memory: one that was aborted would stay under way for ever and swallow every offer of its id.
        running.detach_all();
        Ok(Drained { still_running })
    }
}
