//! What was offered or put aside a moment ago.
//!
//! Owns the memory that keeps a row which waits in the queue from being judged and offered at every sweep. It only saves work: what it
//! forgets is offered again, and the queue knows the job. Bounded; past the bound the oldest half is forgotten.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;
use xnovu_domain::{HOLD, JobId, Micros, NotificationId};

/// Rows remembered for one enterprise.
const ROWS_MAX: usize = 100_000;

/// Rows that were told of and not read, remembered for one enterprise.
const UNREAD_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Entry {
    episode: Micros,
    epoch: u64,
    until: Instant,
    holds: u32,
}

/// The memory of one lane.
#[derive(Debug, Default)]
pub(super) struct Seen {
    rows: HashMap<NotificationId, Entry>,
    unread: HashSet<NotificationId>,
    epoch: u64,
}

impl Seen {
    /// With another epoch nothing rests any more: the queue was emptied, or the rules changed. What was known stays known.
    pub(super) fn at_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Whether this episode needs nothing now.
    pub(super) fn holds(&self, job: &JobId, now: Instant) -> bool {
        self.of(job).is_some_and(|entry| entry.epoch == self.epoch && now < entry.until)
    }

    /// Whether this episode was met before, however long ago and whatever became of it, as far as the memory reaches.
    pub(super) fn knows(&self, job: &JobId) -> bool {
        self.of(job).is_some() || self.unread.contains(&job.notification())
    }

    /// Somebody told of this episode. It does not rest.
    pub(super) fn met(&mut self, job: &JobId, now: Instant) {
        self.unread.remove(&job.notification());
        if self.of(job).is_none() {
            self.insert(job, Duration::ZERO, 0, now);
        }
    }

    /// Somebody told of these rows, and they could not be read.
    pub(super) fn not_read(&mut self, ids: &[NotificationId]) {
        let room = UNREAD_MAX.saturating_sub(self.unread.len());
        self.unread.extend(ids.iter().take(room));
    }

    fn of(&self, job: &JobId) -> Option<&Entry> {
        self.rows.get(&job.notification()).filter(|entry| entry.episode == job.episode())
    }

    /// This episode was offered.
    pub(super) fn offered(&mut self, job: &JobId, now: Instant, kept: Duration) {
        self.unread.remove(&job.notification());
        self.insert(job, kept, 0, now);
    }

    /// This episode's rules could not answer. Returns how long it rests.
    pub(super) fn held(&mut self, job: &JobId, now: Instant) -> Duration {
        let known = self.of(job).filter(|entry| entry.epoch == self.epoch);
        let holds = known.map_or(0, |entry| entry.holds);
        let wait = HOLD.ceiling(holds);
        self.insert(job, wait, holds + 1, now);
        wait
    }

    fn insert(&mut self, job: &JobId, rests: Duration, holds: u32, now: Instant) {
        let entry = Entry { episode: job.episode(), epoch: self.epoch, until: now + rests, holds };
        if self.rows.len() >= ROWS_MAX {
            self.make_room(now);
        }
        self.rows.insert(job.notification(), entry);
    }

    fn make_room(&mut self, now: Instant) {
        self.rows.retain(|_, entry| entry.until > now);
        if self.rows.len() >= ROWS_MAX {
            let mut ends: Vec<Instant> = self.rows.values().map(|entry| entry.until).collect();
            let (_, middle, _) = ends.select_nth_unstable(ROWS_MAX / 2);
            let middle = *middle;
            self.rows.retain(|_, entry| entry.until > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(episode: u32) -> JobId {
        format!("xn-e-7-{episode}").parse().unwrap()
    }

    const KEPT: Duration = Duration::from_secs(60);

    #[test]
    fn an_offer_is_remembered_for_its_episode_and_its_time() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        seen.offered(&job(5), now, KEPT);
        assert!(seen.holds(&job(5), now));
        assert!(!seen.holds(&job(6), now));
        assert!(!seen.holds(&job(5), now + KEPT));
    }

    #[test]
    fn a_flushed_queue_forgets_every_offer() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        seen.offered(&job(5), now, KEPT);
        seen.at_epoch(0);
        assert!(seen.holds(&job(5), now));
        seen.at_epoch(1);
        assert!(!seen.holds(&job(5), now));
    }

    #[test]
    fn what_was_met_or_could_not_be_read_stays_known_and_does_not_rest() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        assert!(!seen.knows(&job(5)));
        seen.not_read(&[job(5).notification()]);
        assert!(seen.knows(&job(5)) && !seen.holds(&job(5), now));
        seen.met(&job(6), now);
        assert!(seen.knows(&job(6)) && !seen.holds(&job(6), now) && !seen.knows(&job(5)));
        seen.held(&job(6), now);
        seen.at_epoch(1);
        assert!(seen.knows(&job(6)) && !seen.holds(&job(6), now));
    }

    #[test]
    fn a_hold_rests_longer_each_time_and_a_new_episode_starts_over() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let waits: Vec<u64> = (0..9).map(|_| seen.held(&job(5), now).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(seen.held(&job(6), now), HOLD.base);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        for id in 1..=u32::try_from(ROWS_MAX).unwrap() + 10 {
            seen.offered(&format!("xn-e-{id}-5").parse().unwrap(), now, KEPT + Duration::from_micros(id.into()));
        }
        assert!(seen.rows.len() <= ROWS_MAX);
        assert!(seen.holds(&format!("xn-e-{}-5", ROWS_MAX + 10).parse().unwrap(), now));
    }
}
