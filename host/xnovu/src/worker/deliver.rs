//! One job, from claim to settlement.
//!
//! Owns the worker's line, readable aloud: permit, claim, judge, compose, send, settle. Never sends anything without a claim.

use xnovu_domain::{EmptyClaim, after_empty_claim};
use xnovu_queue::{Job, Outcome, SendRecord};

use super::Worker;
use super::compose::{compose, needs_workflows};
use super::course::Course;
use super::judge::Judgement;
use super::settle::{Claimed, OUTAGE_WAIT, Why, later};
use crate::store::Fence;

impl Worker {
    /// Performs one job.
    pub(super) async fn deliver(&self, job: &Job) -> Outcome {
        let permit = match self.gateway.permit() {
            Ok(permit) => permit,
            Err(not_now) => return later(not_now.after, not_now.reason.to_string()),
        };
        let stamp = self.store.stamp();
        let span = self.trail.traces().span(&job.id, "claim");
        let claimed = self.store.claim(&job.id, stamp).await;
        drop(span);
        let row = match claimed {
            Ok(Some(row)) => row,
            Ok(None) => return self.read_back(job).await,
            Err(error) => return self.store_failed("claim", &error),
        };
        let claimed = Claimed { job, row, fence: Fence { job: job.id.clone(), stamp } };
        let fixed = match self.ledger.get(&job.id).await {
            Ok(fixed) => fixed,
            Err(error) => return self.give_back(&claimed, OUTAGE_WAIT, format!("ledger: {error}")).await,
        };
        let mut span = self.trail.traces().span(&job.id, "decide");
        let judgement = self.judge(&claimed.row, job.data.ruled, fixed.as_ref(), self.store.database_now()).await;
        span.set("course", judgement.course.word());
        drop(span);
        self.follow(claimed, judgement, fixed, permit).await
    }

    /// Does what was decided.
    async fn follow(
        &self,
        claimed: Claimed<'_>,
        judgement: Judgement,
        fixed: Option<SendRecord>,
        permit: crate::gateway::Permit,
    ) -> Outcome {
        let plugin = judgement.stamp.as_ref().map(|stamp| format!("{}@{}", stamp.plugin, stamp.version));
        let partly_sent = fixed.as_ref().is_some_and(SendRecord::is_touched);
        match judgement.course {
            Course::Drop(_) | Course::Defer { .. } if partly_sent => {
                self.changed_after_partial_send(claimed, fixed).await
            }
            Course::Drop(reason) => self.retract(claimed, plugin, reason).await,
            Course::Defer { until, reason } => self.defer(claimed, plugin, until, reason).await,
            Course::Hold(reason) => self.hold(claimed, reason).await,
            Course::Fail(reason) => self.fail(claimed, "transform", Why::ours(reason), fixed.as_ref()).await,
            Course::Send { messages, grants } => {
                let row = &claimed.row;
                let wanted: Vec<_> = messages.iter().map(|message| message.workflow_key.clone()).collect();
                let own = if needs_workflows(&messages, &grants) {
                    match self.workflows.of(&row.enterprise_id, &wanted).await {
                        Ok(own) => own,
                        Err(error) => {
                            return self.give_back(&claimed, OUTAGE_WAIT, format!("workflows: {error}")).await;
                        }
                    }
                } else {
                    std::sync::Arc::default()
                };
                match compose(&claimed.job.id, row, &messages, &own, &grants) {
                    Ok(calls) => self.send(claimed, judgement.stamp, calls, fixed, permit).await,
                    Err(refusal) => {
                        let why = Why { told: refusal.to_string(), kept: refusal.without_words() };
                        self.fail(claimed, "transform", why, fixed.as_ref()).await
                    }
                }
            }
        }
    }

    /// The claim returned nothing: the row says why.
    async fn read_back(&self, job: &Job) -> Outcome {
        let read = match self.store.read(job.id.enterprise(), &[job.id.notification()]).await {
            Ok(read) => read,
            Err(error) => return self.store_failed("read", &error),
        };
        if let Some(bad) = read.bad.first() {
            return Outcome::Fail { error: format!("{bad}: {}", bad.source) };
        }
        let now = self.store.database_now();
        match after_empty_claim(read.rows.first(), &job.id, now) {
            EmptyClaim::Later(at) => later(at.since(now), "leased by another attempt, or not yet due"),
            EmptyClaim::Again => Outcome::Retry {
                error:
                    "the row can be claimed but the claim wrote nothing: may the key update notify.ent_notification?"
                        .to_owned(),
            },
            EmptyClaim::Invisible => {
                Outcome::Retry { error: "the row cannot be seen: deleted, or hidden from the key".to_owned() }
            }
            EmptyClaim::Over => Outcome::Done("over".to_owned()),
        }
    }
}
