//! The ledger in Redis.
//!
//! Owns one hash a job, `<prefix>:ledger:<job>`: field `record` holds what was fixed as JSON, field `bodies` its hashes in order; field
//! `<n>` holds state and generation of call n as `<state> <generation>`.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::{FromRedisValue, Script, ScriptInvocation};
use xnovu_domain::JobId;

use crate::record::{CallState, LedgerError, SendRecord};

const RECORD: &str = "record";

/// What tells whether two records fix the same bodies: their hashes in order.
const BODIES: &str = "bodies";

/// KEYS job; ARGV record, bodies, ttl. Answers all fields.
const OPEN: &str = "if redis.call('HSETNX', KEYS[1], 'record', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'bodies', ARGV[2]) redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return redis.call('HGETALL', KEYS[1])";

/// KEYS job; ARGV record, bodies, ttl, the bodies that were read. Replaces unless another record stands or a call was made, or may have
/// been. Answers all fields.
const REPLACE: &str = "local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local mark = string.match(fields[i], '^%d+$') and string.match(fields[i + 1], '^%a+')
  if mark == 'sending' or mark == 'uncertain' or mark == 'accepted' then return fields end
  if fields[i] == 'bodies' and fields[i + 1] ~= ARGV[4] then return fields end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'bodies', ARGV[2]) redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('HGETALL', KEYS[1])";

/// KEYS job; ARGV call, state and generation, ttl. Answers 1, or 0 where no record stands.
const MARK: &str = "if redis.call('HEXISTS', KEYS[1], 'record') == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('PEXPIRE', KEYS[1], ARGV[3]) return 1";

pub(super) struct Redis {
    connection: ConnectionManager,
    prefix: String,
    kept_ms: u64,
    open: Script,
    replace: Script,
    mark: Script,
}

impl Redis {
    pub(super) fn new(connection: ConnectionManager, prefix: &str, kept: Duration) -> Self {
        let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
        let (open, replace, mark) = (Script::new(OPEN), Script::new(REPLACE), Script::new(MARK));
        Self { connection, prefix: prefix.to_owned(), kept_ms, open, replace, mark }
    }

    fn key(&self, job: &JobId) -> String {
        format!("{}:ledger:{job}", self.prefix)
    }

    pub(super) async fn open(&self, job: &JobId, fresh: &SendRecord) -> Result<SendRecord, LedgerError> {
        let mut call = self.open.key(self.key(job));
        call.arg(to_text(fresh)?).arg(bodies(fresh)).arg(self.kept_ms);
        self.record("open a record", &call).await
    }

    pub(super) async fn replace(
        &self,
        job: &JobId,
        stands: &SendRecord,
        fresh: &SendRecord,
    ) -> Result<SendRecord, LedgerError> {
        let mut call = self.replace.key(self.key(job));
        call.arg(to_text(fresh)?).arg(bodies(fresh)).arg(self.kept_ms).arg(bodies(stands));
        self.record("replace a record", &call).await
    }

    pub(super) async fn get(&self, job: &JobId) -> Result<Option<SendRecord>, LedgerError> {
        let mut connection = self.connection.clone();
        let read = redis::cmd("HGETALL").arg(self.key(job)).query_async(&mut connection).await;
        read_record(read.map_err(|source| failed("read a record", source))?)
    }

    pub(super) async fn mark(
        &self,
        job: &JobId,
        index: usize,
        state: CallState,
        generation: u32,
    ) -> Result<bool, LedgerError> {
        let mut call = self.mark.key(self.key(job));
        call.arg(index).arg(format!("{} {generation}", state.word())).arg(self.kept_ms);
        Ok(self.invoke::<u8>("mark a call", &call).await? == 1)
    }

    pub(super) async fn remove(&self, job: &JobId) -> Result<(), LedgerError> {
        let mut connection = self.connection.clone();
        let done = redis::cmd("UNLINK").arg(self.key(job)).query_async(&mut connection).await;
        done.map_err(|source| failed("remove a record", source))
    }

    async fn record(&self, what: &'static str, call: &ScriptInvocation<'_>) -> Result<SendRecord, LedgerError> {
        read_record(self.invoke(what, call).await?)?.ok_or(LedgerError::Gone)
    }

    async fn invoke<T: FromRedisValue>(
        &self,
        what: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, LedgerError> {
        let mut connection = self.connection.clone();
        call.invoke_async(&mut connection).await.map_err(|source| failed(what, source))
    }
}

fn failed(what: &'static str, source: redis::RedisError) -> LedgerError {
    LedgerError::Redis { what, source: source.into() }
}

fn to_text(record: &SendRecord) -> Result<String, LedgerError> {
    serde_json::to_string(record).map_err(LedgerError::Malformed)
}

fn bodies(record: &SendRecord) -> String {
    record.calls.iter().map(|call| call.hash.as_str()).collect::<Vec<_>>().join(" ")
}

fn read_record(mut fields: HashMap<String, String>) -> Result<Option<SendRecord>, LedgerError> {
    let Some(text) = fields.remove(RECORD) else { return Ok(None) };
    fields.remove(BODIES);
    let mut record: SendRecord = serde_json::from_str(&text).map_err(LedgerError::Malformed)?;
    for (index, mark) in fields {
        let marked = index.parse::<usize>().ok().and_then(|index| record.calls.get_mut(index)).zip(parse_mark(&mark));
        let Some((call, (state, generation))) = marked else {
            return Err(LedgerError::Mark(format!("{index}: {mark}")));
        };
        (call.state, call.generation) = (state, generation);
    }
    Ok(Some(record))
}

fn parse_mark(mark: &str) -> Option<(CallState, u32)> {
    let (state, generation) = mark.split_once(' ')?;
    Some((CallState::from_word(state)?, generation.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_over_what_was_fixed_and_a_strange_one_is_named() {
        let record = r#"{"plugin_digest":null,"config_hash":null,"now_ms":1,"since_ms":1,
            "calls":[{"hash":"h","transaction_id":"t","generation":0,"state":"fresh"}]}"#;
        let read = |mark: &str| {
            read_record(HashMap::from([(RECORD.to_owned(), record.to_owned()), ("0".to_owned(), mark.to_owned())]))
        };
        let call = read("uncertain 3").unwrap().unwrap().calls.remove(0);
        assert_eq!((call.state, call.generation), (CallState::Uncertain, 3));
        assert!(matches!(read("lost 1"), Err(LedgerError::Mark(text)) if text == "0: lost 1"));
        assert!(read_record(HashMap::new()).unwrap().is_none());
    }
}
