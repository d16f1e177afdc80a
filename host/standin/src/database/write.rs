//! Writing: INSERT, UPDATE and DELETE inside a transaction that leaves no trace unless it is committed.
//!
//! It owns defaults, triggers and foreign keys; NOT NULL and UNIQUE are the table's.

use crate::error::ApiError;
use crate::query::filter::Filter;
use crate::schema::{Default, ID, OnDelete, TableId};
use crate::timestamp::Timestamp;
use crate::value::{Row, Value};

use super::view::{Overlay, View};
use super::{Change, Database};

/// Values for some columns of a row.
pub(crate) type Assignments = Vec<(usize, Value)>;

/// What an INSERT does with a row that exists already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnConflict {
    /// Columns of the constraint that decides.
    pub(crate) columns: Vec<usize>,
    pub(crate) resolution: Resolution,
}

/// How a conflict is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    Merge,
    Ignore,
}

/// A row an INSERT left in the table.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) row: Row,
    /// Whether the row was there before and took the new values.
    pub(crate) merged: bool,
}

/// A transaction. Dropping it without `commit` undoes it.
pub(crate) struct Transaction<'d> {
    database: &'d mut Database,
    now: Timestamp,
    changes: Vec<Change>,
}

impl<'d> Transaction<'d> {
    pub(super) fn begin(database: &'d mut Database, now: Timestamp) -> Self {
        Self { database, now, changes: Vec::new() }
    }

