//! How fast channels are joined.
//!
//! Owns one bucket of tokens for a socket: a server that sees more joins a second than its plan allows closes the whole socket.

use std::time::Duration;

use tokio::time::Instant;

/// Time in which one join is earned.
const INTERVAL: Duration = Duration::from_millis(100);

/// Joins that may follow each other at once.
const BURST: u32 = 10;

/// The bucket. It is full when a socket is new.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pacer {
    /// When the bucket is full again.
    full_at: Instant,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one join if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.next_at() > now {
            return false;
        }
        self.full_at = self.full_at.max(now) + INTERVAL;
        true
    }

    /// When there is a join to take.
    pub(super) fn next_at(&self) -> Instant {
        self.full_at.checked_sub(INTERVAL * (BURST - 1)).unwrap_or(self.full_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_joins_go_at_once_and_then_ten_a_second() {
        let start = Instant::now() + Duration::from_secs(3600);
        let mut pacer = Pacer::new(start);
        assert_eq!((0..20).filter(|_| pacer.take(start)).count(), 10);
        assert_eq!(pacer.next_at(), start + INTERVAL);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..200).filter(|_| pacer.take(later)).count(), 10);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..200).filter(|_| pacer.take(much_later)).count(), 10);
    }
}
