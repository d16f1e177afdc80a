//! How each enterprise's connection stands.
//!
//! Owns the table that health and metrics show: latest values only, shared by `watch`, so that nobody who looks can slow a source down.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use xnovu_domain::{EnterpriseId, Micros};

use crate::clock::Clock;

/// Longest error kept, in bytes.
const ERROR_BYTES_MAX: usize = 300;

/// The state of one enterprise's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Not started, or stopped.
    Disconnected,
    /// The socket is being made.
    Connecting,
    /// The socket is there, the subscription not yet.
    Connected,
    /// Changes arrive.
    Subscribed,
    /// The socket is there, the subscription was refused and is tried again.
    Error,
    /// The socket was lost and is made again after a wait.
    Reconnecting,
}

impl Connection {
    /// The word the health endpoints use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Subscribed => "subscribed",
            Self::Error => "error",
            Self::Reconnecting => "reconnecting",
        }
    }
}

/// How one enterprise stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The state.
    pub connection: Connection,
    /// Since when it is that.
    pub since: Micros,
    /// The last error, kept after it has passed. At most 300 bytes.
    pub last_error: Option<String>,
    /// How often the connection was lost since the start.
    pub reconnects: u32,
}

/// How many enterprises stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Subscriptions {
    /// All of them.
    pub total: usize,
    /// Changes arrive.
    pub active: usize,
    /// The server refuses the subscription; it is tried again.
    pub failed: usize,
    /// The connection was lost and is not back yet.
    pub reconnecting: usize,
}

impl Subscriptions {
    /// Counts them. One that was lost counts as reconnecting until it is subscribed again, through every try.
    #[must_use]
    pub fn of(connections: &Connections) -> Self {
        let mut counts = Self { total: connections.len(), ..Self::default() };
        for standing in connections.values() {
            match standing.connection {
                Connection::Subscribed => counts.active += 1,
                Connection::Error => counts.failed += 1,
                Connection::Reconnecting => counts.reconnecting += 1,
                Connection::Connecting | Connection::Connected if standing.reconnects > 0 => counts.reconnecting += 1,
                Connection::Disconnected | Connection::Connecting | Connection::Connected => {}
            }
        }
        counts
    }
}

/// How every enterprise stands.
pub type Connections = BTreeMap<EnterpriseId, Standing>;

/// Where sources say how they stand. Clones share one table.
#[derive(Clone)]
pub struct StatusSender {
    table: watch::Sender<Connections>,
    clock: Arc<dyn Clock>,
}

impl StatusSender {
    /// A table in which every enterprise is disconnected.
    #[must_use]
    pub fn new(enterprises: &[EnterpriseId], clock: Arc<dyn Clock>) -> Self {
        let since = clock.now();
        let start = Standing { connection: Connection::Disconnected, since, last_error: None, reconnects: 0 };
        let table = enterprises.iter().map(|enterprise| (enterprise.clone(), start.clone())).collect();
        Self { table: watch::Sender::new(table), clock }
    }

    /// Watches the table.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Connections> {
        self.table.subscribe()
    }

    /// Says how these enterprises stand now.
    pub fn set(&self, enterprises: &[EnterpriseId], connection: Connection) {
        self.change(enterprises, connection, |_| {});
    }

    /// Says how these enterprises stand now because of an error.
    pub fn set_error(&self, enterprises: &[EnterpriseId], connection: Connection, error: &str) {
        let mut text = error.replace(|c: char| c.is_control(), " ");
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
        self.change(enterprises, connection, |standing| standing.last_error = Some(text.clone()));
    }

    /// Says that the connection of these enterprises was lost and will be made again.
    pub fn set_lost(&self, enterprises: &[EnterpriseId], error: &str) {
        self.set_error(enterprises, Connection::Reconnecting, error);
        self.change(enterprises, Connection::Reconnecting, |standing| standing.reconnects += 1);
    }

    fn change(&self, enterprises: &[EnterpriseId], connection: Connection, more: impl Fn(&mut Standing)) {
        let now = self.clock.now();
        self.table.send_modify(|table| {
            for enterprise in enterprises {
                let Some(standing) = table.get_mut(enterprise) else { continue };
                if standing.connection != connection {
                    (standing.connection, standing.since) = (connection, now);
                }
                more(standing);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn one_that_was_lost_is_reconnecting_until_it_is_subscribed_again() {
        let ids: Vec<EnterpriseId> = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        let status = StatusSender::new(&ids, Arc::new(ManualClock::new(Micros::new(1))));
        let counts = || Subscriptions::of(&status.watch().borrow());
        status.set(&ids, Connection::Connecting);
        assert_eq!(counts(), Subscriptions { total: 2, ..Subscriptions::default() });
        status.set(&ids, Connection::Subscribed);
        status.set_lost(&ids[..1], "gone");
        for connection in [Connection::Reconnecting, Connection::Connecting, Connection::Connected] {
            status.set(&ids[..1], connection);
            assert_eq!(counts(), Subscriptions { total: 2, active: 1, failed: 0, reconnecting: 1 });
        }
        status.set(&ids[..1], Connection::Subscribed);
        status.set_error(&ids[1..], Connection::Error, "refused");
        assert_eq!(counts(), Subscriptions { total: 2, active: 1, failed: 1, reconnecting: 0 });
    }

    #[test]
    fn a_state_keeps_its_start_and_an_error_outlives_its_state() {
        let clock = Arc::new(ManualClock::new(Micros::new(1)));
        let ids: Vec<EnterpriseId> = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        let status = StatusSender::new(&ids, clock.clone());
        clock.set(Micros::new(2));
        status.set_lost(&ids[..1], "gone\naway");
        clock.set(Micros::new(3));
        status.set(&ids[..1], Connection::Subscribed);
        clock.set(Micros::new(4));
        status.set(&ids[..1], Connection::Subscribed);
        let table = status.watch().borrow().clone();
        let want = Standing {
            connection: Connection::Subscribed,
            since: Micros::new(3),
            last_error: Some("gone away".to_owned()),
            reconnects: 1,
        };
        assert_eq!(table[&ids[0]], want);
        assert_eq!(table[&ids[1]].connection, Connection::Disconnected);
    }
}
