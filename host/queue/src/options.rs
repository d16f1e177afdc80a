//! How jobs are tried and kept, in both queues.

use std::time::Duration;

use xnovu_domain::Backoff;

/// How jobs are tried and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobOptions {
    /// Attempts before a job fails, at least 1.
    pub attempts: u32,
    /// First wait between attempts; doubles, with jitter.
    pub backoff: Duration,
    /// Longest wait between attempts.
    pub backoff_max: Duration,
    /// Completed jobs kept for those who look.
    pub keep_completed: usize,
    /// Failed jobs kept for those who look and retry.
    pub keep_failed: usize,
    /// How long a worker may be silent before its jobs are taken over.
    pub lock: Duration,
    /// How often jobs of silent workers are looked for.
    pub stalled_interval: Duration,
    /// How often a job may be taken over before it fails.
    pub stalled_max: u32,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Duration::from_secs(5),
            backoff_max: Duration::from_secs(3_600),
            keep_completed: 1_000,
            keep_failed: 5_000,
            lock: Duration::from_secs(30),
            stalled_interval: Duration::from_secs(30),
            stalled_max: 1,
        }
    }
}

impl JobOptions {
    /// The wait after the attempt with this number (from 1). `random` is in 0 to 1.
    #[must_use]
    pub fn wait(&self, attempt: u32, random: f64) -> Duration {
        let curve = Backoff { base: self.backoff, cap: self.backoff_max };
        curve.equal_jitter(attempt.saturating_sub(1), random)
    }
}
