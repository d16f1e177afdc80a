//! One enterprise's way in.
//!
//! Owns the order of one enterprise's hints: they are taken together, their rows read in one request, judged side by side and offered in
//! one batch.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::Instant;
use xnovu_domain::{
    DEFERRALS_MAX, Details, EnterpriseId, Event, JobId, Notification, NotificationId, Reason, Standing, Verdict,
};
use xnovu_queue::{Offer, Offered};
use xnovu_rules::{Broken, BrokenKind, FailurePolicy, Ruling};

use super::seen::Seen;
use super::{Admission, Entered};
use crate::metrics::{Discard, Stage};
use crate::pressure::{Allowance, Pressure};
use crate::source::{Hint, Via};
use crate::telemetry::Chain;
use crate::traces::{Span, SpanKind};
use crate::trail::What;

/// Hints taken together.
const BATCH_MAX: usize = 200;

/// Rows judged side by side: below what the rules let one enterprise queue.
const JUDGED_TOGETHER_MAX: usize = 200;

pub(super) struct Lane {
    admission: Arc<Admission>,
    enterprise: EnterpriseId,
    seen: Seen,
    /// Whether hints were dropped since the last sweep was asked for.
    missed: Arc<AtomicBool>,
    /// Rows of the batch under way that the sweep found and nothing else told of.
    found: HashSet<NotificationId>,
    allowance: Allowance,
}

/// What the rules make of a row.
enum Admitted {
    Offer(Offer, Option<String>),
    Held,
    Settled,
}

impl Lane {
    pub(super) fn new(admission: Arc<Admission>, enterprise: EnterpriseId, missed: Arc<AtomicBool>) -> Self {
        Self {
            admission,
            enterprise,
            seen: Seen::default(),
            missed,
            found: HashSet::new(),
            allowance: Allowance::default(),
        }
    }

    pub(super) async fn run(mut self, mut hints: mpsc::Receiver<Entered>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while hints.recv_many(&mut batch, BATCH_MAX).await > 0 {
            self.seen.at_epoch(self.admission.epoch());
            let rows = self.read(batch.drain(..)).await;
            self.admit_all(rows).await;
            if hints.is_empty() && self.missed.swap(false, Ordering::Relaxed) {
                self.admission.requests.ask(std::slice::from_ref(&self.enterprise));
            }
        }
    }

    /// The rows of a batch as they are now. Rows a sweep has just read are taken as they are.
    async fn read(&mut self, batch: impl Iterator<Item = Entered>) -> Vec<Notification> {
        let mut rows: HashMap<NotificationId, Notification> = HashMap::new();
        let mut ids = BTreeSet::new();
        self.found.clear();
        for entered in batch {
            match entered.hint {
                Hint::Id { id, .. } => {
                    ids.insert(id);
                }
                Hint::Rows { rows: read, via: Via::Reap, .. } => self.reap(read).await,
                Hint::Rows { rows: read, via, .. } => {
                    self.found.extend(read.iter().filter(|_| via == Via::Sweep).map(|row| row.id));
                    rows.extend(read.into_iter().map(|row| (row.id, row)));
                }
            }
        }
        self.found.retain(|id| !ids.contains(id));
        let ids: Vec<NotificationId> = ids.into_iter().collect();
        if !ids.is_empty() {
            match self.admission.store.read(&self.enterprise, &ids).await {
                Ok(read) => rows.extend(read.rows.into_iter().map(|row| (row.id, row))),
                Err(error) => {
                    self.seen.not_read(&ids);
                    self.admission.metrics.store_failed("re-read");
                    tracing::warn!(enterprise_id = %self.enterprise, rows = ids.len(), error = %Chain(&error), "rows were not read; the sweep brings them again");
                }
            }
        }
        rows.into_values().filter(|row| row.enterprise_id == self.enterprise).collect()
    }

    async fn reap(&self, rows: Vec<Notification>) {
        for row in rows {
            if let Err(error) = self.admission.reaper.visit(&row).await {
                tracing::warn!(enterprise_id = %self.enterprise, notification_id = %row.id, error = %Chain(&error), "a stuck row was not brought back");
            }
        }
    }

