//! One job of BullMQ, performed.
//!
//! Owns the passage between the client's jobs and outcomes and ours. A job that cannot be read fails with the reason and never completes
//! silently; a panic fails the attempt and the worker goes on.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bullmq::Error;
use bullmq::types::BackoffStrategy;
use bullmq::worker::CancellationToken;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use xnovu_domain::Micros;

use super::desk::{Desk, PutOff};
use super::gate::Begun;
use crate::options::JobOptions;
use crate::{Identity, Job, Outcome, Work};

/// Wait before a job asks again whether it may begin, where Redis did not answer.
const OUTAGE_WAIT: Duration = Duration::from_secs(5);

/// What the client calls for each job. After `stop` no job is begun.
pub(super) fn processor<I: Identity>(
    work: Arc<dyn Work<I>>,
    desk: Desk,
    stop: tokio_util::sync::CancellationToken,
) -> impl Fn(bullmq::Job, CancellationToken) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync + 'static {
    let desk = Arc::new(desk);
    move |job, _cancelled| {
        let (work, desk, stop) = (Arc::clone(&work), Arc::clone(&desk), stop.clone());
        Box::pin(async move {
            if stop.is_cancelled() {
                // The client takes the next job together with finishing one, and may not have heard of the stop yet. This is its way to put
                // a job back to the front of its priority without spending an attempt.
                return Err(Error::RateLimited { delay_ms: 0 });
            }
            perform(work.as_ref(), &desk, &job).await
        })
    }
}

async fn perform<I: Identity>(work: &dyn Work<I>, desk: &Desk, bull: &bullmq::Job) -> Result<Value, Error> {
    let job = read(bull).map_err(Error::Unrecoverable)?;
    let (attempt, last) = (job.attempt, job.last);
    let begun = match desk.begin(bull, &job.id).await {
        Ok(Begun::No) => return Err(Error::Delayed),
        Ok(begun) => begun,
        Err(error) => {
            tracing::warn!(job.id = bull.id(), error = &error as &dyn std::error::Error, "a job could not begin");
            return Err(put_off(desk, bull, PutOff { delay: OUTAGE_WAIT, failed: None }).await);
        }
    };
    let outcome = AssertUnwindSafe(work.perform(job)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(job.id = bull.id(), "a job panicked");
        Outcome::Retry { error: "the job panicked".to_owned() }
    });
    if let Begun::Held(hold) = &begun {
        desk.finish(hold).await;
    }
    match outcome {
        Outcome::Done(word) => Ok(Value::String(word)),
        Outcome::Fail { error } => Err(Error::Unrecoverable(error)),
        Outcome::Retry { error } => match own_backoff(&desk.jobs, bull) {
            Some(backoff) if !last => {
                let delay = backoff.wait(attempt, fastrand::f64());
                Err(put_off(desk, bull, PutOff { delay, failed: Some(&error) }).await)
            }
            _ => Err(Error::ProcessingError(error)),
        },
        Outcome::Later { after, reason } => {
            tracing::debug!(job.id = bull.id(), after_ms = after.as_millis(), reason, "a job comes back later");
            Err(put_off(desk, bull, PutOff { delay: after, failed: None }).await)
        }
    }
}

/// The curve of a job whose waits grow: the client's own has neither an upper bound nor jitter, and overflows. Other waits are the client's.
fn own_backoff(jobs: &JobOptions, bull: &bullmq::Job) -> Option<JobOptions> {
    match bull.opts().backoff {
        Some(BackoffStrategy::Exponential(base_ms)) => {
            Some(JobOptions { backoff: Duration::from_millis(base_ms), ..*jobs })
        }
        _ => None,
    }
}

/// Puts a job off, and answers what tells the client that it has nothing more to do.
async fn put_off(desk: &Desk, bull: &bullmq::Job, put_off: PutOff<'_>) -> Error {
    match desk.postpone(bull, put_off).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(job.id = bull.id(), "a job was taken over before it could be put off"),
        // Its lock runs out and the check for stalled jobs takes it over.
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(job.id = bull.id(), error, "a job could not be put off");
        }
    }
    Error::Delayed
}

/// The job, or why it cannot be read.
fn read<I: Identity>(bull: &bullmq::Job) -> Result<Job<I>, String> {
    let said = |what: String| format!("job {} cannot be performed: {what}", bull.id());
    let name = I::QUEUE.job_name();
    if bull.name() != name {
        return Err(said(format!("its name is {:?}, not {name:?}", bull.name())));
    }
    let (id, data) = I::read(bull.id(), bull.data()).map_err(said)?;
    // As the client counts: a job that brings no number has one attempt.
    let attempts_max = bull.opts().attempts.unwrap_or(1).max(1);
    let attempt = bull.attempts_made() + 1;
    let created = Micros::from_millis(i64::try_from(bull.timestamp()).unwrap_or(0));
    Ok(Job { id, data, attempt, attempts_max, created, last: attempt >= attempts_max })
}
