//! When what was seen to change is whole.
//!
//! Owns the rule: a file that is known to be open for writing counts when it is closed; one whose end of writing was told counts at
//! once; anything else, as on a mount that sends no events, when it has not changed for a second. Pure: it is told the time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Events that come together are looked at together.
pub(super) const QUIET: Duration = Duration::from_millis(10);

/// Longest a look is put off for events that keep coming.
const QUIET_MAX: Duration = Duration::from_millis(200);

/// How long what nobody vouches for must stay as it is.
const CALM: Duration = Duration::from_secs(1);

/// The same for a file somebody has open for writing: an upload may stall.
const CALM_OPEN: Duration = Duration::from_secs(10);

/// What an event says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Somebody writes to it.
    Writing,
    /// It is whole: closed, moved there, linked or gone.
    Whole,
    /// Its permissions or times changed.
    Touched,
    /// It appeared and nobody knows who else works on it.
    Appeared,
    /// Events were lost.
    Lost,
}

/// What was seen, and what was told of it. `P` is what a look sees.
#[derive(Debug)]
pub(super) struct Settling<P> {
    /// What was whole last; None before the first look, which tells whatever there is.
    settled: Option<P>,
    /// What differs from that, and since when it is so.
    pending: Option<(P, Instant)>,
    writing: BTreeSet<PathBuf>,
    vouched: bool,
    unsure: bool,
    /// When events are to be looked at, and when the first of them came.
    look: Option<(Instant, Instant)>,
}

impl<P: PartialEq> Settling<P> {
    pub(super) fn new() -> Self {
        Self { settled: None, pending: None, writing: BTreeSet::new(), vouched: false, unsure: false, look: None }
    }

    /// One of which was whole last what is given here.
    pub(super) fn from(settled: P) -> Self {
        Self { settled: Some(settled), ..Self::new() }
    }

    /// Whether something else was seen that does not count yet.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// What was whole last.
    pub(super) fn settled(&self) -> Option<&P> {
        self.settled.as_ref()
    }

    /// Takes note of an event.
    pub(super) fn hear(&mut self, heard: Heard, path: &Path, now: Instant) {
        match heard {
            Heard::Writing => {
                self.writing.insert(path.to_owned());
                return;
            }
            Heard::Whole => {
                self.writing.remove(path);
                self.vouched = true;
            }
            Heard::Touched => self.vouched = true,
            Heard::Appeared => self.unsure = true,
            Heard::Lost => {
                self.writing.clear();
                self.unsure = true;
            }
        }
        let first = self.look.map_or(now, |(_, first)| first);
        self.look = Some(((now + QUIET).min(first + QUIET_MAX), first));
    }

    /// When to look again, if nothing else happens before.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let calm = self.pending.as_ref().map(|(_, since)| *since + self.calm());
        [self.look.map(|(at, _)| at), calm].into_iter().flatten().min()
    }

    /// Takes note of what a look saw. True: it is whole, and differs from what was whole before.
    pub(super) fn look(&mut self, seen: P, now: Instant) -> bool {
        self.look = None;
        if self.settled.as_ref() == Some(&seen) {
            self.pending = None;
            self.vouched = false;
            self.unsure = false;
            return false;
        }
        let since = match self.pending.take() {
            Some((pending, since)) if pending == seen => since,
            _ => now,
        };
        if self.settled.is_some() && now.saturating_duration_since(since) < self.calm() {
            self.pending = Some((seen, since));
            return false;
        }
        self.settled = Some(seen);
        self.vouched = false;
        self.unsure = false;
        self.writing.clear();
        true
    }

    /// How long what is pending must stay as it is.
    fn calm(&self) -> Duration {
        match (self.writing.is_empty(), self.vouched && !self.unsure) {
            (false, _) => CALM_OPEN,
            (true, true) => Duration::ZERO,
            (true, false) => CALM,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that was seen once, as state 0.
    fn settled(now: Instant) -> Settling<u8> {
        let mut settling = Settling::new();
        assert!(settling.look(0, now), "the first look tells what is there");
        settling
    }

    fn path() -> &'static Path {
        Path::new("p.wasm")
    }

    #[test]
    fn a_file_that_was_closed_counts_at_the_next_look() {
        let now = Instant::now();
        let mut settling = settled(now);
        settling.hear(Heard::Writing, path(), now);
        assert_eq!(settling.next_look(), None, "what is being written is not looked at");
        settling.hear(Heard::Whole, path(), now);
        assert_eq!(settling.next_look(), Some(now + QUIET));
        assert!(settling.look(1, now + QUIET));
        assert!(!settling.look(1, now + QUIET), "it is told once");
    }

    #[test]
    fn a_file_that_is_open_for_writing_does_not_count_until_it_has_long_been_calm() {
        let now = Instant::now();
        let mut settling = settled(now);
        settling.hear(Heard::Writing, path(), now);
        settling.hear(Heard::Whole, Path::new("another"), now);
        assert!(!settling.look(1, now + QUIET));
        assert!(!settling.look(2, now + CALM), "it changed: the calm begins anew");
        assert!(!settling.look(2, now + CALM_OPEN));
        assert_eq!(settling.next_look(), Some(now + CALM + CALM_OPEN));
        assert!(settling.look(2, now + CALM + CALM_OPEN));
    }

    #[test]
    fn other_permissions_do_not_close_a_file() {
        let now = Instant::now();
        let mut settling = settled(now);
        settling.hear(Heard::Writing, path(), now);
        settling.hear(Heard::Touched, path(), now);
        assert!(!settling.look(1, now + QUIET));
        settling.hear(Heard::Whole, path(), now + QUIET);
        assert!(settling.look(1, now + 2 * QUIET));
    }

    #[test]
    fn without_events_a_change_counts_when_it_has_been_calm_for_a_second() {
        let now = Instant::now();
        let mut settling = settled(now);
        assert!(!settling.look(1, now));
        assert_eq!(settling.next_look(), Some(now + CALM));
        assert!(!settling.look(1, now + CALM / 2));
        assert!(settling.look(1, now + CALM));
    }

    #[test]
    fn a_change_that_was_taken_back_is_not_told() {
        let now = Instant::now();
        let mut settling = settled(now);
        assert!(!settling.look(1, now));
        assert!(!settling.look(0, now + CALM / 2));
        assert_eq!(settling.next_look(), None);
        assert!(!settling.look(1, now + CALM), "and a new one is new");
    }

    #[test]
    fn events_that_keep_coming_put_a_look_off_for_a_while_only() {
        let now = Instant::now();
        let mut settling = settled(now);
        let mut at = now;
        for _ in 0..100 {
            settling.hear(Heard::Whole, path(), at);
            at += QUIET / 2;
        }
        assert_eq!(settling.next_look(), Some(now + QUIET_MAX));
    }

    #[test]
    fn a_new_directory_and_lost_events_vouch_for_nothing() {
        for heard in [Heard::Appeared, Heard::Lost] {
            let now = Instant::now();
            let mut settling = settled(now);
            settling.hear(heard, path(), now);
            settling.hear(Heard::Whole, path(), now);
            assert!(!settling.look(1, now + QUIET), "{heard:?}");
            assert!(settling.look(1, now + QUIET + CALM), "{heard:?}");
        }
    }
}
