//! What is read off the process when somebody asks.
//!
//! Owns the step from the health of a process to its gauges, so that a scrape and a health body say the same. A queue that does not answer
//! has no numbers: its gauges are gone until it does, and old ones never pass for new.

use std::sync::PoisonError;
use std::time::Duration;

use serde_json::{Value, json};
use xnovu_queue::{Counts, Memory, QueueName};

use super::Metrics;
use crate::gateway::Pause;
use crate::source::status::Subscriptions;

/// What a process is at one moment.
#[derive(Debug, Clone)]
pub struct Shown {
    /// How long it runs.
    pub uptime: Duration,
    /// Whether it is healthy.
    pub healthy: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Each part, and whether it is healthy.
    pub components: Vec<(&'static str, bool)>,
    /// The subscriptions and connections lost so far; None in a worker.
    pub subscriptions: Option<(Subscriptions, u64)>,
    /// The queues' counts; empty where the queue does not answer.
    pub queues: Vec<(QueueName, Counts)>,
    /// What Redis uses, if it says so.
    pub memory: Option<Memory>,
    /// Why Novu is not called for now, if it is not.
    pub novu: Option<Pause>,
    /// Bindings by state.
    pub bindings: Vec<(&'static str, usize)>,
}

fn int(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

impl Metrics {
    /// What the process is now and what it has counted, in Prometheus's text format. One at a time: gauges are emptied and filled again, and
    /// somebody else's half of that must not be read.
    #[must_use]
    pub fn scrape(&self, shown: &Shown) -> String {
        let _one = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        self.show(shown);
        self.text()
    }

    fn show(&self, shown: &Shown) {
        let gauges = &self.gauges;
        gauges.build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let (uptime, healthy) = match shown.subscriptions {
            Some(_) => (&gauges.daemon_uptime, &gauges.daemon_healthy),
            None => (&gauges.worker_uptime, &gauges.worker_healthy),
        };
        uptime.with_label_values(&NONE).set(shown.uptime.as_secs_f64());
        healthy.with_label_values(&NONE).set(shown.healthy.into());
        gauges.ready.with_label_values(&NONE).set(shown.ready.into());
        for (component, healthy) in &shown.components {
            gauges.components.with_label_values(&[*component]).set((*healthy).into());
        }
        if let Some((counts, reconnects)) = shown.subscriptions {
            let numbers = [counts.total, counts.active, counts.failed, counts.reconnecting];
            for (gauge, number) in gauges.subscriptions.iter().zip(numbers) {
                gauge.with_label_values(&NONE).set(int(number));
            }
            self.reconnects.inc_by(reconnects.saturating_sub(self.reconnects.get()));
        }
        for (state, bindings) in &shown.bindings {
            gauges.bindings.with_label_values(&[*state]).set(int(*bindings));
        }
        for reason in Pause::ALL {
            gauges.novu_paused.with_label_values(&[reason.word()]).set((shown.novu == Some(reason)).into());
        }
        self.show_queues(&shown.queues);
        self.show_memory(shown.memory);
    }

    fn show_memory(&self, memory: Option<Memory>) {
        let [used, max] = &self.gauges.redis_memory;
        let numbers =
            [(used, memory.map(|memory| memory.used_bytes)), (max, memory.and_then(|memory| memory.max_bytes))];
        for (gauge, number) in numbers {
            gauge.reset();
            if let Some(number) = number {
                gauge.with_label_values(&NONE).set(int(number));
            }
        }
    }

    fn show_queues(&self, queues: &[(QueueName, Counts)]) {
        let gauges = &self.gauges;
        gauges.queue_jobs.reset();
        gauges.queue_paused.reset();
        gauges.queue_notification.iter().for_each(prometheus::core::MetricVec::reset);
        for (queue, counts) in queues {
            let states = [
                ("waiting", counts.waiting),
                ("active", counts.active),
                ("completed", counts.completed),
                ("failed", counts.failed),
                ("delayed", counts.delayed),
            ];
            for (state, jobs) in states {
                gauges.queue_jobs.with_label_values(&[queue.as_str(), state]).set(int(jobs));
            }
            gauges.queue_paused.with_label_values(&[queue.as_str()]).set(counts.paused.into());
            if *queue == QueueName::NotificationProcessing {
                for (gauge, (_, jobs)) in gauges.queue_notification.iter().zip(states) {
                    gauge.with_label_values(&NONE).set(int(jobs));
                }
            }
        }
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
}

/// The labels of a metric without labels.
const NONE: [&str; 0] = [];
