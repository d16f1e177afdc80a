//! What a Redis says of itself, for whoever examines an installation.
//!
//! Owns the questions. Each has its own answer, so that a user who may not ask one is told of the others. Writes nothing, and is never
//! called by a daemon or a worker.

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind};

use super::{RedisOptions, refused};
use crate::QueueError;

/// Longest wait for a connection and for each answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keys that BullMQ keeps for each queue of the TypeScript daemon.
const FOREIGN_KEYS: [&str; 3] =
    ["bull:notification-processing:meta", "bull:realtime-processing:meta", "bull:rule-execution:meta"];

/// A key nobody has, under our prefix.
const NOBODYS_KEY: &str = "doctor";

/// What a Redis says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedisFacts {
    /// What `INFO` tells; None where we may not ask.
    pub server: Option<ServerFacts>,
    /// Who we are (`ACL WHOAMI`); None where we may not ask, or the server is too old.
    pub user: Option<String>,
    /// What the queue does and this user may not.
    pub forbidden: Vec<String>,
    /// Whether a client without a password is refused; None where that could not be tried.
    pub asks_for_password: Option<bool>,
    /// Keys of the queues of the TypeScript daemon; None where we may not look.
    pub foreign_keys: Option<Vec<String>>,
    /// Clients that look like its workers; None where we may not ask.
    pub foreign_workers: Option<usize>,
    /// Its clock, in microseconds since 1970; None where we may not ask.
    pub clock_us: Option<i64>,
}

/// What `INFO` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `redis_version`.
    pub version: String,
    /// `maxmemory_policy`.
    pub policy: String,
    /// Whether writes are logged (`appendonly`).
    pub append_only: bool,
    /// Whether the last write to disk went wrong, after which a Redis may refuse writes.
    pub disk_fails: bool,
    /// Whether it takes writes.
    pub primary: bool,
    /// Bytes it uses.
    pub memory_bytes: u64,
    /// Bytes it may use; None where there is no bound.
    pub memory_bytes_max: Option<u64>,
}

/// Asks a Redis about itself.
///
/// # Errors
/// It cannot be reached, or refuses us.
pub async fn examine(options: &RedisOptions) -> Result<RedisFacts, QueueError> {
    let mut connection = connect(options).await.map_err(refused("connect"))?;
    ::redis::cmd("PING")
        .query_async::<String>(&mut connection)
        .await
        .or_else(unless_forbidden)
        .map_err(refused("ping"))?;
    let info: RedisResult<String> = ::redis::cmd("INFO").query_async(&mut connection).await;
    let clients: RedisResult<String> = ::redis::cmd("CLIENT").arg("LIST").query_async(&mut connection).await;
    let time: RedisResult<(i64, i64)> = ::redis::cmd("TIME").query_async(&mut connection).await;
    Ok(RedisFacts {
        server: info.ok().map(|info| ServerFacts::of(&info)),
        user: ::redis::cmd("ACL").arg("WHOAMI").query_async(&mut connection).await.ok(),
        forbidden: forbidden(&mut connection, &options.prefix).await,
        asks_for_password: asks_for_password(options).await,
        foreign_keys: foreign_keys(&mut connection).await,
        foreign_workers: clients.ok().map(|clients| clients.lines().filter(|line| is_foreign(line)).count()),
        clock_us: time.ok().map(|(seconds, micros)| seconds.saturating_mul(1_000_000).saturating_add(micros)),
    })
}

async fn connect(options: &RedisOptions) -> RedisResult<MultiplexedConnection> {
    let patience =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    options.client()?.get_multiplexed_async_connection_with_config(&patience).await
}

/// A user who may not greet may still be one who may work.
fn unless_forbidden(error: RedisError) -> RedisResult<String> {
    if is_forbidden(&error) { Ok(String::new()) } else { Err(error) }
}

fn is_forbidden(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
}

/// What the queue does, done to a key nobody has: none of it changes anything.
async fn forbidden(connection: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    let key = format!("{prefix}:{NOBODYS_KEY}");
    let script = "return redis.call('exists', KEYS[1])";
    let tries: [(&str, &[&str]); 7] = [
        ("EVAL", &[script, "1", &key]),
        ("HGETALL", &[&key]),
        ("DEL", &[&key]),
        ("ZRANGE", &[&key, "0", "0"]),
        ("XLEN", &[&key]),
        ("SCRIPT", &["EXISTS", "0000000000000000000000000000000000000000"]),
        ("CLIENT", &["SETNAME", "xnovu-doctor"]),
    ];
    let mut forbidden = Vec::new();
    for (name, arguments) in tries {
        let mut command = Cmd::new();
        command.arg(name).arg(arguments);
        let tried: RedisResult<::redis::Value> = command.query_async(connection).await;
        if tried.is_err_and(|error| is_forbidden(&error)) {
            forbidden.push(name.to_owned());
        }
    }
    forbidden
}

/// Whether a client that names nobody is refused.
async fn asks_for_password(options: &RedisOptions) -> Option<bool> {
    let (scheme, rest) = options.url.split_once("://")?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let nobody = RedisOptions { url: format!("{scheme}://{host}"), ..options.clone() };
    let tried = async {
        let mut connection = connect(&nobody).await?;
        ::redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    match tried.await {
        Ok(_) => Some(false),
        Err(error) => {
            let refused = error.code() == Some("NOAUTH")
                || is_forbidden(&error)
                || error.kind() == ErrorKind::AuthenticationFailed;
            refused.then_some(true)
        }
    }
}

async fn foreign_keys(connection: &mut MultiplexedConnection) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for key in FOREIGN_KEYS {
        let exists: bool = ::redis::cmd("EXISTS").arg(key).query_async(connection).await.ok()?;
        found.extend(exists.then(|| key.to_owned()));
    }
    Some(found)
}

impl ServerFacts {
    fn of(info: &str) -> Self {
        let number = |name| field(info, name).and_then(|text| text.parse::<u64>().ok());
        let is = |name, word| field(info, name) == Some(word);
        Self {
            version: field(info, "redis_version").unwrap_or("unknown").to_owned(),
            policy: field(info, "maxmemory_policy").unwrap_or("unknown").to_owned(),
            append_only: is("aof_enabled", "1"),
            disk_fails: is("aof_last_write_status", "err") || is("rdb_last_bgsave_status", "err"),
            primary: !is("role", "slave"),
            memory_bytes: number("used_memory").unwrap_or(0),
            memory_bytes_max: number("maxmemory").filter(|bound| *bound > 0),
        }
    }
}

/// A field of `INFO`.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// BullMQ names the connections of its workers after their prefix and queue.
fn is_foreign(client: &str) -> bool {
    client.split(' ').any(|field| field.starts_with("name=bull:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_clients_are_known_by_their_whole_name() {
        let info = "# Memory\r\nused_memory:7\r\nmaxmemory_human:0B\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(
            (field(info, "maxmemory"), field(info, "maxmemory_policy"), field(info, "max")),
            (Some("0"), Some("noeviction"), None)
        );
        let facts = ServerFacts::of(info);
        assert_eq!((facts.memory_bytes, facts.memory_bytes_max, facts.version.as_str()), (7, None, "unknown"));
        assert!(ServerFacts::of("rdb_last_bgsave_status:err\n").disk_fails);
        assert!(is_foreign("id=3 addr=127.0.0.1:1 name=bull:bm90aWZpY2F0aW9u cmd=bzpopmin"));
        assert!(!is_foreign("id=3 addr=127.0.0.1:1 name=xnovu-acme:bm90 cmd=bull"));
    }
}
