//! Who asks for a sweep out of turn.
//!
//! Owns the set of enterprises whose connection was blind for a while. Asking twice before the round begins is asking once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use xnovu_domain::EnterpriseId;

use super::Search;

/// What was asked for and has not begun. Only owed and retracted rows can be missed by a blind connection.
#[derive(Debug, Default)]
pub struct SweepRequests {
    owed: Asked,
    retracted: Asked,
}

#[derive(Debug, Default)]
struct Asked {
    enterprises: Mutex<BTreeSet<EnterpriseId>>,
    added: Notify,
}

impl SweepRequests {
    /// Asks for a round over these enterprises that begins after this call.
    pub fn ask(&self, enterprises: &[EnterpriseId]) {
        for asked in [&self.owed, &self.retracted] {
            asked.enterprises.lock().unwrap_or_else(PoisonError::into_inner).extend(enterprises.iter().cloned());
            asked.added.notify_one();
        }
    }

    /// Waits until something is asked for. Safe to drop.
    pub(super) async fn asked(&self, search: Search) {
        let asked = self.of(search);
        while asked.enterprises.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            asked.added.notified().await;
        }
    }

    /// Takes what was asked for.
    pub(super) fn take(&self, search: Search) -> BTreeSet<EnterpriseId> {
        match search {
            Search::Expired => BTreeSet::new(),
            _ => std::mem::take(&mut self.of(search).enterprises.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn of(&self, search: Search) -> &Asked {
        if search == Search::Retracted { &self.retracted } else { &self.owed }
    }
}
