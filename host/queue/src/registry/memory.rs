//! The registry of a process that has no Redis.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{SILENCE_MAX, WorkerInfo};

#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<String, Entry>>);

struct Entry {
    worker: WorkerInfo,
    heard: Instant,
    asked_to_stop: bool,
}

impl Memory {
    fn living(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.heard.elapsed() < SILENCE_MAX);
        entries
    }

    pub(super) fn beat(&self, worker: &WorkerInfo) -> bool {
        let mut entries = self.living();
        let asked_to_stop = entries.get(&worker.id).is_some_and(|entry| entry.asked_to_stop);
        let entry = Entry { worker: worker.clone(), heard: Instant::now(), asked_to_stop };
        entries.insert(worker.id.clone(), entry);
        asked_to_stop
    }

    pub(super) fn list(&self) -> Vec<WorkerInfo> {
        self.living().values().map(|entry| entry.worker.clone()).collect()
    }

    pub(super) fn ask_to_stop(&self, id: &str) -> bool {
        self.living().get_mut(id).map(|entry| entry.asked_to_stop = true).is_some()
    }

    pub(super) fn leave(&self, id: &str) {
        self.living().remove(id);
    }
}
