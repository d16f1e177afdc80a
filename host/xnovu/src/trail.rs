//! What happened to each notification, for whoever watches.
//!
//! Owns the words in which the line is told to the log and to `xnovu dev`. A watcher that is slow misses steps; the line never waits for
//! one. Never carries a payload or a recipient; a component's own lines reach the log only where the operator asked for them.

use std::time::Duration;

use tokio::sync::broadcast;
use xnovu_domain::{EnterpriseId, Notification, NotificationId, Priority, Reason, WorkflowKey};
use xnovu_rules::{LogLevel, LogLine};

use crate::traces::Traces;

/// Steps kept for a watcher that lags.
const STEPS_KEPT: usize = 4_096;

/// One thing that happened to one notification.
#[derive(Debug, Clone)]
pub struct Step {
    /// Whose it is.
    pub enterprise: EnterpriseId,
    /// Which it is.
    pub notification: NotificationId,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// The daemon's rules let it in and a job was offered.
    Offered {
        /// The plugin that decided, as `name@version`; None where none is bound.
        plugin: Option<String>,
        /// The priority of the job.
        priority: Priority,
    },
    /// Rules put it off or refused it, in the daemon or in the worker.
    Turned {
        /// The plugin that decided.
        plugin: Option<String>,
        /// `defer` or `drop`.
        verdict: &'static str,
        /// Why.
        reason: Reason,
    },
    /// Rules could not answer and it waits.
    Held {
        /// Why, in words for operators.
        reason: String,
    },
    /// Novu accepted it.
    Sent {
        /// The plugin that mapped it.
        plugin: Option<String>,
        /// The workflows that were triggered, one for each call.
        workflows: Vec<WorkflowKey>,
        /// How many recipients in all.
        recipients: usize,
        /// From the row's last change to Novu's answer.
        after: Duration,
    },
    /// It was given up.
    Failed {
        /// Why, in words for operators.
        reason: String,
    },
    /// A retraction was carried to the queue and to Novu.
    Cancelled,
}

impl What {
    /// One line of the log. Reasons are words of rules and of Novu, who know the payload: they stand on the row and not here.
    fn log(&self, enterprise: &EnterpriseId, notification: NotificationId) {
        let (enterprise_id, notification_id) = (enterprise.as_str(), notification.get());
        match self {
            Self::Offered { plugin, priority } => {
                let priority = priority.get();
                tracing::debug!(
                    event = "notification_queued",
                    enterprise_id,
                    notification_id,
                    plugin,
                    priority,
                    "queued"
                );
            }
            Self::Turned { plugin, verdict: verdict @ "drop", .. } => {
                tracing::info!(
                    event = "notification_dropped",
                    enterprise_id,
                    notification_id,
                    plugin,
                    verdict,
                    "dropped"
                );
            }
            Self::Turned { plugin, verdict, .. } => {
                tracing::info!(
                    event = "notification_deferred",
                    enterprise_id,
                    notification_id,
                    plugin,
                    verdict,
                    "put off"
                );
            }
            Self::Held { .. } => {
                tracing::warn!(
                    event = "notification_held",
                    enterprise_id,
                    notification_id,
                    "held: the rules cannot answer"
                );
            }
            Self::Sent { plugin, workflows, after, .. } => {
                let (calls, latency_ms) = (workflows.len(), after.as_millis());
                tracing::info!(
                    event = "notification_sent",
                    enterprise_id,
                    notification_id,
                    plugin,
                    calls,
                    latency_ms,
                    "Novu accepted it"
                );
            }
            Self::Failed { .. } => {
                tracing::warn!(
                    event = "notification_failed",
                    enterprise_id,
                    notification_id,
                    "given up; error_details of the row says why"
                );
            }
            Self::Cancelled => {
                tracing::info!(event = "notification_cancelled", enterprise_id, notification_id, "taken back");
            }
        }
    }
}

/// Where steps are told.
#[derive(Debug, Clone)]
pub struct Trail {
    steps: broadcast::Sender<Step>,
    traces: Traces,
}

impl Default for Trail {
    fn default() -> Self {
        Self::with(Traces::default())
    }
}

impl Trail {
    /// A trail beside these traces.
    #[must_use]
    pub fn with(traces: Traces) -> Self {
        Self { steps: broadcast::channel(STEPS_KEPT).0, traces }
    }

    /// Where the spans of notifications go.
    #[must_use]
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Tells a step to whoever watches.
    pub fn tell(&self, enterprise: &EnterpriseId, notification: NotificationId, what: What) {
        what.log(enterprise, notification);
        // An error only says that nobody watches.
        let _ = self.steps.send(Step { enterprise: enterprise.clone(), notification, what });
    }

    /// Tells the log what a component logged. There are lines only where its binding says `log_guest = true`: the operator then wants
    /// its words, whatever they quote.
    pub fn tell_guest(&self, row: &Notification, plugin: &str, lines: &[LogLine]) {
        for line in lines {
            let (enterprise_id, notification_id, text) = (row.enterprise_id.as_str(), row.id.get(), line.text.as_str());
            match line.level {
                LogLevel::Error => {
                    tracing::error!(event = "plugin_log", enterprise_id, notification_id, plugin, "{text}")
                }
                LogLevel::Warn => {
                    tracing::warn!(event = "plugin_log", enterprise_id, notification_id, plugin, "{text}")
                }
                LogLevel::Info => {
                    tracing::info!(event = "plugin_log", enterprise_id, notification_id, plugin, "{text}")
                }
                LogLevel::Debug => {
                    tracing::debug!(event = "plugin_log", enterprise_id, notification_id, plugin, "{text}")
                }
            }
        }
    }

    /// Watches from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Step> {
        self.steps.subscribe()
    }
}
