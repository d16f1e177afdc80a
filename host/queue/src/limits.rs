//! What an enterprise may use of the workers.
//!
//! Owns the limits themselves. The queues keep to them, across all workers: a job above a limit waits among the delayed ones, spends no
//! attempt, and is called in when its turn has come.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use xnovu_domain::EnterpriseId;

/// What one enterprise may use. None: as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Jobs under way at once.
    pub concurrency: Option<NonZeroU32>,
    /// Jobs begun a second on average; in any one second at most a tenth more, or one more.
    pub per_second: Option<NonZeroU32>,
}

impl Limit {
    /// Whether its jobs are begun as they come.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.concurrency.is_none() && self.per_second.is_none()
    }
}

/// The limits of every enterprise.
#[derive(Clone)]
pub struct Limits(Arc<dyn Fn(&EnterpriseId) -> Limit + Send + Sync>);

impl Limits {
    /// The limits somebody else knows. Asked for every job, so the answer must be quick; it must be the same in every worker.
    #[must_use]
    pub fn new(of: impl Fn(&EnterpriseId) -> Limit + Send + Sync + 'static) -> Self {
        Self(Arc::new(of))
    }

    /// The limit of an enterprise.
    #[must_use]
    pub fn of(&self, enterprise: &EnterpriseId) -> Limit {
        (self.0)(enterprise)
    }
}

/// No limits.
impl Default for Limits {
    fn default() -> Self {
        Self::new(|_| Limit::default())
    }
}

/// Those of some enterprises; the others have none.
impl FromIterator<(EnterpriseId, Limit)> for Limits {
    fn from_iter<I: IntoIterator<Item = (EnterpriseId, Limit)>>(limits: I) -> Self {
        let own: HashMap<EnterpriseId, Limit> = limits.into_iter().collect();
        Self::new(move |enterprise| own.get(enterprise).copied().unwrap_or_default())
    }
}

/// Longest wait for a slot without being called in: its holder's worker may have died.
pub(crate) const SLOT_WAIT: Duration = Duration::from_secs(30);

/// When a parked job that nobody has called in asks again, at the earliest; three times that at the latest, so that a backlog does not come
/// all at once. Nobody should have to: it is for what a dashboard or another client took out of turn.
pub(crate) const PARKED_WAIT: Duration = Duration::from_secs(300);
