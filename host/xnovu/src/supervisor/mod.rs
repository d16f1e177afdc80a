//! A number of worker processes on one machine.
//!
//! Owns how many there shall be, and reaches it: starts workers, and lets the newest drain where there are too many. A worker that somebody
//! else asked to stop is not replaced. Never touches a worker it has not started.

mod keeper;
pub mod routes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;
pub use keeper::{Kept, Program, Stage};

/// Most workers of one supervisor.
pub const WORKERS_MAX: usize = 256;

/// The workers, as they are seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// How many there shall be.
    pub target: usize,
    /// Those there are, the oldest first.
    pub workers: Vec<Kept>,
}

impl Fleet {
    /// Whether there are as many as there shall be.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.workers.len() == self.target && self.workers.iter().all(|kept| kept.stage == Stage::Running)
    }
}

/// Keeps a number of workers running.
pub struct Supervisor {
    program: Arc<Program>,
    tasks: Tasks,
    crew: Mutex<Crew>,
    changed: Notify,
}

struct Crew {
    target: usize,
    last_number: u32,
    workers: Vec<Member>,
    failed: usize,
}

struct Member {
    /// The lowest number from 1 that nobody had when it was started; somebody else may have it later.
    slot: u16,
    seen: watch::Receiver<Kept>,
    drain: CancellationToken,
}

impl Supervisor {
    /// Nothing runs yet; [`Supervisor::run`] reaches the target.
    #[must_use]
    pub fn new(program: Program, target: usize, tasks: Tasks) -> Arc<Self> {
        let crew = Crew { target: target.min(WORKERS_MAX), last_number: 0, workers: Vec::new(), failed: 0 };
        Arc::new(Self { program: Arc::new(program), tasks, crew: Mutex::new(crew), changed: Notify::new() })
    }

    fn crew(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The workers now.
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        let crew = self.crew();
        let workers = crew.workers.iter().map(|member| member.seen.borrow().clone());
        Fleet { target: crew.target, workers: workers.filter(|kept| kept.stage != Stage::Ended).collect() }
    }

    /// Sets how many there shall be, at most [`WORKERS_MAX`]. [`Supervisor::run`] reaches it.
    pub fn scale(&self, target: usize) {
        let before = std::mem::replace(&mut self.crew().target, target.min(WORKERS_MAX));
        tracing::info!(before, target, "asked to scale");
        self.changed.notify_one();
    }

    /// Keeps the target until `stop` is cancelled, then lets every worker drain. Answers how many ended badly after that.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> usize {
        loop {
            if stop.is_cancelled() {
                self.crew().target = 0;
            }
            self.reconcile();
            if stop.is_cancelled() && self.crew().workers.is_empty() {
                return self.crew().failed;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// One step towards the target.
    fn reconcile(self: &Arc<Self>) {
        let mut crew = self.crew();
        crew.forget_ended();
        let wanted: Vec<usize> = (0..crew.workers.len()).filter(|at| !crew.workers[*at].drain.is_cancelled()).collect();
        for at in wanted.iter().skip(crew.target) {
            let member = &crew.workers[*at];
            tracing::info!(worker = member.seen.borrow().number, "a worker is no longer wanted and drains");
            member.drain.cancel();
        }
        for _ in wanted.len()..crew.target {
            crew.last_number += 1;
            let member = self.start(crew.last_number, crew.free_slot());
            crew.workers.push(member);
        }
    }

    fn start(self: &Arc<Self>, number: u32, slot: u16) -> Member {
        let (tell, seen) = watch::channel(Kept::new(number));
        let drain = CancellationToken::new();
        let (supervisor, program, token) = (Arc::clone(self), Arc::clone(&self.program), drain.clone());
        self.tasks.spawn("worker process", async move {
            keeper::keep(program, slot, tell, token).await;
            supervisor.changed.notify_one();
        });
        Member { slot, seen, drain }
    }
}

impl Crew {
    /// One that drains has its slot, and with it its port, until it has ended.
    fn free_slot(&self) -> u16 {
        let taken = |slot: &u16| self.workers.iter().any(|member| member.slot == *slot);
        (1..).find(|slot| !taken(slot)).unwrap_or(u16::MAX)
    }

    fn forget_ended(&mut self) {
        let mut dismissed = 0;
        let failed = &mut self.failed;
        self.workers.retain(|member| {
            let kept = member.seen.borrow();
            if kept.stage != Stage::Ended {
                return true;
            }
            dismissed += usize::from(kept.dismissed);
            *failed += usize::from(kept.failed);
            tracing::info!(
                worker = kept.number,
                dismissed = kept.dismissed,
                failed = kept.failed,
                "a worker has ended"
            );
            false
        });
        self.target = self.target.saturating_sub(dismissed);
    }
}

#[cfg(test)]
mod tests;
