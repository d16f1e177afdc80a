//! Everything a stand-in holds, and the operations tests use in process. The admin route offers the same ones over HTTP.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::Serialize;
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use crate::admin::rows;
use crate::clock::Clock;
use crate::config::{Options, StandinConfig};
use crate::database::{Store, Transaction};
use crate::error::ApiError;
use crate::faults::{Action, Faults};
use crate::novu::worker::{Delivery, DeliveryFilter, NovuStats};
use crate::novu::{Novu, WorkflowState};
use crate::realtime::{Hub, RealtimeStats};
use crate::schema::{Kind, TableId};
use crate::tasks::Tasks;
use crate::timestamp::Timestamp;
use crate::value::label;

/// The state of one stand-in. Clones share it.
#[derive(Clone, Debug)]
pub struct State {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: StandinConfig,
    clock: Clock,
    store: Store,
    faults: Mutex<Faults>,
    hub: Hub,
    novu: Novu,
    tasks: Tasks,
    /// Counts the names the admin route makes up.
    names: AtomicU64,
    rest_writes: AtomicU64,
    keys: RwLock<Keys>,
}

/// The keys that are accepted.
#[derive(Debug)]
struct Keys {
    supabase: Arc<str>,
    novu: Arc<str>,
}

/// Numbers about everything.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Rows of each table.
    pub tables: BTreeMap<&'static str, TableStats>,
    /// POST, PATCH and DELETE requests to PostgREST, refused ones among them.
    pub rest_writes: u64,
    /// Numbers about Novu.
    pub novu: NovuStats,
    /// Numbers about Realtime.
    pub realtime: RealtimeStats,
}

/// Numbers about a table.
#[derive(Clone, Debug, Serialize)]
pub struct TableStats {
    /// Rows.
    pub rows: usize,
    /// Rows in each status. Empty for tables without one.
    pub by_status: BTreeMap<&'static str, usize>,
}

/// The rows that a bulk insert made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Inserted {
    /// How many.
    pub inserted: usize,
    /// Lowest and highest id; both 0 where nothing was inserted.
    pub first_id: i64,
    /// See `first_id`.
    pub last_id: i64,
}

