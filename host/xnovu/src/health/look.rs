//! One look at what a process depends on.
//!
//! Owns how long an answer may take and how often is looked. A loss shows after at most the interval and the patience together, 3.5 s.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use xnovu_queue::{Counts, JobQueue, Memory, QueueName};

use crate::gateway::{NotificationGateway, Pause};
use crate::store::NotificationStore;
use crate::telemetry::Chain;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The queue's counts, or why there are none.
    pub queue: Result<QueueLook, String>,
    /// Whether the database answers, or why not.
    pub store: Result<(), String>,
    /// Why Novu is not called, if it is not.
    pub novu: Option<Pause>,
}

/// How many jobs stand where in both queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueLook {
    /// `notification-processing`.
    pub notification: Counts,
    /// `rule-execution`.
    pub rule_execution: Counts,
    /// What Redis uses; None where the queue is elsewhere, or Redis does not tell this user.
    pub memory: Option<Memory>,
}

/// When to look.
pub(super) fn beat() -> Interval {
    let mut beat = interval(INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

pub(super) async fn look(
    queue_seam: &dyn JobQueue,
    store: &dyn NotificationStore,
    gateway: &dyn NotificationGateway,
) -> Look {
    let (queue, store) = tokio::join!(queue(queue_seam), reach(store));
    Look { queue, store, novu: gateway.pause() }
}

pub(super) async fn queue(queue: &dyn JobQueue) -> Result<QueueLook, String> {
    let counts = |name| queue.counts(name);
    let memory = async { Ok(queue.memory().await.ok().flatten()) };
    let all =
        async { tokio::try_join!(counts(QueueName::NotificationProcessing), counts(QueueName::RuleExecution), memory) };
    match timeout(PATIENCE, all).await {
        Ok(Ok((notification, rule_execution, memory))) => Ok(QueueLook { notification, rule_execution, memory }),
        Ok(Err(error)) => Err(Chain(&error).to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

async fn reach(store: &dyn NotificationStore) -> Result<(), String> {
    match timeout(PATIENCE, store.reach()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Chain(&error).to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}
