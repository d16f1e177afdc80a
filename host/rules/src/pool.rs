//! The rule threads, and the queue in front of them.
//!
//! Owns fairness: each enterprise has a lane, lanes take turns, and a lane never holds more than one thread, so that an enterprise
//! whose rules use all the time they may cannot slow down the others by more than that one thread. Bounded by lane and in all.
//! Promises that work nobody waits for any more is skipped, and that a panic costs one answer, not a thread.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::oneshot;
use xnovu_domain::EnterpriseId;

use crate::threads;

/// Evaluations of one enterprise that may wait.
const LANE_JOBS_MAX: usize = 1024;

/// Evaluations of all enterprises that may wait.
const JOBS_MAX: usize = 8192;

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum PoolError {
    /// Too much waits already.
    #[error("too many events wait for their rules")]
    Full,
    /// The pool is stopping, or the work panicked.
    #[error("the rules stopped before they answered")]
    Lost,
}

/// The rule threads. They end when this is dropped, after what they are doing.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    schedule: Mutex<Schedule>,
    work: Condvar,
}

#[derive(Default)]
struct Schedule {
    lanes: HashMap<EnterpriseId, Lane>,
    /// Lanes that have work and no thread, in the order of their turns.
    turns: VecDeque<EnterpriseId>,
    waiting: usize,
    idle_threads: usize,
    stopping: bool,
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<Job>,
    running: bool,
}

type Job = Box<dyn FnOnce() + Send>;

impl Pool {
    /// Starts that many threads, at least one.
    ///
    /// # Errors
    /// The system has no thread left; those that were started end again.
    pub(crate) fn start(count: u32) -> io::Result<Self> {
        let pool = Self { shared: Arc::default() };
        for number in 0..count.max(1) {
            let shared = pool.shared.clone();
            threads::start(format!("rules-{number}"), move || shared.run())?;
        }
        Ok(pool)
    }

    /// Does work for an enterprise on a rule thread. Work that has not begun when the caller stops waiting is skipped.
    ///
    /// # Errors
    /// Too much waits already, or the work was lost.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        enterprise: &EnterpriseId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (answer, wait) = oneshot::channel();
        let job = move || {
            if !answer.is_closed() {
                // The caller may leave while the work is done; then nobody misses the answer.
                drop(answer.send(work()));
            }
        };
        self.shared.submit(enterprise, Box::new(job))?;
        wait.await.map_err(|_| PoolError::Lost)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut schedule = self.shared.lock();
        schedule.stopping = true;
        schedule.lanes.clear();
        schedule.turns.clear();
        drop(schedule);
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn submit(&self, enterprise: &EnterpriseId, job: Job) -> Result<(), PoolError> {
        let mut schedule = self.lock();
        schedule.add(enterprise, job)?;
        let wake = schedule.idle_threads > 0;
        drop(schedule);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    fn run(&self) {
        let mut schedule = self.lock();
        while !schedule.stopping {
            let Some((enterprise, job)) = schedule.take() else {
                schedule.idle_threads += 1;
                schedule = self.work.wait(schedule).unwrap_or_else(PoisonError::into_inner);
                schedule.idle_threads -= 1;
                continue;
            };
            drop(schedule);
            // The panic has been reported by its hook, and whoever waits learns that the answer is lost.
            drop(catch_unwind(AssertUnwindSafe(job)));
            schedule = self.lock();
            schedule.finish(enterprise);
        }
    }

    /// Every change is complete before anything in it can panic, so a poisoned schedule is a whole one.
    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule {
    fn add(&mut self, enterprise: &EnterpriseId, job: Job) -> Result<(), PoolError> {
        if self.waiting >= JOBS_MAX {
            return Err(PoolError::Full);
        }
        let lane = match self.lanes.get_mut(enterprise) {
            Some(lane) if lane.jobs.len() >= LANE_JOBS_MAX => return Err(PoolError::Full),
            Some(lane) => lane,
            None => self.lanes.entry(enterprise.clone()).or_default(),
        };
        if lane.jobs.is_empty() && !lane.running {
            self.turns.push_back(enterprise.clone());
        }
        lane.jobs.push_back(job);
        self.waiting += 1;
        Ok(())
    }

    fn take(&mut self) -> Option<(EnterpriseId, Job)> {
        let enterprise = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&enterprise)?;
        let job = lane.jobs.pop_front()?;
        lane.running = true;
        self.waiting -= 1;
        Some((enterprise, job))
    }

    fn finish(&mut self, enterprise: EnterpriseId) {
        let Some(lane) = self.lanes.get_mut(&enterprise) else { return };
        lane.running = false;
        if lane.jobs.is_empty() {
            self.lanes.remove(&enterprise);
        } else {
            self.turns.push_back(enterprise);
        }
    }
}

#[cfg(test)]
mod tests;
