//! A worker, from its parts to its end.
//!
//! Owns how many jobs it performs at a time and how long it may take to stop.

use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use xnovu_queue::{Drained, Work, WorkOptions};

use super::Worker;
use crate::parts::Parts;
use crate::workflows::Workflows;

/// Performs jobs until `stop` is cancelled and those under way have ended.
///
/// # Errors
/// The queue cannot be used.
pub async fn serve(parts: &Parts, stop: CancellationToken) -> anyhow::Result<Drained> {
    let worker: Arc<dyn Work> = Arc::new(Worker {
        store: Arc::clone(&parts.store),
        rules: Arc::clone(&parts.rules) as _,
        gateway: Arc::clone(&parts.gateway),
        ledger: Arc::clone(&parts.ledger),
        workflows: Arc::new(Workflows::new(Arc::clone(&parts.store))),
        retractions: Arc::clone(&parts.retractions),
        give_up_after: parts.config.jobs.give_up_after,
        call_timeout: parts.config.novu.timeout,
        trail: parts.trail.clone(),
        metrics: Arc::clone(&parts.metrics),
    });
    let options = WorkOptions { concurrency: parts.config.concurrency, grace: parts.config.graces.workers };
    parts.queue.work(options, worker, stop).await.context("taking jobs")
}
