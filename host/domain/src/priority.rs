//! How urgent a notification is, in xnovu's own sense: 0 to 1000, higher first.
//!
//! Owns the range and the defaults by origin. Never speaks the queue's sense, which is the other way round; `xnovu-queue` turns it
//! once.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Origin;

/// A number outside 0 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("priority {0} is not within 0 to 1000")]
pub struct PriorityError(pub u32);

/// 0 to 1000, higher first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Priority(u16);

impl Priority {
    /// The most urgent.
    pub const MAX: Self = Self(1000);

    /// The priority of a number.
    ///
    /// # Errors
    /// Above 1000.
    pub fn new(number: u32) -> Result<Self, PriorityError> {
        match u16::try_from(number) {
            Ok(small) if small <= Self::MAX.0 => Ok(Self(small)),
            _ => Err(PriorityError(number)),
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        u32::from(self.0)
    }
}

impl TryFrom<u32> for Priority {
    type Error = PriorityError;

    fn try_from(number: u32) -> Result<Self, PriorityError> {
        Self::new(number)
    }
}

impl From<Priority> for u32 {
    fn from(priority: Priority) -> Self {
        priority.get()
    }
}

/// The priority each origin has unless a rule says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priorities {
    /// Rows to be sent at once.
    pub realtime: Priority,
    /// Rows with a time.
    pub scheduled: Priority,
    /// Rows made by a cron rule.
    pub cron: Priority,
}

impl Default for Priorities {
    fn default() -> Self {
        Self { realtime: Priority(10), scheduled: Priority(5), cron: Priority(1) }
    }
}

impl Priorities {
    /// The rule's own priority, else that of the origin.
    #[must_use]
    pub fn of(&self, origin: Origin, by_rule: Option<Priority>) -> Priority {
        by_rule.unwrap_or(match origin {
            Origin::Realtime => self.realtime,
            Origin::Scheduled => self.scheduled,
            Origin::Cron => self.cron,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_ends_at_a_thousand() {
        assert_eq!(Priority::new(1000).unwrap(), Priority::MAX);
        assert_eq!(Priority::new(1001), Err(PriorityError(1001)));
        assert_eq!(Priority::new(65_536 + 1), Err(PriorityError(65_537)));
    }

    #[test]
    fn a_rule_outranks_the_origin() {
        let priorities = Priorities::default();
        assert_eq!(priorities.of(Origin::Cron, None).get(), 1);
        assert_eq!(priorities.of(Origin::Cron, Some(Priority::MAX)), Priority::MAX);
        assert!(priorities.of(Origin::Realtime, None) > priorities.of(Origin::Scheduled, None));
    }
}
