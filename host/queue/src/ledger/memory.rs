//! The ledger of a process that has no Redis.
//!
//! Owns records in a map. They die with the process, as its jobs do; the rows then say what was settled.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use xnovu_domain::JobId;

use super::RECORD_KEPT;
use crate::record::{CallState, SendRecord};

/// Records before the expired ones are looked for.
const RECORDS_UNCHECKED: usize = 10_000;

#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<JobId, (Instant, SendRecord)>>);

impl Memory {
    pub(super) fn open(&self, job: &JobId, fresh: &SendRecord) -> SendRecord {
        let mut records = self.lock();
        if records.len() >= RECORDS_UNCHECKED {
            records.retain(|_, (written, _)| written.elapsed() < RECORD_KEPT);
        }
        records.entry(job.clone()).or_insert_with(|| (Instant::now(), fresh.clone())).1.clone()
    }

    pub(super) fn replace(&self, job: &JobId, stands: &SendRecord, fresh: &SendRecord) -> SendRecord {
        let mut records = self.lock();
        let entry = records.entry(job.clone()).or_insert_with(|| (Instant::now(), stands.clone()));
        if entry.1.same_bodies(stands) && !entry.1.is_touched() {
            *entry = (Instant::now(), fresh.clone());
        }
        entry.1.clone()
    }

    pub(super) fn get(&self, job: &JobId) -> Option<SendRecord> {
        self.lock().get(job).map(|(_, record)| record.clone())
    }

    pub(super) fn mark(&self, job: &JobId, call: usize, state: CallState, generation: u32) -> bool {
        let mut records = self.lock();
        let call = records.get_mut(job).and_then(|(_, record)| record.calls.get_mut(call));
        call.map(|call| (call.state, call.generation) = (state, generation)).is_some()
    }

    pub(super) fn remove(&self, job: &JobId) {
        self.lock().remove(job);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, (Instant, SendRecord)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
