//! The label that names an enterprise, bounded.
//!
//! Promises that a process never has more than so many values of it, however many enterprises it meets: those that come later share one.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use xnovu_domain::EnterpriseId;

/// What enterprises beyond the bound are called.
pub const OTHER: &str = "other";

/// The enterprises that have a label of their own.
#[derive(Debug)]
pub(super) struct Enterprises {
    named: RwLock<BTreeSet<EnterpriseId>>,
    max: usize,
}

impl Enterprises {
    pub(super) fn new(max: usize) -> Self {
        Self { named: RwLock::default(), max }
    }

    /// The label of an enterprise: the first `max` there are keep their own.
    pub(super) fn label<'e>(&self, enterprise: &'e EnterpriseId) -> &'e str {
        if self.named.read().unwrap_or_else(PoisonError::into_inner).contains(enterprise) {
            return enterprise.as_str();
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        if named.contains(enterprise) {
            return enterprise.as_str();
        }
        if named.len() >= self.max {
            return OTHER;
        }
        named.insert(enterprise.clone());
        enterprise.as_str()
    }
}