    async fn admit_all(&mut self, rows: Vec<Notification>) {
        let mut owed: Vec<Notification> = self.sort_out(rows).await;
        let room = match self.admission.pressure() {
            Pressure::Free => owed.len(),
            Pressure::High => self.allowance.take(owed.len(), Instant::now()),
            Pressure::Full => 0,
        };
        if room < owed.len() {
            self.admission.metrics.discarded(Discard::QueueFull);
            // Of what cannot all be queued, what is sent as it comes goes first.
            owed.sort_by_key(|row| {
                std::cmp::Reverse(self.admission.settings.of(&self.enterprise).priorities.of(row.origin(), None))
            });
        }
        let mut owed = owed.into_iter().take(room);
        loop {
            let together: Vec<Notification> = owed.by_ref().take(JUDGED_TOGETHER_MAX).collect();
            if together.is_empty() {
                break;
            }
            self.judge_and_offer(together).await;
        }
    }

    async fn judge_and_offer(&mut self, owed: Vec<Notification>) {
        let judged = join_all(owed.into_iter().map(|row| self.admit(row))).await;
        let mut offers = Vec::with_capacity(judged.len());
        for (job, admitted) in judged {
            match admitted {
                Admitted::Offer(offer, plugin) => offers.push((offer, plugin)),
                Admitted::Held => {
                    self.seen.held(&job, Instant::now());
                }
                Admitted::Settled => {}
            }
        }
        self.offer(offers).await;
    }

    /// Leaves the owed rows that were not offered a moment ago; leads the others where they belong.
    async fn sort_out(&mut self, rows: Vec<Notification>) -> Vec<Notification> {
        let (now, instant) = (self.admission.clock.now(), Instant::now());
        let mut owed = Vec::with_capacity(rows.len());
        for row in rows {
            match row.standing(now) {
                Standing::Owed if !self.rests(&row.job(), instant) => owed.push(row),
                Standing::Due(_) => self.admission.due.register(&row),
                Standing::Retracted => self.carry_retraction(&row).await,
                Standing::Owed | Standing::Asleep | Standing::Settled => {}
            }
        }
        owed
    }

    /// Whether nothing is to be done for this episode now. One that was known before is no find of the sweep.
    fn rests(&mut self, job: &JobId, now: Instant) -> bool {
        if self.seen.knows(job) {
            self.found.remove(&job.notification());
        }
        if !self.found.contains(&job.notification()) {
            self.seen.met(job, now);
        }
        self.seen.holds(job, now)
    }

    async fn carry_retraction(&self, row: &Notification) {
        if let Err(error) = self.admission.retractions.carry(row).await {
            tracing::warn!(enterprise_id = %self.enterprise, notification_id = %row.id, error = %Chain(&error), "a retraction was not carried; the sweep brings it again");
        }
    }

    /// Asks the rules about one row and writes what they refuse or put off.
    async fn admit(&self, row: Notification) -> (JobId, Admitted) {
        let job = row.job();
        let event = Event::new(row.clone(), self.admission.clock.now());
        let mut span = self.admission.trail.traces().span(&job, "admit");
        let admitted = match self.admission.rules.admit(event).await {
            Ruling::Unbound => {
                span.set("verdict", "unbound");
                self.admission.metrics.unbound(&self.enterprise, Stage::Admit);
                self.let_in(&row, &job, None, None, false)
            }
            Ruling::Ruled(ruled) => {
                span.set("verdict", ruled.answer.word());
                self.admission.trail.tell_guest(&row, &ruled.stamp.plugin, &ruled.log);
                self.admission.metrics.ruled(
                    &self.enterprise,
                    Stage::Admit,
                    ruled.answer.word(),
                    ruled.duration,
                    ruled.fuel,
                );
                let plugin = Some(format!("{}@{}", ruled.stamp.plugin, ruled.stamp.version));
                self.follow(&row, &job, ruled.answer, plugin).await
            }
            Ruling::Broken(broken) => {
                span.fail(broken.kind.word());
                self.admission.metrics.broken(&self.enterprise, Stage::Admit, &broken);
                self.despite(&row, &job, &broken).await
            }
        };
        (job, admitted)
    }

    async fn follow(&self, row: &Notification, job: &JobId, verdict: Verdict, plugin: Option<String>) -> Admitted {
        match verdict {
            Verdict::Deliver { priority } => self.let_in(row, job, priority, plugin, true),
            Verdict::Drop { reason } => self.turn_away(row, plugin, reason).await,
            // The worker refuses it and says so on the row.
            Verdict::Defer { .. } if Details::of(row).deferrals >= DEFERRALS_MAX => {
                self.let_in(row, job, None, plugin, true)
            }
            Verdict::Defer { until, reason } => self.put_off(row, plugin, until, reason).await,
        }
    }

