//! What a daemon and a worker both need, made from the settings.
//!
//! Owns the order in which the parts are opened and the errors of each. Never starts a task.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use xnovu_queue::{
    JobOptions, JobQueue, Ledger, Limit, Limits, MemoryQueue, RedisOptions, RedisQueue, RedisTls, Registry,
};
use xnovu_rules::{ChildCompiler, Compiler, Report, Runtime, RuntimeOptions};

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, LEDGER_MARGIN};
use crate::gateway::NotificationGateway;
use crate::gateway::novu::NovuGateway;
use crate::metrics::Metrics;
use crate::retraction::Retractions;
use crate::store::NotificationStore;
use crate::store::postgrest::Postgrest;
use crate::traces::Traces;
use crate::trail::Trail;

/// How long a start waits for components that have to be compiled; the rest are compiled while it serves.
const START_WITHIN: Duration = Duration::from_secs(10);

/// The opened parts.
pub struct Parts {
    /// The settings they were made from.
    pub config: Config,
    /// The rows.
    pub store: Arc<dyn NotificationStore>,
    /// The rules.
    pub rules: Arc<Runtime>,
    /// What became of the plugins when they were opened.
    pub report: Report,
    /// Novu.
    pub gateway: Arc<dyn NotificationGateway>,
    /// The jobs.
    pub queue: Arc<dyn JobQueue>,
    /// Who works on them.
    pub registry: Arc<Registry>,
    /// What was fixed before the first call.
    pub ledger: Arc<Ledger>,
    /// Carries retractions.
    pub retractions: Arc<Retractions>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Who watches.
    pub trail: Trail,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Parts {
    /// Opens them.
    ///
    /// # Errors
    /// Whatever cannot be opened, and what it was opened for.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let traces = config.traces.as_ref().map(Traces::to).transpose()?.unwrap_or_default();
        let (trail, metrics) = (Trail::with(traces), Metrics::new());
        let store: Arc<dyn NotificationStore> =
            Arc::new(Postgrest::new(&config.supabase, Arc::clone(&clock)).context("opening the client of Supabase")?);
        let gateway: Arc<dyn NotificationGateway> =
            Arc::new(NovuGateway::new(&config.novu).context("opening the client of Novu")?);
        let Opened { queue, registry, ledger } = open_queue(&config).await?;
        let options = RuntimeOptions {
            threads: config.rule_threads,
            start_within: Some(START_WITHIN),
            ..RuntimeOptions::new(&config.plugins, config.state.join("compiled"), compiler())
        };
        let (rules, report) = Runtime::open(options).await.context("opening the rules")?;
        let retractions = Arc::new(Retractions {
            store: Arc::clone(&store),
            queue: Arc::clone(&queue),
            ledger: Arc::clone(&ledger),
            gateway: Arc::clone(&gateway),
            trail: trail.clone(),
        });
        let rules = Arc::new(rules);
        Ok(Self { config, store, rules, report, gateway, queue, registry, ledger, retractions, clock, trail, metrics })
    }
}

/// This program, as the child process in which components are compiled.
#[must_use]
pub fn compiler() -> Compiler {
    // The file may be replaced by a new version while this one runs; what this leads to stays the same.
    Compiler::Child(ChildCompiler::new("/proc/self/exe", ["compile"]))
}

struct Opened {
    queue: Arc<dyn JobQueue>,
    registry: Arc<Registry>,
    ledger: Arc<Ledger>,
}

async fn open_queue(config: &Config) -> anyhow::Result<Opened> {
    let set = &config.jobs;
    let jobs = JobOptions {
        attempts: set.attempts,
        backoff: set.backoff,
        backoff_max: set.backoff_max,
        keep_completed: set.keep_completed,
        keep_failed: set.keep_failed,
        lock: set.lock,
        stalled_interval: set.stalled_interval,
        stalled_max: set.stalled_max,
    };
    let Some(redis) = &config.redis else {
        let queue = MemoryQueue::new(jobs).with_limits(limits(config));
        return Ok(Opened { registry: queue.registry(), queue: Arc::new(queue), ledger: Arc::new(Ledger::memory()) });
    };
    let queue = connect(redis, jobs).await?.with_limits(limits(config));
    let ledger = Arc::new(queue.ledger(config.jobs.give_up_after + LEDGER_MARGIN));
    Ok(Opened { registry: Arc::new(queue.registry()), queue: Arc::new(queue), ledger })
}

/// Connects to the queue in Redis.
///
/// # Errors
/// Redis does not answer, or not to these settings.
pub async fn connect(redis: &config::Redis, jobs: JobOptions) -> anyhow::Result<RedisQueue> {
    RedisQueue::connect(redis_options(redis, jobs)).await.context("connecting to Redis (REDIS_URL)")
}

/// The limits of single enterprises.
fn limits(config: &Config) -> Limits {
    let settings = Arc::clone(&config.per_enterprise);
    Limits::new(move |enterprise| {
        let own = settings.of(enterprise);
        let of = |number: Option<u32>| number.and_then(NonZeroU32::new);
        Limit { concurrency: of(own.concurrency), per_second: of(own.rate_per_second) }
    })
}

/// Where the queue is, as the queue wants to know it.
#[must_use]
pub fn redis_options(redis: &config::Redis, jobs: JobOptions) -> RedisOptions {
    let tls = RedisTls { ca: redis.tls.ca.clone(), client: redis.tls.client.clone() };
    RedisOptions { url: redis.url.reveal().to_string(), prefix: redis.prefix.clone(), tls, jobs }
}
