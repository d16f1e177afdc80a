//! One slot of a rule, from its job to its row.
//!
//! Owns the worker's half of cron: the rule is read as it is now and decides whether the slot still fires; then a row is made that bears the
//! slot's name. Promises that a slot makes at most one row, however often its job is performed. Never sends anything: the row takes the
//! way of every other, at the priority of cron.

use std::sync::Arc;

use async_trait::async_trait;
use xnovu_domain::{NotificationRule, RuleSlot};
use xnovu_queue::{Job, Outcome, QueueName, Work};

use super::settle::OUTAGE_WAIT;
use crate::cron::{Defaults, Plan};
use crate::metrics::Metrics;
use crate::store::{NotificationStore, StoreError};
use crate::telemetry::Chain;

/// What a worker needs for the slots of rules.
pub struct RuleWorker {
    /// The rules and the rows.
    pub store: Arc<dyn NotificationStore>,
    /// What neither a rule nor its job says.
    pub defaults: Defaults,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl Work<RuleSlot> for RuleWorker {
    async fn perform(&self, job: Job<RuleSlot>) -> Outcome {
        let outcome = self.execute(&job).await;
        self.metrics.attempted(QueueName::RuleExecution, &outcome);
        outcome
    }
}

impl RuleWorker {
    async fn execute(&self, job: &Job<RuleSlot>) -> Outcome {
        let slot = &job.id;
        let rule = match self.store.rule(slot.enterprise(), slot.rule()).await {
            Ok(Some(rule)) => rule,
            Ok(None) => return self.passed_over(slot, "the rule is gone"),
            Err(StoreError::Row { source, .. }) => return self.refuse(slot, Chain(source.as_ref()).to_string()),
            Err(error) => return self.store_failed("read a rule", &error),
        };
        match self.stands(&rule, job) {
            Ok(None) => {}
            Ok(Some(why)) => return self.passed_over(slot, why),
            Err(why) => return self.refuse(slot, why),
        }
        let draft = match rule.draft(slot) {
            Ok(draft) => draft,
            Err(error) => return self.refuse(slot, error.to_string()),
        };
        match self.store.make(&draft).await {
            Ok(true) => self.ended(slot, "made", "made a notification"),
            Ok(false) => self.ended(slot, "duplicate", "the notification had been made before"),
            Err(error) => self.store_failed("make a notification", &error),
        }
    }

    /// Why the rule, as it is now, does not fire the slot; None where it does. What the rule does not say goes by the settings under which the
    /// slot was found due: by this worker's own, the rule may never have had it.
    fn stands(&self, rule: &NotificationRule, job: &Job<RuleSlot>) -> Result<Option<&'static str>, String> {
        let slot = &job.id;
        let plan = job.data.defaults.as_ref().map_or(Ok(self.defaults), |job| self.defaults.with_those_of(job));
        let plan = plan.and_then(|defaults| Plan::of(rule, &defaults)).map_err(|error| error.to_string())?;
        if let Some(asleep) = plan.asleep {
            return Ok(Some(asleep.word()));
        }
        if !plan.timetable.includes(slot.at()) {
            return Ok(Some("the rule was changed and has no such slot any more"));
        }
        let age = self.store.database_now().since(slot.at());
        let patience = plan.misfire.window.max(crate::cron::misfire::ON_TIME);
        Ok((age > patience).then_some("no worker took the slot within the rule's window"))
    }

    fn passed_over(&self, slot: &RuleSlot, why: &'static str) -> Outcome {
        tracing::info!(enterprise_id = %slot.enterprise(), rule_id = %slot.rule(), job.id = %slot, why, "a slot was passed over");
        self.ended(slot, "passed-over", why)
    }

    fn ended(&self, slot: &RuleSlot, outcome: &'static str, word: &str) -> Outcome {
        self.metrics.slots(slot.enterprise(), outcome, 1);
        Outcome::Done(word.to_owned())
    }

    fn refuse(&self, slot: &RuleSlot, why: String) -> Outcome {
        tracing::warn!(enterprise_id = %slot.enterprise(), rule_id = %slot.rule(), job.id = %slot, why, "a slot makes no notification");
        self.metrics.slots(slot.enterprise(), "refused", 1);
        Outcome::Fail { error: why }
    }

    fn store_failed(&self, what: &'static str, error: &StoreError) -> Outcome {
        self.metrics.store_failed(what);
        let why = format!("{what}: {}", Chain(error));
        if error.is_outage() {
            Outcome::Later { after: OUTAGE_WAIT, reason: why }
        } else {
            Outcome::Retry { error: why }
        }
    }
}
