//! Removes everything under a prefix, for a queue that was only a demonstration.
//!
//! Never called by a daemon or a worker.

use ::redis::{AsyncCommands, AsyncIter};

use super::{RedisOptions, refused};
use crate::QueueError;

/// Keys removed in one round trip.
const BATCH: usize = 500;

/// Removes every key that begins with the queue's prefix, jobs and ledger alike, and answers how many there were. Nobody may use the queue
/// meanwhile.
///
/// # Errors
/// Redis cannot be reached or refuses; some keys may be gone then.
pub async fn erase(options: &RedisOptions) -> Result<usize, QueueError> {
    let said = refused("erase a queue");
    let client = options.client().map_err(&said)?;
    let mut reader = client.get_multiplexed_async_connection().await.map_err(&said)?;
    let mut writer = reader.clone();
    let pattern = format!("{}:*", escaped(&options.prefix));
    let (mut keys, mut erased) = (Vec::new(), 0);
    let mut found: AsyncIter<'_, Vec<u8>> = reader.scan_match(pattern).await.map_err(&said)?;
    while let Some(key) = found.next_item().await {
        keys.push(key.map_err(&said)?);
        if keys.len() == BATCH {
            erased += unlink(&mut writer, &mut keys).await.map_err(&said)?;
        }
    }
    Ok(erased + unlink(&mut writer, &mut keys).await.map_err(&said)?)
}

async fn unlink(
    connection: &mut ::redis::aio::MultiplexedConnection,
    keys: &mut Vec<Vec<u8>>,
) -> ::redis::RedisResult<usize> {
    if keys.is_empty() {
        return Ok(0);
    }
    ::redis::cmd("UNLINK").arg(std::mem::take(keys)).query_async(connection).await
}

/// The prefix as a pattern that matches only itself.
fn escaped(prefix: &str) -> String {
    prefix.chars().flat_map(|c| "*?[]\\^-".contains(c).then_some('\\').into_iter().chain([c])).collect()
}
