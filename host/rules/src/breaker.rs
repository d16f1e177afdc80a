//! When rules fail too often to be asked.
//!
//! Owns one breaker for each enterprise whose rules have failed lately. At least five failures, and half of the last twenty calls, open
//! it: from then on the last good version decides, and where there is none, or that fails as often, the failure policy. The version that
//! failed is tried again by itself, with one call after 30 s and then after waits that double up to 10 min; one that answers closes the
//! breaker. Another version or config begins anew. A success of an enterprise whose rules have not failed costs one atomic load. Never
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

/// Who is to answer a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// The version in force. Whether it has failed lately.
    Current { watched: bool },
    /// The version in force, to see whether it answers again.
    Trial,
    /// The last good version.
    LastGood,
    /// Nobody.
    Suspended { reason: String, timed_out: bool },
}

/// How a call of the version in force failed.
pub(crate) struct Failure<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) route: &'a Route,
    pub(crate) kind: BrokenKind,
    pub(crate) reason: &'a str,
    /// Whether another version could answer.
    pub(crate) has_last_good: bool,
    pub(crate) now: Instant,
}

/// What a call did to a breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It opened.
    Opened { failures: u32, calls: u32, wait: Duration },
    /// The last good version fails as well.
    Exhausted,
    /// The version in force answers again.
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
    window: Window,
    wait: Option<Duration>,
    open: Option<Opened>,
}

struct Opened {
    reason: String,
    timed_out: bool,
    try_at: Instant,
    /// What the last good version does; None where there is none or it fails as well.
    last_good: Option<Window>,
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

    /// Who is to answer a call of this enterprise, whose version in force is this one.
    pub(crate) fn route(&self, enterprise: &EnterpriseId, pin: Pin, now: Instant) -> Route {
        if self.count.load(Ordering::Acquire) == 0 {
            return Route::Current { watched: false };
        }
        let mut breakers = self.lock();
        let Some(breaker) = breakers.get_mut(enterprise).filter(|breaker| breaker.pin == pin) else {
            return Route::Current { watched: false };
        };
        let wait = breaker.wait.unwrap_or(self.waits.first);
        let Some(open) = &mut breaker.open else { return Route::Current { watched: true } };
        if now >= open.try_at {
            // One call tries; the next one may when this one has had its time, whatever becomes of it.
            open.try_at = now + wait;
            return Route::Trial;
        }
        match open.last_good {
            Some(_) => Route::LastGood,
            None => Route::Suspended { reason: open.reason.clone(), timed_out: open.timed_out },
        }
    }

    /// The version in force answered a call.
    pub(crate) fn answered(&self, enterprise: &EnterpriseId, pin: Pin, route: &Route) -> Option<Change> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut breakers = self.lock();
        let breaker = breakers.get_mut(enterprise)?;
        if breaker.pin != pin {
            return None;
        }
        if *route == Route::Trial && breaker.open.take().is_some() {
            breaker.window = Window::default();
            return Some(Change::Closed);
        }
        breaker.window.push(false, false);
        if breaker.open.is_none() && breaker.window.is_clean() {
            breakers.remove(enterprise);
            self.count.store(breakers.len(), Ordering::Release);
        }
        None
    }

    /// The version in force failed.
    pub(crate) fn failed(&self, enterprise: &EnterpriseId, pin: Pin, failure: &Failure<'_>) -> Option<Change> {
        let mut breakers = self.lock();
        if breakers.len() >= BREAKERS_MAX && !breakers.contains_key(enterprise) {
            return None;
        }
        let breaker = breakers.entry(enterprise.clone()).or_insert_with(|| Breaker::new(failure.subject, pin));
        if breaker.pin != pin {
            *breaker = Breaker::new(failure.subject, pin);
        }
        let change = breaker.fail(failure, self.waits);
        self.count.store(breakers.len(), Ordering::Release);
        change
    }

    /// The last good version answered in place of this one, or failed.
    pub(crate) fn last_good_ended(&self, enterprise: &EnterpriseId, pin: Pin, failed: bool) -> Option<Change> {
        let mut breakers = self.lock();
        let open = breakers.get_mut(enterprise).filter(|breaker| breaker.pin == pin)?.open.as_mut()?;
        let window = open.last_good.as_mut()?;
        window.push(failed, false);
        if !window.is_bad() {
            return None;
        }
        open.last_good = None;
        Some(Change::Exhausted)
    }

    /// Every breaker that is open.
    pub(crate) fn open(&self) -> Vec<Open> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let breakers = self.lock();
        let open = breakers.iter().filter_map(|(enterprise, breaker)| {
            let open = breaker.open.as_ref()?;
            Some(Open {
                enterprise: enterprise.clone(),
                subject: breaker.subject.clone(),
                pin: breaker.pin,
                reason: open.reason.clone(),
                last_good: open.last_good.is_some(),
            })
        });
        let mut open: Vec<Open> = open.collect();
        open.sort_by(|a, b| a.enterprise.cmp(&b.enterprise));
        open
    }

    /// Every change is complete before anything in it can panic, so a poisoned map is a whole one.
    fn lock(&self) -> MutexGuard<'_, HashMap<EnterpriseId, Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Breaker {
    fn new(subject: &Subject, pin: Pin) -> Self {
        Self { subject: subject.clone(), pin, window: Window::default(), wait: None, open: None }
    }

    fn fail(&mut self, failure: &Failure<'_>, waits: RetryWaits) -> Option<Change> {
        self.window.push(true, failure.kind == BrokenKind::TimedOut);
        let wait = self.wait.map_or(waits.first, |wait| wait.saturating_mul(2).min(waits.longest));
        if let Some(open) = &mut self.open {
            // A call that began before the breaker opened says nothing new.
            if *failure.route == Route::Trial {
                self.wait = Some(wait);
                open.try_at = failure.now + wait;
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
            last_good: failure.has_last_good.then(Window::default),
        });
        Some(Change::Opened { failures: self.window.failed.count_ones(), calls: self.window.calls, wait })
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

    /// Whether all it could remember went well.
    fn is_clean(&self) -> bool {
        self.calls == WINDOW && self.failed == 0
    }
}

#[cfg(test)]
mod tests;
