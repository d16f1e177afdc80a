//! What a worker has had to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use xnovu_domain::JobId;

use super::JobsOfWorker;
use crate::{Identity, Job, Outcome, Work};

/// Counts the jobs of a worker. Clones share one count.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    active: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// The counts now.
    #[must_use]
    pub fn now(&self) -> JobsOfWorker {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JobsOfWorker { active: read(&self.0.active), done: read(&self.0.done), failed: read(&self.0.failed) }
    }

    /// The same work, counted.
    #[must_use]
    pub fn of<I: Identity>(&self, work: Arc<dyn Work<I>>) -> Tallied<I> {
        Tallied { work, tally: self.clone() }
    }
}

/// Work that is counted.
pub struct Tallied<I: Identity = JobId> {
    work: Arc<dyn Work<I>>,
    tally: Tally,
}

#[async_trait]
impl<I: Identity> Work<I> for Tallied<I> {
    async fn perform(&self, job: Job<I>) -> Outcome {
        let last = job.last;
        let under_way = UnderWay::new(&self.tally);
        let outcome = self.work.perform(job).await;
        drop(under_way);
        let counters = &self.tally.0;
        match &outcome {
            Outcome::Done(_) => counters.done.fetch_add(1, Ordering::Relaxed),
            Outcome::Fail { .. } => counters.failed.fetch_add(1, Ordering::Relaxed),
            Outcome::Retry { .. } if last => counters.failed.fetch_add(1, Ordering::Relaxed),
            Outcome::Retry { .. } | Outcome::Later { .. } => 0,
        };
        outcome
    }
}

/// A job under way, also one that panics.
struct UnderWay<'a>(&'a Tally);

impl<'a> UnderWay<'a> {
    fn new(tally: &'a Tally) -> Self {
        tally.0.active.fetch_add(1, Ordering::Relaxed);
        Self(tally)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
