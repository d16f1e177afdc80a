//! One socket's channels, as a state machine without I/O.
//!
//! Owns which frames are sent when, and what received frames mean. Promises that a channel is ready only when the server has said so by
//! `system`, that every way in which a channel can end or stay silent leads to another join, and that one enterprise the server refuses
//! does not silence its neighbours. Time is passed in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xnovu_domain::{Backoff, EnterpriseId};

use super::pacer::Pacer;
use super::plan::{CHANNELS_MAX, Group, split};
use crate::config::{Events, PerEnterprise};
use crate::source::phoenix::{self, Change, Event, Frame, HEARTBEAT_TOPIC};
use crate::source::{Connection, Hint, SourceError, Via};

/// The waits before a channel is joined again.
const REJOIN: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// A channel that was ready for this long proves that its trouble is over.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// The part of the server that sends changes.
const CHANGES: &str = "postgres_changes";

/// How long a session waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between heartbeats. A socket on which nothing was heard from one heartbeat to the next is dead.
    pub heartbeat: Duration,
    /// Time a channel has to become ready after it was joined.
    pub ready_within: Duration,
}

impl Timing {
    /// A heartbeat of this period, and 15 s to become ready.
    #[must_use]
    pub fn with_heartbeat(heartbeat: Duration) -> Self {
        Self { heartbeat, ready_within: Duration::from_secs(15) }
    }
}

/// What the owner of the socket is to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    /// Send this text frame.
    Send(String),
    /// Pass this on.
    Hint(Hint),
    /// Ask for a sweep of these enterprises: changes may have been missed.
    Sweep(Group),
    /// Say how these enterprises stand.
    Stand(Group, Connection, Option<String>),
}

/// The channels of one socket.
pub(super) struct Session {
    timing: Timing,
    settings: Arc<PerEnterprise>,
    channels: Vec<Channel>,
    channels_made: u64,
    last_reference: u64,
    pacer: Pacer,
    heartbeat_at: Instant,
    heard: bool,
}

struct Channel {
    topic: String,
    enterprises: Group,
    phase: Phase,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// To be joined, not before this.
    Waiting { at: Instant },
    /// Joined; has to become ready before this.
    Joining { join_ref: u64, until: Instant },
    /// Changes arrive.
    Ready { join_ref: u64, since: Instant },
}

impl Channel {
    fn join_ref(&self) -> Option<u64> {
        match self.phase {
            Phase::Waiting { .. } => None,
            Phase::Joining { join_ref, .. } | Phase::Ready { join_ref, .. } => Some(join_ref),
        }
    }
}

impl Session {
    /// A session on a socket that was just made.
    pub(super) fn new(groups: &[Group], settings: Arc<PerEnterprise>, timing: Timing, now: Instant) -> Self {
        let mut session = Self {
            timing,
            settings,
            channels: Vec::new(),
            channels_made: 0,
            last_reference: 0,
            pacer: Pacer::new(now),
            heartbeat_at: now + timing.heartbeat,
            heard: true,
        };
        for group in groups {
            session.add(group.clone(), now, 0);
        }
        session
    }

    fn add(&mut self, enterprises: Group, at: Instant, failures: u32) {
        self.channels_made += 1;
        let topic = format!("realtime:xnovu-{}", self.channels_made);
        self.channels.push(Channel { topic, enterprises, phase: Phase::Waiting { at }, failures });
    }

    fn reference(&mut self) -> u64 {
        self.last_reference += 1;
        self.last_reference
    }

    /// When [`Session::tick`] is to be called next.
    pub(super) fn next_tick(&self) -> Instant {
        let of_channel = |channel: &Channel| match channel.phase {
            Phase::Waiting { at } => Some(at.max(self.pacer.next_at())),
            Phase::Joining { until, .. } => Some(until),
            Phase::Ready { .. } => None,
        };
        self.channels.iter().filter_map(of_channel).fold(self.heartbeat_at, Instant::min)
    }

    /// Does what is due.
    ///
    /// # Errors
    /// Nothing was heard since the last heartbeat.
    pub(super) fn tick(&mut self, now: Instant) -> Result<Vec<Effect>, SourceError> {
        let mut effects = Vec::new();
        if self.heartbeat_at <= now {
            if !std::mem::take(&mut self.heard) {
                return Err(SourceError::Silent("nothing was heard since the last heartbeat"));
            }
            self.heartbeat_at = now + self.timing.heartbeat;
            effects.push(Effect::Send(phoenix::heartbeat(self.reference())));
        }
        // From the end, because a channel that fails may be replaced by several.
        for index in (0..self.channels.len()).rev() {
            if matches!(self.channels[index].phase, Phase::Joining { until, .. } if until <= now) {
                let why = format!("the server did not confirm the subscription within {:?}", self.timing.ready_within);
                self.leave(index, &mut effects);
                self.failed(index, &why, now, &mut effects);
            }
        }
        for index in 0..self.channels.len() {
            if matches!(self.channels[index].phase, Phase::Waiting { at } if at <= now) && self.pacer.take(now) {
                self.join(index, now, &mut effects);
            }
        }
        Ok(effects)
    }

