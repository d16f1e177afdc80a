//! Reloads plugins and bindings while the process runs.
//!
//! Owns the triggers: a change in the plugins' directory, SIGHUP, and whoever asks. All of them lead to one reconcile, one after the
//! other, off the line: what is under way ends with the rules it began with. Promises that each change of a plugin's or an enterprise's
//! state is logged once. Never decides what is loaded; the runtime does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xnovu_rules::{BindingOutcome, PluginOutcome, Report, Runtime, Watch};

use crate::metrics::Metrics;
use crate::parts::Parts;
use crate::tasks::Tasks;

/// Requests that may wait for a reload under way.
const REQUESTS_MAX: usize = 16;

/// Where a reload is asked for. Clones ask the same process.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<oneshot::Sender<Report>>);

impl Reloads {
    /// Starts to watch the plugins' directory and to listen to SIGHUP.
    ///
    /// # Errors
    /// The system has no thread left, or the signal cannot be listened to.
    pub fn start(parts: &Parts, tasks: &Tasks, stop: &CancellationToken) -> anyhow::Result<Self> {
        let watch =
            Watch::start(&parts.config.plugins, parts.config.rescan).context("watching the plugins' directory")?;
        let hangups = signal(SignalKind::hangup()).context("listening to SIGHUP")?;
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let reloader = Reloader {
            rules: Arc::clone(&parts.rules),
            metrics: Arc::clone(&parts.metrics),
            told: Outcomes::of(&parts.report),
            again: parts.report.again.map(|wait| Instant::now() + wait),
        };
        tasks.spawn("reload", reloader.run(watch, hangups, asked, stop.clone()));
        Ok(Self(requests))
    }

    /// Reloads now and answers what came of it; None while the process stops.
    pub async fn reload(&self) -> Option<Report> {
        let (answer, wait) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        wait.await.ok()
    }
}

struct Reloader {
    rules: Arc<Runtime>,
    metrics: Arc<Metrics>,
    told: Outcomes,
    /// When to look though nothing calls for it.
    again: Option<Instant>,
}

impl Reloader {
    async fn run(
        mut self,
        watch: Watch,
        mut hangups: Signal,
        mut asked: mpsc::Receiver<oneshot::Sender<Report>>,
        stop: CancellationToken,
    ) {
        loop {
            let again = self.again;
            let (answer, unsettled) = tokio::select! {
                () = stop.cancelled() => return,
                () = watch.changed() => (None, watch.unsettled()),
                _ = hangups.recv() => {
                    tracing::info!("SIGHUP: reloading plugins");
                    (None, BTreeSet::new())
                }
                Some(answer) = asked.recv() => (Some(answer), BTreeSet::new()),
                () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => (None, watch.unsettled()),
            };
            let report = self.reload(unsettled).await;
            if let Some(answer) = answer {
                // Whoever asked may have left.
                drop(answer.send(report));
            }
        }
    }

    async fn reload(&mut self, unsettled: BTreeSet<String>) -> Report {
        let started = Instant::now();
        let report = self.rules.reconcile_but(unsettled).await;
        self.again = report.again.map(|wait| Instant::now() + wait);
        self.metrics.reloaded(if report.is_clean() { "clean" } else { "refused" });
        if report.changed {
            tracing::info!(generation = report.generation, duration_ms = millis(started.elapsed()), "plugins reloaded");
        }
        let outcomes = Outcomes::of(&report);
        outcomes.tell(&self.told);
        self.told = outcomes;
        report
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// What became of everything, in words, and whether it is as it should be.
#[derive(Debug, Default)]
struct Outcomes(BTreeMap<String, (bool, String)>);

impl Outcomes {
    fn of(report: &Report) -> Self {
        let notes = report.notes.iter().map(|note| (format!("note: {}", note.reason), (false, note.to_string())));
        let plugins = report.plugins.iter().map(|(name, outcome)| {
            let good = !matches!(outcome, PluginOutcome::Refused { .. });
            (format!("plugin {name}"), (good, outcome.to_string()))
        });
        let bindings = report.bindings.iter().map(|(subject, outcome)| {
            let good = !matches!(outcome, BindingOutcome::LastGood(..) | BindingOutcome::NotLoaded(_));
            (format!("enterprise {subject}"), (good, outcome.to_string()))
        });
        Self(notes.chain(plugins).chain(bindings).collect())
    }

    /// Logs what is not as it was.
    fn tell(&self, before: &Self) {
        for (what, (good, outcome)) in &self.0 {
            if before.0.get(what).is_some_and(|(_, told)| told == outcome) {
                continue;
            }
            if *good {
                tracing::info!(what, outcome, "plugins");
            } else {
                tracing::warn!(what, outcome, "plugins");
            }
        }
        for what in before.0.keys().filter(|what| !self.0.contains_key(*what)) {
            tracing::info!(what, outcome = "gone", "plugins");
        }
    }
}
