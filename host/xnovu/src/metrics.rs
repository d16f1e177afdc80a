//! Every metric, once.
//!
//! Owns the names, their help texts and their labels. Labels are bounded: enterprises by a limit, everything else is a word of ours. Never
//! carries a payload, a recipient or the words of a rule.

mod declare;
mod enterprises;
mod shown;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Registry, TextEncoder,
};
use xnovu_domain::{Answer, EnterpriseId};
use xnovu_queue::{Outcome, QueueName};
use xnovu_rules::{Broken, BrokenKind, Cost, FailurePolicy};

pub use declare::Declared;
pub use enterprises::OTHER;
pub use shown::Shown;

use declare::Declaring;
use enterprises::Enterprises;

use crate::cron::BookReport;

/// Enterprises with a label of their own, unless told otherwise.
pub const ENTERPRISES_MAX: usize = 200;

/// Seconds from a row's last change, or from its time, to Novu's answer; the specification's buckets among them.
const LATENCY_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];

/// Seconds one evaluation takes; bindings may allow it more than the 20 ms it has unless they say so.
const RULE_BUCKETS: &[f64] = &[
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1.0,
];

/// Fuel one evaluation uses.
const FUEL_BUCKETS: &[f64] = &[1e3, 1e4, 5e4, 1e5, 5e5, 1e6, 5e6, 1e7, 5e7, 1e8];

/// Where rules are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In the daemon: may it be queued?
    Admit,
    /// In the worker: what is sent?
    Transform,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Transform => "transform",
        }
    }
}

/// Why something was thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// A notification, by the verdict of its rules or by the policy for rules that fail.
    Verdict,
    /// A hint: the lane of its enterprise was full. The sweep brings its row again.
    LaneFull,
    /// A batch of hints: the queue was full enough. The sweep brings its rows again.
    QueueFull,
}

impl Discard {
    const ALL: [Self; 3] = [Self::Verdict, Self::LaneFull, Self::QueueFull];

    fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Verdict => ["verdict", "true"],
            Self::LaneFull => ["lane-full", "false"],
            Self::QueueFull => ["queue-full", "false"],
        }
    }
}

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    declared: Vec<Declared>,
    enterprises: Enterprises,
    gauges: Gauges,
    events: IntCounterVec,
    hints: IntCounterVec,
    sweep_finds: IntCounterVec,
    discarded: IntCounterVec,
    decisions: IntCounterVec,
    rule_seconds: HistogramVec,
    rule_fuel: HistogramVec,
    outcomes: IntCounterVec,
    latency: Histogram,
    attempts: IntCounterVec,
    novu_seconds: HistogramVec,
    reconnects: IntCounter,
    store_failures: IntCounterVec,
    queue_failures: IntCounter,
    reaped: IntCounter,
    foreign_rows: IntCounter,
    rules: IntGaugeVec,
    slots: IntCounterVec,
    reloads: IntCounterVec,
    /// Held while gauges are set anew and read.
    showing: Mutex<()>,
}

/// What is read off the process when somebody asks ([`Shown`]).
struct Gauges {
    build: IntGaugeVec,
    daemon_uptime: GaugeVec,
    daemon_healthy: IntGaugeVec,
    worker_uptime: GaugeVec,
    worker_healthy: IntGaugeVec,
    ready: IntGaugeVec,
    components: IntGaugeVec,
    subscriptions: [IntGaugeVec; 4],
    queue_notification: [IntGaugeVec; 4],
    queue_jobs: IntGaugeVec,
    queue_paused: IntGaugeVec,
    redis_memory: [IntGaugeVec; 2],
    novu_paused: IntGaugeVec,
    bindings: IntGaugeVec,
}

