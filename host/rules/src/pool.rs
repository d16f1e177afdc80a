//! The rule threads, and the queue in front of them.
//!
//! Owns fairness: each enterprise has a lane, lanes take turns, and a lane never holds more than one thread. Lanes whose last evaluation
//! was slow take turns of their own and never hold all threads together, so that however many enterprises use all the time they may,
//! one thread is there for those that do not. Bounded by lane and in all.
//! Promises that work nobody waits for any more is skipped, and that a panic costs one answer, not a thread.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::oneshot;
use xnovu_domain::EnterpriseId;

use crate::threads;

/// Evaluations of one enterprise that may wait.
const LANE_JOBS_MAX: usize = 1024;

/// Evaluations of all enterprises that may wait.
const JOBS_MAX: usize = 8192;

/// An evaluation that takes longer is slow. Most take a fraction of a millisecond.
const SLOW: Duration = Duration::from_millis(10);

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

struct Shared {
    schedule: Mutex<Schedule>,
    work: Condvar,
}

struct Schedule {
    lanes: HashMap<EnterpriseId, Lane>,
    /// Lanes that have work and no thread, in the order of their turns.
    turns: VecDeque<EnterpriseId>,
    /// Those of them that were slow last.
    slow_turns: VecDeque<EnterpriseId>,
    /// Whose last evaluation was slow, also while nothing of theirs waits.
    slow: HashSet<EnterpriseId>,
    /// Threads that slow lanes hold now, and may hold.
    slow_running: usize,
    slow_max: usize,
    /// Whether it was not a slow lane's turn last.
    slow_next: bool,
    waiting: usize,
    idle_threads: usize,
    stopping: bool,
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<Job>,
    running: bool,
}

/// Answers whether anything was done: nobody may wait for it any more.
type Job = Box<dyn FnOnce() -> bool + Send>;

/// A lane's turn.
struct Turn {
    enterprise: EnterpriseId,
    job: Job,
    /// Whether it counts as a slow lane's.
    slow: bool,
}

impl Pool {
    /// Starts that many threads, at least one.
    ///
    /// # Errors
    /// The system has no thread left; those that were started end again.
    pub(crate) fn start(count: u32) -> io::Result<Self> {
        let count = count.max(1);
        let pool = Self { shared: Arc::new(Shared::new(count)) };
        for number in 0..count {
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
            let wanted = !answer.is_closed();
            if wanted {
                // The caller may leave while the work is done; then nobody misses the answer.
                drop(answer.send(work()));
            }
            wanted
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
        schedule.slow_turns.clear();
        drop(schedule);
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn new(threads: u32) -> Self {
        Self { schedule: Mutex::new(Schedule::new(threads)), work: Condvar::new() }
    }

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
            let Some(Turn { enterprise, job, slow }) = schedule.take() else {
                schedule.idle_threads += 1;
                schedule = self.work.wait(schedule).unwrap_or_else(PoisonError::into_inner);
                schedule.idle_threads -= 1;
                continue;
            };
            drop(schedule);
            // The panic has been reported by its hook, and whoever waits learns that the answer is lost.
            let started = Instant::now();
            let worked = catch_unwind(AssertUnwindSafe(job)).unwrap_or(true);
            let took = started.elapsed();
            schedule = self.lock();
            schedule.finish(enterprise, slow, worked.then_some(took));
            if schedule.idle_threads > 0 && schedule.waiting > 0 {
                // What waited for this lane may be two lanes' work now: the other's turn was not allowed before.
                self.work.notify_one();
            }
        }
    }

    /// Every change is complete before anything in it can panic, so a poisoned schedule is a whole one.
    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule {
    /// For that many threads.
    fn new(threads: u32) -> Self {
        let threads = usize::try_from(threads).unwrap_or(usize::MAX);
        Self {
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            slow_turns: VecDeque::new(),
            slow: HashSet::new(),
            slow_running: 0,
            slow_max: threads.saturating_sub(1).max(1),
            slow_next: false,
            waiting: 0,
            idle_threads: 0,
            stopping: false,
        }
    }

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
            let turns = if self.slow.contains(enterprise) { &mut self.slow_turns } else { &mut self.turns };
            turns.push_back(enterprise.clone());
        }
        lane.jobs.push_back(job);
        self.waiting += 1;
        Ok(())
    }

    /// Whose turn it is. Slow lanes and the others take it in turns where both have work, so that neither waits for ever.
    fn take(&mut self) -> Option<Turn> {
        let may = self.slow_running < self.slow_max && !self.slow_turns.is_empty();
        let slow = may && (self.slow_next || self.turns.is_empty());
        let enterprise = if slow { self.slow_turns.pop_front() } else { self.turns.pop_front() }?;
        let lane = self.lanes.get_mut(&enterprise)?;
        let job = lane.jobs.pop_front()?;
        lane.running = true;
        self.waiting -= 1;
        self.slow_running += usize::from(slow);
        self.slow_next = !slow;
        Some(Turn { enterprise, job, slow })
    }

    /// Ends a turn that took so long; None where nobody wanted the work any more.
    fn finish(&mut self, enterprise: EnterpriseId, slow: bool, took: Option<Duration>) {
        self.slow_running -= usize::from(slow);
        match took {
            Some(took) if took > SLOW => drop(self.slow.insert(enterprise.clone())),
            Some(_) => drop(self.slow.remove(&enterprise)),
            None => {}
        }
        let Some(lane) = self.lanes.get_mut(&enterprise) else { return };
        lane.running = false;
        if lane.jobs.is_empty() {
            self.lanes.remove(&enterprise);
        } else if self.slow.contains(&enterprise) {
            self.slow_turns.push_back(enterprise);
        } else {
            self.turns.push_back(enterprise);
        }
    }
}

#[cfg(test)]
mod tests;