    fn join(&mut self, index: usize, now: Instant, effects: &mut Vec<Effect>) {
        let join_ref = self.reference();
        let channel = &mut self.channels[index];
        channel.phase = Phase::Joining { join_ref, until: now + self.timing.ready_within };
        let of = |wanted: fn(Events) -> bool| -> Group {
            let wants = |enterprise: &&EnterpriseId| wanted(self.settings.of(enterprise).events);
            channel.enterprises.iter().filter(wants).cloned().collect()
        };
        let (inserted, updated) = (of(|events| events.insert), of(|events| events.update));
        effects.push(Effect::Send(phoenix::join(join_ref, &channel.topic, &inserted, &updated)));
    }

    /// Leaves a channel the server may still think joined.
    fn leave(&mut self, index: usize, effects: &mut Vec<Effect>) {
        if let Some(join_ref) = self.channels[index].join_ref() {
            let reference = self.reference();
            effects.push(Effect::Send(phoenix::leave(reference, join_ref, &self.channels[index].topic)));
        }
    }

    /// Plans the next join of a channel, or of smaller ones where the server has refused a value of its filter.
    fn failed(&mut self, index: usize, why: &str, now: Instant, effects: &mut Vec<Effect>) {
        let channel = &mut self.channels[index];
        if matches!(channel.phase, Phase::Ready { since, .. } if now - since >= STABLE_AFTER) {
            channel.failures = 0;
        }
        let (failures, enterprises) = (channel.failures, channel.enterprises.clone());
        let at = now + REJOIN.equal_jitter(failures, fastrand::f64());
        channel.failures = failures.saturating_add(1);
        channel.phase = Phase::Waiting { at };
        effects.push(Effect::Stand(enterprises.clone(), Connection::Error, Some(why.to_owned())));
        let room = CHANNELS_MAX.saturating_sub(self.channels.len());
        if let Some(groups) = split(&enterprises, room).filter(|_| names_a_value(why)) {
            self.channels.remove(index);
            for group in groups {
                self.add(group, now, 0);
            }
        }
    }

    /// Reads a frame.
    pub(super) fn receive(&mut self, frame: Frame, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.heard = true;
        let found = self.channels.iter().position(|channel| channel.topic == frame.topic);
        let Some(index) = found.filter(|_| frame.topic != HEARTBEAT_TOPIC) else { return effects };
        let channel = &mut self.channels[index];
        let Some(join_ref) = channel.join_ref() else { return effects };
        let current = join_ref.to_string();
        // What belongs to an earlier join of the same channel, such as the close that follows our leaving it, is over.
        if frame.join_ref.as_ref().is_some_and(|of| *of != current) {
            return effects;
        }
        match frame.event {
            Event::Change(change) => effects.extend(told(&channel.enterprises, change)),
            Event::System { extension, standing: Ok(()) } if extension == CHANGES => {
                channel.phase = Phase::Ready { join_ref, since: now };
                effects.push(Effect::Stand(channel.enterprises.clone(), Connection::Subscribed, None));
                effects.push(Effect::Sweep(channel.enterprises.clone()));
            }
            Event::System { standing: Err(why), .. } => {
                self.leave(index, &mut effects);
                self.failed(index, &why, now, &mut effects);
            }
            Event::Reply(Err(why)) if frame.reference.as_ref() == Some(&current) => {
                self.failed(index, &why, now, &mut effects);
            }
            Event::Closed => self.failed(index, "the server closed the channel", now, &mut effects),
            Event::Crashed => self.failed(index, "the channel crashed", now, &mut effects),
            Event::Reply(_) | Event::System { .. } | Event::Other => {}
        }
        effects
    }
}

/// What a change on a channel of these enterprises asks for. Changes to other states are echoes of our own writes.
fn told(enterprises: &[EnterpriseId], change: Change) -> Option<Effect> {
    let (Some(id), Some(enterprise)) = (change.id, change.enterprise) else {
        return Some(Effect::Sweep(enterprises.to_vec()));
    };
    let of_interest = change.status.is_none_or(|status| status == "PENDING" || status == "RETRACTED");
    (of_interest && enterprises.contains(&enterprise)).then_some(Effect::Hint(Hint::Id {
        enterprise,
        id,
        via: Via::Realtime,
        change: change.kind,
    }))
}

/// Whether the server refuses a value of the filter, rather than the table, the key or the load. PostgreSQL's words are the only sign.
fn names_a_value(why: &str) -> bool {
    ["invalid input syntax", "invalid input value", "malformed", "parsing `filter`"]
        .iter()
        .any(|words| why.contains(words))
}

#[cfg(test)]
mod tests;