    /// `now()` of this transaction.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// The database with the changes made so far.
    pub(crate) fn view(&self) -> View<'_> {
        View::new(self.database, Overlay::new())
    }

    /// Keeps what was done. Answers the changes in the order they were made.
    pub(super) fn commit(mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Inserts one row; columns that are not assigned take their defaults. Answers the row stored or merged into, none if it was
    /// ignored.
    pub(crate) fn insert(
        &mut self,
        table: TableId,
        assignments: &Assignments,
        on_conflict: Option<&OnConflict>,
    ) -> Result<Option<Stored>, ApiError> {
        self.refuse_generated(table, assignments)?;
        let row = self.with_defaults(table, assignments);
        if let Some(on_conflict) = on_conflict
            && let Some(id) = self.database.table(table).find_conflict(&on_conflict.columns, &row)?
        {
            return match on_conflict.resolution {
                Resolution::Ignore => Ok(None),
                Resolution::Merge => Ok(Some(Stored { row: self.merge(table, id, assignments)?, merged: true })),
            };
        }
        self.database.table(table).check(&row, None)?;
        self.check_references(table, &row, None)?;
        let id = row[ID].as_int().expect("the check above refuses a row without an id");
        self.put(table, id, Some(row.clone()));
        Ok(Some(Stored { row, merged: false }))
    }

    /// Assigns to every row that matches. Answers the new versions, by ascending id.
    pub(crate) fn update(
        &mut self,
        table: TableId,
        filter: &Filter,
        assignments: &Assignments,
    ) -> Result<Vec<Row>, ApiError> {
        self.refuse_generated(table, assignments)?;
        let rows = self.view().matching(table, filter);
        rows.iter().map(|row| self.assign(table, row, assignments)).collect()
    }

    /// Deletes every row that matches and does what the foreign keys say. Answers the deleted rows.
    pub(crate) fn delete(&mut self, table: TableId, filter: &Filter) -> Result<Vec<Row>, ApiError> {
        let rows = self.view().matching(table, filter);
        for row in &rows {
            self.delete_row(table, row)?;
        }
        Ok(rows)
    }

    fn merge(&mut self, table: TableId, id: i64, assignments: &Assignments) -> Result<Row, ApiError> {
        if self.changes.iter().any(|change| change.table == table && change.id() == Some(id)) {
            return Err(ApiError::new(500, "21000", "ON CONFLICT DO UPDATE command cannot affect row a second time")
                .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values."));
        }
        let row = self.database.table(table).row(id).expect("the conflict index names stored rows").clone();
        self.assign(table, &row, assignments)
    }

    fn assign(&mut self, table: TableId, old: &Row, assignments: &Assignments) -> Result<Row, ApiError> {
        let known = &table.schema().known;
        let mut values = old.to_vec();
        for (column, value) in assignments {
            values[*column] = value.clone();
        }
        values[known.repr] = repr(&values[known.name]);
        if self.database.touch_updated_at {
            values[known.updated_at] = Value::Time(self.now);
        }
        let new: Row = values.into();
        self.database.table(table).check(&new, Some(old))?;
        self.check_references(table, &new, Some(old))?;
        let (old_id, new_id) = (old[ID].as_int(), new[ID].as_int());
        if old_id != new_id {
            return Err(ApiError::new(400, "428C9", "column \"id\" can only be updated to DEFAULT"));
        }
        self.put(table, old_id.expect("stored rows have an id"), Some(new.clone()));
        Ok(new)
    }

    fn delete_row(&mut self, table: TableId, row: &Row) -> Result<(), ApiError> {
        let id = row[ID].as_int().expect("stored rows have an id");
        self.put(table, id, None);
        for referencing in TableId::ALL {
            for reference in referencing.schema().references.iter().filter(|reference| reference.target == table) {
                let points_here = |row: &&Row| row[reference.column] == Value::Int(id);
                let rows = &self.database.table(referencing).rows;
                let found: Vec<Row> = rows.values().filter(points_here).cloned().collect();
                for row in found {
                    match reference.on_delete {
                        OnDelete::Cascade => self.delete_row(referencing, &row)?,
                        OnDelete::SetNull => {
                            self.assign(referencing, &row, &vec![(reference.column, Value::Null)])?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, table: TableId, id: i64, new: Option<Row>) {
        let old = self.database.table_mut(table).put(id, new.clone());
        self.changes.push(Change { table, old, new, at: self.now });
    }

    fn with_defaults(&mut self, table: TableId, assignments: &Assignments) -> Row {
        let schema = table.schema();
        let mut values: Vec<Option<Value>> = vec![None; schema.columns.len()];
        for (column, value) in assignments {
            values[*column] = Some(value.clone());
        }
        let name = values[schema.known.name].clone().unwrap_or(Value::Null);
        let columns = schema.columns.iter().zip(values).map(|(column, value)| match value {
            Some(value) => value,
            None => match column.default {
                Default::Null => Value::Null,
                Default::Identity => Value::Int(self.database.table_mut(table).draw_id()),
                Default::Now => Value::Time(self.now),
                Default::False => Value::Bool(false),
                Default::Int(number) => Value::Int(number),
                Default::Label(label) => Value::label(column.kind, label),
                Default::Labels(labels) => {
                    Value::Array(labels.iter().map(|label| Value::label(column.kind, label)).collect())
                }
                Default::Generated => repr(&name),
            },
        });
        columns.collect()
    }

    fn refuse_generated(&self, table: TableId, assignments: &Assignments) -> Result<(), ApiError> {
        let columns = &table.schema().columns;
        let generated = assignments.iter().find(|(column, _)| columns[*column].default == Default::Generated);
        match generated {
            None => Ok(()),
            Some((column, _)) => {
                let name = columns[*column].name;
                Err(ApiError::new(400, "428C9", format!("cannot insert a non-DEFAULT value into column \"{name}\""))
                    .details(format!("Column \"{name}\" is a generated column.")))
            }
        }
    }

    fn check_references(&self, table: TableId, row: &Row, old: Option<&Row>) -> Result<(), ApiError> {
        let schema = table.schema();
        for reference in &schema.references {
            let Some(id) = row[reference.column].as_int() else { continue };
            let unchanged = old.is_some_and(|old| old[reference.column] == row[reference.column]);
            if unchanged || self.database.table(reference.target).row(id).is_some() {
                continue;
            }
            let message = format!(
                "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                schema.name, reference.constraint
            );
            return Err(ApiError::new(409, "23503", message).details(format!(
                "Key ({})=({id}) is not present in table \"{}\".",
                schema.columns[reference.column].name,
                reference.target.name()
            )));
        }
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        while let Some(change) = self.changes.pop() {
            if let Some(id) = change.id() {
                self.database.table_mut(change.table).put(id, change.old);
            }
        }
    }
}

/// The generated column `repr`: a form of the name to search by.
fn repr(name: &Value) -> Value {
    name.as_text().map_or(Value::Null, |name| Value::Text(name.trim().to_lowercase().into()))
}
