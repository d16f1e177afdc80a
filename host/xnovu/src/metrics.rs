//! Every metric, once.
//!
//! Owns the names, their help texts and their labels. Labels are bounded: enterprises come from the settings, everything else is a word of
//! ours. Never carries a payload, a recipient or a reason.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
    core::Collector, process_collector::ProcessCollector,
};
use serde_json::{Value, json};
use xnovu_domain::{Answer, EnterpriseId};

/// Seconds of the time from a row's last change to Novu's answer.
const LATENCY_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Seconds one evaluation takes.
const RULE_BUCKETS: &[f64] = &[10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3];

/// Fuel one evaluation uses.
const FUEL_BUCKETS: &[f64] = &[1e3, 1e4, 5e4, 1e5, 5e5, 1e6, 5e6, 1e7];

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    hints: IntCounterVec,
    hints_dropped: IntCounter,
    decisions: IntCounterVec,
    rule_failures: IntCounterVec,
    rule_seconds: HistogramVec,
    rule_fuel: HistogramVec,
    outcomes: IntCounterVec,
    latency: Histogram,
    novu_seconds: HistogramVec,
    store_failures: IntCounterVec,
    queue_failures: IntCounter,
    reaped: IntCounter,
    foreign_rows: IntCounter,
}

impl Metrics {
    /// All metrics at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        // Fails only where it is registered twice.
        let _ = registry.register(Box::new(ProcessCollector::for_self()));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let counter = |name: &str, help: &str| register(&registry, IntCounter::new(name, help));
        let histograms = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            register(&registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
        };
        let latency = HistogramOpts::new(
            "xnovu_notification_latency_seconds",
            "From the last change of a row to Novu's acceptance",
        )
        .buckets(LATENCY_BUCKETS.to_vec());
        Arc::new(Self {
            hints: counters("xnovu_hints_total", "Rows heard of, by path", &["via"]),
            hints_dropped: counter(
                "xnovu_hints_dropped_total",
                "Hints dropped under load; the sweep brings their rows again",
            ),
            decisions: counters("xnovu_decisions_total", "Verdicts of rules", &["enterprise_id", "stage", "verdict"]),
            rule_failures: counters(
                "xnovu_rule_failures_total",
                "Evaluations without an answer",
                &["enterprise_id", "stage", "kind"],
            ),
            rule_seconds: histograms("xnovu_rule_duration_seconds", "Time of one evaluation", &["stage"], RULE_BUCKETS),
            rule_fuel: histograms("xnovu_rule_fuel", "Fuel of one evaluation", &["stage"], FUEL_BUCKETS),
            outcomes: counters("xnovu_notifications_total", "Notifications by outcome", &["enterprise_id", "outcome"]),
            latency: register(&registry, Histogram::with_opts(latency)),
            novu_seconds: histograms(
                "xnovu_novu_request_duration_seconds",
                "Time of one call to Novu, by answer",
                &["answer"],
                LATENCY_BUCKETS,
            ),
            store_failures: counters("xnovu_store_failures_total", "Requests to the database that failed", &["what"]),
            queue_failures: counter("xnovu_queue_failures_total", "Batches the queue did not take"),
            reaped: counter("xnovu_reaped_total", "Rows brought back after their worker was gone"),
            foreign_rows: counter(
                "xnovu_foreign_processing_rows_total",
                "Sightings of PROCESSING rows of another sender",
            ),
            registry,
        })
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

    /// What this process uses, as the health body shows it. Null where the system does not say.
    #[must_use]
    pub fn process(&self) -> Value {
        let families = self.registry.gather();
        let number = |name: &str| {
            let family = families.iter().find(|family| family.name() == name)?;
            let metric = family.get_metric().first()?;
            Some(metric.get_counter().get_value() + metric.get_gauge().get_value())
        };
        json!({
            "pid": std::process::id(),
            "memory": {"rss": number("process_resident_memory_bytes"), "virtual": number("process_virtual_memory_bytes")},
            "cpu": {"seconds": number("process_cpu_seconds_total")},
            "threads": number("process_threads"),
            "open_fds": number("process_open_fds"),
        })
    }

    /// A row was heard of.
    pub fn hinted(&self, via: &str) {
        self.hints.with_label_values(&[via]).inc();
    }

    /// A hint was dropped under load.
    pub fn hint_dropped(&self) {
        self.hints_dropped.inc();
    }

    /// Rules answered. `stage` is `admit` or `transform`.
    pub fn ruled(&self, enterprise: &EnterpriseId, stage: &str, verdict: &str, took: Duration, fuel: u64) {
        self.decisions.with_label_values(&[enterprise.as_str(), stage, verdict]).inc();
        self.rule_seconds.with_label_values(&[stage]).observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a histogram does not need every unit of fuel")]
        self.rule_fuel.with_label_values(&[stage]).observe(fuel as f64);
    }

    /// Rules did not answer.
    pub fn broken(&self, enterprise: &EnterpriseId, stage: &str, kind: &str) {
        self.rule_failures.with_label_values(&[enterprise.as_str(), stage, kind]).inc();
    }

    /// A notification reached an end of the line.
    pub fn ended(&self, enterprise: &EnterpriseId, outcome: &str) {
        self.outcomes.with_label_values(&[enterprise.as_str(), outcome]).inc();
    }

    /// Novu accepted a notification.
    pub fn sent(&self, after: Duration) {
        self.latency.observe(after.as_secs_f64());
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

    /// A PROCESSING row of another sender was seen.
    pub fn foreign_row(&self) {
        self.foreign_rows.inc();
    }
}

fn register<T: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<T>) -> T {
    let metric = metric.expect("the names and labels in this file are valid");
    registry.register(Box::new(metric.clone())).expect("every metric in this file has a name of its own");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_counted_where_a_reader_looks_for_it() {
        let metrics = Metrics::new();
        metrics.ruled(&"ent1".parse().unwrap(), "admit", "drop", Duration::from_micros(20), 40_000);
        let text = metrics.text();
        let want = r#"xnovu_decisions_total{enterprise_id="ent1",stage="admit",verdict="drop"} 1"#;
        assert!(text.contains(want), "{text}");
        assert!(text.contains("xnovu_rule_duration_seconds_count{stage=\"admit\"} 1"), "{text}");
    }
}
