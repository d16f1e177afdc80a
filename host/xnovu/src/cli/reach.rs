//! How a verb that looks at the queue gets there.
//!
//! Owns the few settings such a verb needs: an operator's machine has Redis's address, and neither the keys of Supabase nor those of Novu.

use crate::config::{Config, Layers};
use crate::control::{Client, Role, StateDir};
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
        None => Ok(Reached::Daemon(Client::of(&StateDir::at(&place.state)?, &Role::Daemon)?)),
    }
}
