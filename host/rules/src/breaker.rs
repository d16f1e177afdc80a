//! When rules fail too often to be asked.
//!
//! Owns one breaker for each enterprise whose rules have failed lately. At least five failures, and half of the last twenty calls, open
//! it: from then on the last good version decides, and where there is none, or that fails as often, the failure policy. Either version
//! that failed is tried again by itself, with one call after 30 s and then after waits that double up to 10 min; one that answers decides
//! again. Another version or config begins anew. A success of an enterprise whose rules have not failed costs one atomic load. Never
//! evaluates anything, and is told the time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use xnovu_domain::EnterpriseId;

use crate::bindings_file::Subject;
use crate::{BrokenKind, Pin};

/// Calls a breaker remembers.
const WINDOW: u32 = 20;

/// Failures among them that open it, if they are half of those remembered as well.
const FAILURES_MIN: u32 = 5;

/// Enterprises with a breaker. Beyond it a failure is not remembered, so that the memory is bounded.
const BREAKERS_MAX: usize = 10_000;

/// How long a version that failed is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryWaits {
    /// Before it is tried for the first time.
    pub first: Duration,
    /// Longest wait; each is twice the one before.
    pub longest: Duration,
}

impl Default for RetryWaits {
    fn default() -> Self {
        Self { first: Duration::from_secs(30), longest: Duration::from_secs(600) }
    }
}

/// The breakers.
pub(crate) struct Breakers {
    waits: RetryWaits,
    count: AtomicUsize,
    breakers: Mutex<HashMap<EnterpriseId, Breaker>>,
}

/// Whose calls these are, and which version is in force for them.
#[derive(Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) enterprise: &'a EnterpriseId,
    pub(crate) subject: &'a Subject,
    pub(crate) pin: Pin,
    /// Whether another version could answer.
    pub(crate) has_last_good: bool,
}

/// Who is to answer a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// The version in force, as usual or to see whether it answers again.
    Current(Turn),
    /// The last good version, as usual or to see whether it answers again.
    LastGood(Turn),
    /// Nobody.
    Suspended { reason: String, timed_out: bool },
}

/// What a version is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// To decide. It has not failed lately.
    Usual,
    /// To decide, although it has failed lately.
    Watched,
    /// To see whether it answers again.
    Trial,
}

/// How a version failed to answer.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) kind: BrokenKind,
    /// How, never in words of the rules: those are about one notification, and this is told of all of them.
    pub(crate) reason: &'static str,
    pub(crate) now: Instant,
}

/// What a call did to the breaker of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It opened.
    Opened { failures: u32, calls: u32, wait: Duration },
    /// The version answers again.
    Closed,
}

/// An open breaker, for whoever looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) enterprise: EnterpriseId,
    pub(crate) subject: Subject,
    pub(crate) pin: Pin,
    pub(crate) reason: String,
    /// Whether the last good version decides.
    pub(crate) last_good: bool,
}

struct Breaker {
    subject: Subject,
    pin: Pin,
    has_last_good: bool,
    current: Health,
    last_good: Health,
}

/// How one version does.
#[derive(Default)]
struct Health {
    window: Window,
    wait: Option<Duration>,
    open: Option<Opened>,
}

struct Opened {
    reason: String,
    /// Whether it ran out of time, which our own load may have caused.
    timed_out: bool,
    try_at: Instant,
}

/// The last calls, the latest in the lowest bit.
#[derive(Default)]
struct Window {
    failed: u32,
    timed_out: u32,
    calls: u32,
}

impl Breakers {
    pub(crate) fn new(waits: RetryWaits) -> Self {
        Self { waits, count: AtomicUsize::new(0), breakers: Mutex::default() }
    }

    /// Who is to answer a call.
    pub(crate) fn route(&self, whose: Whose<'_>, now: Instant) -> Route {
        let usual = Route::Current(Turn::Usual);
        self.with(whose, |breaker, waits| match breaker.current.turn(waits, now) {
            Some(turn) => Route::Current(turn),
            None => breaker.stand_in(waits, now),
        })
        .unwrap_or(usual)
    }

    /// Who is to answer a call that the version in force has just failed: the last good version or nobody.
    pub(crate) fn stand_in(&self, whose: Whose<'_>, now: Instant) -> Route {
        self.with(whose, |breaker, waits| breaker.stand_in(waits, now)).unwrap_or(Route::LastGood(Turn::Usual))
    }

    /// The version in force answered a call.
    pub(crate) fn answered(&self, whose: Whose<'_>, turn: Turn) -> Option<Change> {
        let (change, is_clean) = self.with(whose, |breaker, _| {
            let change = breaker.current.answered(turn);
            (change, breaker.current.is_clean())
        })?;
        if is_clean {
            let mut breakers = self.lock();
            breakers.remove(whose.enterprise);
            self.count.store(breakers.len(), Ordering::Release);
        }
        change
    }

    /// The version in force failed.
    pub(crate) fn failed(&self, whose: Whose<'_>, turn: Turn, failure: Failure) -> Option<Change> {
        let mut breakers = self.lock();
        if breakers.len() >= BREAKERS_MAX && !breakers.contains_key(whose.enterprise) {
            return None;
        }
        let breaker = breakers.entry(whose.enterprise.clone()).or_insert_with(|| Breaker::new(whose));
        if breaker.pin != whose.pin {
            *breaker = Breaker::new(whose);
        }
        breaker.has_last_good = whose.has_last_good;
        let change = breaker.current.failed(turn, failure, self.waits);
        self.count.store(breakers.len(), Ordering::Release);
        change
    }