    fn let_in(
        &self,
        row: &Notification,
        job: &JobId,
        priority: Option<xnovu_domain::Priority>,
        plugin: Option<String>,
        ruled: bool,
    ) -> Admitted {
        let origin = row.origin();
        let settings = self.admission.settings.of(&self.enterprise);
        let (priority, attempts) = (settings.priorities.of(origin, priority), Some(settings.attempts));
        Admitted::Offer(
            Offer { job: job.clone(), origin, priority, delay: None, attempts, ruled, defaults: None },
            plugin,
        )
    }

    /// Writes a refusal. One that finds the row changed is forgotten: the change brings the row again.
    async fn turn_away(&self, row: &Notification, plugin: Option<String>, reason: Reason) -> Admitted {
        match self.admission.store.drop_seen(row, &reason).await {
            Ok(true) => {
                self.admission.metrics.discarded(Discard::Verdict);
                self.admission.trail.traces().root(&row.job(), "dropped");
                self.admission.trail.tell(&self.enterprise, row.id, What::Turned { plugin, verdict: "drop", reason });
                Admitted::Settled
            }
            Ok(false) => Admitted::Settled,
            Err(error) => self.not_written(row, "drop", &error),
        }
    }

    async fn put_off(
        &self,
        row: &Notification,
        plugin: Option<String>,
        until: xnovu_domain::Micros,
        reason: Reason,
    ) -> Admitted {
        let details = Details::of(row).with_deferral(row.scheduled_for, &reason).to_value();
        match self.admission.store.defer_seen(row, until, details).await {
            Ok(true) => {
                self.admission.trail.traces().root(&row.job(), "deferred");
                self.admission.trail.tell(&self.enterprise, row.id, What::Turned { plugin, verdict: "defer", reason });
                Admitted::Settled
            }
            Ok(false) => Admitted::Settled,
            Err(error) => self.not_written(row, "defer", &error),
        }
    }

    fn not_written(&self, row: &Notification, what: &'static str, error: &crate::store::StoreError) -> Admitted {
        self.admission.metrics.store_failed(what);
        tracing::warn!(enterprise_id = %self.enterprise, notification_id = %row.id, error = %Chain(error), "a verdict was not written; the sweep brings the row again");
        Admitted::Settled
    }

    /// What the failure policy says. An evaluation that ran out of time always holds: our own load must not destroy a notification. An event
    /// that is too large goes to the worker, which settles it FAILED with its size.
    async fn despite(&self, row: &Notification, job: &JobId, broken: &Broken) -> Admitted {
        match (broken.kind, broken.applied_policy()) {
            (BrokenKind::InputTooLarge { .. }, _) => self.let_in(row, job, None, None, true),
            (_, FailurePolicy::Hold) => {
                let reason = broken.reason.clone();
                tracing::debug!(enterprise_id = %self.enterprise, notification_id = %row.id, kind = broken.kind.word(), "why it is held");
                self.admission.trail.tell(&self.enterprise, row.id, What::Held { reason });
                Admitted::Held
            }
            (_, FailurePolicy::Deliver) => self.let_in(row, job, None, None, true),
            (_, FailurePolicy::Drop) => {
                let reason = Reason::from(format!("rules failed: {}", broken.reason));
                self.turn_away(row, None, reason).await
            }
        }
    }

    async fn offer(&mut self, offers: Vec<(Offer, Option<String>)>) {
        if offers.is_empty() {
            return;
        }
        let (offers, plugins): (Vec<Offer>, Vec<Option<String>>) = offers.into_iter().unzip();
        let traces = self.admission.trail.traces();
        let spans: Vec<Span> =
            offers.iter().map(|offer| traces.span_of(&offer.job, "offer", SpanKind::Producer)).collect();
        let offered = self.admission.queue.offer(&offers).await;
        drop(spans);
        match offered {
            Ok(outcomes) => {
                for ((offer, plugin), outcome) in offers.iter().zip(plugins).zip(outcomes) {
                    self.seen.offered(&offer.job, Instant::now(), self.admission.seen_for);
                    if outcome != Offered::Present {
                        if self.found.contains(&offer.job.notification()) {
                            self.admission.metrics.swept_up(&self.enterprise);
                        }
                        traces.root(&offer.job, "queued");
                        let what = What::Offered { plugin, priority: offer.priority };
                        self.admission.trail.tell(&self.enterprise, offer.job.notification(), what);
                    }
                }
            }
            Err(error) => {
                self.admission.metrics.queue_failed();
                tracing::warn!(enterprise_id = %self.enterprise, jobs = offers.len(), error = %Chain(&error), "jobs were not offered; the sweep brings the rows again");
            }
        }
    }
}
