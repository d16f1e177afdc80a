//! The clockwork.
//!
//! Owns the passage from a due slot to its job. Promises that a slot which the queue did not take is offered again until it does, and that
//! a clock that jumps is followed within a second. Never waits longer than that for anything but the queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use xnovu_domain::{Origin, RuleSlot};
use xnovu_queue::{JobQueue, Offer};

use super::book::Book;
use crate::clock::Clock;
use crate::config::PerEnterprise;
use crate::metrics::Metrics;
use crate::telemetry::Chain;

/// Longest sleep: wall time may jump, and no timer of the machine tells.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Slots that wait for a queue that does not answer. Beyond it the oldest are lost.
const WAITING_MAX: usize = 10_000;

/// Slots offered at a time.
const BATCH_MAX: usize = 200;

/// Queues what is due.
pub struct Ticker {
    /// What is due.
    pub book: Arc<Book>,
    /// Where it goes.
    pub queue: Arc<dyn JobQueue>,
    /// What is set for each enterprise.
    pub settings: Arc<PerEnterprise>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Ticker {
    /// Ticks until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut waiting = VecDeque::new();
        stop.run_until_cancelled(async {
            loop {
                self.tick(&mut waiting).await;
                self.sleep().await;
            }
        })
        .await;
    }

    /// Takes what is due and offers what waits.
    pub async fn tick(&self, waiting: &mut VecDeque<RuleSlot>) {
        let due = self.book.due(self.clock.now());
        for (enterprise, skipped) in due.skipped {
            self.metrics.slots(&enterprise, "skipped", skipped);
        }
        waiting.extend(due.slots);
        while waiting.len() > WAITING_MAX {
            if let Some(lost) = waiting.pop_front() {
                tracing::error!(enterprise_id = %lost.enterprise(), job.id = %lost, "a slot is lost: the queue does not answer");
                self.metrics.slots(lost.enterprise(), "lost", 1);
            }
        }
        while !waiting.is_empty() && self.offer(waiting).await {}
    }

    /// Offers some. False: the queue did not take them.
    async fn offer(&self, waiting: &mut VecDeque<RuleSlot>) -> bool {
        let some = waiting.len().min(BATCH_MAX);
        let offer = |slot: &RuleSlot| {
            let settings = self.settings.of(slot.enterprise());
            let (priority, attempts) = (settings.priorities.cron, Some(settings.attempts));
            let defaults = Some(self.book.defaults().of_job());
            Offer { job: slot.clone(), origin: Origin::Cron, priority, delay: None, attempts, ruled: false, defaults }
        };
        let offers: Vec<Offer<RuleSlot>> = waiting.iter().take(some).map(offer).collect();
        match self.queue.offer_rules(&offers).await {
            Ok(_) => {
                for slot in waiting.drain(..some) {
                    tracing::debug!(enterprise_id = %slot.enterprise(), rule_id = %slot.rule(), job.id = %slot, "a slot was queued");
                    self.metrics.slots(slot.enterprise(), "queued", 1);
                }
                true
            }
            Err(error) => {
                self.metrics.queue_failed();
                tracing::warn!(slots = waiting.len(), error = %Chain(&error), "slots were not queued and are offered again");
                false
            }
        }
    }

    async fn sleep(&self) {
        let next = self.book.next().map_or(SLEEP_MAX, |next| next.since(self.clock.now()).min(SLEEP_MAX));
        // Either way the book is looked at again.
        let _ = tokio::time::timeout(next, self.book.changed()).await;
    }
}
