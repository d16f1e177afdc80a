//! Watching beside another sender.
//!
//! Owns `--monitor`: every notification that is heard of is judged as if it were to be sent, each episode once, and held against what the
//! other sender writes to the row ([`comparison`]). Promises to write nothing, queue nothing, reap, cancel and fire nothing: it has eyes
//! for the database ([`Eyes`]) and neither queue nor gateway.

pub mod comparison;
mod judge;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, Micros, Notification, NotificationId, Standing, Status};
use xnovu_rules::Rules;

use crate::clock::Clock;
use crate::cron::Book;
use crate::source::due::Due;
use crate::source::{Hint, Via};
use crate::store::{NotificationStore, StoreError};
use crate::telemetry::Chain;
use crate::workflows::Workflows;

pub use comparison::{Comparison, Report};

/// Hints taken together.
const BATCH_MAX: usize = 200;

/// Time between two comparisons, at least.
const COMPARE_INTERVAL: Duration = Duration::from_secs(2);

/// A comparison rests at least this many times as long as it kept the database busy.
const REST_FACTOR: u32 = 20;

/// Time between two looks at the slots of rules.
const TICK: Duration = Duration::from_secs(1);

/// How far back rows are looked at that were made since the start.
const LOOK_BACK: Duration = Duration::from_secs(600);

/// Rows asked for at a time.
const PAGE_ROWS: usize = 500;

/// The database, to be looked at only.
#[derive(Clone)]
pub struct Eyes(Arc<dyn NotificationStore>);

impl Eyes {
    /// Looks at these rows.
    #[must_use]
    pub fn of(store: Arc<dyn NotificationStore>) -> Self {
        Self(store)
    }

    async fn read(&self, enterprise: &EnterpriseId, ids: &[NotificationId]) -> Result<Vec<Notification>, StoreError> {
        Ok(self.0.read(enterprise, ids).await?.rows)
    }

    /// The enterprise's rows made since an instant.
    ///
    /// # Errors
    /// The store's.
    pub async fn made_since(&self, enterprise: &EnterpriseId, since: Micros) -> Result<Vec<Notification>, StoreError> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = self.0.made_since(enterprise, since, after, PAGE_ROWS).await?;
            let Some(last) = page.last_id().filter(|last| after.is_none_or(|after| *last > after)) else {
                return Ok(rows);
            };
            after = Some(last);
            rows.extend(page.rows);
        }
    }
}

/// Whether another sender works on an enterprise's rows: how many of those made since an instant it has written to. What a daemon must not
/// be started beside.
///
/// # Errors
/// The store's.
pub async fn other_sender(eyes: &Eyes, enterprise: &EnterpriseId, since: Micros) -> Result<usize, StoreError> {
    let rows = eyes.made_since(enterprise, since).await?;
    Ok(rows.iter().filter(|row| row.is_of_another_sender()).count())
}

/// What the monitor works with.
pub struct Monitor {
    /// The rows.
    pub eyes: Eyes,
    /// The rules of the enterprises.
    pub rules: Arc<dyn Rules>,
    /// The workflows each enterprise may trigger.
    pub workflows: Workflows,
    /// Rows whose time has not come.
    pub due: Arc<Due>,
    /// The rules that fire by the clock.
    pub book: Option<Arc<Book>>,
    /// The enterprises it watches.
    pub enterprises: Vec<EnterpriseId>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The comparison.
    pub comparison: Arc<Mutex<Comparison>>,
}

impl Monitor {
    /// Judges what is heard of and compares, until no source is left.
    pub async fn run(self: Arc<Self>, mut hints: mpsc::Receiver<Hint>, stop: CancellationToken) {
        let compared = async {
            let mut rest = COMPARE_INTERVAL;
            while stop.run_until_cancelled(tokio::time::sleep(rest)).await.is_some() {
                let started = Instant::now();
                self.compare_all().await;
                rest = COMPARE_INTERVAL.max(started.elapsed() * REST_FACTOR);
            }
        };
        let ticked = async {
            while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
                if let Some(book) = &self.book {
                    let due = book.due(self.clock.now());
                    self.lock().came_due(due.slots);
                }
            }
        };
        let heard = async {
            let mut batch = Vec::with_capacity(BATCH_MAX);
            while hints.recv_many(&mut batch, BATCH_MAX).await > 0 {
                self.hear(std::mem::take(&mut batch)).await;
            }
        };
        tokio::join!(compared, ticked, heard);
        self.compare_all().await;
    }

    async fn hear(&self, batch: Vec<Hint>) {
        let mut told: HashMap<EnterpriseId, BTreeSet<NotificationId>> = HashMap::new();
        for hint in batch {
            match hint {
                Hint::Id { enterprise, id, .. } => {
                    told.entry(enterprise).or_default().insert(id);
                }
                Hint::Rows { rows, via: Via::Sweep, .. } => self.see(rows).await,
                // What another sender has begun or taken back is looked at when rows are compared.
                Hint::Rows { .. } => {}
            }
        }
        for (enterprise, ids) in told {
            let ids: Vec<NotificationId> = ids.into_iter().collect();
            match self.eyes.read(&enterprise, &ids).await {
                Ok(rows) => self.see(rows).await,
                Err(error) => tracing::warn!(enterprise_id = %enterprise, error = %Chain(&error), "rows were not read"),
            }
        }
    }

    async fn see(&self, rows: Vec<Notification>) {
        for mut row in rows {
            if self.lock().knows(&row) {
                continue;
            }
            match row.standing(self.clock.now()) {
                Standing::Due(_) => self.due.register(&row),
                Standing::Asleep | Standing::Retracted => {}
                Standing::Owed => self.judge(&row).await,
                // The other sender was faster than our look. What it has read is what we would have.
                Standing::Settled if row.is_of_another_sender() => {
                    row.notification_status = Status::Pending;
                    self.judge(&row).await;
                }
                Standing::Settled => {}
            }
        }
    }

    async fn judge(&self, row: &Notification) {
        let now = self.clock.now();
        let ours = judge::judge(self.rules.as_ref(), &self.workflows, row, now).await;
        tracing::info!(event = "judged", enterprise_id = %row.enterprise_id, notification_id = %row.id,
            decision = comparison::word(ours), "a notification was judged and left alone");
        self.lock().decided(row, ours, now);
    }

    async fn compare_all(&self) {
        for enterprise in &self.enterprises {
            if let Err(error) = self.compare(enterprise).await {
                tracing::warn!(enterprise_id = %enterprise, error = %Chain(&error), "rows were not compared");
            }
        }
    }

    async fn compare(&self, enterprise: &EnterpriseId) -> Result<(), StoreError> {
        let since = self.lock().since().max(self.clock.now().minus(LOOK_BACK));
        let made = self.eyes.made_since(enterprise, since).await?;
        let open = self.lock().open(enterprise);
        let watched = self.eyes.read(enterprise, &open).await?;
        let now = self.clock.now();
        let mut comparison = self.lock();
        comparison.compare(&made, now);
        comparison.compare(&watched, now);
        comparison.compare_slots(enterprise, &made, now);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Comparison> {
        self.comparison.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
