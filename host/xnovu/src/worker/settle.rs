//! How an attempt at a claimed row ends.
//!
//! Promises that every way out either settles the row under the claim's fence, or ends the claim so that another attempt can take it, or
//! leaves it to the lease.

use std::time::Duration;

use xnovu_domain::{AcceptedChunk, Details, Micros, Notification, Reason, Status};
use xnovu_queue::{CallState, Job, Outcome, SendRecord};

use super::Worker;
use super::judge::hold_wait;
use crate::metrics::Discard;
use crate::store::{Fence, Settlement, StoreError};
use crate::telemetry::Chain;
use crate::trail::What;

/// Wait before a job is tried again when the database or Redis did not answer.
pub(super) const OUTAGE_WAIT: Duration = Duration::from_secs(5);

/// A claimed row and what goes with it through the line.
pub(super) struct Claimed<'a> {
    /// The job.
    pub(super) job: &'a Job,
    /// The row as the claim returned it.
    pub(super) row: Notification,
    /// Who may write to it.
    pub(super) fence: Fence,
}

/// Why something failed, in two versions. Rules and Novu know the payload and may quote it, so their words go to the row, where the payload
/// stands anyway, and nowhere else.
pub(super) struct Why {
    /// For the row.
    pub(super) told: String,
    /// For the queue and the log: words of ours alone.
    pub(super) kept: String,
}

impl Why {
    /// Words of ours.
    pub(super) fn ours(words: String) -> Self {
        Self { told: words.clone(), kept: words }
    }

    /// The same after a few words of ours.
    pub(super) fn after(self, words: &str) -> Self {
        Self { told: format!("{words}: {}", self.told), kept: format!("{words}: {}", self.kept) }
    }
}

impl Worker {
    pub(super) async fn retract(&self, claimed: Claimed<'_>, plugin: Option<String>, reason: Reason) -> Outcome {
        let mut details = Details::of(&claimed.row).without_trouble();
        // Our own refusal sent nothing, so there is nothing to carry to Novu.
        details.cancelled = Some(self.store.database_now());
        let settlement = Settlement::Retracted { reason: reason.clone(), details: details.to_value() };
        self.settle(&claimed, &settlement, What::Turned { plugin, verdict: "drop", reason }, "dropped").await
    }

    pub(super) async fn defer(
        &self,
        claimed: Claimed<'_>,
        plugin: Option<String>,
        until: Micros,
        reason: Reason,
    ) -> Outcome {
        let details = Details::of(&claimed.row).with_deferral(claimed.row.scheduled_for, &reason);
        let settlement = Settlement::Deferred { until, details: details.to_value() };
        self.settle(&claimed, &settlement, What::Turned { plugin, verdict: "defer", reason }, "deferred").await
    }

    /// Settles FAILED, keeping what Novu has accepted so that a later episode does not send it twice.
    pub(super) async fn fail(
        &self,
        claimed: Claimed<'_>,
        stage: &str,
        why: Why,
        record: Option<&SendRecord>,
    ) -> Outcome {
        let mut details = Details::of(&claimed.row).with_error(stage, why.told.clone(), self.store.database_now());
        details.hold = None;
        remember(&mut details, record);
        let settlement = Settlement::Failed { details: details.to_value() };
        match self.settle(&claimed, &settlement, What::Failed { reason: why.told }, "failed").await {
            Outcome::Done(_) => Outcome::Fail { error: why.kept },
            other => other,
        }
    }

    pub(super) async fn changed_after_partial_send(&self, claimed: Claimed<'_>, record: Option<SendRecord>) -> Outcome {
        self.fail(claimed, "transform", Why::ours("changed after partial send".to_owned()), record.as_ref()).await
    }

    /// The rules cannot answer. The row stays PROCESSING: back to PENDING would come round as a change and be asked again at once.
    pub(super) async fn hold(&self, claimed: Claimed<'_>, reason: String) -> Outcome {
        let now = self.store.database_now();
        let mut details = Details::of(&claimed.row);
        let since = details.timestamp.filter(|_| details.hold.is_some()).unwrap_or(now);
        details = details.with_error("rules", reason.clone(), since);
        details.hold = Some(Reason::from(reason.as_str()));
        self.trail.tell(&claimed.row.enterprise_id, claimed.row.id, What::Held { reason: reason.clone() });
        match self.store.release(&claimed.fence, Some(details.to_value())).await {
            Ok(_) => later(hold_wait(since, now), "held: the rules cannot answer"),
            Err(error) => self.store_failed("release", &error),
        }
    }

