//! A row somebody took back.
//!
//! Owns carrying a retraction to the queue and to Novu, once, and the mark on the row that says so. Used by the daemon for rows it hears
//! of and by the worker for rows taken back while they were sent. Never touches a row another attempt is still sending.

use std::sync::Arc;

use thiserror::Error;
use xnovu_domain::{Details, JobId, Notification, Status};
use xnovu_queue::{Call, CallState, JobQueue, JobState, Ledger, LedgerError, QueueError};

use crate::gateway::{GatewayError, NotificationGateway};
use crate::store::{NotificationStore, StoreError};
use crate::trail::{Trail, What};

/// Why a retraction was not carried. The sweep brings the row again.
#[derive(Debug, Error)]
pub enum RetractionError {
    /// The queue.
    #[error("the queue did not answer")]
    Queue(#[from] QueueError),
    /// The ledger.
    #[error("the ledger did not answer")]
    Ledger(#[from] LedgerError),
    /// Novu.
    #[error("Novu did not cancel")]
    Gateway(#[from] GatewayError),
    /// The database.
    #[error("the row could not be marked")]
    Store(#[from] StoreError),
}

/// Carries retractions.
pub struct Retractions {
    /// The rows.
    pub store: Arc<dyn NotificationStore>,
    /// The jobs.
    pub queue: Arc<dyn JobQueue>,
    /// What was sent so far.
    pub ledger: Arc<Ledger>,
    /// Novu.
    pub gateway: Arc<dyn NotificationGateway>,
    /// Who watches.
    pub trail: Trail,
}

impl Retractions {
    /// Carries the retraction of a row, unless that was done or its job is under way (the worker then sees it itself). Says whether
    /// the row is now marked.
    ///
    /// # Errors
    /// Whoever did not answer. Nothing is marked then.
    pub async fn carry(&self, row: &Notification) -> Result<bool, RetractionError> {
        let Some(job) = row.claimed_by() else { return Ok(false) };
        if !wants_carrying(row) {
            return Ok(false);
        }
        // A job that was begun since is not removed, and sees the retraction itself.
        self.queue.remove(&job).await?;
        match self.queue.state(&job).await? {
            JobState::Missing => self.cancel(row, &job).await,
            _ => Ok(false),
        }
    }

    /// Cancels at Novu whatever the job has sent and marks the row. For the attempt that holds the job.
    ///
    /// # Errors
    /// Whoever did not answer.
    pub async fn cancel(&self, row: &Notification, job: &JobId) -> Result<bool, RetractionError> {
        let mut details = Details::of(row);
        for transaction_id in self.transaction_ids(&details, job).await? {
            self.gateway.cancel(&transaction_id).await?;
            if !details.novu_transaction_ids.contains(&transaction_id) {
                details.novu_transaction_ids.push(transaction_id);
            }
        }
        details.cancelled = Some(self.store.database_now());
        let marked = self.store.mark_cancelled(row, details.to_value()).await?;
        if marked {
            self.ledger.remove(job).await?;
            self.trail.tell(&row.enterprise_id, row.id, What::Cancelled);
        }
        Ok(marked)
    }

    /// What the row remembers as sent or perhaps sent, of this episode or of one that failed in part, and what the ledger does.
    async fn transaction_ids(&self, details: &Details, job: &JobId) -> Result<Vec<String>, LedgerError> {
        let perhaps_sent =
            |call: &Call| matches!(call.state, CallState::Sending | CallState::Uncertain | CallState::Accepted);
        let record = self.ledger.get(job).await?;
        let calls = record.into_iter().flat_map(|record| record.calls).filter(perhaps_sent);
        let of_row = details.novu_transaction_ids.iter().chain(&details.uncertain);
        let of_row = of_row.chain(details.accepted.iter().map(|chunk| &chunk.transaction_id)).cloned();
        let mut ids: Vec<String> = Vec::new();
        for id in of_row.chain(calls.map(|call| call.transaction_id)) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }
}

/// A row of ours that was taken back and whose retraction nobody has carried yet.
#[must_use]
pub fn wants_carrying(row: &Notification) -> bool {
    row.notification_status == Status::Retracted && row.claimed_by().is_some() && Details::of(row).cancelled.is_none()
}
