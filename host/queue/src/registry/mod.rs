//! Who works.
//!
//! Owns what each worker tells of itself, and how one is asked to stop from afar. A worker that falls silent is forgotten after
//! [`SILENCE_MAX`]. Never holds anything of a notification.

mod memory;
mod redis;
mod tally;

use std::time::Duration;

use ::redis::aio::ConnectionManager;
use serde::{Deserialize, Serialize};
use xnovu_domain::Micros;

use crate::QueueError;
use memory::Memory;
use redis::Redis;
pub use tally::{Tallied, Tally};

/// Time between two signs of life.
pub const BEAT: Duration = Duration::from_secs(2);

/// How long a worker may be silent before it is forgotten, and its jobs will be taken over.
pub const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How long a request to stop waits for a worker that does not hear it.
const REQUEST_KEPT: Duration = Duration::from_secs(120);

/// A worker, as it tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// What it is called: the same in the state directory of its machine.
    pub id: String,
    /// The machine it runs on.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// Whether the process is a daemon with workers inside.
    pub in_daemon: bool,
    /// When it began.
    pub since: Micros,
    /// Its version.
    pub version: String,
    /// Jobs it performs at once.
    pub concurrency: usize,
    /// Whether it has been asked to stop and only ends what is under way.
    pub draining: bool,
    /// Jobs under way, done and failed so far.
    #[serde(flatten)]
    pub jobs: JobsOfWorker,
}

/// What a worker has had to do so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobsOfWorker {
    /// Under way.
    pub active: u64,
    /// Ended well.
    pub done: u64,
    /// Given up.
    pub failed: u64,
}

/// The workers of one queue, in Redis or in this process.
pub struct Registry(Place);

enum Place {
    Redis(Redis),
    Memory(Memory),
}

impl Registry {
    pub(crate) fn in_redis(connection: ConnectionManager, prefix: &str) -> Self {
        Self(Place::Redis(Redis::new(connection, prefix)))
    }

    pub(crate) fn in_memory() -> Self {
        Self(Place::Memory(Memory::default()))
    }

    /// A sign of life. Answers whether the worker was asked to stop.
    ///
    /// # Errors
    /// Redis did not do as asked. The next beat tries again.
    pub async fn beat(&self, worker: &WorkerInfo) -> Result<bool, QueueError> {
        match &self.0 {
            Place::Redis(redis) => redis.beat(worker).await,
            Place::Memory(memory) => Ok(memory.beat(worker)),
        }
    }

    /// The workers that live, oldest first.
    ///
    /// # Errors
    /// Redis did not do as asked.
    pub async fn list(&self) -> Result<Vec<WorkerInfo>, QueueError> {
        let mut workers = match &self.0 {
            Place::Redis(redis) => redis.list().await?,
            Place::Memory(memory) => memory.list(),
        };
        workers.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
        Ok(workers)
    }

    /// Asks a worker to stop; it hears of it with its next sign of life. False: there is no such worker.
    ///
    /// # Errors
    /// Redis did not do as asked.
    pub async fn ask_to_stop(&self, id: &str) -> Result<bool, QueueError> {
        match &self.0 {
            Place::Redis(redis) => redis.ask_to_stop(id).await,
            Place::Memory(memory) => Ok(memory.ask_to_stop(id)),
        }
    }

    /// Forgets a worker that has stopped.
    ///
    /// # Errors
    /// Redis did not do as asked. Its silence will do the same.
    pub async fn leave(&self, id: &str) -> Result<(), QueueError> {
        match &self.0 {
            Place::Redis(redis) => redis.leave(id).await,
            Place::Memory(memory) => {
                memory.leave(id);
                Ok(())
            }
        }
    }
}
