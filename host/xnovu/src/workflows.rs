//! The workflows each enterprise may trigger.
//!
//! Owns a short-lived copy of the published workflows of every enterprise served. A key that is not in it is looked up anew before it is
//! refused, so that a workflow published a moment ago works at once; one taken back works for at most [`KEPT`] longer.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use xnovu_domain::{EnterpriseId, WorkflowKey};

use crate::store::{NotificationStore, StoreError};

/// How long a copy is believed.
const KEPT: Duration = Duration::from_secs(60);

/// Shortest time between two look-ups for one enterprise because of a key that was missing: a rule that names a wrong key must not
/// double the load on the database.
const MISS_PAUSE: Duration = Duration::from_secs(1);

type Keys = Arc<BTreeSet<WorkflowKey>>;

/// The copies.
pub struct Workflows {
    store: Arc<dyn NotificationStore>,
    known: Mutex<HashMap<EnterpriseId, (Instant, Keys)>>,
}

impl Workflows {
    /// No copies yet.
    #[must_use]
    pub fn new(store: Arc<dyn NotificationStore>) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// The enterprise's published workflows, fresh enough to judge `wanted`.
    ///
    /// # Errors
    /// The store's, where a look-up was needed and failed.
    pub async fn of(&self, enterprise: &EnterpriseId, wanted: &[WorkflowKey]) -> Result<Keys, StoreError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(enterprise).cloned();
        if let Some((read_at, keys)) = known {
            let all_there = wanted.iter().all(|key| keys.contains(key));
            let age = read_at.elapsed();
            if age < KEPT && (all_there || age < MISS_PAUSE) {
                return Ok(keys);
            }
        }
        let keys = Arc::new(self.store.workflows(enterprise).await?);
        let entry = (Instant::now(), Arc::clone(&keys));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(enterprise.clone(), entry);
        Ok(keys)
    }
}
