//! The daemon's half of the line.
//!
//! Owns what happens between a hint and a job: re-read, owed?, admit, offer. Each enterprise has a lane of its own, so that rules which are
//! slow or broken delay nobody else. Promises that a row it could not decide about is left as it was, for the sweep to bring again.

mod lane;
mod seen;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};
use xnovu_domain::{EnterpriseId, Priorities};
use xnovu_queue::JobQueue;
use xnovu_rules::Rules;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::reaper::Reaper;
use crate::retraction::Retractions;
use crate::source::Hint;
use crate::source::due::Due;
use crate::store::NotificationStore;
use crate::tasks::Tasks;
use crate::trail::Trail;

use lane::Lane;

/// Hints one lane holds. Beyond it hints are dropped: the sweep brings the rows again.
const LANE_HINTS_MAX: usize = 4_096;

/// What the admission works with.
pub struct Admission {
    /// The rows.
    pub store: Arc<dyn NotificationStore>,
    /// The rules of the enterprises.
    pub rules: Arc<dyn Rules>,
    /// The jobs.
    pub queue: Arc<dyn JobQueue>,
    /// Rows whose time has not come.
    pub due: Arc<Due>,
    /// Carries retractions.
    pub retractions: Arc<Retractions>,
    /// Brings back rows whose job is gone.
    pub reaper: Arc<Reaper>,
    /// Priority by origin.
    pub priorities: Priorities,
    /// How long an offer is remembered: two sweeps.
    pub seen_for: std::time::Duration,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Whether the queue is full enough.
    pub brake: watch::Receiver<bool>,
    /// Counts how often what was remembered of offers became worthless.
    pub epoch: Arc<AtomicU64>,
    /// Who watches.
    pub trail: Trail,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Admission {
    /// Opens a lane for each enterprise and leads hints into them until no source is left. What the lanes hold then is still done.
    pub async fn run(self: Arc<Self>, enterprises: Vec<EnterpriseId>, mut hints: mpsc::Receiver<Hint>, tasks: Tasks) {
        let lanes: HashMap<EnterpriseId, mpsc::Sender<Hint>> = enterprises
            .into_iter()
            .map(|enterprise| (enterprise.clone(), self.open_lane(enterprise, &tasks)))
            .collect();
        while let Some(hint) = hints.recv().await {
            self.lead(&lanes, hint);
        }
    }

    fn open_lane(self: &Arc<Self>, enterprise: EnterpriseId, tasks: &Tasks) -> mpsc::Sender<Hint> {
        let (sender, receiver) = mpsc::channel(LANE_HINTS_MAX);
        let lane = Lane::new(Arc::clone(self), enterprise);
        tasks.spawn("admission lane", lane.run(receiver));
        sender
    }

    fn lead(&self, lanes: &HashMap<EnterpriseId, mpsc::Sender<Hint>>, hint: Hint) {
        let (enterprise, via) = match &hint {
            Hint::Id { enterprise, via, .. } | Hint::Rows { enterprise, via, .. } => (enterprise, *via),
        };
        self.metrics.hinted(via.word());
        let Some(lane) = lanes.get(enterprise) else { return };
        if lane.try_send(hint).is_err() {
            self.metrics.hint_dropped();
        }
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn braked(&self) -> bool {
        *self.brake.borrow()
    }
}

#[cfg(test)]
mod tests;
