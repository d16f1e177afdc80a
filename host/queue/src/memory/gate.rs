//! How much of its limits each enterprise uses, in memory.
//!
//! Owns the slots and tokens of the limited enterprises, and the jobs that were parked for want of them. Time is passed in.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use xnovu_domain::{EnterpriseId, Priority};

use crate::{Identity, Limit, Limits};

/// The order of jobs that may begin: higher priority first, then older first.
pub(super) type WaitingKey<I> = (Reverse<Priority>, u64, I);

pub(super) struct Gates<I> {
    limits: Limits,
    gates: HashMap<EnterpriseId, Gate<I>>,
}

impl<I> Default for Gates<I> {
    fn default() -> Self {
        Self { limits: Limits::default(), gates: HashMap::new() }
    }
}

impl<I: Identity> Gates<I> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, gates: HashMap::new() }
    }

    /// The gate of a limited enterprise.
    pub(super) fn of(&mut self, enterprise: &EnterpriseId) -> Option<&mut Gate<I>> {
        let limit = self.limits.of(enterprise);
        if limit.is_free() {
            return None;
        }
        Some(self.gates.entry(enterprise.clone()).or_insert_with(|| Gate::new(limit)))
    }

    pub(super) fn parked(&self) -> usize {
        self.gates.values().map(|gate| gate.parked.len()).sum()
    }

    /// The parked jobs that may begin now, no longer parked.
    pub(super) fn call_in(&mut self, now: Instant) -> Vec<WaitingKey<I>> {
        self.gates.values_mut().flat_map(|gate| gate.call_in(now)).collect()
    }

    /// When the next parked job may begin, if nothing but time is wanted for it.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.gates.values().filter_map(|gate| gate.next(now)).min()
    }
}

pub(super) struct Gate<I> {
    limit: Limit,
    active: u32,
    tokens: f64,
    counted: Option<Instant>,
    parked: BTreeSet<WaitingKey<I>>,
}

impl<I: Identity> Gate<I> {
    fn new(limit: Limit) -> Self {
        Self { limit, active: 0, tokens: 0.0, counted: None, parked: BTreeSet::new() }
    }

    fn free_slots(&self) -> usize {
        self.limit.concurrency.map_or(usize::MAX, |most| most.get().saturating_sub(self.active) as usize)
    }

    fn rate(&self) -> Option<f64> {
        self.limit.per_second.map(|rate| f64::from(rate.get()))
    }

    /// A tenth of a second's worth may be saved up, and one and a half at least, as in Redis.
    fn tokens(&self, now: Instant) -> f64 {
        let Some(rate) = self.rate() else { return f64::INFINITY };
        let most = (rate / 10.0).max(1.5);
        let Some(counted) = self.counted else { return most };
        (self.tokens + now.saturating_duration_since(counted).as_secs_f64() * rate).min(most)
    }

    /// Takes a slot and a token, if both are free.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let tokens = self.tokens(now);
        if self.free_slots() == 0 || tokens < 1.0 {
            return false;
        }
        self.active += 1;
        (self.tokens, self.counted) = (if tokens.is_finite() { tokens - 1.0 } else { 0.0 }, Some(now));
        true
    }

    pub(super) fn end(&mut self) {
        self.active = self.active.saturating_sub(1);
    }

    pub(super) fn park(&mut self, key: WaitingKey<I>) {
        self.parked.insert(key);
    }

    pub(super) fn unpark(&mut self, key: &WaitingKey<I>) {
        self.parked.remove(key);
    }

    fn call_in(&mut self, now: Instant) -> Vec<WaitingKey<I>> {
        let (mut slots, mut tokens, mut called) = (self.free_slots(), self.tokens(now), Vec::new());
        while slots > 0 && tokens >= 1.0 {
            let Some(key) = self.parked.pop_first() else { break };
            called.push(key);
            (slots, tokens) = (slots - 1, tokens - 1.0);
        }
        called
    }

    fn next(&self, now: Instant) -> Option<Instant> {
        if self.parked.is_empty() || self.free_slots() == 0 {
            return None;
        }
        let missing = 1.0 - self.tokens(now);
        // A nanosecond more than it takes, so that rounding never wakes anybody too early.
        let wait = self.rate().map_or(0.0, |rate| missing.max(0.0) / rate);
        Some(now + Duration::from_secs_f64(wait) + Duration::from_nanos(1))
    }
}
