//! What a Redis says of itself, for whoever examines an installation.
//!
//! Never writes, and never called by a daemon or a worker.

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, ErrorKind, RedisResult, ServerErrorKind};

use super::{RedisOptions, refused};
use crate::QueueError;

/// Longest wait for a connection and for each answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keys that BullMQ keeps for each queue of the TypeScript daemon.
const FOREIGN_KEYS: [&str; 3] =
    ["bull:notification-processing:meta", "bull:realtime-processing:meta", "bull:rule-execution:meta"];

/// What a Redis says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisFacts {
    /// `redis_version`.
    pub version: String,
    /// `maxmemory_policy`.
    pub policy: String,
    /// Whether writes are logged (`appendonly`).
    pub append_only: bool,
    /// Whether it takes writes.
    pub primary: bool,
    /// How much of its memory is used, in percent; None where there is no bound.
    pub memory_percent: Option<u64>,
    /// Whether a client without a password is refused.
    pub asks_for_password: bool,
    /// Keys of the queues of the TypeScript daemon.
    pub foreign_keys: Vec<String>,
    /// Clients that look like its workers; None where we may not ask.
    pub foreign_workers: Option<usize>,
}

/// Asks a Redis about itself.
///
/// # Errors
/// It cannot be reached, or refuses us or the question.
pub async fn examine(options: &RedisOptions) -> Result<RedisFacts, QueueError> {
    let mut connection = connect(options).await.map_err(refused("connect"))?;
    let info: String =
        ::redis::cmd("INFO").query_async(&mut connection).await.map_err(refused("ask Redis about itself"))?;
    let mut exist = ::redis::pipe();
    FOREIGN_KEYS.iter().for_each(|key| {
        exist.exists(*key);
    });
    let there: Vec<bool> = exist.query_async(&mut connection).await.map_err(refused("look for foreign queues"))?;
    let clients: RedisResult<String> = ::redis::cmd("CLIENT").arg("LIST").query_async(&mut connection).await;
    let number = |name| field(&info, name).and_then(|text| text.parse::<u64>().ok());
    let bound = number("maxmemory").filter(|bound| *bound > 0);
    Ok(RedisFacts {
        version: field(&info, "redis_version").unwrap_or("unknown").to_owned(),
        policy: field(&info, "maxmemory_policy").unwrap_or("unknown").to_owned(),
        append_only: field(&info, "aof_enabled") == Some("1"),
        primary: field(&info, "role") != Some("slave"),
        memory_percent: bound.zip(number("used_memory")).map(|(bound, used)| used.saturating_mul(100) / bound),
        asks_for_password: asks_for_password(options).await,
        foreign_keys: FOREIGN_KEYS
            .iter()
            .zip(there)
            .filter(|(_, there)| *there)
            .map(|(key, _)| (*key).to_owned())
            .collect(),
        foreign_workers: clients.ok().map(|clients| clients.lines().filter(|line| is_foreign(line)).count()),
    })
}

async fn connect(options: &RedisOptions) -> RedisResult<MultiplexedConnection> {
    let patience =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    options.client()?.get_multiplexed_async_connection_with_config(&patience).await
}

/// Whether a client that names nobody is refused.
async fn asks_for_password(options: &RedisOptions) -> bool {
    let Some((scheme, rest)) = options.url.split_once("://") else { return false };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let nobody = RedisOptions { url: format!("{scheme}://{host}"), ..options.clone() };
    let refused = async {
        let mut connection = connect(&nobody).await?;
        ::redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    refused.await.is_err_and(|error| {
        error.code() == Some("NOAUTH")
            || matches!(error.kind(), ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm))
    })
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
        let info = "# Memory\r\nmaxmemory_human:0B\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(
            (field(info, "maxmemory"), field(info, "maxmemory_policy"), field(info, "max")),
            (Some("0"), Some("noeviction"), None)
        );
        assert!(is_foreign("id=3 addr=127.0.0.1:1 name=bull:bm90aWZpY2F0aW9u cmd=bzpopmin"));
        assert!(!is_foreign("id=3 addr=127.0.0.1:1 name=xnovu-acme:bm90 cmd=bull"));
    }
}
