//! The registry in Redis.
//!
//! Owns `<prefix>:workers`, a sorted set of ids by their last sign of life in the clock of Redis, `<prefix>:worker:<id>`, what the worker tells
//! of itself as JSON, and `<prefix>:worker:<id>:stop`, which asks it to stop. Both keys of a worker expire.

use redis::aio::ConnectionManager;
use redis::{FromRedisValue, Script, ScriptInvocation};

use super::{REQUEST_KEPT, SILENCE_MAX, WorkerInfo};
use crate::QueueError;

/// KEYS workers, worker; ARGV id, JSON, how long it lives in ms. Answers 1 if it was asked to stop.
const BEAT: &str = "local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return redis.call('EXISTS', KEYS[2] .. ':stop')";

/// KEYS workers; ARGV what a worker's key begins with. Answers their JSON.
const LIST: &str = "local out = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local worker = redis.call('GET', ARGV[1] .. id)
  if worker then out[#out + 1] = worker end
end
return out";

/// KEYS worker; ARGV how long the request is kept in ms. Answers 0 where there is no such worker.
const STOP: &str = "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[1] .. ':stop', '1', 'PX', ARGV[1]) return 1";

pub(super) struct Redis {
    connection: ConnectionManager,
    prefix: String,
    beat: Script,
    list: Script,
    stop: Script,
}

impl Redis {
    pub(super) fn new(connection: ConnectionManager, prefix: &str) -> Self {
        let (beat, list, stop) = (Script::new(BEAT), Script::new(LIST), Script::new(STOP));
        Self { connection, prefix: prefix.to_owned(), beat, list, stop }
    }

    fn workers(&self) -> String {
        format!("{}:workers", self.prefix)
    }

    fn worker(&self, id: &str) -> String {
        format!("{}:worker:{id}", self.prefix)
    }

    pub(super) async fn beat(&self, worker: &WorkerInfo) -> Result<bool, QueueError> {
        let what = "tell of a worker";
        let json = serde_json::to_string(worker).map_err(|error| QueueError::Redis { what, source: error.into() })?;
        let mut call = self.beat.key(self.workers());
        call.key(self.worker(&worker.id)).arg(&worker.id).arg(json).arg(millis(SILENCE_MAX));
        Ok(self.invoke::<u8>(what, &call).await? == 1)
    }

    pub(super) async fn list(&self) -> Result<Vec<WorkerInfo>, QueueError> {
        let mut call = self.list.key(self.workers());
        call.arg(self.worker(""));
        let workers: Vec<String> = self.invoke("list workers", &call).await?;
        // One of another version may tell of itself in another way.
        let known = |text: String| match serde_json::from_str(&text) {
            Ok(worker) => Some(worker),
            Err(error) => {
                tracing::debug!(%error, "a worker tells of itself in a way that is not known");
                None
            }
        };
        Ok(workers.into_iter().filter_map(known).collect())
    }

    pub(super) async fn ask_to_stop(&self, id: &str) -> Result<bool, QueueError> {
        let mut call = self.stop.key(self.worker(id));
        call.arg(millis(REQUEST_KEPT));
        Ok(self.invoke::<u8>("ask a worker to stop", &call).await? == 1)
    }

    pub(super) async fn leave(&self, id: &str) -> Result<(), QueueError> {
        let (mut connection, worker) = (self.connection.clone(), self.worker(id));
        let mut pipeline = redis::pipe();
        pipeline.atomic().zrem(self.workers(), id).ignore().del(&[worker.clone(), format!("{worker}:stop")]).ignore();
        pipeline.query_async(&mut connection).await.map_err(failed("forget a worker"))
    }

    async fn invoke<T: FromRedisValue>(
        &self,
        what: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, QueueError> {
        let mut connection = self.connection.clone();
        call.invoke_async(&mut connection).await.map_err(failed(what))
    }
}

fn failed(what: &'static str) -> impl Fn(redis::RedisError) -> QueueError {
    move |source| QueueError::Redis { what, source: source.into() }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
