//! When Novu is called at all.
//!
//! Owns what the answers so far say about Novu as a whole: failing for everybody, refusing the key, or asking to be left alone. Pure but
//! for the clock. Promises that while Novu is thought to be down one probe at a time tries it, so that an outage spends neither attempts
//! nor claims. Never judges a single notification.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Consecutive failures after which Novu is thought to be down.
const FAILURES_MAX: u32 = 5;

/// Time between two probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// Longest pause Novu can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Novu fails for everybody.
    Outage,
    /// Novu refuses the key.
    Locked,
    /// Novu's rate limit is used up.
    RateLimited,
}

impl Pause {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Outage, Self::Locked, Self::RateLimited];

    /// The word of the metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Locked => "locked",
            Self::RateLimited => "rate-limited",
        }
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outage => "it is failing for everybody",
            Self::Locked => "it refuses the API key",
            Self::RateLimited => "its rate limit is used up",
        })
    }
}

/// No call now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotNow {
    /// When it is worth asking again.
    pub after: Duration,
    /// Why.
    pub reason: Pause,
}

/// What one answer says about Novu as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It answers.
    Alive,
    /// It fails: 5xx, no connection, no answer.
    Failing,
    /// It refuses the key.
    KeyRefused,
    /// It wants to be left alone for that long.
    Busy(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { reason: Pause, probe_at: Instant, probing: bool },
}

#[derive(Debug)]
struct Inner {
    state: State,
    paused_until: Option<Instant>,
}

/// The breaker. Clones share one state.
#[derive(Debug, Clone)]
pub(crate) struct Breaker(Arc<Mutex<Inner>>);

/// Leave to call. While Novu is thought to be down it is the one probe, and dropping it without an answer gives the probe back.
#[derive(Debug)]
#[must_use = "a permit that is dropped allows nothing"]
pub struct Permit(Option<Breaker>, bool);

impl Permit {
    /// Leave without limits, for gateways that have no breaker.
    pub fn free() -> Self {
        Self(None, false)
    }

    /// Whether the next call may still be made: ask before each call of a job.
    ///
    /// # Errors
    /// How long to wait, and why.
    pub fn check(&self) -> Result<(), NotNow> {
        let Some(breaker) = &self.0 else { return Ok(()) };
        let now = Instant::now();
        let mut inner = breaker.lock();
        inner.pause(now)?;
        match inner.state {
            State::Open { probing: true, .. } if self.1 => Ok(()),
            State::Open { reason, probe_at, .. } => {
                Err(NotNow { after: probe_at.saturating_duration_since(now), reason })
            }
            State::Closed { .. } => Ok(()),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (Some(breaker), true) = (&self.0, self.1) else { return };
        if let State::Open { probing, .. } = &mut breaker.lock().state {
            *probing = false;
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner { state: State::Closed { failures: 0 }, paused_until: None })))
    }
}

impl Breaker {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to call now, or how long to wait.
    pub(crate) fn permit(&self) -> Result<Permit, NotNow> {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.pause(now)?;
        let probe = inner.take_probe(now)?;
        Ok(Permit(Some(self.clone()), probe))
    }

    /// Whether Novu is thought to be down.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.lock().state, State::Open { .. })
    }

    /// Why Novu is not called at the moment. Gives no permit and takes no probe.
    pub(crate) fn why_not(&self) -> Option<Pause> {
        let mut inner = self.lock();
        let State::Open { reason, .. } = inner.state else {
            return inner.pause(Instant::now()).err().map(|not_now| not_now.reason);
        };
        Some(reason)
    }

    /// The key was replaced: what the old one was refused says nothing about it, so the next permit is a probe.
    pub(crate) fn key_replaced(&self) {
        if let State::Open { reason: Pause::Locked, probe_at, .. } = &mut self.lock().state {
            *probe_at = Instant::now();
        }
    }

    /// Learns from an answer.
    pub(crate) fn learn(&self, sign: Sign) {
        let now = Instant::now();
        let mut inner = self.lock();
        let before = inner.state;
        inner.learn(sign, now);
        let after = inner.state;
        drop(inner);
        match (before, after) {
            (State::Closed { .. }, State::Open { reason, .. }) => {
                tracing::warn!(%reason, probe_every_s = PROBE_INTERVAL.as_secs(), "Novu is not called for now");
            }
            (State::Open { .. }, State::Closed { .. }) => tracing::info!("Novu answers again"),
            _ => {}
        }
    }
}

impl Inner {
    fn pause(&mut self, now: Instant) -> Result<(), NotNow> {
        match self.paused_until {
            Some(until) if until > now => Err(NotNow { after: until - now, reason: Pause::RateLimited }),
            _ => {
                self.paused_until = None;
                Ok(())
            }
        }
    }

