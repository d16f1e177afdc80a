//! The database in memory: tables, transactions, and the history that a lagging replica needs.
//!
//! It owns rows and their constraints. One lock makes every request a serial transaction, so a conditional UPDATE has one winner.
//! It knows nothing of HTTP; what a commit changed is handed to the caller, in commit order.

mod plan;
mod table;
mod view;
mod write;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::ApiError;
use crate::schema::{ID, TableId};
use crate::timestamp::Timestamp;
use crate::value::Row;

pub(crate) use table::Table;
use view::Overlay;
pub(crate) use view::{Page, View, Window};
pub(crate) use write::{Assignments, OnConflict, Resolution, Transaction};

/// Changes a replica's history keeps; older ones count as applied.
const HISTORY_CHANGES_MAX: usize = 100_000;

/// One row before and after a change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) table: TableId,
    pub(crate) old: Option<Row>,
    pub(crate) new: Option<Row>,
    /// Start of the transaction.
    pub(crate) at: Timestamp,
}

impl Change {
    /// Primary key of the row.
    pub(crate) fn id(&self) -> Option<i64> {
        self.new.as_ref().or(self.old.as_ref()).and_then(|row| row[ID].as_int())
    }
}

/// The tables behind their lock.
#[derive(Debug)]
pub(crate) struct Store {
    database: Mutex<Database>,
}

/// The tables.
#[derive(Debug)]
pub(crate) struct Database {
    tables: [Table; TableId::ALL.len()],
    touch_updated_at: bool,
    /// Kept only while a replica lags.
    history: Option<VecDeque<Change>>,
}

impl Database {
    pub(crate) fn table(&self, table: TableId) -> &Table {
        &self.tables[table as usize]
    }

    fn table_mut(&mut self, table: TableId) -> &mut Table {
        &mut self.tables[table as usize]
    }

    /// The database as it is.
    pub(crate) fn view(&self) -> View<'_> {
        View::new(self, Overlay::new())
    }

    fn remember(&mut self, changes: &[Change]) {
        let Some(history) = &mut self.history else { return };
        history.extend(changes.iter().cloned());
        let excess = history.len().saturating_sub(HISTORY_CHANGES_MAX);
        history.drain(..excess);
    }

    /// How rows differed at `at`: later changes, undone from the newest on.
    fn overlay(&self, at: Timestamp) -> Overlay {
        let mut overlay = Overlay::new();
        let later = self.history.iter().flatten().rev().take_while(|change| change.at > at);
        for change in later {
            if let Some(id) = change.id() {
                overlay.insert((change.table, id), change.old.clone());
            }
        }
        overlay
    }
}

impl Store {
    /// `touch_updated_at` installs the trigger that sets `updated_at` on every UPDATE.
    pub(crate) fn new(touch_updated_at: bool) -> Self {
        let tables = TableId::ALL.map(|table| Table::new(table.schema()));
        Self { database: Mutex::new(Database { tables, touch_updated_at, history: None }) }
    }

    /// Reads the database as it is.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Database) -> T) -> T {
        work(&self.lock())
    }

    /// Reads the database as it was at `at`, as far back as the history goes.
    pub(crate) fn read_as_of<T>(&self, at: Timestamp, work: impl FnOnce(&View<'_>) -> T) -> T {
        let database = self.lock();
        work(&View::new(&database, database.overlay(at)))
    }

    /// Runs a transaction. `committed` is told the changes before anyone else can commit.
    pub(crate) fn write<T>(
        &self,
        now: impl FnOnce() -> Timestamp,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, ApiError>,
        committed: impl FnOnce(Vec<Change>),
    ) -> Result<T, ApiError> {
        let mut database = self.lock();
        let mut transaction = Transaction::begin(&mut database, now());
        let done = work(&mut transaction)?;
        let changes = transaction.commit();
        database.remember(&changes);
        committed(changes);
        Ok(done)
    }

    /// Starts or ends keeping the history that `read_as_of` needs.
    pub(crate) fn keep_history(&self, keep: bool) {
        let mut database = self.lock();
        if !keep {
            database.history = None;
        } else if database.history.is_none() {
            database.history = Some(VecDeque::new());
        }
    }

    /// Empties all tables, as TRUNCATE does: no change is reported.
    pub(crate) fn truncate(&self) {
        let mut database = self.lock();
        database.tables = TableId::ALL.map(|table| Table::new(table.schema()));
        if let Some(history) = &mut database.history {
            history.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Database> {
        // A panic under the lock cannot leave half a transaction: dropping it undoes it.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
