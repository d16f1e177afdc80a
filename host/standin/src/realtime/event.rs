//! The body of a `postgres_changes` event, as Realtime's SQL makes it from the write-ahead log.
//!
//! A record is not the row: columns stored out of line are missing when unchanged, and above 1 MiB only short values are left.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::json;

use crate::database::Change;
use crate::schema::{ID, TableId, TableSchema};
use crate::value::{Row, write_json};

use super::binding::EventKind;

/// Bytes of a row above which its record is cut.
const ROW_BYTES_MAX: usize = 1_048_576;
/// Bytes of a value that stays in a cut record.
const CUT_VALUE_BYTES_MAX: usize = 64;
/// Bytes of a value above which PostgreSQL stores it out of line (`TOAST_TUPLE_THRESHOLD`).
const INLINE_VALUE_BYTES_MAX: usize = 2_032;

/// What decides the form of an event besides the change.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    /// `REPLICA IDENTITY FULL`.
    pub(super) identity_full: bool,
    /// Cut every record.
    pub(super) truncate: bool,
    /// Columns to leave out of updates when unchanged, besides those stored out of line.
    pub(super) omit: Vec<String>,
}

/// What is the same in all events of a table.
struct TableForm {
    /// The `columns` member.
    columns: String,
    /// Columns in the order of `jsonb` keys.
    order: Vec<usize>,
}

/// Makes the `data` member.
pub(super) fn data(change: &Change, form: &Form) -> String {
    let schema = change.table.schema();
    let table = table_form(change.table);
    let cut = form.truncate || change.new.as_ref().is_some_and(|row| row_bytes(row) > ROW_BYTES_MAX);
    let errors = if cut { r#"["Error 413: Payload Too Large"]"# } else { "null" };
    let mut out = String::with_capacity(table.columns.len() + 1_024);
    write!(
        out,
        r#"{{"columns":{},"commit_timestamp":"{}","errors":{errors},"schema":"notify","table":"{}""#,
        table.columns,
        change.at.realtime(),
        schema.name
    )
    .expect("writing to a String cannot fail");
    if let Some(old) = &change.old {
        out.push_str(r#","old_record":"#);
        let short = |column: usize| !cut || old[column].text_bytes() <= CUT_VALUE_BYTES_MAX;
        write_record(&mut out, schema, old, |column| column == ID || (form.identity_full && short(column)));
    }
    if let Some(new) = &change.new {
        out.push_str(r#","record":"#);
        write_record(&mut out, schema, new, |column| {
            let value = &new[column];
            if cut {
                return !value.is_null() && value.text_bytes() <= CUT_VALUE_BYTES_MAX;
            }
            let unchanged = change.old.as_ref().is_some_and(|old| old[column] == *value);
            let out_of_line = value.text_bytes() > INLINE_VALUE_BYTES_MAX;
            !unchanged || !(out_of_line || form.omit.iter().any(|name| name == schema.columns[column].name))
        });
    }
    write!(out, r#","type":"{}"}}"#, EventKind::of(change).name()).expect("writing to a String cannot fail");
    out
}

fn write_record(out: &mut String, schema: &TableSchema, row: &Row, keep: impl Fn(usize) -> bool) {
    out.push('{');
    let kept = table_form(schema.id).order.iter().filter(|column| keep(**column));
    for (index, column) in kept.enumerate() {
        if index > 0 {
            out.push(',');
        }
        let (name, kind) = (schema.columns[*column].name, schema.columns[*column].kind);
        write!(out, "\"{name}\":").expect("writing to a String cannot fail");
        write_json(out, kind, &row[*column]);
    }
    out.push('}');
}

fn row_bytes(row: &Row) -> usize {
    row.iter().map(|value| value.text_bytes()).sum()
}

fn table_form(table: TableId) -> &'static TableForm {
    static FORMS: LazyLock<[TableForm; TableId::ALL.len()]> = LazyLock::new(|| TableId::ALL.map(build));
    &FORMS[table as usize]
}

fn build(table: TableId) -> TableForm {
    let columns = &table.schema().columns;
    let described: Vec<_> =
        columns.iter().map(|column| json!({"name": column.name, "type": column.kind.type_name()})).collect();
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_unstable_by_key(|at| (columns[*at].name.len(), columns[*at].name));
    TableForm { columns: json!(described).to_string(), order }
}
