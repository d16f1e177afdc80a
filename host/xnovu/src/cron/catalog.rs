//! The rules, read again and again.
//!
//! Owns how the book learns of changes: it asks for the rules of twenty enterprises at a time, in turn. Promises that a change is known
//! within the interval or [`REST_MAX`], whichever is longer, and a round; that an enterprise whose rules cannot be read keeps those it had
//! and stops no other; and that a database that is slow is asked less often, within that limit. What a rule sends is read only when the rule
//! is new or has changed, or had a mistake.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, RuleId, RuleSlot};

use super::book::Book;
use crate::metrics::Metrics;
use crate::store::{ENTERPRISES_TOGETHER_MAX, NotificationStore, ReadRules, StoreError};
use crate::telemetry::Chain;

/// Rules asked for at a time. The API may return fewer; only an empty page is the last.
const PAGE_RULES: usize = 500;

/// Rules of one enterprise, above which the rest is left out.
const RULES_MAX: usize = 10_000;

/// A round rests this many times as long as it took, within [`REST_MAX`].
const REST_FACTOR: u32 = 20;

/// Longest rest after a slow round, unless the interval is longer: changes are to be live within seconds, however many enterprises there are.
const REST_MAX: Duration = Duration::from_secs(5);

/// Groups of enterprises that may meet a database that does not answer before a round is given up.
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
                self.metrics.rules(&report);
                tokio::time::sleep(rest(self.interval, started.elapsed())).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Reads every enterprise's rules once.
    pub async fn round(&self) {
        let mut outages = 0;
        for group in EnterpriseId::groups(&self.enterprises, ENTERPRISES_TOGETHER_MAX) {
            outages = if self.answers(&group).await { 0 } else { outages + 1 };
            if outages >= OUTAGES_MAX {
                break;
            }
        }
    }

    /// Reads the rules of some enterprises. False: the database does not answer.
    async fn answers(&self, group: &[EnterpriseId]) -> bool {
        let Err(error) = self.read(group).await else { return true };
        // The rows of one of them may be what cannot be read. A key that is refused, or ids of another type, are refused of each.
        let may_be_one = group.len() > 1 && !error.is_outage() && !error.is_denied() && !error.is_bad_value();
        if !may_be_one {
            self.note_unread(group, &error);
            return !error.is_outage();
        }
        for one in group.chunks(1) {
            if let Err(error) = self.read(one).await {
                self.note_unread(one, &error);
                if error.is_outage() {
                    return false;
                }
            }
        }
        true
    }

    fn note_unread(&self, enterprises: &[EnterpriseId], error: &StoreError) {
        let why = Chain(error).to_string();
        for enterprise in enterprises {
            if self.book.note_unread(enterprise, why.clone()) {
                tracing::warn!(enterprise_id = %enterprise, error = why, "rules could not be read; those known still fire");
            }
        }
        self.metrics.store_failed("read rules");
    }

    async fn read(&self, group: &[EnterpriseId]) -> Result<(), StoreError> {
        let read_at = self.store.database_now();
        let mut read = self.pages(group).await?;
        let mut to_check = Vec::new();
        for enterprise in group {
            let rules = read.remove(enterprise).unwrap_or_default();
            to_check.extend(self.book.replace(enterprise, &rules, read_at));
        }
        self.check_payloads(group, &to_check).await
    }

    /// All rules of these enterprises, by enterprise.
    async fn pages(&self, group: &[EnterpriseId]) -> Result<BTreeMap<EnterpriseId, ReadRules>, StoreError> {
        let mut read: BTreeMap<EnterpriseId, ReadRules> = BTreeMap::new();
        let (mut asked, mut after) = (group.to_vec(), None);
        while !asked.is_empty() {
            let page = self.store.rules(&asked, after, PAGE_RULES).await?;
            let Some(last) = page.last_id().filter(|last| after.is_none_or(|after| *last > after)) else { break };
            after = Some(last);
            for rule in page.rules {
                read.entry(rule.enterprise_id.clone()).or_default().rules.push(rule);
            }
            for bad in page.bad {
                let Some(enterprise) = bad.enterprise.clone() else { continue };
                read.entry(enterprise).or_default().bad.push(bad);
            }
            // One that has too many holds up the others no longer than that.
            asked.retain(|enterprise| {
                let is_full = read.get(enterprise).is_some_and(|read| read.rules.len() >= RULES_MAX);
                if is_full {
                    tracing::warn!(enterprise_id = %enterprise, limit = RULES_MAX, "the enterprise has as many rules as are served, or more");
                }
                !is_full
            });
        }
        Ok(read)
    }

    /// Whether notifications can be made of what rules send; the worker reads a rule again when it makes one.
    async fn check_payloads(&self, group: &[EnterpriseId], ids: &[RuleId]) -> Result<(), StoreError> {
        let now = self.store.database_now();
        let read = self.store.whole_rules(group, ids).await?;
        for rule in &read.rules {
            let slot = RuleSlot::new(rule.enterprise_id.clone(), rule.id, now);
            let mistake = slot.and_then(|slot| rule.draft(&slot).err()).map(|error| error.to_string());
            self.book.note_payload(&rule.enterprise_id, rule.id, mistake, now);
        }
        for bad in &read.bad {
            let id = bad.id.as_deref().and_then(|id| id.parse().ok());
            if let (Some(enterprise), Some(id)) = (&bad.enterprise, id) {
                self.book.note_payload(enterprise, id, Some(Chain(bad).to_string()), now);
            }
        }
        Ok(())
    }
}

/// How long a round that took so long rests.
fn rest(interval: Duration, took: Duration) -> Duration {
    interval.max((took * REST_FACTOR).min(REST_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_database_is_asked_less_often_but_not_much_less() {
        let of_ms = |interval, took| rest(Duration::from_millis(interval), Duration::from_millis(took)).as_millis();
        assert_eq!(of_ms(3_000, 10), 3_000);
        assert_eq!(of_ms(100, 50), 1_000);
        assert_eq!(of_ms(3_000, 60_000), REST_MAX.as_millis());
        assert_eq!(of_ms(60_000, 60_000), 60_000);
    }
}
