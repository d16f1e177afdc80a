//! The only place that starts tasks.
//!
//! Owns the list of what runs. Promises that every task has a name and a span, is waited for at the end, and that a panic in one is
//! logged and counted instead of being lost. Knows which tasks do not turn: those that have panicked, and those that have been inside
//! one turn for too long. Never aborts a task: tasks watch the token they were given.
#![allow(clippy::disallowed_methods, reason = "this is the one file that spawns")]

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// What runs in this process. Clones share one list.
#[derive(Debug, Clone)]
pub struct Tasks {
    root: CancellationToken,
    tracker: TaskTracker,
    list: Arc<List>,
}

#[derive(Debug, Default)]
struct List {
    running: Mutex<BTreeMap<u64, Arc<Running>>>,
    started: AtomicU64,
    fallen: Mutex<Vec<&'static str>>,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    /// When it began the turn it is inside of.
    turn: Mutex<Option<Instant>>,
}

impl Tasks {
    /// Nothing runs yet. `root` is the token whose cancellation stops everything.
    #[must_use]
    pub fn new(root: CancellationToken) -> Self {
        Self { root, tracker: TaskTracker::new(), list: Arc::default() }
    }

    /// The token whose cancellation stops everything.
    #[must_use]
    pub fn root(&self) -> &CancellationToken {
        &self.root
    }

    /// Starts a task. The future must end soon after the token it watches is cancelled.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let entry = Entry::new(Arc::clone(&self.list), name);
        let watched = async move {
            let mut future = pin!(AssertUnwindSafe(future).catch_unwind());
            let turns = poll_fn(|context| {
                entry.running.set_turn(Some(Instant::now()));
                let polled = future.as_mut().poll(context);
                entry.running.set_turn(None);
                polled
            });
            // What it said is told by the hook of panics.
            if turns.await.is_err() {
                entry.list.fallen().push(name);
                tracing::error!(task = name, "task panicked");
            }
            drop(entry);
        };
        self.tracker.spawn(watched.instrument(tracing::info_span!("task", name)));
    }

    /// How many tasks have panicked so far.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.list.fallen().len() as u64
    }

    /// Names the tasks that do not turn, each with why: it has panicked, or has been inside one turn for longer than `patience`.
    #[must_use]
    pub fn ailing(&self, patience: Duration) -> Vec<String> {
        let mut ailing: Vec<String> = self.list.fallen().iter().map(|name| format!("{name} (panicked)")).collect();
        let stuck = |task: &&Arc<Running>| task.turn().is_some_and(|began| began.elapsed() > patience);
        ailing.extend(self.list.lock().values().filter(stuck).map(|task| format!("{} (stuck)", task.name)));
        ailing
    }

    /// The names of what runs now, in the order of their start.
    #[must_use]
    pub fn running(&self) -> Vec<&'static str> {
        self.list.lock().values().map(|task| task.name).collect()
    }

    /// Waits until every task has ended, at most `grace`, and returns the names of those that still run. Cancels nothing itself.
    pub async fn wait(&self, grace: Duration) -> Vec<&'static str> {
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Vec::new(),
            Err(_) => self.running(),
        }
    }
}

impl List {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fallen(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.fallen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn set_turn(&self, began: Option<Instant>) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }

    fn turn(&self) -> Option<Instant> {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's place on the list, given up however the task ends.
struct Entry {
    list: Arc<List>,
    running: Arc<Running>,
    number: u64,
}

impl Entry {
    fn new(list: Arc<List>, name: &'static str) -> Self {
        let number = list.started.fetch_add(1, Ordering::Relaxed);
        let running = Arc::new(Running { name, turn: Mutex::default() });
        list.lock().insert(number, Arc::clone(&running));
        Self { list, running, number }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.list.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_task_is_waited_for() {
        let tasks = Tasks::new(CancellationToken::new());
        let stop = tasks.root().clone();
        tasks.spawn("one", async move { stop.cancelled().await });
        assert_eq!(tasks.running(), ["one"]);
        tasks.root().cancel();
        assert_eq!(tasks.wait(Duration::from_secs(5)).await, Vec::<&str>::new());
        assert_eq!(tasks.running(), Vec::<&str>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn what_still_runs_after_the_grace_is_named() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("deaf", std::future::pending());
        tasks.spawn("brief", async {});
        assert_eq!(tasks.wait(Duration::from_secs(5)).await, ["deaf"]);
    }

    #[tokio::test]
    async fn a_panic_ends_its_task_only_and_is_counted() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("fragile", async { panic!("on purpose") });
        tasks.spawn("sturdy", async {});
        assert_eq!(tasks.wait(Duration::from_secs(5)).await, Vec::<&str>::new());
        assert_eq!(tasks.panics(), 1);
        assert_eq!(tasks.ailing(Duration::from_secs(60)), ["fragile (panicked)"]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_task_that_is_stuck_inside_one_turn_is_named_and_one_that_waits_is_not() {
        let tasks = Tasks::new(CancellationToken::new());
        let (release, held) = std::sync::mpsc::channel::<()>();
        let stop = tasks.root().clone();
        tasks.spawn("waits", async move { stop.cancelled().await });
        tasks.spawn("stuck", async move {
            // Holds its thread, as no task may.
            let _ = held.recv();
        });
        let deadline = Instant::now() + Duration::from_secs(30);
        while tasks.ailing(Duration::from_millis(1)) != ["stuck (stuck)"] {
            assert!(Instant::now() < deadline, "{:?}", tasks.ailing(Duration::ZERO));
            tokio::task::yield_now().await;
        }
        assert_eq!(tasks.ailing(Duration::from_secs(3_600)), Vec::<String>::new());
        drop(release);
        tasks.root().cancel();
        assert_eq!(tasks.wait(Duration::from_secs(30)).await, Vec::<&str>::new());
    }
}
