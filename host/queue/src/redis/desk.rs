//! One queue's keys in Redis, and what is done to them in one step.
//!
//! Owns the scripts of this crate: each is one round trip and atomic. What the client does well stays the client's; a script stands here where
//! the client needs several round trips, forgets something between them, or does it too late. Every script is held to Node's BullMQ by tests.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::ConnectionManager;
use ::redis::{FromRedisValue, Script, ScriptInvocation};

use super::refused;
use crate::options::JobOptions;
use crate::{Identity, Limits, Offer, Offered, QueueError, QueueName};

/// Jobs of one call: Redis does nothing else meanwhile, some 15 µs a job.
const OFFERS_MAX: usize = 250;

/// A queue in Redis.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) connection: ConnectionManager,
    /// What its keys begin with, the last colon included.
    keys: String,
    queue: QueueName,
    pub(super) jobs: JobOptions,
    pub(super) limits: Arc<Limits>,
    pub(super) scripts: Arc<Scripts>,
}

/// What is done in one step.
pub(super) struct Scripts {
    offer: Script,
    postpone: Script,
    take_over: Script,
    pub(super) begin: Script,
    pub(super) finish: Script,
    pub(super) retry: Script,
    pub(super) oldest: Script,
}

/// A script after those it shares with others.
macro_rules! script {
    ($($name:literal),+) => {
        Script::new(concat!(include_str!("scripts/common.lua"), $(include_str!(concat!("scripts/", $name))),+))
    };
}

impl Scripts {
    fn new() -> Self {
        Self {
            offer: script!("offer.lua"),
            postpone: script!("postpone.lua"),
            take_over: script!("take_over.lua"),
            begin: script!("limit.lua", "begin.lua"),
            finish: script!("limit.lua", "finish.lua"),
            retry: script!("retry.lua"),
            oldest: script!("oldest.lua"),
        }
    }
}

impl Desk {
    pub(super) fn new(connection: ConnectionManager, keys: String, queue: QueueName, jobs: JobOptions) -> Self {
        Self { connection, keys, queue, jobs, limits: Arc::default(), scripts: Arc::new(Scripts::new()) }
    }

    /// A key of the queue; the empty name is what all of them begin with.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.keys)
    }

    /// Queues jobs; see [`crate::JobQueue::offer`].
    pub(super) async fn offer<I: Identity>(&self, offers: &[Offer<I>]) -> Result<Vec<Offered>, QueueError> {
        let mut outcomes = Vec::with_capacity(offers.len());
        for some in offers.chunks(OFFERS_MAX) {
            let mut call = self.scripts.offer.prepare_invoke();
            call.arg(&self.keys).arg(crate::clock::now().millis()).arg(self.queue.job_name());
            for offer in some {
                let delay = offer.delay.map_or(0, millis);
                call.arg(offer.job.as_str()).arg(json(&I::data(offer))?).arg(self.options(offer, delay));
                call.arg(super::bullmq_priority(offer.priority)).arg(delay);
            }
            let found: Vec<u8> = self.invoke("queue jobs", &call).await?;
            outcomes.extend(found.into_iter().map(|found| match found {
                0 => Offered::New,
                1 => Offered::Replaced,
                _ => Offered::Present,
            }));
        }
        Ok(outcomes)
    }

    /// A job's options as the clients read them: whole numbers, for ours drops every option where one cannot be read.
    fn options<I: Identity>(&self, offer: &Offer<I>, delay: u64) -> String {
        let jobs = &self.jobs;
        let backoff = serde_json::json!({"type": "exponential", "delay": millis(jobs.backoff).max(1)});
        let mut options = serde_json::json!({
            "jobId": offer.job.as_str(),
            "priority": super::bullmq_priority(offer.priority),
            "attempts": offer.attempts.unwrap_or(jobs.attempts).max(1),
            "backoff": backoff,
            "removeOnComplete": jobs.keep_completed,
            "removeOnFail": jobs.keep_failed,
        });
        if delay > 0 {
            options["delay"] = delay.into();
        }
        options.to_string()
    }

    /// Puts off a job that is under way. False: it is no longer ours.
    pub(super) async fn postpone(&self, job: &bullmq::Job, put_off: PutOff<'_>) -> Result<bool, QueueError> {
        let delay = put_off.delay.max(DELAY_MIN);
        let due = crate::clock::now().plus(delay).millis();
        let mut call = self.scripts.postpone.prepare_invoke();
        call.arg(&self.keys).arg(job.id()).arg(job.token().unwrap_or_default()).arg(due).arg(millis(delay));
        call.arg(u8::from(put_off.failed.is_some())).arg(put_off.failed.unwrap_or_default());
        Ok(self.invoke::<u8>("delay a job", &call).await? == 1)
    }

    /// Gives the jobs of silent workers to others, unless another worker has looked a moment ago; answers how many.
    pub(super) async fn take_over(&self) -> Result<usize, QueueError> {
        let mut call = self.scripts.take_over.prepare_invoke();
        let others_rest = millis(self.jobs.stalled_interval / 2).max(1);
        call.arg(&self.keys).arg(crate::clock::now().millis()).arg(self.jobs.stalled_max).arg(others_rest);
        let taken: Vec<String> = self.invoke("look for stalled jobs", &call).await?;
        Ok(taken.len())
    }

    /// Looks for jobs of silent workers at once and then at every interval. The client's own check sets a key that expires at the moment of
    /// its next look, and so does nothing every other time; and it only marks what it moves the time after.
    ///
    /// Cancel safe: each look is one call.
    pub(super) async fn watch_for_stalled(&self) {
        let mut looks = tokio::time::interval(self.jobs.stalled_interval);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            match self.take_over().await {
                Ok(0) => {}
                Ok(jobs) => {
                    tracing::warn!(queue = self.queue.as_str(), jobs, "jobs of a silent worker were taken over")
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "stalled jobs were not looked for")
                }
            }
        }
    }

    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        what: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, QueueError> {
        let mut connection = self.connection.clone();
        call.invoke_async(&mut connection).await.map_err(refused(what))
    }
}

/// Shortest wait of a job that comes back.
const DELAY_MIN: Duration = Duration::from_millis(1);

/// How a job is put off.
pub(super) struct PutOff<'a> {
    /// How long.
    pub(super) delay: Duration,
    /// Why the attempt failed. None: it spends none.
    pub(super) failed: Option<&'a str>,
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn json(data: &impl serde::Serialize) -> Result<String, QueueError> {
    serde_json::to_string(data).map_err(|error| QueueError::Redis { what: "write a job's data", source: error.into() })
}
