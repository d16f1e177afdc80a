//! Rows whose time comes soon.
//!
//! Owns one timer for all of them. Promises to hint at a registered row within a few milliseconds of its time by this machine's clock,
//! also after the clock was set, and never to hold more than a bounded number: of too many it forgets the latest, which the sweep brings
//! again. Never judges a row; the claim does, by the database's clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, Micros, Notification, NotificationId};

use super::{Hint, Via};
use crate::clock::Clock;

/// Most rows that wait.
const ROWS_MAX: usize = 100_000;

/// Longest sleep: wall time may jump, and no timer of the machine tells.
const SLEEP_MAX: Duration = Duration::from_secs(1);

type Key = (EnterpriseId, NotificationId);

/// The timer.
pub struct Due {
    clock: Arc<dyn Clock>,
    horizon: Duration,
    rows_max: usize,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

/// The same rows twice: by time and by id.
#[derive(Default)]
struct Waiting {
    by_time: BTreeSet<(Micros, Key)>,
    times: HashMap<Key, Micros>,
}

impl Due {
    /// A timer for rows due within `horizon`, which must be longer than the sweep's period.
    #[must_use]
    pub fn new(horizon: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { clock, horizon, rows_max: ROWS_MAX, waiting: Mutex::default(), changed: Notify::new() }
    }

    /// Waits for the row's time. A row that waits already gets its new time. Rows without a time or beyond the horizon are ignored: a
    /// later sweep brings them.
    pub fn register(&self, row: &Notification) {
        let Some(at) = row.scheduled_for.filter(|at| *at <= self.clock.now().plus(self.horizon)) else { return };
        let is_first = self.lock().put((row.enterprise_id.clone(), row.id), at, self.rows_max);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// How many rows wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().times.len()
    }

    /// Hints at each row when its time has come, until `stop` is cancelled or nobody listens.
    pub async fn run(&self, out: &mpsc::Sender<Hint>, stop: &CancellationToken) {
        stop.run_until_cancelled(async { while self.fire(out).await {} }).await;
    }

