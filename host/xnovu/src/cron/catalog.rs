//! The rules, read again and again.
//!
//! Owns how the book learns of changes: it asks for every enterprise's rules in turn. Promises that a change is known within the interval and
//! a request, that an enterprise whose rules cannot be read keeps those it had and stops no other, and that asking takes at most a twentieth
//! of the database's time. What a rule sends is read only when the rule is new or has changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, RuleId, RuleSlot};

use super::book::Book;
use crate::metrics::Metrics;
use crate::store::{NotificationStore, ReadRules, StoreError};
use crate::telemetry::Chain;

/// Rules asked for at a time. The API may return fewer; only an empty page is the last.
const PAGE_RULES: usize = 500;

/// Rules of one enterprise, above which the rest is left out.
const RULES_MAX: usize = 10_000;

/// A round rests at least this many times as long as it kept the database busy.
const REST_FACTOR: u32 = 20;

/// Enterprises that may meet a database that does not answer before a round is given up.
const OUTAGES_MAX: u32 = 3;

/// Reads the rules.
pub struct Catalog {
    /// The rows.
    pub store: Arc<dyn NotificationStore>,
    /// The enterprises whose rules fire.
    pub enterprises: Vec<EnterpriseId>,
    /// Time between two rounds, at least.
    pub interval: Duration,
    /// Where they are written.
    pub book: Arc<Book>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Catalog {
    /// Reads until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let rounds = async {
            loop {
                let started = Instant::now();
                self.round().await;
                let report = self.book.report();
                self.metrics.rules(report.firing, report.asleep, report.bad);
                tokio::time::sleep(self.interval.max(started.elapsed() * REST_FACTOR)).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Reads every enterprise's rules once.
    pub async fn round(&self) {
        let mut outages = 0;
        for enterprise in &self.enterprises {
            match self.read(enterprise).await {
                Ok(()) => outages = 0,
                Err(error) => {
                    outages = if error.is_outage() { outages + 1 } else { 0 };
                    let why = Chain(&error).to_string();
                    if self.book.note_unread(enterprise, why.clone()) {
                        tracing::warn!(enterprise_id = %enterprise, error = why, "rules could not be read; those known still fire");
                    }
                    self.metrics.store_failed("read rules");
                }
            }
            if outages >= OUTAGES_MAX {
                break;
            }
        }
    }

    async fn read(&self, enterprise: &EnterpriseId) -> Result<(), StoreError> {
        let read_at = self.store.database_now();
        let read = self.pages(enterprise).await?;
        for rule in self.book.replace(enterprise, &read, read_at) {
            self.check_payload(enterprise, rule).await?;
        }
        Ok(())
    }

    async fn pages(&self, enterprise: &EnterpriseId) -> Result<ReadRules, StoreError> {
        let (mut all, mut after) = (ReadRules::default(), None);
        loop {
            let page = self.store.rules(enterprise, after, PAGE_RULES).await?;
            let Some(last) = page.last_id().filter(|last| after.is_none_or(|after| *last > after)) else {
                return Ok(all);
            };
            after = Some(last);
            all.rules.extend(page.rules);
            all.bad.extend(page.bad);
            if all.rules.len() >= RULES_MAX {
                tracing::warn!(enterprise_id = %enterprise, limit = RULES_MAX, "the enterprise has as many rules as are served, or more");
                return Ok(all);
            }
        }
    }

    /// Whether a notification can be made of what the rule sends; the worker reads it again when it makes one.
    async fn check_payload(&self, enterprise: &EnterpriseId, id: RuleId) -> Result<(), StoreError> {
        let now = self.store.database_now();
        let Some(rule) = self.store.rule(enterprise, id).await? else { return Ok(()) };
        let slot = RuleSlot::new(enterprise.clone(), id, now);
        let mistake = slot.and_then(|slot| rule.draft(&slot).err()).map(|error| error.to_string());
        self.book.note_payload(enterprise, id, mistake, now);
        Ok(())
    }
}
