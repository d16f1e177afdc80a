//! What a job is and what can become of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use xnovu_domain::{EnterpriseId, JobId, Micros, Origin, Priority};

use crate::{Identity, RuleDefaults};

/// A queue, by the name the original gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueName {
    /// `notification-processing`, jobs `process-notification`.
    NotificationProcessing,
    /// `rule-execution`, jobs `execute-rule`.
    RuleExecution,
}

impl QueueName {
    /// The name in Redis.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotificationProcessing => "notification-processing",
            Self::RuleExecution => "rule-execution",
        }
    }

    /// The name of its jobs.
    #[must_use]
    pub fn job_name(self) -> &'static str {
        match self {
            Self::NotificationProcessing => "process-notification",
            Self::RuleExecution => "execute-rule",
        }
    }
}

/// A job to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer<I = JobId> {
    /// Its identity.
    pub job: I,
    /// Where the notification came from.
    pub origin: Origin,
    /// How urgent it is, in xnovu's sense.
    pub priority: Priority,
    /// How long it waits first.
    pub delay: Option<Duration>,
    /// How many attempts it has. None: those of the queue.
    pub attempts: Option<u32>,
    /// Whether rules have a say in it. A worker that does not know who has some must not perform it.
    pub ruled: bool,
    /// Of a rule's slot: what the settings said where it was found due.
    pub defaults: Option<RuleDefaults>,
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It is queued.
    New,
    /// It is queued; a finished job of that id made room.
    Replaced,
    /// A job of that id waits, is delayed or under way.
    Present,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// There is none.
    Missing,
    /// It waits, also while the queue is paused.
    Waiting,
    /// It waits for its time.
    Delayed,
    /// It is under way.
    Active,
    /// It is done.
    Completed,
    /// It was given up.
    Failed,
}

/// How many jobs stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Waiting, with and without a priority.
    pub waiting: u64,
    /// Under way.
    pub active: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// Done and still kept.
    pub completed: u64,
    /// Given up and still kept.
    pub failed: u64,
    /// Whether the queue is paused.
    pub paused: bool,
}

/// What Redis uses of its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In use.
    pub used_bytes: u64,
    /// What it may use for data; None where it has no limit.
    pub max_bytes: Option<u64>,
}

/// A job that was given up, as those see it who look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedJob {
    /// Its id.
    pub id: String,
    /// Whose it is. None: its data cannot be read.
    pub enterprise: Option<EnterpriseId>,
    /// Why it failed.
    pub reason: String,
    /// When.
    pub at: Micros,
    /// Attempts it has spent.
    pub attempts: u32,
    /// Attempts it had.
    pub attempts_max: u32,
}

/// A job that was taken.
#[derive(Debug, Clone)]
pub struct Job<I: Identity = JobId> {
    /// Its identity.
    pub id: I,
    /// Its data.
    pub data: I::Data,
    /// Which attempt this is, from 1. Waits without an attempt do not count.
    pub attempt: u32,
    /// How many attempts it has.
    pub attempts_max: u32,
    /// When it was queued.
    pub created: Micros,
    /// Whether this is the last attempt.
    pub last: bool,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done; a short word is kept with the job.
    Done(String),
    /// Spends an attempt; tried again with back-off, or failed if it was the last.
    Retry {
        /// Why.
        error: String,
    },
    /// Spends no attempt.
    Later {
        /// When to come back.
        after: Duration,
        /// Why.
        reason: String,
    },
    /// Given up at once.
    Fail {
        /// Why.
        error: String,
    },
}

impl Outcome {
    /// Every word of [`Outcome::word`].
    pub const WORDS: [&str; 4] = ["done", "retry", "later", "fail"];

    /// The word for metrics and traces.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Retry { .. } => "retry",
            Self::Later { .. } => "later",
            Self::Fail { .. } => "fail",
        }
    }
}

/// How jobs are taken.
#[derive(Debug, Clone)]
pub struct WorkOptions {
    /// Jobs under way at once.
    pub concurrency: usize,
    /// How long jobs under way may take after a stop.
    pub grace: Duration,
}

/// How work ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drained {
    /// Jobs still under way when the grace ended.
    pub still_running: usize,
}

/// Why the queue did not do as asked.
#[derive(Debug, Error)]
pub enum QueueError {
    /// Redis did not do as asked.
    #[error("{what}: Redis did not do as asked")]
    Redis {
        /// What was tried.
        what: &'static str,
        /// Its word.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No room.
    #[error("the queue holds {limit} jobs, which is its limit")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The settings make no queue.
    #[error("{0}")]
    Settings(String),
}
