//! A worker, from its parts to its end.
//!
//! Owns how many jobs it performs at a time, how long it may take to stop, and that it is registered meanwhile.

use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use xnovu_domain::RuleSlot;
use xnovu_queue::{Drained, Tally, Work, WorkOptions};

use super::Worker;
use super::execute::RuleWorker;
use super::registered::{WorkerName, tell_of};
use crate::parts::Parts;
use crate::workflows::Workflows;

/// Slots of rules one worker sees to at a time: each is two small requests.
const RULES_TOGETHER_MAX: usize = 5;

/// Performs jobs until `stop` is cancelled, or the worker is asked to stop from afar, and those under way have ended.
///
/// # Errors
/// The queue cannot be used.
pub async fn serve(parts: &Parts, name: &WorkerName, stop: &CancellationToken) -> anyhow::Result<Drained> {
    let worker: Arc<dyn Work> = Arc::new(Worker {
        store: Arc::clone(&parts.store),
        rules: Arc::clone(&parts.rules) as _,
        gateway: Arc::clone(&parts.gateway),
        ledger: Arc::clone(&parts.ledger),
        workflows: Arc::new(Workflows::new(Arc::clone(&parts.store))),
        retractions: Arc::clone(&parts.retractions),
        give_up_after: parts.config.jobs.give_up_after,
        call_timeout: parts.config.novu.timeout,
        trail: parts.trail.clone(),
        metrics: Arc::clone(&parts.metrics),
    });
    let rule_worker: Arc<dyn Work<RuleSlot>> = Arc::new(RuleWorker {
        store: Arc::clone(&parts.store),
        defaults: parts.config.cron.defaults,
        metrics: Arc::clone(&parts.metrics),
    });
    let options = WorkOptions { concurrency: parts.config.concurrency, grace: parts.config.graces.workers };
    let rule_options = WorkOptions { concurrency: parts.config.concurrency.min(RULES_TOGETHER_MAX), ..options.clone() };
    let tally = Tally::default();
    let work: Arc<dyn Work> = Arc::new(tally.of(worker));
    let rule_work: Arc<dyn Work<RuleSlot>> = Arc::new(tally.of(rule_worker));
    let info = name.info(options.concurrency, parts.clock.now());
    let (stop, ended) = (stop.child_token(), CancellationToken::new());
    let working = async {
        // Where one of the two cannot work, the other stops.
        let (notifications, rules) = tokio::join!(
            parts.queue.work(options, work, stop.clone()).inspect(|_| stop.cancel()),
            parts.queue.work_rules(rule_options, rule_work, stop.clone()).inspect(|_| stop.cancel()),
        );
        ended.cancel();
        let notifications = notifications.context("taking jobs")?.still_running;
        let rules = rules.context("taking jobs of rules")?.still_running;
        Ok(Drained { still_running: notifications + rules })
    };
    let telling = tell_of(Arc::clone(&parts.registry), info, tally, stop.clone(), ended.clone());
    let (drained, ()) = tokio::join!(working, telling);
    drained
}
