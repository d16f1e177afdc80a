//! The one place that starts tasks. A task ends when the stand-in does, whatever it is waiting for.
#![allow(clippy::disallowed_methods, reason = "the one file that spawns")]

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one stand-in and the token that ends them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Starts a task that is dropped where it stands once the stand-in stops.
    pub(crate) fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let _ended_by_stop = stop.run_until_cancelled(work).await;
        });
    }

    /// A token that is cancelled when the stand-in stops.
    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends all tasks without waiting for them.
    pub(crate) fn stop(&self) {
        self.tracker.close();
        self.stop.cancel();
    }

    /// Waits until every task has ended. Cancellation safe.
    pub(crate) async fn ended(&self) {
        self.tracker.wait().await;
    }
}