impl State {
    pub(crate) fn new(config: StandinConfig, tasks: Tasks) -> Self {
        let inner = Inner {
            clock: Clock::new(config.options.clock_offset_ms),
            store: Store::new(config.options.touch_updated_at),
            faults: Mutex::new(Faults::default()),
            hub: Hub::default(),
            novu: Novu::new(&config.options),
            tasks,
            names: AtomicU64::new(1),
            rest_writes: AtomicU64::new(0),
            keys: RwLock::new(Keys {
                supabase: config.supabase_key.as_str().into(),
                novu: config.novu_key.as_str().into(),
            }),
            config,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Inserts a row and answers it as stored.
    ///
    /// What is missing takes sensible values: a name, `PUBLISH`, a payload, a recipient, the default enterprise. A notification may
    /// name its workflow by `workflow_key`; an unknown key makes a published workflow of the row's enterprise.
    ///
    /// # Errors
    ///
    /// Those of an INSERT: unknown table or column, malformed literals, violated constraints.
    pub fn insert(&self, table: &str, row: &Json) -> Result<Json, ApiError> {
        rows::insert(self, table, row)
    }

    /// Inserts rows in one transaction.
    ///
    /// # Errors
    ///
    /// As `insert`; then nothing is inserted.
    pub fn insert_many(&self, table: &str, rows: &[Json]) -> Result<Inserted, ApiError> {
        rows::insert_many(self, table, rows)
    }

    /// Inserts `count` rows like `template` in one transaction. Each gets a name of its own, after the template's.
    ///
    /// # Errors
    ///
    /// As `insert`; then nothing is inserted.
    pub fn insert_copies(&self, table: &str, template: &Json, count: usize) -> Result<Inserted, ApiError> {
        rows::insert_copies(self, table, template, count)
    }

    /// Updates a row's columns and answers it as stored; none if there is no such row.
    ///
    /// # Errors
    ///
    /// Those of an UPDATE.
    pub fn update(&self, table: &str, id: i64, columns: &Json) -> Result<Option<Json>, ApiError> {
        rows::update(self, table, id, columns)
    }

    /// Deletes a row. False: there was none.
    ///
    /// # Errors
    ///
    /// Unknown table.
    pub fn delete(&self, table: &str, id: i64) -> Result<bool, ApiError> {
        rows::delete(self, table, id)
    }

    /// A row as it is now.
    ///
    /// # Errors
    ///
    /// Unknown table.
    pub fn row(&self, table: &str, id: i64) -> Result<Option<Json>, ApiError> {
        Ok(self.rows(table, &[("id", &id.to_string())])?.pop())
    }

    /// The rows whose columns have these values, by ascending id.
    ///
    /// # Errors
    ///
    /// Unknown table or column, malformed literals.
    pub fn rows(&self, table: &str, equal: &[(&str, &str)]) -> Result<Vec<Json>, ApiError> {
        let text = rows::select(self, table, equal, u64::MAX)?;
        Ok(serde_json::from_str(&text).expect("rows are written as a JSON array"))
    }

    /// Deliveries after position `since`, oldest first, refused duplicates among them.
    pub fn deliveries(&self, since: u64) -> Vec<Delivery> {
        self.deliveries_matching(&DeliveryFilter { since, ..DeliveryFilter::default() })
    }

    /// Numbers about everything.
    pub fn stats(&self) -> Stats {
        let tables = self.inner.store.read(|database| {
            let tables = TableId::ALL.into_iter().map(|table| {
                let rows = database.table(table);
                let status = table.schema().known.notification_status;
                let by_status = status.map(|column| {
                    let kind: Kind = table.schema().columns[column].kind;
                    let counts = rows.count_by_status().into_iter();
                    counts.filter(|(_, count)| *count > 0).map(|(at, count)| (label(kind, at), count)).collect()
                });
                (table.name(), TableStats { rows: rows.len(), by_status: by_status.unwrap_or_default() })
            });
            tables.collect()
        });
        Stats {
            tables,
            rest_writes: self.inner.rest_writes.load(Ordering::Relaxed),
            novu: self.inner.novu.worker().stats(),
            realtime: self.inner.hub.stats(),
        }
    }

    /// The switches as they stand; used counts are down to what is left.
    pub fn faults(&self) -> Faults {
        self.lock_faults().clone()
    }

    /// Sets all switches.
    pub fn set_faults(&self, faults: Faults) {
        let mut current = self.lock_faults();
        self.inner
            .clock
            .set_offset_ms(self.inner.config.options.clock_offset_ms.saturating_add(faults.clock_offset_ms));
        self.inner.store.keep_history(faults.rest.stale_reads_ms > 0);
        self.inner.hub.set_stalled(faults.realtime.stall);
        *current = faults;
    }

    /// Does something once to what is connected now.
    pub fn act(&self, action: Action) {
        self.inner.hub.act(action);
    }

    /// Decides how Novu knows a workflow, whatever the table says.
    pub fn set_workflow(&self, key: &str, workflow: WorkflowState) {
        self.inner.novu.set_workflow(key, workflow);
    }

    /// Empties tables, deliveries, idempotency keys and workflow states. Sockets and switches stay; no event is sent.
    pub fn flush(&self) {
        self.inner.store.truncate();
        self.inner.novu.flush();
    }

    pub(crate) fn deliveries_matching(&self, filter: &DeliveryFilter) -> Vec<Delivery> {
        self.inner.novu.worker().deliveries(filter)
    }

    /// Replaces the keys that are accepted, as a rotation does. Sockets that stand stay.
    pub fn rotate_keys(&self, supabase: &str, novu: &str) {
        let keys = Keys { supabase: supabase.into(), novu: novu.into() };
        *self.inner.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    pub(crate) fn supabase_key(&self) -> Arc<str> {
        Arc::clone(&self.inner.keys.read().unwrap_or_else(PoisonError::into_inner).supabase)
    }

    pub(crate) fn novu_key(&self) -> Arc<str> {
        Arc::clone(&self.inner.keys.read().unwrap_or_else(PoisonError::into_inner).novu)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.config.options
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The `Date` header of an answer given now.
    pub(crate) fn http_date(&self) -> String {
        self.inner.clock.http_date()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    pub(crate) fn novu(&self) -> &Novu {
        &self.inner.novu
    }

    /// Ends when the stand-in stops.
    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.inner.tasks.stop_token()
    }

    /// Runs a transaction and hands what it changed to Realtime, in commit order.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.inner.store.write(|| self.now(), work, |changes| self.inner.hub.publish(changes))
    }

    /// Looks at the switches.
    pub(crate) fn with_faults<T>(&self, look: impl FnOnce(&Faults) -> T) -> T {
        look(&self.lock_faults())
    }

    /// Uses up counted switches. Not for setting: `set_faults` does what hangs on them.
    pub(crate) fn change_faults<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        change(&mut self.lock_faults())
    }

    /// A request that would write has come.
    pub(crate) fn note_rest_write(&self) {
        self.inner.rest_writes.fetch_add(1, Ordering::Relaxed);
    }

    /// A number no name has had yet.
    pub(crate) fn next_name(&self) -> u64 {
        self.inner.names.fetch_add(1, Ordering::Relaxed)
    }

    fn lock_faults(&self) -> MutexGuard<'_, Faults> {
        // Switches are plain values; a panic leaves none half set.
        self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
