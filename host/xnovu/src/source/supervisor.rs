//! The only reconnect loop.
//!
//! Owns when a connection is made again: after a wait with full jitter that doubles up to a cap, without an end, and from the start again
//! once a connection has held for a while. Never looks at what a connection carries.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use xnovu_domain::Backoff;

use super::{Connection, EventSource, Hint, SourceError, StatusSender};

/// How connections are made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restarts {
    /// The waits.
    pub backoff: Backoff,
    /// A connection that held this long proves that the trouble is over.
    pub stable_after: Duration,
}

impl Restarts {
    /// Waits from `base` up to 30 s; stable after 30 s.
    #[must_use]
    pub fn from_base(base: Duration) -> Self {
        let cap = Duration::from_secs(30);
        Self { backoff: Backoff { base, cap }, stable_after: cap }
    }
}

/// Runs the source's connections one after another until `stop` is cancelled.
pub async fn supervise(
    source: Arc<dyn EventSource>,
    restarts: Restarts,
    out: mpsc::Sender<Hint>,
    status: StatusSender,
    stop: CancellationToken,
) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        status.set(source.enterprises(), Connection::Connecting);
        let started = tokio::time::Instant::now();
        // Not raced against `stop`: the source watches it and says good-bye to the other side.
        let ended = source.run(&out, &status, &stop).await;
        if stop.is_cancelled() {
            break;
        }
        let error = ended.err().unwrap_or(SourceError::Closed { reason: None });
        if started.elapsed() >= restarts.stable_after {
            failures = 0;
        }
        let wait = restarts.backoff.full_jitter(failures, fastrand::f64());
        failures = failures.saturating_add(1);
        report(source.as_ref(), &status, error, wait);
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    status.set(source.enterprises(), Connection::Disconnected);
}

fn report(source: &dyn EventSource, status: &StatusSender, error: SourceError, wait: Duration) {
    let error = format!("{:#}", anyhow::Error::from(error));
    tracing::warn!(
        event = "subscription_lost",
        source = source.name(),
        error,
        wait_ms = wait.as_millis(),
        "connection lost, trying again"
    );
    status.set_lost(source.enterprises(), &error);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use async_trait::async_trait;
    use std::sync::Mutex;
    use tokio::time::Instant;
    use xnovu_domain::{EnterpriseId, Micros};

    /// Holds each connection for the next time of its list, then fails; for ever once the list is empty.
    struct Flaky {
        enterprises: Vec<EnterpriseId>,
        holds: Mutex<Vec<Duration>>,
        starts: Mutex<Vec<Instant>>,
    }

    #[async_trait]
    impl EventSource for Flaky {
        fn name(&self) -> &str {
            "flaky"
        }

        fn enterprises(&self) -> &[EnterpriseId] {
            &self.enterprises
        }

        async fn run(
            &self,
            _: &mpsc::Sender<Hint>,
            status: &StatusSender,
            stop: &CancellationToken,
        ) -> Result<(), SourceError> {
            self.starts.lock().unwrap().push(Instant::now());
            status.set(&self.enterprises, Connection::Subscribed);
            let hold = self.holds.lock().unwrap().pop();
            match hold {
                Some(hold) => tokio::time::sleep(hold).await,
                None => stop.cancelled().await,
            }
            Err(SourceError::Silent("on purpose"))
        }
    }

    async fn run(holds: &[u64]) -> (Vec<Duration>, super::super::status::Standing) {
        let enterprises: Vec<EnterpriseId> = vec!["e".parse().unwrap()];
        let status = StatusSender::new(&enterprises, Arc::new(ManualClock::new(Micros::new(0))));
        let holds: Vec<Duration> = holds.iter().rev().map(|seconds| Duration::from_secs(*seconds)).collect();
        let connections = holds.len() + 1;
        let flaky = Arc::new(Flaky { enterprises, holds: Mutex::new(holds), starts: Mutex::default() });
        let (out, _hints) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let supervised =
            supervise(flaky.clone(), Restarts::from_base(Duration::from_secs(1)), out, status.clone(), stop.clone());
        let watched = async {
            let mut table = status.watch();
            while flaky.starts.lock().unwrap().len() < connections {
                table.changed().await.unwrap();
            }
            let standing = table.borrow().values().next().unwrap().clone();
            stop.cancel();
            standing
        };
        let ((), standing) = tokio::join!(supervised, watched);
        let starts = flaky.starts.lock().unwrap().clone();
        (starts.windows(2).map(|pair| pair[1] - pair[0]).collect(), standing)
    }

    #[tokio::test(start_paused = true)]
    async fn waits_are_jittered_and_stay_below_their_doubling_ceiling() {
        let (gaps, standing) = run(&[0; 8]).await;
        let ceilings = [1, 2, 4, 8, 16, 30, 30, 30].map(Duration::from_secs);
        assert!(
            gaps.iter().zip(ceilings).all(|(gap, ceiling)| *gap <= ceiling + Duration::from_millis(10)),
            "{gaps:?}"
        );
        assert!(gaps[7] != gaps[6], "{gaps:?}");
        assert_eq!(standing.reconnects, 8);
        assert_eq!(standing.last_error.as_deref(), Some("on purpose"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_held_starts_the_waits_anew() {
        let (gaps, _) = run(&[0, 0, 0, 0, 0, 31, 0]).await;
        assert!(gaps[5] <= Duration::from_millis(32_010), "{gaps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_ends_it_and_says_so() {
        let enterprises: Vec<EnterpriseId> = vec!["e".parse().unwrap()];
        let status = StatusSender::new(&enterprises, Arc::new(ManualClock::new(Micros::new(0))));
        let flaky = Flaky { enterprises, holds: Mutex::default(), starts: Mutex::default() };
        let (out, _hints) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let supervised =
            supervise(Arc::new(flaky), Restarts::from_base(Duration::ZERO), out, status.clone(), stop.clone());
        tokio::join!(supervised, async {
            status
                .watch()
                .wait_for(|table| table.values().all(|s| s.connection == Connection::Subscribed))
                .await
                .unwrap();
            stop.cancel();
        });
        assert_eq!(status.watch().borrow().values().next().unwrap().connection, Connection::Disconnected);
    }
}
