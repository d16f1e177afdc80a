//! The only place that starts tasks.
//!
//! Owns the list of what runs. Promises that every task has a name and a span, is waited for at the end, and that a panic in one is
//! logged and counted instead of being lost. Never aborts a task: tasks watch the token they were given.
#![allow(clippy::disallowed_methods, reason = "this is the one file that spawns")]

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
    running: Mutex<BTreeMap<u64, &'static str>>,
    started: AtomicU64,
    panics: AtomicU64,
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
            if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
                entry.list.panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, reason = text_of(panic.as_ref()), "task panicked");
            }
            drop(entry);
        };
        self.tracker.spawn(watched.instrument(tracing::info_span!("task", name)));
    }

    /// How many tasks have panicked so far.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.list.panics.load(Ordering::Relaxed)
    }

    /// The names of what runs now, in the order of their start.
    #[must_use]
    pub fn running(&self) -> Vec<&'static str> {
        self.list.lock().values().copied().collect()
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
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, &'static str>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's place on the list, given up however the task ends.
struct Entry {
    list: Arc<List>,
    number: u64,
}

impl Entry {
    fn new(list: Arc<List>, name: &'static str) -> Self {
        let number = list.started.fetch_add(1, Ordering::Relaxed);
        list.lock().insert(number, name);
        Self { list, number }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.list.lock().remove(&self.number);
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
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
    }
}
