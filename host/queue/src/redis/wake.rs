//! The end of an idle worker's wait.
//!
//! Owns one thing: a worker that blocks in Redis is let go as soon as it is asked to stop. The client would otherwise block for as long as a
//! second, and for five where a delayed job waits. Wakes that worker's connection and no other: a marker written to wake it could be taken
//! by the worker of another process, or take the place of one that announces a job.

use std::time::Duration;

use redis::aio::ConnectionManager;

/// Between two looks for the connection: it may be about to block when it is looked for first.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Looks before the client's own timeout is waited for. A worker that does not block by then sees by itself that it is to stop.
const LOOKS_MAX: u32 = 20;

/// Lets the connection of this name go. A Redis that refuses these commands leaves the worker to its timeout.
///
/// Cancel safe: nothing is lost when the worker has stopped before.
pub(super) async fn let_go(mut connection: ConnectionManager, name: &str) {
    for _ in 0..LOOKS_MAX {
        match unblock(&mut connection, name).await {
            Ok(false) => tokio::time::sleep(LOOK_INTERVAL).await,
            Ok(true) => return,
            Err(error) => {
                tracing::debug!(%error, "an idle worker was left to its timeout");
                return;
            }
        }
    }
}

/// Says whether a connection of this name was blocked.
async fn unblock(connection: &mut ConnectionManager, name: &str) -> redis::RedisResult<bool> {
    let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(connection).await?;
    let Some(id) = id_of(&clients, name) else { return Ok(false) };
    let unblocked: u8 = redis::cmd("CLIENT").arg("UNBLOCK").arg(id).query_async(connection).await?;
    Ok(unblocked == 1)
}

/// The id of the client of this name, of the lines `CLIENT LIST` answers.
fn id_of<'a>(clients: &'a str, name: &str) -> Option<&'a str> {
    let field = |line: &'a str, key: &str| line.split(' ').find_map(|field| field.strip_prefix(key));
    let line = clients.lines().find(|line| field(line, "name=") == Some(name))?;
    field(line, "id=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_known_by_its_whole_name() {
        let clients = "id=3 addr=127.0.0.1:1 name=p:cQ==:w:ab1 cmd=bzpopmin\nid=4 addr=127.0.0.1:2 name=p:cQ==:w:ab cmd=bzpopmin\n";
        assert_eq!(id_of(clients, "p:cQ==:w:ab"), Some("4"));
        assert_eq!(id_of(clients, "p:cQ==:w:a"), None);
    }
}
