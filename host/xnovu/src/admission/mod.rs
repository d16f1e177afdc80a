//! The daemon's half of the line.
//!
//! Owns what happens between a hint and a job: re-read, owed?, admit, offer. Each enterprise has a lane of its own, so that rules which are
//! slow or broken delay nobody else. Promises that a row it could not decide about is left as it was, for the sweep to bring again.

mod lane;
mod seen;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use xnovu_domain::EnterpriseId;
use xnovu_queue::JobQueue;
use xnovu_rules::Rules;

use crate::clock::Clock;
use crate::config::PerEnterprise;
use crate::metrics::{Discard, Metrics};
use crate::pressure::Pressure;
use crate::reaper::Reaper;
use crate::retraction::Retractions;
use crate::source::Hint;
use crate::source::due::Due;
use crate::source::sweep::SweepRequests;
use crate::store::NotificationStore;
use crate::tasks::Tasks;
use crate::trail::Trail;

use lane::Lane;

/// Hints one lane holds. Beyond it hints are dropped, and a sweep is asked for once the lane is empty.
const LANE_HINTS_MAX: usize = 1_024;

/// Rows the pages in one lane hold together, so that a backlog waits in the database and not here.
const LANE_ROWS_MAX: usize = 2_000;

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
    /// What is set for each enterprise.
    pub settings: Arc<PerEnterprise>,
    /// How long an offer is remembered: two sweeps.
    pub seen_for: std::time::Duration,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// How full the queue is.
    pub pressure: watch::Receiver<Pressure>,
    /// Where a lane that had to drop hints asks for its rows again.
    pub requests: Arc<SweepRequests>,
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
        let lanes: HashMap<EnterpriseId, Door> = enterprises
            .into_iter()
            .map(|enterprise| (enterprise.clone(), self.open_lane(enterprise, &tasks)))
            .collect();
        while let Some(hint) = hints.recv().await {
            self.lead(&lanes, hint);
        }
    }

    fn open_lane(self: &Arc<Self>, enterprise: EnterpriseId, tasks: &Tasks) -> Door {
        let (sender, receiver) = mpsc::channel(LANE_HINTS_MAX);
        let door = Door { sender, rows: Arc::new(Semaphore::new(LANE_ROWS_MAX)), missed: Arc::default() };
        let lane = Lane::new(Arc::clone(self), enterprise, Arc::clone(&door.missed));
        tasks.spawn("admission lane", lane.run(receiver));
        door
    }

    fn lead(&self, lanes: &HashMap<EnterpriseId, Door>, hint: Hint) {
        let (enterprise, via) = match &hint {
            Hint::Id { enterprise, via, .. } | Hint::Rows { enterprise, via, .. } => (enterprise, *via),
        };
        self.metrics.hinted(via.word());
        if let Hint::Id { id, change: Some(change), .. } = &hint {
            self.metrics.told(enterprise, change.word());
            tracing::info!(component = "SubscriptionManager", event = "notification_received", enterprise_id = %enterprise, notification_id = id.get(), event_type = change.word(), "a change was told");
        }
        let Some(door) = lanes.get(enterprise) else { return };
        if !door.admit(hint) {
            self.metrics.discarded(Discard::LaneFull);
        }
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn pressure(&self) -> Pressure {
        *self.pressure.borrow()
    }
}

/// The way into a lane.
struct Door {
    sender: mpsc::Sender<Entered>,
    rows: Arc<Semaphore>,
    missed: Arc<AtomicBool>,
}

/// A hint in a lane, and the room its rows take while they are there.
struct Entered {
    hint: Hint,
    _room: Option<OwnedSemaphorePermit>,
}

impl Door {
    /// Lets a hint in if there is room for it; else notes that the lane has missed something.
    fn admit(&self, hint: Hint) -> bool {
        let room = match &hint {
            Hint::Id { .. } => Ok(None),
            Hint::Rows { rows, .. } => {
                // A page above the bound takes all of it, alone.
                let wanted = u32::try_from(rows.len().clamp(1, LANE_ROWS_MAX)).unwrap_or(u32::MAX);
                Arc::clone(&self.rows).try_acquire_many_owned(wanted).map(Some)
            }
        };
        let entered = room.is_ok_and(|room| self.sender.try_send(Entered { hint, _room: room }).is_ok());
        if !entered {
            self.missed.store(true, Ordering::Relaxed);
        }
        entered
    }
}

#[cfg(test)]
mod tests;