    /// Ends the claim without a word on the row, for trouble that is not the notification's.
    pub(super) async fn give_back(&self, claimed: &Claimed<'_>, wait: Duration, reason: String) -> Outcome {
        match self.store.release(&claimed.fence, None).await {
            Ok(_) => later(wait, reason),
            Err(error) => self.store_failed("release", &error),
        }
    }

    /// Settles under the fence. Where that writes nothing, the row says whether it was done before, taken back, or lost to another attempt.
    pub(super) async fn settle(
        &self,
        claimed: &Claimed<'_>,
        settlement: &Settlement,
        what: What,
        word: &str,
    ) -> Outcome {
        let (job, row) = (&claimed.job.id, &claimed.row);
        let mut span = self.trail.traces().span(job, "settle");
        span.set("outcome", word.to_owned());
        let answer = self.store.settle(&claimed.fence, settlement).await;
        drop(span);
        let settled = match answer {
            Ok(settled) => settled,
            Err(error) => {
                // What was refused may be accepted next time; without the release that would have to wait for the end of the lease.
                // A settlement that was carried out after all has taken the fence away, and the release finds nothing.
                if let Err(error) = self.store.release(&claimed.fence, None).await {
                    tracing::debug!(job.id = %job, error = %Chain(&error), "the claim is left to its lease");
                }
                return self.store_failed("settle", &error);
            }
        };
        if settled {
            self.metrics.ended(&row.enterprise_id, word);
            if word == "dropped" {
                self.metrics.discarded(Discard::Verdict);
            }
            if let What::Sent { after, .. } = &what {
                self.metrics.sent(*after);
            }
            self.trail.tell(&row.enterprise_id, row.id, what);
            self.forget(claimed).await;
            return Outcome::Done(word.to_owned());
        }
        match self.store.read(job.enterprise(), &[job.notification()]).await {
            Ok(read) => match read.rows.into_iter().next() {
                Some(now) if now.notification_status == Status::Retracted => self.taken_back(claimed, &now).await,
                _ => Outcome::Done("settled before".to_owned()),
            },
            Err(error) => self.store_failed("read", &error),
        }
    }

    /// Somebody retracted the row while we held it.
    async fn taken_back(&self, claimed: &Claimed<'_>, row: &Notification) -> Outcome {
        match self.retractions.cancel(row, &claimed.job.id).await {
            Ok(_) => Outcome::Done("retracted".to_owned()),
            Err(error) => later(OUTAGE_WAIT, format!("retraction: {error}")),
        }
    }

    /// The ledger's record has done its work. One that stays behind expires by itself.
    async fn forget(&self, claimed: &Claimed<'_>) {
        if let Err(error) = self.ledger.remove(&claimed.job.id).await {
            tracing::debug!(job.id = %claimed.job.id, %error, "the ledger's record was left to expire");
        }
    }

    /// The database did not do as asked. An outage judges nobody; anything else spends an attempt, so that it becomes visible.
    pub(super) fn store_failed(&self, what: &str, error: &StoreError) -> Outcome {
        self.metrics.store_failed(what);
        let why = format!("{what}: {}", Chain(error));
        if error.is_outage() { later(OUTAGE_WAIT, why) } else { Outcome::Retry { error: why } }
    }
}

pub(super) fn later(after: Duration, reason: impl Into<String>) -> Outcome {
    Outcome::Later { after, reason: reason.into() }
}

/// Keeps on the row what the ledger knows: accepted calls by hash, and calls that may have been carried out.
pub(super) fn remember(details: &mut Details, record: Option<&SendRecord>) {
    for call in record.into_iter().flat_map(|record| &record.calls) {
        match call.state {
            CallState::Accepted if details.accepted.iter().all(|chunk| chunk.hash != call.hash) => {
                let (hash, transaction_id) = (call.hash.clone(), call.transaction_id.clone());
                details.accepted.push(AcceptedChunk { hash, transaction_id });
            }
            CallState::Sending | CallState::Uncertain if !details.uncertain.contains(&call.transaction_id) => {
                details.uncertain.push(call.transaction_id.clone());
            }
            _ => {}
        }
    }
}
