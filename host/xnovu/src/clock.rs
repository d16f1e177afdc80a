//! Wall time.
//!
//! Owns the only reading of the machine's clock. Promises that everything which asks for the time can be given another clock. Never
//! sleeps: waiting is tokio's.
#![allow(clippy::disallowed_methods, reason = "this is the one file that reads wall time")]

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use xnovu_domain::Micros;

/// A clock.
pub trait Clock: Send + Sync {
    /// Wall time, which may jump.
    fn now(&self) -> Micros;

    /// Time that only moves forward, for waits.
    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Micros {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Micros::new(micros)
    }
}

/// A clock that stands until it is set, for tests. Its monotonic time is tokio's, which a test may pause.
#[derive(Debug)]
pub struct ManualClock(Mutex<Micros>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Micros) -> Self {
        Self(Mutex::new(now))
    }

    /// Sets the clock, in either direction.
    pub fn set(&self, now: Micros) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.plus(by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Micros {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the stamps of claims: whole microseconds, strictly increasing, so that no two claims of this process carry the same one even
/// when the clock stands or is set back. Two processes may coincide only by claiming in the same microsecond; the queue gives a job to
/// one process at a time.
#[derive(Debug)]
pub struct Stamps(AtomicI64);

impl Default for Stamps {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Stamps {
    /// The next stamp: `now`, or one microsecond after the stamp before it.
    pub fn next(&self, now: Micros) -> Micros {
        let after = |last: i64| now.get().max(last.saturating_add(1));
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
        Micros::new(after(last.unwrap_or_else(|last| last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_increase_while_the_clock_stands_or_is_set_back() {
        let stamps = Stamps::default();
        let made: Vec<i64> = [100, 100, 50, 102, 500].map(|now| stamps.next(Micros::new(now)).get()).to_vec();
        assert_eq!(made, [100, 101, 102, 103, 500]);
    }

    #[test]
    fn a_manual_clock_moves_only_when_it_is_told() {
        let clock = ManualClock::new(Micros::new(5));
        assert_eq!(clock.now(), Micros::new(5));
        clock.advance(Duration::from_micros(2));
        assert_eq!(clock.now(), Micros::new(7));
        clock.set(Micros::new(1));
        assert_eq!(clock.now(), Micros::new(1));
    }

    #[test]
    fn the_machines_clock_knows_the_year() {
        assert!(SystemClock.now() > Micros::parse("2026-01-01T00:00:00Z").unwrap());
    }
}
