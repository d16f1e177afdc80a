//! A worker's word of itself.
//!
//! Owns the signs of life: who the worker is, what it has to do, and whether it was asked to stop from afar. A registry that does not answer
//! stops nobody.

use std::process;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use xnovu_domain::Micros;
use xnovu_queue::{BEAT, JobsOfWorker, Registry, Tally, WorkerInfo};

use crate::telemetry::Chain;

/// Where Linux tells the name of the machine, or of the container.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// Who a worker is.
#[derive(Debug, Clone)]
pub struct WorkerName {
    /// What it is called, also in the state directory.
    pub id: String,
    /// Whether it runs inside a daemon, and so cannot be asked to stop by itself.
    pub in_daemon: bool,
}

impl WorkerName {
    /// What it tells of itself when it begins.
    pub(super) fn info(&self, concurrency: usize, since: Micros) -> WorkerInfo {
        WorkerInfo {
            id: self.id.clone(),
            host: host(),
            pid: process::id(),
            in_daemon: self.in_daemon,
            since,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            concurrency,
            draining: false,
            jobs: JobsOfWorker::default(),
        }
    }
}

/// The name of this machine, or of the container.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string(HOSTNAME).unwrap_or_default();
    if name.trim().is_empty() { "unknown".to_owned() } else { name.trim().to_owned() }
}

/// Tells of a worker until `ended` is cancelled. Cancels `stop` when the worker is asked to stop.
pub(super) async fn tell_of(
    registry: Arc<Registry>,
    mut worker: WorkerInfo,
    tally: Tally,
    stop: CancellationToken,
    ended: CancellationToken,
) {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = ended.cancelled() => break,
            () = stop.cancelled(), if !worker.draining => {}
            _ = beats.tick() => {}
        }
        (worker.draining, worker.jobs) = (stop.is_cancelled(), tally.now());
        match registry.beat(&worker).await {
            Ok(asked) if asked && !worker.in_daemon && !worker.draining => {
                tracing::info!(worker = worker.id, "asked to stop");
                stop.cancel();
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(error = %Chain(&error), "a sign of life was not heard"),
        }
    }
    if let Err(error) = registry.leave(&worker.id).await {
        tracing::debug!(error = %Chain(&error), "the worker is forgotten for its silence");
    }
}
