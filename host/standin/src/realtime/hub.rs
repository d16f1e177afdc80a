//! The change log and who listens to it.
//!
//! It owns the log between commit and poll, the live subscriptions, and the switches that act on connections. A poll matches each
//! change against the subscriptions of that moment, so a change committed before a subscription is live is lost to it.

use std::cell::OnceCell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::database::Change;
use crate::faults::{Action, RealtimeFaults};
use crate::state::State;

use super::binding::Binding;
use super::event::{self, Form};
use super::frame::{Outgoing, Version};

/// Changes the log holds; beyond, the oldest are discarded, as the real server does under load.
const LOG_CHANGES_MAX: usize = 1_000_000;
/// Frames waiting for one socket. A client that falls further behind is cut off.
const OUTBOX_FRAMES_MAX: usize = 65_536;
/// Actions waiting for one socket.
const CONTROLS_MAX: usize = 16;

/// What a connection is told to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    ExpireTokens,
    ErrorChannels,
    FailSubscriptions,
}

/// Whether a connection has fallen silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    No,
    WhileSwitched,
    ForGood,
}

/// The hub's end of a connection.
#[derive(Debug)]
struct Peer {
    outbox: mpsc::Sender<Utf8Bytes>,
    control: mpsc::Sender<Control>,
    stall: watch::Sender<Stall>,
    dropped: CancellationToken,
    subscriptions: HashMap<String, Subscription>,
}

/// A live subscription of one channel.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) version: Version,
    pub(super) bindings: Vec<Binding>,
}

/// The socket's end of a connection. Dropping it forgets the connection.
#[derive(Debug)]
pub(super) struct Connection {
    hub: Arc<Shared>,
    id: u64,
    pub(super) outbox: mpsc::Receiver<Utf8Bytes>,
    pub(super) control: mpsc::Receiver<Control>,
    pub(super) stall: watch::Receiver<Stall>,
    /// Cancelled when the socket is to go without a close frame.
    pub(super) dropped: CancellationToken,
}

/// The change log and its listeners.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<VecDeque<Change>>,
    wake: Notify,
    peers: Mutex<HashMap<u64, Peer>>,
    next_id: AtomicU64,
    /// Live subscriptions. While there are none, nothing is logged.
    live: AtomicUsize,
    joins: AtomicU64,
    events: AtomicU64,
}

/// Numbers about Realtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RealtimeStats {
    /// Sockets open now.
    pub connections: usize,
    /// Sockets opened since the start.
    pub connections_total: u64,
    /// Channels whose subscription is live now.
    pub subscriptions: usize,
    /// Joins answered `ok` since the start.
    pub joins_total: u64,
    /// Event frames handed to sockets since the start.
    pub events_total: u64,
}

impl Hub {
    /// Logs what a transaction changed, in commit order.
    pub(crate) fn publish(&self, changes: Vec<Change>) {
        if self.shared.live.load(Ordering::Acquire) == 0 || changes.is_empty() {
            return;
        }
        let mut log = lock(&self.shared.log);
        log.extend(changes);
        let excess = log.len().saturating_sub(LOG_CHANGES_MAX);
        log.drain(..excess);
        drop(log);
        self.shared.wake.notify_one();
    }

    /// Registers a connection; none if there are `connections_max` already.
    pub(super) fn connect(&self, connections_max: usize, stalled: bool) -> Option<Connection> {
        let mut peers = lock(&self.shared.peers);
        if peers.len() >= connections_max {
            return None;
        }
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (outbox, outbox_end) = mpsc::channel(OUTBOX_FRAMES_MAX);
        let (control, control_end) = mpsc::channel(CONTROLS_MAX);
        let (stall, stall_end) = watch::channel(if stalled { Stall::WhileSwitched } else { Stall::No });
        let dropped = CancellationToken::new();
        let peer = Peer { outbox, control, stall, dropped: dropped.clone(), subscriptions: HashMap::new() };
        peers.insert(id, peer);
        let hub = Arc::clone(&self.shared);
        Some(Connection { hub, id, outbox: outbox_end, control: control_end, stall: stall_end, dropped })
    }

    /// Does something once to all connections there are.
    pub(crate) fn act(&self, action: Action) {
        if action == Action::RestartSlot {
            lock(&self.shared.log).clear();
            return;
        }
        for peer in lock(&self.shared.peers).values() {
            let control = match action {
                Action::DropSockets => {
                    peer.dropped.cancel();
                    continue;
                }
                Action::StallSockets => {
                    peer.stall.send_replace(Stall::ForGood);
                    continue;
                }
                Action::ExpireTokens => Control::ExpireTokens,
                Action::ErrorChannels => Control::ErrorChannels,
                Action::FailSubscriptions => Control::FailSubscriptions,
                Action::RestartSlot => continue,
            };
            // A socket so far behind with its controls is as good as gone.
            if peer.control.try_send(control).is_err() {
                peer.dropped.cancel();
            }
        }
    }