    /// The last good version answered in place of the one in force.
    pub(crate) fn last_good_answered(&self, whose: Whose<'_>, turn: Turn) -> Option<Change> {
        self.with(whose, |breaker, _| breaker.last_good.answered(turn))?
    }

    /// The last good version failed as well.
    pub(crate) fn last_good_failed(&self, whose: Whose<'_>, turn: Turn, failure: Failure) -> Option<Change> {
        self.with(whose, |breaker, waits| breaker.last_good.failed(turn, failure, waits))?
    }

    /// Every breaker that is open.
    pub(crate) fn open(&self) -> Vec<Open> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let breakers = self.lock();
        let open = breakers.iter().filter_map(|(enterprise, breaker)| {
            let open = breaker.current.open.as_ref()?;
            Some(Open {
                enterprise: enterprise.clone(),
                subject: breaker.subject.clone(),
                pin: breaker.pin,
                reason: open.reason.clone(),
                last_good: breaker.has_last_good && breaker.last_good.open.is_none(),
            })
        });
        let mut open: Vec<Open> = open.collect();
        open.sort_by(|a, b| a.enterprise.cmp(&b.enterprise));
        open
    }

    /// Does something with the breaker of the version in force; None where there is none.
    fn with<T>(&self, whose: Whose<'_>, then: impl FnOnce(&mut Breaker, RetryWaits) -> T) -> Option<T> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut breakers = self.lock();
        let breaker = breakers.get_mut(whose.enterprise).filter(|breaker| breaker.pin == whose.pin)?;
        breaker.has_last_good = whose.has_last_good;
        Some(then(breaker, self.waits))
    }

    /// Every change is complete before anything in it can panic, so a poisoned map is a whole one.
    fn lock(&self) -> MutexGuard<'_, HashMap<EnterpriseId, Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Breaker {
    fn new(whose: Whose<'_>) -> Self {
        Self {
            subject: whose.subject.clone(),
            pin: whose.pin,
            has_last_good: whose.has_last_good,
            current: Health::default(),
            last_good: Health::default(),
        }
    }

    fn stand_in(&mut self, waits: RetryWaits, now: Instant) -> Route {
        let turn = if self.has_last_good { self.last_good.turn(waits, now) } else { None };
        if let Some(turn) = turn {
            return Route::LastGood(turn);
        }
        let open = || [&self.current, &self.last_good].into_iter().filter_map(|health| health.open.as_ref());
        Route::Suspended {
            reason: open().next().map_or_else(String::new, |open| open.reason.clone()),
            timed_out: open().any(|open| open.timed_out),
        }
    }
}

impl Health {
    /// What it may be asked for now; None while it is left alone.
    fn turn(&mut self, waits: RetryWaits, now: Instant) -> Option<Turn> {
        let Some(open) = &mut self.open else {
            return Some(if self.window.failed == 0 { Turn::Usual } else { Turn::Watched });
        };
        if now < open.try_at {
            return None;
        }
        // One call tries; the next one may when this one has had its time, whatever becomes of it.
        open.try_at = now + self.wait.unwrap_or(waits.first);
        Some(Turn::Trial)
    }

    fn answered(&mut self, turn: Turn) -> Option<Change> {
        if turn == Turn::Trial && self.open.take().is_some() {
            self.window = Window::default();
            return Some(Change::Closed);
        }
        self.window.push(false, false);
        None
    }

    fn failed(&mut self, turn: Turn, failure: Failure, waits: RetryWaits) -> Option<Change> {
        let timed_out = failure.kind == BrokenKind::TimedOut;
        self.window.push(true, timed_out);
        let wait = self.wait.map_or(waits.first, |wait| wait.saturating_mul(2).min(waits.longest));
        if let Some(open) = &mut self.open {
            // A call that began before the breaker opened says nothing new.
            if turn == Turn::Trial {
                self.wait = Some(wait);
                open.try_at = failure.now + wait;
                open.timed_out |= timed_out;
                failure.reason.clone_into(&mut open.reason);
            }
            return None;
        }
        if !self.window.is_bad() {
            return None;
        }
        self.wait = Some(wait);
        self.open = Some(Opened {
            reason: failure.reason.to_owned(),
            timed_out: self.window.timed_out != 0,
            try_at: failure.now + wait,
        });
        Some(Change::Opened { failures: self.window.failed.count_ones(), calls: self.window.calls, wait })
    }

    /// Whether all it could remember went well.
    fn is_clean(&self) -> bool {
        self.open.is_none() && self.window.calls == WINDOW && self.window.failed == 0
    }
}

impl Window {
    fn push(&mut self, failed: bool, timed_out: bool) {
        let mask = (1 << WINDOW) - 1;
        self.failed = (self.failed << 1 | u32::from(failed)) & mask;
        self.timed_out = (self.timed_out << 1 | u32::from(timed_out)) & mask;
        self.calls = (self.calls + 1).min(WINDOW);
    }

    fn is_bad(&self) -> bool {
        let failures = self.failed.count_ones();
        failures >= FAILURES_MIN && failures * 2 >= self.calls
    }
}

#[cfg(test)]
mod tests;
