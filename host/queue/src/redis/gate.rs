//! The limits of single enterprises, in Redis.
//!
//! Owns when a job of a limited enterprise may begin. A slot is held for as long as the job's lock lasts, so one whose worker died is free soon.
//! A job above a limit is parked among the delayed ones, in one step with asking; whoever frees a slot, and whoever comes with a token for it,
//! calls in the one that is most urgent and has waited longest, and sees to it that the next one comes when its turn may be.

use crate::limits::{PARKED_WAIT, SLOT_WAIT};
use crate::{Identity, Limit, QueueError, QueueName};

use super::desk::{Desk, millis};

/// What a job was told that asked to begin.
pub(super) enum Begun {
    /// Its enterprise has no limits.
    Free,
    /// It may begin, and tells when it has ended.
    Held(Hold),
    /// It is parked, or another worker has it.
    No,
}

/// A place among the jobs of a limited enterprise.
pub(super) struct Hold {
    job: String,
    enterprise: String,
    limit: Limit,
    attempt: String,
}

impl Desk {
    /// Asks whether a job may begin.
    ///
    /// # Errors
    /// Redis did not do as asked; the job is still this worker's.
    pub(super) async fn begin<I: Identity>(&self, bull: &bullmq::Job, job: &I) -> Result<Begun, QueueError> {
        let limit = self.limits.of(job.enterprise());
        if I::QUEUE != QueueName::NotificationProcessing || limit.is_free() {
            return Ok(Begun::Free);
        }
        let hold = self.hold(job, limit, format!("{:016x}", fastrand::u64(..)));
        let mut call = self.scripts.begin.prepare_invoke();
        self.name(&mut call, &hold);
        call.arg(bull.token().unwrap_or_default()).arg(millis(PARKED_WAIT.mul_f64(1.0 + 2.0 * fastrand::f64())));
        Ok(match self.invoke::<u8>("ask for a slot", &call).await? {
            1 => Begun::Held(hold),
            0 => {
                tracing::debug!(job.id = hold.job, enterprise.id = %job.enterprise(), "a job waits for a limit of its enterprise");
                Begun::No
            }
            _ => Begun::No,
        })
    }

    /// Sees to the next in turn after a job that may have been it was removed.
    pub(super) async fn removed<I: Identity>(&self, job: &I) {
        let limit = self.limits.of(job.enterprise());
        if !limit.is_free() {
            self.finish(&self.hold(job, limit, String::new())).await;
        }
    }

    /// Gives the place back. What is not given back is free when the job's lock has run out.
    pub(super) async fn finish(&self, hold: &Hold) {
        let mut call = self.scripts.finish.prepare_invoke();
        self.name(&mut call, hold);
        if let Err(error) = self.invoke::<u8>("give a slot back", &call).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(job.id = hold.job, error, "a slot was left to the end of its lock");
        }
    }

    fn hold<I: Identity>(&self, job: &I, limit: Limit, attempt: String) -> Hold {
        let enterprise = format!("{}limit:{}", self.key(""), job.enterprise());
        Hold { job: job.to_string(), enterprise, limit, attempt }
    }

    fn name(&self, call: &mut ::redis::ScriptInvocation<'_>, hold: &Hold) {
        let number = |limit: Option<std::num::NonZeroU32>| limit.map_or(0, std::num::NonZeroU32::get);
        call.arg(self.key("")).arg(&hold.job).arg(&hold.enterprise);
        call.arg(number(hold.limit.concurrency)).arg(number(hold.limit.per_second)).arg(&hold.attempt);
        call.arg(crate::clock::now().millis()).arg(millis(SLOT_WAIT));
    }
}
