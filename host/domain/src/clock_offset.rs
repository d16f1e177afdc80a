//! How far the database's clock is from ours.
//!
//! Owns an estimate from what every answer carries for free: the `Date` header, whole seconds. One answer bounds the offset to an
//! interval a second and a round trip wide; the intersection of many is narrow.

use std::time::Duration;

use crate::Micros;

/// Width by which a bound widens between samples, so that drift and adjustments of either clock are followed.
const DRIFT_PER_SAMPLE_US: i64 = 200;

/// An interval that holds the offset (their clock minus ours), in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockOffset(Option<(i64, i64)>);

impl ClockOffset {
    /// Learns from one answer: when (by our clock) the request left and the answer came, and the second their clock showed between.
    /// A sample that contradicts what was known (a clock was set) replaces it.
    pub fn learn(&mut self, left: Micros, came: Micros, their_second: Micros) {
        let low = their_second.get() - came.get();
        let high = their_second.get() + 1_000_000 - left.get();
        let known = self.0.unwrap_or((low, high));
        let met = (low.max(known.0 - DRIFT_PER_SAMPLE_US), high.min(known.1 + DRIFT_PER_SAMPLE_US));
        self.0 = Some(if met.0 <= met.1 { met } else { (low, high) });
    }

    /// What to add to our clock, in microseconds: nothing while the clocks may agree, else the middle of what is possible.
    #[must_use]
    pub fn micros(&self) -> i64 {
        match self.0 {
            Some((low, high)) if low > 0 || high < 0 => low + (high - low) / 2,
            _ => 0,
        }
    }

    /// An instant of our clock, by theirs.
    #[must_use]
    pub fn apply(&self, ours: Micros) -> Micros {
        Micros::new(ours.get().saturating_add(self.micros()))
    }

    /// How wrong [`ClockOffset::micros`] can be.
    #[must_use]
    pub fn uncertainty(&self) -> Option<Duration> {
        self.0.map(|(low, high)| Duration::from_micros(high.abs_diff(low) / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn_all(offset_us: i64, samples: i64) -> ClockOffset {
        let mut offset = ClockOffset::default();
        for sample in 0..samples {
            let left = 1_000_000_000 + sample * 137_911;
            let theirs = left + 2_000 + offset_us;
            offset.learn(
                Micros::new(left),
                Micros::new(left + 4_000),
                Micros::new(theirs - theirs.rem_euclid(1_000_000)),
            );
        }
        offset
    }

    #[test]
    fn clocks_that_may_agree_are_left_alone() {
        assert_eq!(learn_all(0, 50).micros(), 0);
        assert_eq!(ClockOffset::default().micros(), 0);
    }

    #[test]
    fn many_whole_seconds_make_a_narrow_estimate() {
        for offset_us in [7_300_000, -7_300_000, 90_000_000] {
            let learned = learn_all(offset_us, 60);
            assert!((learned.micros() - offset_us).abs() < 60_000, "{offset_us}: {}", learned.micros());
            assert!(learned.uncertainty().unwrap() < Duration::from_millis(60));
        }
    }

    #[test]
    fn a_clock_that_was_set_is_followed_at_once() {
        let mut offset = learn_all(0, 50);
        offset.learn(Micros::new(0), Micros::new(1_000), Micros::new(3_600_000_000));
        assert!((offset.micros() - 3_600_000_000).abs() < 1_000_000);
    }
}