    /// Hints at what is due and sleeps until something may be.
    async fn fire(&self, out: &mpsc::Sender<Hint>) -> bool {
        loop {
            // Bound to a variable so that the lock is not held while sending.
            let due = self.lock().take(self.clock.now());
            let Some((enterprise, id)) = due else { break };
            if out.send(Hint::Id { enterprise, id, via: Via::Due, change: None }).await.is_err() {
                return false;
            }
        }
        let first = self.lock().first();
        let sleep = first.map_or(Duration::MAX, |at| at.since(self.clock.now()).min(SLEEP_MAX));
        // Either way the list is looked at again.
        let _ = tokio::time::timeout(sleep, self.changed.notified()).await;
        true
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Says whether the row is now the first of all.
    fn put(&mut self, key: Key, at: Micros, rows_max: usize) -> bool {
        if let Some(before) = self.times.insert(key.clone(), at) {
            self.by_time.remove(&(before, key.clone()));
        }
        self.by_time.insert((at, key.clone()));
        if self.times.len() > rows_max
            && let Some((_, latest)) = self.by_time.pop_last()
        {
            self.times.remove(&latest);
        }
        self.by_time.first().is_some_and(|(_, first)| *first == key)
    }

    fn first(&self) -> Option<Micros> {
        self.by_time.first().map(|(at, _)| *at)
    }

    fn take(&mut self, now: Micros) -> Option<Key> {
        if self.first()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.times.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use tokio::time::Instant;

    /// A clock that runs with tokio's, and can be set.
    struct Running(Instant, ManualClock);

    impl Clock for Running {
        fn now(&self) -> Micros {
            self.1.now().plus(self.0.elapsed())
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> Arc<Running> {
        Arc::new(Running(Instant::now(), ManualClock::new(Micros::new(0))))
    }

    fn row(id: i64, at: Micros) -> Notification {
        let row = serde_json::json!({"id": id, "enterprise_id": "e", "name": "n", "notification_status": "PENDING",
            "publish_status": "PUBLISH", "deactivated": false, "payload": {}, "recipients": [], "scheduled_for": at,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"});
        serde_json::from_str(&row.to_string()).unwrap()
    }

    /// The rows fired within `span`, each with its time since the start in milliseconds.
    async fn fired(due: &Due, span: Duration) -> Vec<(i64, u128)> {
        let (out, mut hints) = mpsc::channel(1_000);
        let (start, stop) = (Instant::now(), CancellationToken::new());
        let mut fired = Vec::new();
        let collected = async {
            while let Ok(Some(Hint::Id { id, via: Via::Due, .. })) =
                tokio::time::timeout_at(start + span, hints.recv()).await
            {
                fired.push((id.get(), start.elapsed().as_millis()));
            }
            stop.cancel();
        };
        tokio::join!(due.run(&out, &stop), collected);
        fired
    }

    #[tokio::test(start_paused = true)]
    async fn rows_fire_in_the_order_of_their_times_to_the_millisecond() {
        let due = Due::new(600 * SECOND, clock());
        for (id, seconds) in [(1, 30), (2, 10), (3, 20)] {
            due.register(&row(id, Micros::new(seconds * 1_000_000)));
        }
        assert_eq!(due.waiting(), 3);
        let fired = fired(&due, 60 * SECOND).await;
        assert_eq!(fired.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3, 1]);
        assert!(fired.iter().zip([10_000, 20_000, 30_000]).all(|((_, at), want)| at.abs_diff(want) <= 2), "{fired:?}");
        assert_eq!(due.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_registered_again_fires_once_at_its_new_time() {
        let due = Due::new(600 * SECOND, clock());
        for seconds in [10, 30, 20] {
            due.register(&row(1, Micros::new(seconds * 1_000_000)));
        }
        let fired = fired(&due, 60 * SECOND).await;
        assert!(fired.len() == 1 && fired[0].1.abs_diff(20_000) <= 2, "{fired:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sooner_row_wakes_the_timer() {
        let due = Due::new(600 * SECOND, clock());
        due.register(&row(1, Micros::new(500_000)));
        let (fired, ()) = tokio::join!(fired(&due, 10 * SECOND), async {
            tokio::time::sleep(SECOND / 10).await;
            due.register(&row(2, Micros::new(200_000)));
        });
        assert!(fired[0].0 == 2 && fired[0].1.abs_diff(200) <= 2, "{fired:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_is_followed_within_a_second() {
        let clock = clock();
        let due = Due::new(600 * SECOND, clock.clone());
        due.register(&row(1, Micros::new(300_000_000)));
        let (fired, ()) = tokio::join!(fired(&due, 10 * SECOND), async {
            tokio::time::sleep(SECOND / 2).await;
            clock.1.advance(400 * SECOND);
        });
        assert!(fired.len() == 1 && fired[0].1 <= 1_500, "{fired:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_beyond_the_horizon_or_has_no_time_does_not_wait() {
        let due = Due::new(600 * SECOND, clock());
        due.register(&row(1, Micros::new(600_000_001)));
        due.register(&row(2, Micros::INFINITY));
        let mut timeless = row(3, Micros::new(0));
        timeless.scheduled_for = None;
        due.register(&timeless);
        assert_eq!(due.waiting(), 0);
        due.register(&row(4, Micros::new(600_000_000)));
        assert_eq!(due.waiting(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_rows_the_latest_is_forgotten() {
        let due = Due { rows_max: 2, ..Due::new(600 * SECOND, clock()) };
        for (id, seconds) in [(1, 10), (2, 30), (3, 20)] {
            due.register(&row(id, Micros::new(seconds * 1_000_000)));
        }
        let fired: Vec<i64> = fired(&due, 60 * SECOND).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(fired, [1, 3]);
    }
}
