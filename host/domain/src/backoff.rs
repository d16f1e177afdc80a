//! How long to wait before trying again.
//!
//! Owns one curve: exponential with full jitter and a cap, without an end. Whoever waits brings the random number.

use std::time::Duration;

/// A curve of waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub base: Duration,
    /// Upper bound of every wait.
    pub cap: Duration,
}

/// Waits before rules that could not answer are asked again, in the daemon and in the worker.
pub const HOLD: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(600) };

impl Backoff {
    /// The upper bound of the wait after that many failures (0 is the first): base × 2^failures, at most the cap.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// Full jitter: a wait between zero and the ceiling. `random` is in 0 to 1.
    #[must_use]
    pub fn full_jitter(&self, failures: u32, random: f64) -> Duration {
        self.ceiling(failures).mul_f64(random.clamp(0.0, 1.0))
    }

    /// Equal jitter: between half the ceiling and the ceiling, for waits that must not be nearly nothing. `random` is in 0 to 1.
    #[must_use]
    pub fn equal_jitter(&self, failures: u32, random: f64) -> Duration {
        self.ceiling(failures).mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_never_overflow() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };
        let ceilings: Vec<u64> = (0..7).map(|failures| backoff.ceiling(failures).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.ceiling(u32::MAX), backoff.cap);
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let backoff = Backoff { base: Duration::from_secs(4), cap: Duration::from_secs(30) };
        assert_eq!(backoff.full_jitter(0, 0.0), Duration::ZERO);
        assert_eq!(backoff.full_jitter(0, 1.0), Duration::from_secs(4));
        assert_eq!(backoff.equal_jitter(0, 0.0), Duration::from_secs(2));
        assert_eq!(backoff.equal_jitter(1, 2.0), Duration::from_secs(8));
    }
}
