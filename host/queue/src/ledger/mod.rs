//! The send ledger.
//!
//! Owns what was fixed before the first call of a job and how each call stands, so that a retry neither sends something else nor sends
//! twice what was accepted. Every write is one round trip and atomic. Records expire by themselves, later than the longest retry. Never
//! holds a body, a payload or a recipient.

mod memory;
mod redis;

use std::time::Duration;

use ::redis::aio::ConnectionManager;
use xnovu_domain::JobId;

use crate::record::{CallState, LedgerError, SendRecord};
use memory::Memory;
use redis::Redis;

/// How long a record outlives its last write: longer than an outage may postpone a notification (a day unless set otherwise).
pub const RECORD_KEPT: Duration = Duration::from_secs(2 * 86_400);

/// The ledger, in Redis or in this process.
pub struct Ledger(Place);

enum Place {
    Redis(Redis),
    Memory(Memory),
}

impl Ledger {
    /// A ledger in Redis, under the queue's prefix. `kept` is how long a record outlives its last write.
    #[must_use]
    pub fn redis(connection: ConnectionManager, prefix: &str, kept: Duration) -> Self {
        Self(Place::Redis(Redis::new(connection, prefix, kept)))
    }

    /// A ledger that lives as long as this process.
    #[must_use]
    pub fn memory() -> Self {
        Self(Place::Memory(Memory::default()))
    }

    /// Stores the record of a job unless one stands, and returns what stands.
    ///
    /// # Errors
    /// Redis cannot be reached or is full. Nothing may be sent then.
    pub async fn open(&self, job: &JobId, fresh: &SendRecord) -> Result<SendRecord, LedgerError> {
        match &self.0 {
            Place::Redis(redis) => redis.open(job, fresh).await,
            Place::Memory(memory) => Ok(memory.open(job, fresh)),
        }
    }

    /// Replaces the record `stands` of a job unless a call was made, or may have been, or other bodies were fixed meanwhile; returns what
    /// stands then.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub async fn replace(
        &self,
        job: &JobId,
        stands: &SendRecord,
        fresh: &SendRecord,
    ) -> Result<SendRecord, LedgerError> {
        match &self.0 {
            Place::Redis(redis) => redis.replace(job, stands, fresh).await,
            Place::Memory(memory) => Ok(memory.replace(job, stands, fresh)),
        }
    }

    /// What stands for a job.
    ///
    /// # Errors
    /// Redis cannot be reached, or the record cannot be read.
    pub async fn get(&self, job: &JobId) -> Result<Option<SendRecord>, LedgerError> {
        match &self.0 {
            Place::Redis(redis) => redis.get(job).await,
            Place::Memory(memory) => Ok(memory.get(job)),
        }
    }

    /// Writes how one call stands.
    ///
    /// # Errors
    /// As [`Ledger::open`]; [`LedgerError::Gone`] where no record stands. The call must not be made then.
    pub async fn mark(&self, job: &JobId, call: usize, state: CallState, generation: u32) -> Result<(), LedgerError> {
        let marked = match &self.0 {
            Place::Redis(redis) => redis.mark(job, call, state, generation).await?,
            Place::Memory(memory) => memory.mark(job, call, state, generation),
        };
        if marked { Ok(()) } else { Err(LedgerError::Gone) }
    }

    /// Forgets a job whose row is settled.
    ///
    /// # Errors
    /// Redis cannot be reached. The record expires by itself then.
    pub async fn remove(&self, job: &JobId) -> Result<(), LedgerError> {
        match &self.0 {
            Place::Redis(redis) => redis.remove(job).await,
            Place::Memory(memory) => {
                memory.remove(job);
                Ok(())
            }
        }
    }
}
