//! The worker's half of the line.
//!
//! Owns what happens to a job from the moment it is taken. `deliver` is the line itself; `judge` asks the rules, `compose` writes the
//! calls, `send` makes them, and `settle` has every way an attempt ends. The daemon never calls anything here.

pub mod compose;
pub(crate) mod course;
mod deliver;
pub mod execute;
mod judge;
mod registered;
mod send;
pub mod serve;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use xnovu_queue::{Job, Ledger, Outcome, QueueName, Work};
use xnovu_rules::Rules;

use crate::gateway::NotificationGateway;
use crate::metrics::Metrics;
use crate::retraction::Retractions;
use crate::store::NotificationStore;
use crate::traces::SpanKind;
use crate::trail::Trail;
use crate::workflows::Workflows;
pub use registered::WorkerName;
pub(crate) use registered::host;

/// What a worker works with.
pub struct Worker {
    /// The rows.
    pub store: Arc<dyn NotificationStore>,
    /// The rules of the enterprises.
    pub rules: Arc<dyn Rules>,
    /// Novu.
    pub gateway: Arc<dyn NotificationGateway>,
    /// What was fixed before the first call.
    pub ledger: Arc<Ledger>,
    /// The workflows each enterprise may trigger.
    pub workflows: Arc<Workflows>,
    /// Carries retractions to Novu.
    pub retractions: Arc<Retractions>,
    /// How long outages may postpone a notification.
    pub give_up_after: Duration,
    /// Longest wait for one answer of Novu.
    pub call_timeout: Duration,
    /// Who watches.
    pub trail: Trail,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl Work for Worker {
    async fn perform(&self, job: Job) -> Outcome {
        let mut span = self.trail.traces().span_of(&job.id, "deliver", SpanKind::Consumer);
        span.set("attempt", i64::from(job.attempt));
        let outcome = self.deliver(&job).await;
        span.set("outcome", outcome.word());
        self.metrics.attempted(QueueName::NotificationProcessing, &outcome);
        outcome
    }
}

#[cfg(test)]
mod tests;
