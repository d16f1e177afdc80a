//! What an enterprise may use of the workers.
//!
//! Owns the limits themselves. The queues keep to them, across all workers: a job above a limit waits among the delayed ones, spends no
//! attempt, and is called in when its turn has come.

use std::collections::HashMap;
use std::num::NonZeroU32;
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    own: HashMap<EnterpriseId, Limit>,
}

impl Limits {
    /// The limit of an enterprise; none where it has none of its own.
    #[must_use]
    pub fn of(&self, enterprise: &EnterpriseId) -> Limit {
        self.own.get(enterprise).copied().unwrap_or_default()
    }
}

impl FromIterator<(EnterpriseId, Limit)> for Limits {
    fn from_iter<I: IntoIterator<Item = (EnterpriseId, Limit)>>(limits: I) -> Self {
        Self { own: limits.into_iter().collect() }
    }
}

/// Longest wait for a slot without being called in: its holder's worker may have died.
pub(crate) const SLOT_WAIT: Duration = Duration::from_secs(30);

/// Longest wait for a token. Who is further behind asks again then.
pub(crate) const TOKEN_WAIT: Duration = Duration::from_secs(600);
