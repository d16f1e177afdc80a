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
}

impl Merit {
    pub(crate) fn is_good(&self) -> bool {
        self.good.load(Ordering::Acquire)
    }

    /// It answered. True: with that it has become good.
    pub(crate) fn answered(&self) -> bool {
        // What is good already costs one load a call.
        if self.is_good() || self.in_a_row.fetch_add(1, Ordering::AcqRel) + 1 < ANSWERS_MIN {
            return false;
        }
        !self.good.swap(true, Ordering::AcqRel)
    }

    /// It failed: what it has answered so far does not count any more, but what has been good stays so.
    pub(crate) fn failed(&self) {
        self.in_a_row.store(0, Ordering::Release);
    }

    /// It failed too often. True: with that it is good no more.
    pub(crate) fn lost(&self) -> bool {
        self.failed();
        self.good.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(merit: &Merit, count: u32) -> u32 {
        (0..count).map(|_| u32::from(merit.answered())).sum()
    }

    #[test]
    fn twenty_answers_in_a_row_make_it_good_and_that_is_told_once() {
        let merit = Merit::default();
        assert_eq!((answers(&merit, 19), merit.is_good()), (0, false));
        assert_eq!((answers(&merit, 50), merit.is_good()), (1, true));
    }

    #[test]
    fn a_failure_among_them_begins_the_count_anew() {
        let merit = Merit::default();
        for _ in 0..10 {
            assert_eq!(answers(&merit, 19), 0);
            merit.failed();
        }
        assert!(!merit.is_good());
    }

    #[test]
    fn what_is_good_stays_so_through_a_failure_and_not_through_too_many() {
        let merit = Merit::default();
        answers(&merit, 20);
        merit.failed();
        assert!(merit.is_good() && merit.lost() && !merit.is_good());
        assert!(!merit.lost(), "it is told once");
        assert_eq!(answers(&merit, 20), 1, "and can be earned again");
    }
}
