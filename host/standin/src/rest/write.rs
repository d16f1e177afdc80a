//! POST, PATCH and DELETE. Each is one transaction; an answer that is an error leaves no trace.

use std::collections::HashMap;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;

use crate::database::{Assignments, OnConflict, Transaction};
use crate::error::ApiError;
use crate::literal;
use crate::query::Query;
use crate::query::select::Projected;
use crate::schema::{Default, ID, TableSchema};
use crate::state::State;
use crate::timestamp::Timestamp;
use crate::value::{Row, Value};

use super::prefer::{Preferences, Returning};
use super::{JSON, JSON_OBJECT, Request, header_value, not_one, range, read, wants_object};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Members of a body's object, not yet read as values.
type Members<'b> = HashMap<String, &'b RawValue>;

pub(super) fn post(state: &State, request: &Request<'_>) -> Result<Response, ApiError> {
    let write = Write::begin(state, request)?;
    let objects = parse_objects(request.body)?;
    let schema = request.table.schema();
    let targets = match &write.query.columns {
        Some(columns) => columns.clone(),
        None => common_members(schema, &objects)?,
    };
    let on_conflict = write.preferences.resolution.map(|resolution| OnConflict {
        columns: write.query.on_conflict.clone().unwrap_or_else(|| vec![ID]),
        resolution,
    });
    write.run(request, |transaction| {
        let now = transaction.now();
        let mut rows = Vec::with_capacity(objects.len());
        let mut merged_all = !objects.is_empty();
        for object in &objects {
            let assignments = insert_values(schema, &targets, object, write.preferences.missing_default, now)?;
            let stored = transaction.insert(request.table, &assignments, on_conflict.as_ref())?;
            merged_all &= stored.as_ref().is_some_and(|stored| stored.merged);
            rows.extend(stored.map(|stored| stored.row));
        }
        Ok(Written { rows, verb: if merged_all { Verb::Merged } else { Verb::Inserted } })
    })
}

pub(super) fn patch(state: &State, request: &Request<'_>) -> Result<Response, ApiError> {
    let write = Write::begin(state, request)?;
    let object: Members<'_> =
        serde_json::from_slice(request.body).map_err(|_| ApiError::unreadable_body("Empty or invalid json"))?;
    let schema = request.table.schema();
    write.require_filter("UPDATE")?;
    let filtered = state.with_faults(|faults| faults.rest.filter_updates);
    write.run(request, |transaction| {
        let assignments = update_values(schema, write.query.columns.as_deref(), &object, transaction.now())?;
        let nothing = filtered || assignments.is_empty();
        let rows =
            if nothing { Vec::new() } else { transaction.update(request.table, &write.query.filter, &assignments)? };
        Ok(Written { rows, verb: Verb::Updated })
    })
}

pub(super) fn delete(state: &State, request: &Request<'_>) -> Result<Response, ApiError> {
    let write = Write::begin(state, request)?;
    write.require_filter("DELETE")?;
    let nothing = state.with_faults(|faults| faults.rest.filter_updates);
    write.run(request, |transaction| {
        let rows = if nothing { Vec::new() } else { transaction.delete(request.table, &write.query.filter)? };
        Ok(Written { rows, verb: Verb::Deleted })
    })
}

/// The parts all writes share.
struct Write<'s> {
    state: &'s State,
    query: Query,
    preferences: Preferences,
}

/// What a write did.
struct Written {
    rows: Vec<Row>,
    verb: Verb,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Inserted,
    /// An upsert that found every row there already.
    Merged,
    Updated,
    Deleted,
}

impl<'s> Write<'s> {
    fn begin(state: &'s State, request: &Request<'_>) -> Result<Self, ApiError> {
        let preferences = Preferences::parse(request.headers)?;
        let query = Query::parse(request.table.schema(), request.query, state.now())?;
        if state.with_faults(|faults| faults.rest.deny_writes) {
            let message = format!("permission denied for table {}", request.table.name());
            return Err(ApiError::new(403, "42501", message));
        }
        Ok(Self { state, query, preferences })
    }

    /// Supabase loads `safeupdate`: a write of the whole table has to say so.
    fn require_filter(&self, verb: &str) -> Result<(), ApiError> {
        if self.query.has_filter() {
            return Ok(());
        }
        Err(ApiError::new(400, "21000", format!("{verb} requires a WHERE clause")))
    }

