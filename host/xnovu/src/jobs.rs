//! What an operator sees of the jobs, and does to them.
//!
//! Owns the answers of `xnovu queue`, and the same over the admin socket of a process whose queue is in memory. Never shows more of a
//! notification than its id, its enterprise and the reason its job failed for.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use xnovu_domain::{EnterpriseId, Micros};
use xnovu_queue::{Counts, FailedJob, JobQueue, QueueError, QueueName, Registry, WorkerInfo};

use crate::control::routes::Failure;

/// Failed jobs one question is answered with at most.
pub const FAILED_MAX: usize = 10_000;

/// The queues, in the order they are shown.
pub const QUEUES: [QueueName; 2] = [QueueName::NotificationProcessing, QueueName::RuleExecution];

/// How a queue stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Which it is.
    pub queue: QueueName,
    /// How many jobs stand where, and whether it is paused.
    #[serde(flatten)]
    pub counts: Counts,
    /// When the job was queued that has waited longest.
    pub oldest_waiting: Option<Micros>,
}

/// Which failed jobs are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// In one queue only.
    pub queue: Option<QueueName>,
    /// Of one enterprise only.
    pub enterprise: Option<EnterpriseId>,
    /// With this in their reason only.
    pub reason: Option<String>,
    /// The latest so many only.
    pub limit: Option<usize>,
}

impl Selection {
    fn holds(&self, job: &FailedJob) -> bool {
        self.enterprise.as_ref().is_none_or(|enterprise| job.enterprise.as_ref() == Some(enterprise))
            && self.reason.as_ref().is_none_or(|reason| job.reason.contains(reason.as_str()))
    }

    fn queues(&self) -> impl Iterator<Item = QueueName> {
        let queue = self.queue;
        QUEUES.into_iter().filter(move |one| queue.is_none_or(|queue| queue == *one))
    }
}

/// A failed job and its queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Its queue.
    pub queue: QueueName,
    /// The job.
    #[serde(flatten)]
    pub job: FailedJob,
}

/// How the queues stand.
///
/// # Errors
/// The queue does not answer.
pub async fn status(queue: &dyn JobQueue) -> Result<Vec<QueueStatus>, QueueError> {
    let mut told = Vec::new();
    for name in QUEUES {
        let counts = queue.counts(name).await?;
        told.push(QueueStatus { queue: name, counts, oldest_waiting: queue.oldest_waiting(name).await? });
    }
    Ok(told)
}

/// The failed jobs that are meant, the latest first.
///
/// # Errors
/// The queue does not answer.
pub async fn failed(queue: &dyn JobQueue, selection: &Selection) -> Result<Vec<Failed>, QueueError> {
    let limit = selection.limit.unwrap_or(FAILED_MAX).min(FAILED_MAX);
    let mut found = Vec::new();
    for name in selection.queues() {
        let (mut from, mut own) = (0, Vec::new());
        while own.len() < limit {
            let page = queue.failed(name, from).await?;
            let Some(seen) = std::num::NonZeroUsize::new(page.len()) else { break };
            from += seen.get();
            let meant = page.into_iter().filter(|job| selection.holds(job));
            own.extend(meant.map(|job| Failed { queue: name, job }));
        }
        found.extend(own);
    }
    Ok(latest(found, limit))
}

fn latest(mut found: Vec<Failed>, limit: usize) -> Vec<Failed> {
    found.sort_by_key(|failed| std::cmp::Reverse(failed.job.at));
    found.truncate(limit);
    found
}

/// Queues failed jobs again, with all their attempts; the worker claims the row that was settled FAILED. Answers those that were.
///
/// # Errors
/// The queue does not answer. Some may have been queued.
pub async fn retry(queue: &dyn JobQueue, selection: &Selection) -> Result<Vec<String>, QueueError> {
    let (mut again, mut asked) = (Vec::new(), HashSet::new());
    loop {
        let meant = failed(queue, selection).await?;
        // One that has failed anew meanwhile had its turn.
        let fresh: Vec<Failed> = meant.into_iter().filter(|one| asked.insert(one.job.id.clone())).collect();
        if fresh.is_empty() {
            return Ok(again);
        }
        for name in QUEUES {
            let ids: Vec<String> = fresh.iter().filter(|one| one.queue == name).map(|one| one.job.id.clone()).collect();
            again.extend(queue.retry(name, &ids).await?);
        }
    }
}

/// Queues one failed job again. False: there is no failed job of that id.
///
/// # Errors
/// The queue does not answer.
pub async fn retry_one(queue: &dyn JobQueue, id: &str) -> Result<bool, QueueError> {
    for name in QUEUES {
        if !queue.retry(name, &[id.to_owned()]).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What `POST /admin/queue/retry` is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The jobs of these ids.
    Jobs(Vec<String>),
    /// Those that are meant.
    Selected(Selection),
}

/// Does it; answers the ids of the jobs that were queued again.
///
/// # Errors
/// The queue does not answer.
pub async fn carry_out(queue: &dyn JobQueue, wanted: &Retry) -> Result<Vec<String>, QueueError> {
    match wanted {
        Retry::Selected(selection) => retry(queue, selection).await,
        Retry::Jobs(ids) => {
            let mut again = Vec::new();
            for id in ids {
                if retry_one(queue, id).await? {
                    again.push(id.clone());
                }
            }
            Ok(again)
        }
    }
}

#[derive(Clone)]
struct Seen {
    queue: Arc<dyn JobQueue>,
    registry: Arc<Registry>,
}

/// The routes of a process about its jobs and its workers.
pub fn routes(queue: Arc<dyn JobQueue>, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/admin/queue", get(status_route))
        .route("/admin/queue/failed", post(failed_route))
        .route("/admin/queue/retry", post(retry_route))
        .route("/admin/workers", get(workers_route))
        .with_state(Seen { queue, registry })
}

async fn status_route(State(seen): State<Seen>) -> Result<Json<Vec<QueueStatus>>, Failure> {
    Ok(Json(status(seen.queue.as_ref()).await?))
}

async fn failed_route(
    State(seen): State<Seen>,
    Json(selection): Json<Selection>,
) -> Result<Json<Vec<Failed>>, Failure> {
    Ok(Json(failed(seen.queue.as_ref(), &selection).await?))
}

async fn retry_route(State(seen): State<Seen>, Json(wanted): Json<Retry>) -> Result<Json<Vec<String>>, Failure> {
    Ok(Json(carry_out(seen.queue.as_ref(), &wanted).await?))
}

async fn workers_route(State(seen): State<Seen>) -> Result<Json<Vec<WorkerInfo>>, Failure> {
    Ok(Json(seen.registry.list().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_failed_jobs_are_those_of_all_queues() {
        let failed = |queue, at: i64| {
            let (id, reason, at) = (at.to_string(), String::new(), Micros::from_millis(at));
            Failed { queue, job: FailedJob { id, enterprise: None, reason, at, attempts: 1, attempts_max: 1 } }
        };
        let (notifications, rules) = (QueueName::NotificationProcessing, QueueName::RuleExecution);
        let found = vec![failed(notifications, 9), failed(notifications, 3), failed(rules, 7), failed(rules, 1)];
        let ids: Vec<String> = latest(found, 3).into_iter().map(|failed| failed.job.id).collect();
        assert_eq!(ids, ["9", "7", "3"]);
    }
}
