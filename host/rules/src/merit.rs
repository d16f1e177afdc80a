//! Whether a version has earned to be the one that others fall back to.
//!
//! Owns the rule that "good" is what has answered, not what has merely not failed yet: so many calls in a row, without a failure of the
//! component among them. Written without a lock, by every call. Never knows whose version it is.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Answers in a row that make a version a good one: as many as a breaker remembers.
pub(crate) const ANSWERS_MIN: u32 = 20;

/// What one component with one config has earned.
#[derive(Debug, Default)]
pub(crate) struct Merit {
    in_a_row: AtomicU32,
    good: AtomicBool,
    /// Whether that was written down for the next start.
    told: AtomicBool,
}

impl Merit {
    /// That of a version of which it is written down that it is good.
    pub(crate) fn of_a_good_one() -> Self {
        Self { in_a_row: AtomicU32::new(0), good: AtomicBool::new(true), told: AtomicBool::new(true) }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.good.load(Ordering::Acquire)
    }

    /// It answered. `whole`: all it is there for, not just the first half. True: it is good, and that is to be written down now.
    pub(crate) fn answered(&self, whole: bool) -> bool {
        // What is good already costs two loads a call.
        if !self.is_good() {
            if self.in_a_row.fetch_add(1, Ordering::AcqRel) + 1 < ANSWERS_MIN {
                return false;
            }
            self.good.store(true, Ordering::Release);
        }
        whole && !self.told.load(Ordering::Acquire) && !self.told.swap(true, Ordering::AcqRel)
    }

    /// It could not be written down: the next answer says so again.
    pub(crate) fn not_told(&self) {
        self.told.store(false, Ordering::Release);
    }

    /// It failed: what it has answered so far does not count any more, but what has been good stays so.
    pub(crate) fn failed(&self) {
        self.in_a_row.store(0, Ordering::Release);
    }

    /// It failed too often: it is good no more.
    pub(crate) fn lost(&self) {
        self.failed();
        self.good.store(false, Ordering::Release);
        self.told.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(merit: &Merit, count: u32, whole: bool) -> u32 {
        (0..count).map(|_| u32::from(merit.answered(whole))).sum()
    }

    #[test]
    fn twenty_answers_in_a_row_make_it_good_and_that_is_told_once() {
        let merit = Merit::default();
        assert_eq!((answers(&merit, 19, true), merit.is_good()), (0, false));
        assert_eq!((answers(&merit, 50, true), merit.is_good()), (1, true));
    }

    #[test]
    fn half_answers_make_it_good_here_and_are_not_told() {
        let merit = Merit::default();
        assert_eq!((answers(&merit, 50, false), merit.is_good()), (0, true));
        assert_eq!(answers(&merit, 50, true), 1);
    }

    #[test]
    fn a_failure_among_them_begins_the_count_anew() {
        let merit = Merit::default();
        for _ in 0..10 {
            assert_eq!(answers(&merit, 19, true), 0);
            merit.failed();
        }
        assert!(!merit.is_good());
    }

    #[test]
    fn what_is_good_stays_so_through_a_failure_and_not_through_too_many() {
        let merit = Merit::of_a_good_one();
        assert_eq!(answers(&merit, 20, true), 0, "that is written down already");
        merit.failed();
        assert!(merit.is_good());
        merit.lost();
        assert!(!merit.is_good());
        assert_eq!(answers(&merit, 20, true), 1, "it can be earned again");
        merit.not_told();
        assert_eq!(answers(&merit, 20, true), 1, "what was not written down is told again");
    }
}
