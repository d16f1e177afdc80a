//! Slots that nobody saw to in time.
//!
//! Owns which slots between two looks are fired. A slot that is seen to within [`ON_TIME`] is not missed and always fires. What is older was
//! missed, because the daemon was down, the machine slept or the clock was set, and goes by the rule's policy. Pure: time is passed in.

use std::time::Duration;

use xnovu_domain::Micros;

use super::timetable::Timetable;

/// How late a slot may be seen to without counting as missed.
pub const ON_TIME: Duration = Duration::from_secs(10);

/// Missed slots one rule fires at a time, the newest of them.
pub const SLOTS_MAX: usize = 1_000;

/// Missed slots one rule counts as skipped at a time: counting takes as long as firing them would.
pub const SKIPPED_MAX: usize = 1_000;

/// Longest window.
pub const WINDOW_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What becomes of missed slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// They are lost.
    Skip,
    /// The newest fires, unless a slot is on time.
    Once,
    /// Each fires, at most [`SLOTS_MAX`].
    All,
}

impl Policy {
    /// The policy of a name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "skip" => Some(Self::Skip),
            "once" => Some(Self::Once),
            "all" => Some(Self::All),
            _ => None,
        }
    }

    fn missed_max(self) -> usize {
        match self {
            Self::Skip => 0,
            Self::Once => 1,
            Self::All => SLOTS_MAX,
        }
    }
}

/// What becomes of missed slots, and how old one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfire {
    /// What becomes of them.
    pub policy: Policy,
    /// How old a missed slot may be and still fire.
    pub window: Duration,
}

/// The slots to be fired, in order, and how many were passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// To be fired.
    pub slots: Vec<Micros>,
    /// Missed, within the window, and not fired; at most [`SKIPPED_MAX`].
    pub skipped: usize,
}

impl Misfire {
    /// The slots after `seen` and up to `now` that are fired.
    #[must_use]
    pub fn select(self, timetable: &Timetable, seen: Micros, now: Micros) -> Selection {
        let on_time_from = now.minus(ON_TIME);
        let oldest = now.minus(self.window.max(ON_TIME));
        let seen = seen.max(Micros::new(oldest.get().saturating_sub(1)));
        let slots = newest(timetable, seen, now, self.policy.missed_max() + SKIPPED_MAX);
        let first_on_time = slots.partition_point(|slot| *slot < on_time_from);
        let (missed, on_time) = slots.split_at(first_on_time);
        let room = match self.policy {
            Policy::Once if !on_time.is_empty() => 0,
            policy => policy.missed_max(),
        };
        let passed_over = missed.len().saturating_sub(room);
        Selection { slots: slots[passed_over..].to_vec(), skipped: passed_over.min(SKIPPED_MAX) }
    }
}

/// The slots after `seen` and up to `now`: all that are on time and, of the older ones, at least the newest `missed`. Looks back in
/// growing steps, so that a rule of every second does not make a day of them.
fn newest(timetable: &Timetable, seen: Micros, now: Micros, missed: usize) -> Vec<Micros> {
    let mut step = ON_TIME;
    loop {
        let from = seen.max(now.minus(step).minus(Duration::from_micros(1)));
        let mut slots = Vec::new();
        let mut after = from;
        while let Some(slot) = timetable.after(after).filter(|slot| *slot <= now) {
            slots.push(slot);
            after = slot;
        }
        let older = slots.partition_point(|slot| *slot < now.minus(ON_TIME));
        if from == seen || older >= missed {
            return slots.split_off(older.saturating_sub(missed));
        }
        step *= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timetable(expression: &str) -> Timetable {
        Timetable::Cron { expression: Box::new(expression.parse().unwrap()), zone: chrono_tz::Tz::UTC }
    }

    fn at(time: &str) -> Micros {
        Micros::parse(&format!("2026-01-01T{time}Z")).unwrap()
    }

    fn select(policy: Policy, window: u64, expression: &str, seen: &str, now: &str) -> (Vec<String>, usize) {
        let misfire = Misfire { policy, window: Duration::from_secs(window) };
        let selection = misfire.select(&timetable(expression), at(seen), at(now));
        (selection.slots.iter().map(|slot| slot.to_string()[11..19].to_owned()).collect(), selection.skipped)
    }

    #[test]
    fn a_slot_that_is_on_time_fires_whatever_the_policy() {
        for policy in [Policy::Skip, Policy::Once, Policy::All] {
            let want = (vec!["12:00:00".to_owned()], 0);
            assert_eq!(select(policy, 0, "0 12 * * *", "11:59:59", "12:00:00"), want);
            assert_eq!(select(policy, 0, "0 12 * * *", "11:59:59", "12:00:10"), want);
        }
    }

    #[test]
    fn missed_slots_go_by_the_policy() {
        let quarters = "*/15 * * * *";
        let check = |policy, want: &[&str], skipped: usize| {
            let (slots, passed) = select(policy, 86_400, quarters, "11:00:00", "12:05:00");
            assert_eq!(
                (slots.as_slice(), passed),
                (&want.iter().map(ToString::to_string).collect::<Vec<_>>()[..], skipped)
            );
        };
        check(Policy::Skip, &[], 4);
        check(Policy::Once, &["12:00:00"], 3);
        check(Policy::All, &["11:15:00", "11:30:00", "11:45:00", "12:00:00"], 0);
    }

    #[test]
    fn the_newest_missed_slot_gives_way_to_one_that_is_on_time() {
        let want = (vec!["12:00:00".to_owned()], 1);
        let (slots, skipped) = select(Policy::Once, 86_400, "*/15 * * * *", "11:30:00", "12:00:01");
        assert_eq!((slots, skipped), want);
    }

    #[test]
    fn a_slot_older_than_the_window_never_fires() {
        assert_eq!(select(Policy::All, 1_800, "*/15 * * * *", "08:00:00", "12:05:00").0, ["11:45:00", "12:00:00"]);
        assert_eq!(select(Policy::Once, 299, "*/15 * * * *", "08:00:00", "12:05:00").0, Vec::<String>::new());
        assert_eq!(select(Policy::Once, 301, "*/15 * * * *", "08:00:00", "12:05:00").0, ["12:00:00"]);
    }

    #[test]
    fn a_rule_of_every_second_fires_at_most_the_newest_thousand_and_counts_as_many_as_skipped() {
        let (slots, skipped) = select(Policy::All, 86_400, "* * * * * *", "00:00:00", "23:00:00");
        // The eleven of the last ten seconds are on time.
        assert_eq!(slots.len(), SLOTS_MAX + 11);
        assert_eq!((slots.last().unwrap().as_str(), skipped), ("23:00:00", SKIPPED_MAX));
        // Counted exactly up to there, and no further.
        for (now, counted) in [("00:16:50", 999), ("00:16:51", SKIPPED_MAX), ("00:16:52", SKIPPED_MAX)] {
            assert_eq!(select(Policy::Skip, 86_400, "* * * * * *", "00:00:00", now).1, counted, "{now}");
        }
    }
}