    fn run(
        &self,
        request: &Request<'_>,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<Written, ApiError>,
    ) -> Result<Response, ApiError> {
        let object = wants_object(request.headers);
        let (written, projected) = self.state.write(|transaction| {
            let written = work(transaction)?;
            self.preferences.check_affected(written.rows.len())?;
            if object && self.preferences.returning == Returning::Representation && written.rows.len() != 1 {
                return Err(not_one(written.rows.len()));
            }
            let projected = self.project(transaction, &written);
            Ok((written, projected))
        })?;
        self.answer(&written, &projected, object)
    }

    fn project(&self, transaction: &Transaction<'_>, written: &Written) -> Vec<Projected> {
        match self.preferences.returning {
            Returning::Minimal => Vec::new(),
            Returning::Representation => {
                let view = transaction.view();
                written.rows.iter().filter_map(|row| view.project(row, &self.query.selection)).collect()
            }
        }
    }

    fn answer(&self, written: &Written, projected: &[Projected], object: bool) -> Result<Response, ApiError> {
        let rows = written.rows.len() as u64;
        let total = self.preferences.count.then_some(rows);
        // Only an UPDATE tells the range of what it wrote.
        let shown = if written.verb == Verb::Updated { rows } else { 0 };
        let mut headers = vec![(header::CONTENT_RANGE, header_value(range::content_range(0, shown, total)))];
        if let Some(applied) = self.preferences.applied() {
            headers.push((PREFERENCE_APPLIED, header_value(applied)));
        }
        let representation = self.preferences.returning == Returning::Representation;
        let status = match written.verb {
            Verb::Inserted => StatusCode::CREATED,
            Verb::Merged => StatusCode::OK,
            Verb::Updated | Verb::Deleted if representation => StatusCode::OK,
            Verb::Updated | Verb::Deleted => StatusCode::NO_CONTENT,
        };
        let mut response = if representation {
            let (content_type, body): (HeaderValue, String) = if object {
                (JSON_OBJECT, read::object(&self.query.selection, projected)?)
            } else {
                (JSON, read::array(&self.query.selection, projected))
            };
            headers.push((header::CONTENT_TYPE, content_type));
            (status, body).into_response()
        } else {
            status.into_response()
        };
        for (name, value) in headers {
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    }
}

/// A body that is one object or an array of objects.
fn parse_objects(body: &[u8]) -> Result<Vec<Members<'_>>, ApiError> {
    let invalid = |_| ApiError::unreadable_body("Empty or invalid json");
    if body.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(body).map_err(invalid)
    } else {
        serde_json::from_slice(body).map(|object| vec![object]).map_err(invalid)
    }
}

/// The columns of an INSERT without `columns`: the members of the objects, which have to be the same in all.
fn common_members(schema: &TableSchema, objects: &[Members<'_>]) -> Result<Vec<usize>, ApiError> {
    let Some(first) = objects.first() else { return Ok(Vec::new()) };
    let same = |object: &Members<'_>| object.len() == first.len() && object.keys().all(|name| first.contains_key(name));
    if !objects.iter().all(same) {
        return Err(ApiError::unreadable_body("All object keys must match"));
    }
    first.keys().map(|name| column(schema, name)).collect()
}

fn insert_values(
    schema: &TableSchema,
    targets: &[usize],
    object: &Members<'_>,
    missing_default: bool,
    now: Timestamp,
) -> Result<Assignments, ApiError> {
    let mut values = Vec::with_capacity(targets.len());
    for target in targets {
        let column = &schema.columns[*target];
        match object.get(column.name) {
            Some(raw) => values.push((*target, literal::from_json(column.kind, raw, now)?)),
            None if missing_default && column.default != Default::Null => {}
            None => values.push((*target, Value::Null)),
        }
    }
    Ok(values)
}

fn update_values(
    schema: &TableSchema,
    columns: Option<&[usize]>,
    object: &Members<'_>,
    now: Timestamp,
) -> Result<Assignments, ApiError> {
    let mut values = Vec::with_capacity(object.len());
    for (name, raw) in object {
        let at = match (schema.column(name), columns) {
            (Some(at), Some(columns)) if !columns.contains(&at) => continue,
            (None, Some(_)) => continue,
            _ => column(schema, name)?,
        };
        values.push((at, literal::from_json(schema.columns[at].kind, raw, now)?));
    }
    Ok(values)
}

fn column(schema: &TableSchema, name: &str) -> Result<usize, ApiError> {
    schema.column(name).ok_or_else(|| ApiError::column_not_in_cache(schema.name, name))
}