    /// Silences all connections, or lets those talk again that the switch silenced.
    pub(crate) fn set_stalled(&self, stalled: bool) {
        let wanted = if stalled { Stall::WhileSwitched } else { Stall::No };
        for peer in lock(&self.shared.peers).values() {
            peer.stall.send_if_modified(|stall| {
                let change = *stall != Stall::ForGood && *stall != wanted;
                if change {
                    *stall = wanted;
                }
                change
            });
        }
    }

    pub(crate) fn stats(&self) -> RealtimeStats {
        RealtimeStats {
            connections: lock(&self.shared.peers).len(),
            connections_total: self.shared.next_id.load(Ordering::Relaxed),
            subscriptions: self.shared.live.load(Ordering::Relaxed),
            joins_total: self.shared.joins.load(Ordering::Relaxed),
            events_total: self.shared.events.load(Ordering::Relaxed),
        }
    }

    fn take(&self, changes_max: usize) -> Vec<Change> {
        let mut log = lock(&self.shared.log);
        let count = log.len().min(changes_max);
        log.drain(..count).collect()
    }

    fn deliver(&self, change: &Change, form: &Form) {
        let data = OnceCell::new();
        for peer in lock(&self.shared.peers).values() {
            if *peer.stall.borrow() != Stall::No {
                continue;
            }
            for (topic, subscription) in &peer.subscriptions {
                let wanted = subscription.bindings.iter().filter(|binding| binding.wants(change, form.identity_full));
                let ids: Vec<String> = wanted.map(|binding| binding.id.to_string()).collect();
                if ids.is_empty() {
                    continue;
                }
                let data = data.get_or_init(|| event::data(change, form));
                let payload = format!(r#"{{"ids":[{}],"data":{data}}}"#, ids.join(","));
                let frame =
                    Outgoing { join_ref: None, reference: None, topic, event: "postgres_changes", payload: &payload };
                self.shared.events.fetch_add(1, Ordering::Relaxed);
                if peer.outbox.try_send(subscription.version.encode(&frame).into()).is_err() {
                    peer.dropped.cancel();
                }
            }
        }
    }
}

/// Polls the change log until the stand-in stops.
pub(crate) async fn poll(state: State) {
    let hub = state.hub().clone();
    let interval = Duration::from_millis(state.options().poll_interval_ms);
    loop {
        hub.shared.wake.notified().await;
        loop {
            tokio::time::sleep(interval).await;
            let mut changes = hub.take(state.options().poll_changes_max);
            if changes.is_empty() {
                break;
            }
            let form = state.change_faults(|faults| {
                let faults = &mut faults.realtime;
                disturb(&mut changes, faults);
                Form {
                    identity_full: state.options().replica_identity_full,
                    truncate: faults.truncate_events,
                    omit: faults.omit_columns.clone(),
                }
            });
            for change in &changes {
                hub.deliver(change, &form);
            }
        }
    }
}

/// Loses, doubles and reverses events as the switches say.
fn disturb(changes: &mut Vec<Change>, faults: &mut RealtimeFaults) {
    let lost = changes.len().min(usize::try_from(faults.discard_events).unwrap_or(usize::MAX));
    changes.drain(..lost);
    faults.discard_events -= lost as u64;
    let doubled = changes.len().min(usize::try_from(faults.duplicate_events).unwrap_or(usize::MAX));
    faults.duplicate_events -= doubled as u64;
    *changes = std::mem::take(changes)
        .into_iter()
        .enumerate()
        .flat_map(|(at, change)| std::iter::repeat_n(change, if at < doubled { 2 } else { 1 }))
        .collect();
    if faults.reorder_events {
        changes.reverse();
    }
}

impl Connection {
    /// Makes a channel's subscription live, in place of the one it had.
    pub(super) fn subscribe(&self, topic: &str, subscription: Subscription) {
        if let Some(peer) = lock(&self.hub.peers).get_mut(&self.id)
            && peer.subscriptions.insert(topic.to_owned(), subscription).is_none()
        {
            self.hub.live.fetch_add(1, Ordering::Release);
        }
    }

    /// Ends a channel's subscription, if it has one.
    pub(super) fn unsubscribe(&self, topic: &str) {
        if let Some(peer) = lock(&self.hub.peers).get_mut(&self.id)
            && peer.subscriptions.remove(topic).is_some()
        {
            self.hub.live.fetch_sub(1, Ordering::Release);
        }
    }

    pub(super) fn count_join(&self) {
        self.hub.joins.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(peer) = lock(&self.hub.peers).remove(&self.id) {
            self.hub.live.fetch_sub(peer.subscriptions.len(), Ordering::Release);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
