//! How a metric is declared.
//!
//! Owns the list of what is declared, which the documents are held to, and the registry it is gathered from.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

/// What there is to know of a metric before it counts anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

/// Takes declarations.
pub(super) struct Declaring {
    pub(super) registry: Registry,
    pub(super) list: Vec<Declared>,
}

impl Declaring {
    /// Nothing is declared but what the process itself uses, which the library measures.
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self())).expect("nothing else has its names");
        Self { registry, list: Vec::new() }
    }

    fn note(
        &mut self,
        kind: &'static str,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Opts {
        self.list.push(Declared { name, kind, labels, help });
        Opts::new(name, help)
    }

    pub(super) fn counters(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> IntCounterVec {
        let opts = self.note("counter", name, labels, help);
        register(&self.registry, IntCounterVec::new(opts, labels))
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &'static str) -> IntCounter {
        let opts = self.note("counter", name, &[], help);
        register(&self.registry, IntCounter::with_opts(opts))
    }

    /// Gauges appear once they have been set, so that a process shows only those it has something to say about.
    pub(super) fn gauges(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> IntGaugeVec {
        let opts = self.note("gauge", name, labels, help);
        register(&self.registry, IntGaugeVec::new(opts, labels))
    }

    /// A gauge that is no whole number.
    pub(super) fn real_gauges(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> GaugeVec {
        let opts = self.note("gauge", name, labels, help);
        register(&self.registry, GaugeVec::new(opts, labels))
    }

    pub(super) fn histograms(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        buckets: &[f64],
    ) -> HistogramVec {
        let opts = HistogramOpts::from(self.note("histogram", name, labels, help)).buckets(buckets.to_vec());
        register(&self.registry, HistogramVec::new(opts, labels))
    }

    pub(super) fn histogram(&mut self, name: &'static str, help: &'static str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::from(self.note("histogram", name, &[], help)).buckets(buckets.to_vec());
        register(&self.registry, Histogram::with_opts(opts))
    }
}

fn register<T: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<T>) -> T {
    let metric = metric.expect("the names and labels in metrics.rs are valid");
    registry.register(Box::new(metric.clone())).expect("every metric in metrics.rs has a name of its own");
    metric
}
