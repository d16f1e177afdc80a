//! What a service manager is told.
//!
//! Owns the messages of `sd_notify(3)`: ready, stopping, how the process is, and the watchdog's, which are sent only while every task of the process turns.
//! Without a service manager nothing is sent. The library reads the variables of systemd itself; no setting of ours is among them.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// Everything is opened and served. Whether it can work is another question: what it waits for may be away, which no restart mends.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// How the process is, in a line for `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// The stop has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// How often the watchdog wants to hear of us: twice within the time after which it would end us. None: it does not watch.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|within| within / 2)
}

/// Tells the watchdog that the process is alive, for as long as that is true, until `stop` is cancelled.
pub async fn feed_watchdog(every: Duration, tasks: Vec<Tasks>, stop: CancellationToken) {
    feed(every, tasks, stop, || tell(&[NotifyState::Watchdog])).await;
}

async fn feed(every: Duration, tasks: Vec<Tasks>, stop: CancellationToken, alive: impl Fn()) {
    let mut told = false;
    loop {
        let ailing: Vec<String> = tasks.iter().flat_map(|tasks| tasks.ailing(every)).collect();
        if ailing.is_empty() {
            alive();
        } else if !told {
            tracing::error!(tasks = ailing.join(", "), "the watchdog is not fed any more: the process does not work");
            told = true;
        }
        if stop.run_until_cancelled(tokio::time::sleep(every)).await.is_none() {
            return;
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_until_a_task_dies_and_not_after() {
        let (stop, fed) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let (watched, own) = (Tasks::new(stop.clone()), Tasks::new(stop.clone()));
        let (kill, killed) = tokio::sync::oneshot::channel::<()>();
        watched.spawn("fragile", async move {
            let _ = killed.await;
            panic!("on purpose");
        });
        let (feeds, end, every) = (Arc::clone(&fed), stop.clone(), Duration::from_secs(5));
        let tasks = vec![watched.clone()];
        own.spawn(
            "watchdog",
            async move { feed(every, tasks, end, || _ = feeds.fetch_add(1, Ordering::Relaxed)).await },
        );
        tokio::time::sleep(every * 3 + Duration::from_secs(1)).await;
        assert_eq!(fed.load(Ordering::Relaxed), 4);
        drop(kill);
        tokio::time::sleep(every * 3).await;
        assert_eq!(fed.load(Ordering::Relaxed), 4, "a dead task was passed off as alive");
        stop.cancel();
        assert_eq!(own.wait(Duration::from_secs(5)).await, Vec::<&str>::new());
    }
}