    /// Whether the permit is the probe. The next probe may follow after the interval even if this one never answers.
    fn take_probe(&mut self, now: Instant) -> Result<bool, NotNow> {
        match &mut self.state {
            State::Closed { .. } => Ok(false),
            State::Open { probe_at, probing, .. } if *probe_at <= now => {
                *probe_at = now + PROBE_INTERVAL;
                *probing = true;
                Ok(true)
            }
            State::Open { reason, probe_at, .. } => Err(NotNow { after: *probe_at - now, reason: *reason }),
        }
    }

    fn learn(&mut self, sign: Sign, now: Instant) {
        let open = |reason| State::Open { reason, probe_at: now + PROBE_INTERVAL, probing: false };
        match (sign, self.state) {
            (Sign::Alive, _) => self.state = State::Closed { failures: 0 },
            (Sign::KeyRefused, _) => self.state = open(Pause::Locked),
            (Sign::Failing, State::Closed { failures }) if failures + 1 < FAILURES_MAX => {
                self.state = State::Closed { failures: failures + 1 };
            }
            // A straggler of the time before must not put the next probe off; the probe's own failure does.
            (Sign::Failing, State::Open { probing: false, .. }) => {}
            (Sign::Failing, State::Open { reason, .. }) => self.state = open(reason),
            (Sign::Failing, State::Closed { .. }) => self.state = open(Pause::Outage),
            (Sign::Busy(pause), _) => {
                let until = now + pause.min(PAUSE_MAX);
                self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.learn(Sign::Failing);
        }
    }

    fn refused(breaker: &Breaker) -> NotNow {
        breaker.permit().map(drop).unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_four_do_not() {
        let breaker = Breaker::default();
        failing(&breaker, 4);
        breaker.learn(Sign::Alive);
        failing(&breaker, 4);
        assert!(breaker.permit().is_ok() && !breaker.is_open());
        failing(&breaker, 1);
        assert_eq!(refused(&breaker), NotNow { after: PROBE_INTERVAL, reason: Pause::Outage });
        assert!(breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_is_let_through_and_its_success_closes() {
        let breaker = Breaker::default();
        failing(&breaker, 5);
        tokio::time::advance(PROBE_INTERVAL).await;
        let probe = breaker.permit().unwrap();
        assert_eq!(refused(&breaker).reason, Pause::Outage);
        assert_eq!(probe.check(), Ok(()));
        breaker.learn(Sign::Alive);
        assert!(breaker.permit().is_ok());
        drop(probe);
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_ends_its_own_permit() {
        let breaker = Breaker::default();
        failing(&breaker, 5);
        tokio::time::advance(PROBE_INTERVAL).await;
        let probe = breaker.permit().unwrap();
        failing(&breaker, 1);
        assert_eq!(probe.check(), Err(NotNow { after: PROBE_INTERVAL, reason: Pause::Outage }));
    }

    #[tokio::test(start_paused = true)]
    async fn stragglers_do_not_put_the_next_probe_off() {
        let breaker = Breaker::default();
        failing(&breaker, 5);
        tokio::time::advance(PROBE_INTERVAL / 2).await;
        failing(&breaker, 3);
        assert_eq!(refused(&breaker).after, PROBE_INTERVAL / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_answers_is_followed_by_another() {
        let breaker = Breaker::default();
        failing(&breaker, 5);
        tokio::time::advance(PROBE_INTERVAL).await;
        drop(breaker.permit().unwrap());
        tokio::time::advance(PROBE_INTERVAL).await;
        assert!(breaker.permit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_locks_at_once() {
        let breaker = Breaker::default();
        let permit = breaker.permit().unwrap();
        breaker.learn(Sign::KeyRefused);
        assert_eq!(permit.check(), Err(NotNow { after: PROBE_INTERVAL, reason: Pause::Locked }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_pauses_everybody_until_its_end_and_no_longer_than_five_minutes() {
        let breaker = Breaker::default();
        let permit = breaker.permit().unwrap();
        breaker.learn(Sign::Busy(Duration::from_secs(3)));
        breaker.learn(Sign::Busy(Duration::from_secs(1)));
        assert_eq!(permit.check(), Err(NotNow { after: Duration::from_secs(3), reason: Pause::RateLimited }));
        assert!(!breaker.is_open());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(permit.check(), Ok(()));
        breaker.learn(Sign::Busy(Duration::from_secs(9_999)));
        assert_eq!(refused(&breaker).after, PAUSE_MAX);
    }
}
