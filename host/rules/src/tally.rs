//! What the rules of one subject have done since they were loaded.
//!
//! Owns a few counters of fixed size, written without a lock. Times are kept in buckets a quarter of an octave wide, so a percentile is
//! within an eighth of the truth. Never holds anything of an event.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets an octave has, as a power of two.
const SUB_BITS: u32 = 2;

/// Nanoseconds below which every time is in the first bucket, as a power of two: about a microsecond.
const FIRST_BITS: u32 = 10;

/// Octaves above that: up to 34 s, more than any evaluation may take.
const OCTAVES: usize = 25;

const BUCKETS: usize = 1 + (OCTAVES << SUB_BITS);

/// The counters.
#[derive(Debug)]
pub(crate) struct Tally {
    decisions: AtomicU64,
    errors: AtomicU64,
    fuel: AtomicU64,
    times: [AtomicU32; BUCKETS],
}

impl Default for Tally {
    fn default() -> Self {
        let times = std::array::from_fn(|_| AtomicU32::new(0));
        Self { decisions: AtomicU64::new(0), errors: AtomicU64::new(0), fuel: AtomicU64::new(0), times }
    }
}

impl Tally {
    /// Counts an evaluation, whether it answered or not.
    pub(crate) fn count(&self, answered: bool, took: Duration, fuel: u64) {
        let counter = if answered { &self.decisions } else { &self.errors };
        counter.fetch_add(1, Ordering::Relaxed);
        self.fuel.fetch_add(fuel, Ordering::Relaxed);
        self.times[bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn counted(&self) -> Counted {
        let times = self.times.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        let times = times
            .filter(|(_, count)| *count > 0)
            .filter_map(|(at, count)| Some((u32::try_from(at).ok()?, u64::from(count))));
        Counted {
            decisions: self.decisions.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            fuel: self.fuel.load(Ordering::Relaxed),
            times: times.collect(),
        }
    }
}

/// What was counted, to be shown or added up over processes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Evaluations that answered.
    pub decisions: u64,
    /// Evaluations that did not.
    pub errors: u64,
    /// Fuel of all of them.
    pub fuel: u64,
    /// How many took how long, by bucket.
    pub times: Vec<(u32, u64)>,
}

impl Counted {
    /// Adds what another process counted.
    pub fn add(&mut self, other: &Self) {
        self.decisions += other.decisions;
        self.errors += other.errors;
        self.fuel += other.fuel;
        for (at, count) in &other.times {
            match self.times.iter_mut().find(|(bucket, _)| bucket == at) {
                Some((_, sum)) => *sum += count,
                None => self.times.push((*at, *count)),
            }
        }
        self.times.sort_unstable();
    }

    /// The time within which that share of the evaluations ended; None where there were none.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let all: u64 = self.times.iter().map(|(_, count)| count).sum();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank of a count"
        )]
        let rank = ((all as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        self.times.iter().find_map(|(at, count)| {
            seen += count;
            (seen >= rank).then(|| middle(*at))
        })
    }

    /// Fuel of an evaluation, on average.
    #[must_use]
    pub fn fuel_each(&self) -> Option<u64> {
        self.fuel.checked_div(self.decisions + self.errors)
    }
}

fn bucket(took: Duration) -> usize {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let Some(octave) = nanos.checked_ilog2().and_then(|bits| bits.checked_sub(FIRST_BITS)) else { return 0 };
    let sub = (nanos >> (octave + FIRST_BITS - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    let at = 1 + ((octave as usize) << SUB_BITS) + usize::try_from(sub).unwrap_or(0);
    at.min(BUCKETS - 1)
}

/// The middle of a bucket.
fn middle(at: u32) -> Duration {
    let Some(above) = at.checked_sub(1) else { return Duration::from_nanos(1 << (FIRST_BITS - 1)) };
    let (octave, sub) = ((above >> SUB_BITS).min(40), u64::from(above & ((1 << SUB_BITS) - 1)));
    let width = 1_u64 << (octave + FIRST_BITS - SUB_BITS);
    Duration::from_nanos(width * ((1 << SUB_BITS) + sub) + width / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_found_again_within_an_eighth() {
        for nanos in [2_000, 3_333, 10_000, 123_456, 20_000_000, 9_000_000_000_u64] {
            let took = Duration::from_nanos(nanos);
            let shown = middle(u32::try_from(bucket(took)).unwrap());
            assert!(shown.abs_diff(took) <= took / 8, "{took:?} is shown as {shown:?}");
        }
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::from_secs(1_000_000)), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let tally = Tally::default();
        assert_eq!(tally.counted().percentile(0.5), None);
        for millis in 1..=100 {
            tally.count(millis % 10 != 0, Duration::from_millis(millis), 1000);
        }
        let counted = tally.counted();
        assert_eq!((counted.decisions, counted.errors, counted.fuel_each()), (90, 10, Some(1000)));
        for (share, millis) in [(0.5, 50), (0.99, 99)] {
            let (shown, took) = (counted.percentile(share).unwrap(), Duration::from_millis(millis));
            assert!(shown.abs_diff(took) <= took / 4, "{share}: {shown:?}");
        }
    }

    #[test]
    fn what_two_processes_counted_adds_up() {
        let (one, other) = (Tally::default(), Tally::default());
        for micros in [10, 20, 40] {
            one.count(true, Duration::from_micros(micros), 5);
            other.count(false, Duration::from_micros(micros * 2), 7);
        }
        let both = Tally::default();
        for micros in [10, 20, 40] {
            both.count(true, Duration::from_micros(micros), 5);
            both.count(false, Duration::from_micros(micros * 2), 7);
        }
        let mut sum = one.counted();
        sum.add(&other.counted());
        assert_eq!(sum, both.counted());
    }
}
