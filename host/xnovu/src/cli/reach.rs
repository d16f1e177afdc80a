//! How a verb that looks at the queue gets there.
//!
//! Owns the few settings such a verb needs: an operator's machine has Redis's address, and neither the keys of Supabase nor those of Novu.

use anyhow::anyhow;

use crate::config::{Config, Layers};
use crate::control::{Client, ControlError, Role, StateDir};
use crate::parts;
use xnovu_queue::{JobOptions, RedisQueue};

/// Where the queue is.
pub(super) enum Reached {
    /// In Redis.
    Redis(Box<RedisQueue>),
    /// In the daemon of this state directory, which can be asked.
    Daemon(Client),
}

/// The queue of these settings.
///
/// # Errors
/// The settings are wrong, Redis does not answer, or there is neither Redis nor a daemon.
pub(super) async fn reach(layers: &Layers) -> anyhow::Result<Reached> {
    let place = Config::read_queue(layers)?;
    match &place.redis {
        Some(redis) => Ok(Reached::Redis(Box::new(parts::connect(redis, JobOptions::default()).await?))),
        None => Ok(Reached::Daemon(Client::of(&StateDir::at(&place.state)?, &Role::Daemon).map_err(nowhere)?)),
    }
}

/// Most who see this have left out the address of Redis.
fn nowhere(error: ControlError) -> anyhow::Error {
    match error {
        ControlError::NotRunning { dir, .. } => anyhow!(
            "there is no queue: REDIS_URL is not set, and no daemon runs with the state directory {}\n  \
             hint: set REDIS_URL as the daemon has it, or XNOVU_STATE_DIR to the directory of a daemon whose queue is in its memory",
            dir.display()
        ),
        other => other.into(),
    }
}
