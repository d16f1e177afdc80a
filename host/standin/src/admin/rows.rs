//! Rows through the back door: the same constraints and events as through PostgREST, and sensible values for what is missing.

use serde_json::{Map, Value as Json, json};

use crate::database::{Assignments, Transaction, Window};
use crate::error::ApiError;
use crate::literal;
use crate::query::Query;
use crate::query::filter::{Check, Comparison, Filter};
use crate::query::operand::Operand;
use crate::query::select::Selection;
use crate::schema::{ID, TableId};
use crate::state::{Inserted, State};
use crate::timestamp::Timestamp;
use crate::value::{Row, Value};

/// Recipient of a notification that names none.
const DEFAULT_RECIPIENT: &str = "00000000-0000-4000-8000-000000000001";

/// Inserts one row and answers it as stored.
pub(crate) fn insert(state: &State, table: &str, row: &Json) -> Result<Json, ApiError> {
    let table = find(table)?;
    state.write(|transaction| {
        let assignments = prepare(state, transaction, table, row)?;
        let row = store(transaction, table, &assignments)?;
        Ok(as_json(transaction, table, &row))
    })
}

/// Inserts rows in one transaction.
pub(crate) fn insert_many(state: &State, table: &str, rows: &[Json]) -> Result<Inserted, ApiError> {
    let table = find(table)?;
    state.write(|transaction| {
        let mut inserted = Inserted { inserted: 0, first_id: 0, last_id: 0 };
        for row in rows {
            let assignments = prepare(state, transaction, table, row)?;
            inserted.add(&store(transaction, table, &assignments)?);
        }
        Ok(inserted)
    })
}

/// Inserts rows that differ in their names only.
pub(crate) fn insert_copies(state: &State, table: &str, template: &Json, count: usize) -> Result<Inserted, ApiError> {
    let table = find(table)?;
    let name_column = table.schema().known.name;
    state.write(|transaction| {
        let mut inserted = Inserted { inserted: 0, first_id: 0, last_id: 0 };
        let mut assignments = prepare(state, transaction, table, template)?;
        let at = assignments.iter().position(|(column, _)| *column == name_column);
        let at = at.expect("a prepared row has a name");
        let base = assignments[at].1.as_text().unwrap_or_default().to_owned();
        for number in 0..count {
            assignments[at].1 = Value::Text(format!("{base}-{number}").into());
            inserted.add(&store(transaction, table, &assignments)?);
        }
        Ok(inserted)
    })
}

/// Updates one row; none if there is none with this id.
pub(crate) fn update(state: &State, table: &str, id: i64, columns: &Json) -> Result<Option<Json>, ApiError> {
    let table = find(table)?;
    let columns = object(columns)?;
    state.write(|transaction| {
        let assignments = read_columns(table, columns, transaction.now())?;
        let rows = transaction.update(table, &by_id(id), &assignments)?;
        Ok(rows.first().map(|row| as_json(transaction, table, row)))
    })
}

/// Deletes one row. False: there was none.
pub(crate) fn delete(state: &State, table: &str, id: i64) -> Result<bool, ApiError> {
    let table = find(table)?;
    state.write(|transaction| Ok(!transaction.delete(table, &by_id(id))?.is_empty()))
}

/// The rows whose columns have these values, as a JSON array.
pub(crate) fn select(state: &State, table: &str, equal: &[(&str, &str)], limit: u64) -> Result<String, ApiError> {
    let table = find(table)?;
    let mut query = Query::parse(table.schema(), "", state.now())?;
    for (name, value) in equal {
        query.filter.and(Filter::parse(table.schema(), name, &format!("eq.{value}"), state.now())?);
    }
    let window = Window { offset: 0, limit, count: false };
    let page = state.store().read(|database| database.view().select(table, &query, window));
    let mut out = String::from("[");
    for (index, row) in page.rows.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        query.selection.write(&mut out, row);
    }
    out.push(']');
    Ok(out)
}