impl Metrics {
    /// All metrics at zero, with [`ENTERPRISES_MAX`] enterprises of their own label.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_enterprises(ENTERPRISES_MAX)
    }

    /// All metrics at zero, with that many enterprises of their own label; those that come later are [`OTHER`].
    #[must_use]
    #[rustfmt::skip]
    pub fn with_enterprises(max: usize) -> Arc<Self> {
        let mut d = Declaring::new();
        let gauges = Gauges::declare(&mut d);
        let metrics = Self {
            enterprises: Enterprises::new(max),
            gauges,
            events: d.counters("xnovu_enterprise_events_total", &["enterprise_id", "event_type"], "Changes of notifications that Realtime told, by enterprise and kind of change"),
            hints: d.counters("xnovu_hints_total", &["via"], "Hints at rows that may be owed, by path; a page of rows is one"),
            sweep_finds: d.counters("xnovu_sweep_finds_total", &["enterprise_id"], "Notifications queued because the sweep found them: Realtime had not told of them, or nobody was listening. Those that were held, or queued before, are none"),
            discarded: d.counters("xnovu_discarded_total", &["reason", "intentional"], "What was thrown away: notifications by a verdict (intentional), hints under load (not; the sweep brings their rows again)"),
            decisions: d.counters("xnovu_decisions_total", &["enterprise_id", "stage", "verdict", "reason"], "Verdicts; the reason is rule, unbound, or how the rules failed to answer"),
            rule_seconds: d.histograms("xnovu_rule_duration_seconds", &["stage", "answered"], "Time of one evaluation, and whether it answered", RULE_BUCKETS),
            rule_fuel: d.histograms("xnovu_rule_fuel", &["stage", "answered"], "Fuel of one evaluation, and whether it answered", FUEL_BUCKETS),
            outcomes: d.counters("xnovu_notifications_total", &["enterprise_id", "outcome"], "Notifications a worker has settled, by outcome"),
            latency: d.histogram("xnovu_notification_latency_seconds", "From the last change of a row, or from its time where that is later, to Novu's answer", LATENCY_BUCKETS),
            attempts: d.counters("xnovu_job_attempts_total", &["queue", "outcome"], "Attempts at jobs: done, retry (spends an attempt), later (spends none), fail"),
            novu_seconds: d.histograms("xnovu_novu_request_duration_seconds", &["answer"], "Time of one call to Novu, by answer", LATENCY_BUCKETS),
            reconnects: d.counter("xnovu_subscription_reconnects_total", "Connections lost, counted once for each enterprise on them"),
            store_failures: d.counters("xnovu_store_failures_total", &["what"], "Requests to the database that failed"),
            queue_failures: d.counter("xnovu_queue_failures_total", "Batches the queue did not take"),
            reaped: d.counter("xnovu_reaped_total", "Rows brought back after their worker was gone"),
            foreign_rows: d.counter("xnovu_foreign_processing_rows_total", "Sightings of PROCESSING rows of another sender"),
            rules: d.gauges("xnovu_cron_rules", &["state"], "Rules of ent_notification_rule: firing, asleep (switched off, or their workflow is), over (no slot left), bad (with a mistake)"),
            slots: d.counters("xnovu_cron_slots_total", &["enterprise_id", "outcome"], "Slots of rules: queued, skipped (missed) or lost by the daemon; made, duplicate, passed-over or refused by the worker"),
            reloads: d.counters("xnovu_plugin_reloads_total", &["outcome"], "Looks at the plugins' directory: clean, or refused where something there cannot run"),
            registry: d.registry,
            declared: d.list,
            showing: Mutex::default(),
        };
        metrics.begin_at_zero();
        Arc::new(metrics)
    }

    /// Shows at zero what alerts watch for, because a counter that begins at 1 has not increased.
    fn begin_at_zero(&self) {
        for queue in [QueueName::NotificationProcessing, QueueName::RuleExecution] {
            for outcome in Outcome::WORDS {
                self.attempts.with_label_values(&[queue.as_str(), outcome]);
            }
        }
        for what in Discard::ALL {
            self.discarded.with_label_values(&what.labels());
        }
    }

    /// Every metric of ours, in the order of its declaration.
    #[must_use]
    pub fn declared(&self) -> &[Declared] {
        &self.declared
    }

    /// The metrics in Prometheus's text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Realtime told of a change of this kind.
    pub fn told(&self, enterprise: &EnterpriseId, event_type: &str) {
        self.events.with_label_values(&[self.enterprises.label(enterprise), event_type]).inc();
    }

    /// A row was heard of.
    pub fn hinted(&self, via: &str) {
        self.hints.with_label_values(&[via]).inc();
    }

    /// A notification was queued because the sweep had found it.
    pub fn swept_up(&self, enterprise: &EnterpriseId) {
        self.sweep_finds.with_label_values(&[self.enterprises.label(enterprise)]).inc();
    }

    /// Something was thrown away.
    pub fn discarded(&self, what: Discard) {
        self.discarded.with_label_values(&what.labels()).inc();
    }

    /// Rules answered.
    pub fn ruled(&self, enterprise: &EnterpriseId, stage: Stage, verdict: &str, took: Duration, fuel: u64) {
        self.decided(enterprise, stage, verdict, "rule");
        self.evaluated(stage, "true", Cost { fuel, duration: took });
    }

    fn evaluated(&self, stage: Stage, answered: &str, Cost { fuel, duration }: Cost) {
        let labels = [stage.word(), answered];
        self.rule_seconds.with_label_values(&labels).observe(duration.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a histogram does not need every unit of fuel")]
        self.rule_fuel.with_label_values(&labels).observe(fuel as f64);
    }

    /// No rules are bound: the row passes as it is.
    pub fn unbound(&self, enterprise: &EnterpriseId, stage: Stage) {
        self.decided(enterprise, stage, "deliver", "unbound");
    }

    /// Rules did not answer, and what becomes of the notification.
    pub fn broken(&self, enterprise: &EnterpriseId, stage: Stage, broken: &Broken) {
        let verdict = match (broken.kind, broken.applied_policy()) {
            (BrokenKind::InputTooLarge { .. }, _) => "fail",
            (_, FailurePolicy::Hold) => "hold",
            (_, FailurePolicy::Deliver) => "deliver",
            (_, FailurePolicy::Drop) => "drop",
        };
        self.decided(enterprise, stage, verdict, broken.kind.word());
        if let Some(cost) = broken.cost {
            self.evaluated(stage, "false", cost);
        }
    }

    fn decided(&self, enterprise: &EnterpriseId, stage: Stage, verdict: &str, reason: &str) {
        self.decisions.with_label_values(&[self.enterprises.label(enterprise), stage.word(), verdict, reason]).inc();
    }

    /// A notification reached an end of the line.
    pub fn ended(&self, enterprise: &EnterpriseId, outcome: &str) {
        self.outcomes.with_label_values(&[self.enterprises.label(enterprise), outcome]).inc();
    }

    /// Novu accepted a notification.
    pub fn sent(&self, after: Duration) {
        self.latency.observe(after.as_secs_f64());
    }

    /// An attempt at a job of this queue has ended.
    pub fn attempted(&self, queue: QueueName, outcome: &Outcome) {
        self.attempts.with_label_values(&[queue.as_str(), outcome.word()]).inc();
    }

    /// Novu was called.
    pub fn called(&self, answer: &Answer, took: Duration) {
        let word = match answer {
            Answer::Http { status, .. } => match status {
                200..=299 => "2xx",
                429 => "429",
                400..=499 => "4xx",
                500..=599 => "5xx",
                _ => "other",
            },
            Answer::Unsent => "unsent",
            Answer::Lost => "lost",
        };
        self.novu_seconds.with_label_values(&[word]).observe(took.as_secs_f64());
    }

    /// A request to the database failed.
    pub fn store_failed(&self, what: &str) {
        self.store_failures.with_label_values(&[what]).inc();
    }

    /// The queue did not take a batch.
    pub fn queue_failed(&self) {
        self.queue_failures.inc();
    }

    /// A stuck row was brought back.
    pub fn reaped(&self) {
        self.reaped.inc();
    }

    /// How many rules stand how.
    pub fn rules(&self, report: &BookReport) {
        let BookReport { firing, asleep, over, bad, .. } = *report;
        for (state, count) in [("firing", firing), ("asleep", asleep), ("over", over), ("bad", bad)] {
            self.rules.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Something became of slots of rules.
    pub fn slots(&self, enterprise: &EnterpriseId, outcome: &str, count: usize) {
        self.slots.with_label_values(&[self.enterprises.label(enterprise), outcome]).inc_by(count as u64);
    }

    /// A PROCESSING row of another sender was seen.
    pub fn foreign_row(&self) {
        self.foreign_rows.inc();
    }

    /// The plugins' directory was looked at again. `outcome` is `clean` or `refused`.
    pub fn reloaded(&self, outcome: &str) {
        self.reloads.with_label_values(&[outcome]).inc();
    }
}

impl Gauges {
    #[rustfmt::skip]
    fn declare(d: &mut Declaring) -> Self {
        Self {
            daemon_uptime: d.real_gauges("xnovu_daemon_uptime_seconds", &[], "How long the daemon runs"),
            daemon_healthy: d.gauges("xnovu_daemon_healthy", &[], "Whether the daemon is healthy: 1 while /health says so, 0 while it is degraded or worse"),
            worker_uptime: d.real_gauges("xnovu_worker_uptime_seconds", &[], "How long the worker runs"),
            worker_healthy: d.gauges("xnovu_worker_healthy", &[], "Whether the worker is healthy: 1 while /health says so, 0 while it is degraded or worse"),
            ready: d.gauges("xnovu_ready", &[], "Whether the process works and wants more: 1 while /readyz says 200"),
            components: d.gauges("xnovu_component_healthy", &["component"], "Whether a part is healthy, by the words that troubles of /health/detailed use"),
            subscriptions: [
                d.gauges("xnovu_subscriptions_total", &[], "Enterprises that should be subscribed"),
                d.gauges("xnovu_subscriptions_active", &[], "Enterprises whose changes arrive"),
                d.gauges("xnovu_subscriptions_failed", &[], "Enterprises whose subscription the server refuses"),
                d.gauges("xnovu_subscriptions_reconnecting", &[], "Enterprises whose connection was lost and is not back yet"),
            ],
            queue_notification: [
                d.gauges("xnovu_queue_notification_waiting", &[], "Jobs of notification-processing that wait, with and without a priority"),
                d.gauges("xnovu_queue_notification_active", &[], "Jobs of notification-processing under way"),
                d.gauges("xnovu_queue_notification_completed", &[], "Jobs of notification-processing that are done and still kept"),
                d.gauges("xnovu_queue_notification_failed", &[], "Jobs of notification-processing that were given up and are still kept"),
            ],
            queue_jobs: d.gauges("xnovu_queue_jobs", &["queue", "state"], "Jobs by queue and state"),
            queue_paused: d.gauges("xnovu_queue_paused", &["queue"], "Whether the queue is paused"),
            redis_memory: [
                d.gauges("xnovu_redis_used_memory_bytes", &[], "Memory that Redis uses"),
                d.gauges("xnovu_redis_max_memory_bytes", &[], "Memory that Redis may use for data (maxmemory); none where it has no limit"),
            ],
            novu_paused: d.gauges("xnovu_novu_paused", &["reason"], "1 while this process does not call Novu: outage (it fails for everybody), locked (it refuses the key), rate-limited"),
            bindings: d.gauges("xnovu_plugin_bindings", &["state"], "Bindings of enterprises to plugins: ready, rolled-back, last-good, fallback, suspended, not-loaded"),
            build: d.gauges("xnovu_build_info", &["version"], "Always 1"),
        }
    }
}

#[cfg(test)]
mod tests;
