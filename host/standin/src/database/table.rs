//! One table's rows and indexes.
//!
//! Rows are found by id, by a UNIQUE constraint's key, and by enterprise and status, so that a claim and a page of a sweep cost the
//! same in a large table as in a small one. A table keeps its own constraints; foreign keys belong to `write`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use crate::error::ApiError;
use crate::schema::{ID, TableSchema};
use crate::value::{Row, Value, plain_text};

/// Bytes of one value in the details of a violated constraint.
const SHOWN_VALUE_BYTES_MAX: usize = 64;

/// Which rows share an index entry: those of one enterprise in one status. Tables without a status have status 0 throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) enterprise: Option<Uuid>,
    pub(super) status: u8,
}

/// Rows and indexes of one table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(super) schema: &'static TableSchema,
    pub(super) rows: BTreeMap<i64, Row>,
    pub(super) scopes: HashMap<Scope, BTreeSet<i64>>,
    /// One map for each UNIQUE constraint, from key to id.
    unique: Vec<HashMap<Box<[Value]>, i64>>,
    next_id: i64,
}

impl Table {
    pub(super) fn new(schema: &'static TableSchema) -> Self {
        Self {
            schema,
            rows: BTreeMap::new(),
            scopes: HashMap::new(),
            unique: schema.unique.iter().map(|_| HashMap::new()).collect(),
            next_id: 1,
        }
    }

    pub(crate) fn row(&self, id: i64) -> Option<&Row> {
        self.rows.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many rows stand in each status, by the status's position.
    pub(crate) fn count_by_status(&self) -> BTreeMap<u8, usize> {
        let mut counts = BTreeMap::new();
        for (scope, ids) in &self.scopes {
            *counts.entry(scope.status).or_default() += ids.len();
        }
        counts
    }

    /// The next value of the identity column. Like a sequence, it does not take a value back when its transaction fails.
    pub(super) fn draw_id(&mut self) -> i64 {
        while self.rows.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// The row that a key of the constraint over exactly these columns leads to. `Err` if no constraint is over these columns.
    pub(super) fn find_conflict(&self, columns: &[usize], row: &[Value]) -> Result<Option<i64>, ApiError> {
        if columns == [ID] {
            return Ok(row[ID].as_int().filter(|id| self.rows.contains_key(id)));
        }
        let same_columns = |constraint: &[usize]| {
            constraint.len() == columns.len() && constraint.iter().all(|column| columns.contains(column))
        };
        let at = self.schema.unique.iter().position(|unique| same_columns(&unique.columns)).ok_or_else(|| {
            let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
            ApiError::new(400, "42P10", message)
        })?;
        Ok(key(&self.schema.unique[at].columns, row).and_then(|key| self.unique[at].get(&key).copied()))
    }

    /// The row with this text in a column that is UNIQUE by itself.
    pub(crate) fn find_unique_text(&self, column: usize, text: &str) -> Option<&Row> {
        let at = self.schema.unique.iter().position(|unique| unique.columns == [column])?;
        let key: Box<[Value]> = Box::new([Value::Text(text.into())]);
        self.unique[at].get(&key).and_then(|id| self.rows.get(id))
    }

    /// Checks NOT NULL and UNIQUE for a row about to be stored. `replaced` is the version it takes the place of.
    pub(super) fn check(&self, row: &Row, replaced: Option<&Row>) -> Result<(), ApiError> {
        for (column, value) in self.schema.columns.iter().zip(row.iter()) {
            if value.is_null() && !column.nullable {
                let message = format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    column.name, self.schema.name
                );
                return Err(ApiError::new(400, "23502", message).details(self.failing_row(row)));
            }
        }
        let old_id = replaced.and_then(|row| row[ID].as_int());
        if let Some(id) = row[ID].as_int().filter(|id| Some(*id) != old_id && self.rows.contains_key(id)) {
            return Err(self.duplicate(&format!("{}_pkey", self.schema.name), &[ID], &[Value::Int(id)]));
        }
        for (unique, index) in self.schema.unique.iter().zip(&self.unique) {
            let Some(key) = key(&unique.columns, row) else { continue };
            if index.get(&key).is_some_and(|holder| Some(*holder) != old_id) {
                return Err(self.duplicate(&unique.constraint, &unique.columns, &key));
            }
        }
        Ok(())
    }

    /// Stores a version of a row, or removes the row, whatever the constraints say. Answers the version it replaces.
    pub(super) fn put(&mut self, id: i64, row: Option<Row>) -> Option<Row> {
        let old = self.rows.remove(&id);
        if let Some(old) = &old {
            self.unindex(id, old);
        }
        if let Some(row) = row {
            self.index(id, &row);
            self.rows.insert(id, row);
        }
        old
    }

    fn index(&mut self, id: i64, row: &Row) {
        self.scopes.entry(self.scope(row)).or_default().insert(id);
        for (unique, index) in self.schema.unique.iter().zip(&mut self.unique) {
            if let Some(key) = key(&unique.columns, row) {
                index.insert(key, id);
            }
        }
    }

    fn unindex(&mut self, id: i64, row: &Row) {
        if let Some(ids) = self.scopes.get_mut(&self.scope(row)) {
            ids.remove(&id);
        }
        for (unique, index) in self.schema.unique.iter().zip(&mut self.unique) {
            if let Some(key) = key(&unique.columns, row) {
                index.remove(&key);
            }
        }
    }

    fn scope(&self, row: &Row) -> Scope {
        let status = self.schema.known.notification_status.and_then(|column| row[column].as_label());
        Scope { enterprise: row[self.schema.known.enterprise_id].as_uuid(), status: status.unwrap_or_default() }
    }

    fn duplicate(&self, constraint: &str, columns: &[usize], key: &[Value]) -> ApiError {
        let shown = |(column, value): (&usize, &Value)| plain_text(self.schema.columns[*column].kind, value);
        let names: Vec<_> = columns.iter().map(|column| self.schema.columns[*column].name).collect();
        let values: Vec<_> = columns.iter().zip(key).map(shown).collect();
        ApiError::new(409, "23505", format!("duplicate key value violates unique constraint \"{constraint}\""))
            .details(format!("Key ({})=({}) already exists.", names.join(", "), values.join(", ")))
    }

    fn failing_row(&self, row: &Row) -> String {
        let values = self.schema.columns.iter().zip(row.iter()).map(|(column, value)| {
            let mut text = plain_text(column.kind, value);
            if text.len() > SHOWN_VALUE_BYTES_MAX {
                text.truncate(text.floor_char_boundary(SHOWN_VALUE_BYTES_MAX));
                text.push_str("...");
            }
            text
        });
        format!("Failing row contains ({}).", values.collect::<Vec<_>>().join(", "))
    }
}

/// The key of a constraint; none if one of its columns is NULL, since NULLs never collide.
fn key(columns: &[usize], row: &[Value]) -> Option<Box<[Value]>> {
    let values = columns.iter().map(|column| (!row[*column].is_null()).then(|| row[*column].clone()));
    values.collect()
}