/// Reads a row and fills in what is missing.
fn prepare(
    state: &State,
    transaction: &mut Transaction<'_>,
    table: TableId,
    row: &Json,
) -> Result<Assignments, ApiError> {
    let mut row = object(row)?.clone();
    let mut fill = |name: &str, value: Json| {
        row.entry(name).or_insert(value);
    };
    if let Some(enterprise) = state.options().default_enterprise_id {
        fill("enterprise_id", json!(enterprise));
    }
    fill("publish_status", json!("PUBLISH"));
    match table {
        TableId::Notification => {
            fill("payload", json!({}));
            fill("recipients", json!([DEFAULT_RECIPIENT]));
        }
        TableId::Rule => fill("trigger_type", json!("CRON")),
        TableId::Workflow => fill("workflow_type", json!("STATIC")),
        TableId::Template => {
            fill("channel_type", json!("IN_APP"));
            fill("body_template", json!(""));
        }
        TableId::Category | TableId::Priority => {}
    }
    if !row.contains_key("name") {
        let name = match row.get("workflow_key").filter(|_| table == TableId::Workflow) {
            Some(key) => key.clone(),
            None => json!(format!("standin-{}", state.next_name())),
        };
        row.insert("name".to_owned(), name);
    }
    if table != TableId::Workflow
        && let Some(key) = row.remove("workflow_key")
    {
        let id = find_or_make_workflow(state, transaction, &key, row.get("enterprise_id"))?;
        row.insert("notification_workflow_id".to_owned(), json!(id));
    }
    read_columns(table, &row, transaction.now())
}

fn find_or_make_workflow(
    state: &State,
    transaction: &mut Transaction<'_>,
    key: &Json,
    enterprise: Option<&Json>,
) -> Result<i64, ApiError> {
    let key = key.as_str().ok_or_else(|| ApiError::unreadable_body("workflow_key must be a string"))?;
    let column = TableId::Workflow.schema().column("workflow_key").expect("the workflow table has a key");
    let by_key = Filter::Test(Operand::Column(column), Check::Compare(Comparison::Eq, Value::Text(key.into())));
    if let Some(id) = transaction.view().matching(TableId::Workflow, &by_key).first().and_then(|row| row[ID].as_int()) {
        return Ok(id);
    }
    let mut workflow = json!({"workflow_key": key});
    if let Some(enterprise) = enterprise {
        workflow["enterprise_id"] = enterprise.clone();
    }
    let assignments = prepare(state, transaction, TableId::Workflow, &workflow)?;
    let row = store(transaction, TableId::Workflow, &assignments)?;
    Ok(row[ID].as_int().expect("stored rows have an id"))
}

fn read_columns(table: TableId, columns: &Map<String, Json>, now: Timestamp) -> Result<Assignments, ApiError> {
    let schema = table.schema();
    let read = |(name, value): (&String, &Json)| {
        let column = schema.column(name).ok_or_else(|| ApiError::column_not_in_cache(schema.name, name))?;
        let raw = serde_json::value::to_raw_value(value).expect("a JSON value serializes");
        Ok((column, literal::from_json(schema.columns[column].kind, &raw, now)?))
    };
    columns.iter().map(read).collect()
}

fn store(transaction: &mut Transaction<'_>, table: TableId, assignments: &Assignments) -> Result<Row, ApiError> {
    let stored = transaction.insert(table, assignments, None)?;
    Ok(stored.expect("only ON CONFLICT leaves a row out").row)
}

fn as_json(transaction: &Transaction<'_>, table: TableId, row: &Row) -> Json {
    let selection = Selection::all(table.schema());
    let mut out = String::new();
    if let Some(projected) = transaction.view().project(row, &selection) {
        selection.write(&mut out, &projected);
    }
    serde_json::from_str(&out).expect("a row is written as a JSON object")
}

fn by_id(id: i64) -> Filter {
    Filter::Test(Operand::Column(ID), Check::Compare(Comparison::Eq, Value::Int(id)))
}

fn find(table: &str) -> Result<TableId, ApiError> {
    TableId::by_name(table).ok_or_else(|| ApiError::unknown_table("notify", table))
}

fn object(json: &Json) -> Result<&Map<String, Json>, ApiError> {
    json.as_object().ok_or_else(|| ApiError::unreadable_body("a row is a JSON object"))
}

impl Inserted {
    fn add(&mut self, row: &Row) {
        let id = row[ID].as_int().unwrap_or_default();
        self.first_id = if self.inserted == 0 { id } else { self.first_id.min(id) };
        self.last_id = self.last_id.max(id);
        self.inserted += 1;
    }
}
