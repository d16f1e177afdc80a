//! How full the queue is, and what may still be queued.
//!
//! Owns the water marks, and what a lane may queue between them: the backlog of one enterprise waits in the database, and the others go on.
//! Nothing is lost by either: what is not queued stays PENDING, and the sweep brings it.

use std::time::Duration;

use tokio::time::Instant;

/// Unfinished jobs at which each lane has only its allowance, and at which it is free again.
const HIGH_WATER: u64 = 50_000;
const LOW_WATER: u64 = 25_000;

/// Unfinished jobs at which nobody queues anything, so that Redis does not fill up, and at which lanes have their allowance again.
const FULL: u64 = 200_000;
const NO_LONGER_FULL: u64 = 150_000;

/// Jobs a lane may queue at once beyond the high water mark.
const ALLOWANCE: u32 = 1_000;

/// Time in which one more is allowed.
const REFILL: Duration = Duration::from_millis(10);

/// How full the queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pressure {
    /// There is room.
    #[default]
    Free,
    /// Each enterprise has an allowance.
    High,
    /// Nothing is queued.
    Full,
}

impl Pressure {
    /// What follows on this where so many jobs are unfinished. It rises at once, and falls when the queue is well below the mark.
    #[must_use]
    pub fn next(self, unfinished: u64) -> Self {
        match self {
            _ if unfinished >= FULL => Self::Full,
            Self::Full if unfinished >= NO_LONGER_FULL => Self::Full,
            _ if unfinished >= HIGH_WATER => Self::High,
            Self::High | Self::Full if unfinished >= LOW_WATER => Self::High,
            _ => Self::Free,
        }
    }

    /// What an operator is told; None where there is nothing to tell.
    #[must_use]
    pub fn trouble(self) -> Option<&'static str> {
        match self {
            Self::Free => None,
            Self::High => Some(
                "many jobs wait: of each enterprise a hundred a second are queued, the others wait in the database",
            ),
            Self::Full => Some(
                "too many jobs wait: nothing is queued until workers have caught up; notifications wait in the database",
            ),
        }
    }
}

/// What one lane may still queue under [`Pressure::High`].
#[derive(Debug)]
pub struct Allowance {
    left: u32,
    since: Instant,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: ALLOWANCE, since: Instant::now() }
    }
}

impl Allowance {
    /// Takes at most `wanted` and says how many.
    pub fn take(&mut self, wanted: usize, now: Instant) -> usize {
        let refilled = now.saturating_duration_since(self.since).as_millis() / REFILL.as_millis();
        let refilled = u32::try_from(refilled).unwrap_or(u32::MAX);
        // What is left of the time counts on.
        self.since = if refilled >= ALLOWANCE { now } else { self.since + REFILL * refilled };
        self.left = self.left.saturating_add(refilled).min(ALLOWANCE);
        let taken = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.left);
        self.left -= taken;
        taken as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_at_once_and_falls_late() {
        let mut pressure = Pressure::Free;
        let mut walk = |unfinished: &[u64]| {
            pressure = unfinished.iter().fold(pressure, |pressure, unfinished| pressure.next(*unfinished));
            pressure
        };
        assert_eq!(walk(&[HIGH_WATER - 1]), Pressure::Free);
        assert_eq!(walk(&[HIGH_WATER, LOW_WATER]), Pressure::High);
        assert_eq!(walk(&[FULL, NO_LONGER_FULL]), Pressure::Full);
        assert_eq!(walk(&[NO_LONGER_FULL - 1]), Pressure::High);
        assert_eq!(walk(&[LOW_WATER - 1]), Pressure::Free);
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_is_used_up_and_comes_back() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.take(ALLOWANCE as usize + 5, Instant::now()), ALLOWANCE as usize);
        assert_eq!(allowance.take(1, Instant::now()), 0);
        tokio::time::advance(REFILL * 3 + REFILL / 2).await;
        assert_eq!(allowance.take(10, Instant::now()), 3);
        tokio::time::advance(REFILL / 2).await;
        assert_eq!(allowance.take(10, Instant::now()), 1);
        tokio::time::advance(REFILL * ALLOWANCE * 7).await;
        assert_eq!(allowance.take(usize::MAX, Instant::now()), ALLOWANCE as usize);
    }
}
