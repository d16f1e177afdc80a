//! Rows whose worker is gone.
//!
//! Owns what becomes of a PROCESSING row whose lease is over and whose job the queue has lost or given up. Acts only on what the queue has
//! just said: a queue that cannot be reached reaps nothing. Never touches the row of another sender.

use std::sync::Arc;

use thiserror::Error;
use xnovu_domain::{Details, JobId, Micros, Notification, Reap, reap};
use xnovu_queue::{JobQueue, JobState, Offer, QueueError};
use xnovu_rules::Rules;

use crate::config::PerEnterprise;
use crate::metrics::Metrics;
use crate::store::{Fence, NotificationStore, Settlement, StoreError};
use crate::trail::{Trail, What};

/// Why a stuck row was not brought back. The next sweep tries again.
#[derive(Debug, Error)]
pub enum ReapError {
    /// The queue.
    #[error("the queue did not answer")]
    Queue(#[from] QueueError),
    /// The database.
    #[error("the database did not do as asked")]
    Store(#[from] StoreError),
}

/// Brings stuck rows back.
pub struct Reaper {
    /// The rows.
    pub store: Arc<dyn NotificationStore>,
    /// The jobs.
    pub queue: Arc<dyn JobQueue>,
    /// Who has rules.
    pub rules: Arc<dyn Rules>,
    /// What is set for each enterprise.
    pub settings: Arc<PerEnterprise>,
    /// Who watches.
    pub trail: Trail,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Reaper {
    /// Looks after one PROCESSING row.
    ///
    /// # Errors
    /// Whoever did not answer; the row is then as it was.
    pub async fn visit(&self, row: &Notification) -> Result<(), ReapError> {
        match reap(row, self.store.database_now()) {
            Reap::Leave => {
                if row.claimed_by().is_none() {
                    self.metrics.foreign_row();
                }
                Ok(())
            }
            Reap::Offer(job) if self.is_gone(&job).await? => self.offer_again(row, job).await,
            Reap::GiveUp(job) if self.is_gone(&job).await? => self.give_up(row, job).await,
            Reap::Offer(_) | Reap::GiveUp(_) => Ok(()),
        }
    }

    /// A failed job is as good as none: one that stalled too often was failed without its worker having settled the row.
    async fn is_gone(&self, job: &JobId) -> Result<bool, ReapError> {
        Ok(matches!(self.queue.state(job).await?, JobState::Missing | JobState::Completed | JobState::Failed))
    }

    async fn offer_again(&self, row: &Notification, job: JobId) -> Result<(), ReapError> {
        let mut details = Details::of(row);
        details.reaped += 1;
        if !self.store.note_reaped(row, details.to_value()).await? {
            return Ok(());
        }
        let origin = row.origin();
        let settings = self.settings.of(&row.enterprise_id);
        let (priority, attempts) = (settings.priorities.of(origin, None), Some(settings.attempts));
        let ruled = self.rules.binds(&row.enterprise_id);
        self.queue.offer(&[Offer { job, origin, priority, delay: None, attempts, ruled, defaults: None }]).await?;
        self.metrics.reaped();
        Ok(())
    }

    async fn give_up(&self, row: &Notification, job: JobId) -> Result<(), ReapError> {
        let reason = "its worker has died at every attempt".to_owned();
        let mut details = Details::of(row).with_error("reaper", reason.clone(), self.store.database_now());
        details.reaped += 1;
        // A row whose stamp was taken away has none to be fenced by; the next claim gives it one.
        let stamp = row.processed_at.unwrap_or(Micros::new(0));
        let settled =
            self.store.settle(&Fence { job, stamp }, &Settlement::Failed { details: details.to_value() }).await?;
        if settled {
            self.trail.tell(&row.enterprise_id, row.id, What::Failed { reason });
        }
        Ok(())
    }
}
