//! Filters against single rows.

use std::sync::Arc;

use super::*;
use crate::query::Query;
use crate::schema::TableId;

const NOW: Timestamp = Timestamp::from_micros(1_767_322_800_000_000);

/// A notification with the given columns, everything else NULL.
fn row(columns: &[(&str, &str)]) -> Arc<[Value]> {
    let schema = TableId::Notification.schema();
    let mut values = vec![Value::Null; schema.columns.len()];
    for (name, text) in columns {
        let column = schema.column(name).expect("a column of the table");
        values[column] = literal::from_text(schema.columns[column].kind, text, NOW).expect("a literal of its type");
    }
    values.into()
}

fn query(query: &str) -> Result<Query, ApiError> {
    Query::parse(TableId::Notification.schema(), query, NOW)
}

fn matches(text: &str, row: &[Value]) -> bool {
    query(text).unwrap_or_else(|error| panic!("{text}: {error}")).filter.matches(row)
}

fn code(text: &str) -> &'static str {
    query(text).err().map_or("none", |error| error.code)
}

#[test]
fn comparisons_lists_and_patterns_match_as_in_postgresql() {
    let row = row(&[("id", "7"), ("name", "a,b (c)"), ("notification_status", "PENDING"), ("deactivated", "false")]);
    for (text, expected) in [
        ("id=eq.7", true),
        ("id=neq.7", false),
        ("id=gt.6&id=lte.7", true),
        ("id=not.eq.7", false),
        ("id=in.(1,7)", true),
        ("id=in.()", false),
        ("id=not.in.(1,2)", true),
        ("name=eq.a,b (c)", true),
        ("name=in.(\"a,b (c)\",x)", true),
        ("name=like.a,*", true),
        ("name=ilike.A,%25", true),
        ("notification_status=in.(PENDING,FAILED)", true),
        ("notification_status=lt.PROCESSING", true),
        ("deactivated=is.false", true),
        ("deactivated=is.true", false),
        ("scheduled_for=is.null", true),
        ("scheduled_for=not.is.null", false),
        ("name=is.not_null", true),
    ] {
        assert_eq!(matches(text, &row), expected, "{text}");
    }
}

#[test]
fn a_null_is_neither_equal_nor_unequal() {
    let row = row(&[("id", "7")]);
    for text in ["name=eq.x", "name=neq.x", "name=not.eq.x", "name=in.(x)", "name=not.in.(x)", "name=not.like.x*"] {
        assert!(!matches(text, &row), "{text}");
    }
    assert!(matches("or=(name.eq.x,id.eq.7)", &row));
    assert!(!matches("and=(name.eq.x,id.eq.7)", &row));
    assert!(!matches("not.and=(name.eq.x,id.eq.7)", &row));
    assert!(matches("not.and=(name.eq.x,id.eq.8)", &row));
}

#[test]
fn the_claims_condition_is_read_with_nesting_and_quoted_instants() {
    let claim = "id=eq.7&enterprise_id=eq.00000000-0000-0000-0000-0000000000e1&or=(\
        and(notification_status.eq.PENDING,publish_status.eq.PUBLISH,deactivated.is.false,\
        or(scheduled_for.is.null,scheduled_for.lte.\"2026-01-02T03:04:05.000001%2B00:00\")),\
        and(notification_status.eq.PROCESSING,transaction_id.eq.\"job,1\",\
        or(processed_at.eq.\"2026-01-02T03:00:00Z\",processed_at.lt.\"2026-01-02T02:58:00Z\")))";
    let base = [("id", "7"), ("enterprise_id", "00000000-0000-0000-0000-0000000000e1"), ("deactivated", "f")];
    let with = |more: &[(&str, &str)]| row(&[&base, more].concat());
    let pending = [("notification_status", "PENDING"), ("publish_status", "PUBLISH")];
    assert!(matches(claim, &with(&pending)));
    assert!(matches(claim, &with(&[&pending[..], &[("scheduled_for", "2026-01-02T03:04:05.000001Z")]].concat())));
    assert!(!matches(claim, &with(&[&pending[..], &[("scheduled_for", "2026-01-02T03:04:05.000002Z")]].concat())));
    let leased = [("notification_status", "PROCESSING"), ("transaction_id", "job,1")];
    assert!(matches(claim, &with(&[&leased[..], &[("processed_at", "2026-01-02T02:57:59Z")]].concat())));
    assert!(!matches(claim, &with(&[&leased[..], &[("processed_at", "2026-01-02T02:59:00Z")]].concat())));
    assert!(!matches(claim, &with(&[("notification_status", "SENT")])));
}

#[test]
fn a_json_path_can_be_asked_for_its_text_and_for_its_absence() {
    let cancelled = row(&[("error_details", r#"{"cancelled":true,"note":"x,y","deep":{"n":[1,2]}}"#)]);
    let plain = row(&[]);
    assert!(matches("error_details->>cancelled=eq.true", &cancelled));
    assert!(matches("error_details->>cancelled=is.null", &plain));
    assert!(!matches("error_details->>cancelled=is.null", &cancelled));
    assert!(matches("or=(error_details->>missing.is.null,id.eq.1)", &cancelled));
    assert!(matches("and=(error_details->>note.eq.\"x,y\")", &cancelled));
    assert!(matches("error_details->deep->n->>1=eq.2", &cancelled));
    assert!(matches("error_details->deep->n=eq.[1,2]", &cancelled));
}

#[test]
fn what_postgrest_refuses_is_refused_with_its_code() {
    for (text, expected) in [
        ("id=5", "PGRST100"),
        ("id=bogus.5", "PGRST100"),
        ("id=in.1,2", "PGRST100"),
        ("or=(id.eq.1", "PGRST100"),
        ("or=(id.eq.1))", "PGRST100"),
        ("or=(name.eq.\"open)", "PGRST100"),
        ("nope=eq.1", "42703"),
        ("or=(nope.eq.1)", "42703"),
        ("select=nope", "42703"),
        ("order=nope.asc", "42703"),
        ("order=id.sideways", "PGRST100"),
        ("select=id,nope(id)", "PGRST200"),
        ("workflow.name=eq.x", "PGRST108"),
        ("id=eq.abc", "22P02"),
        ("enterprise_id=in.(1)", "22P02"),
        ("notification_status=eq.DONE", "22P02"),
        ("scheduled_for=lte.soon", "22007"),
        // A plus sign that is not encoded is a blank in a query string.
        ("scheduled_for=lte.2026-01-01T00:00:00+00:00", "22007"),
        ("id=like.7*", "42883"),
        ("id=is.true", "42804"),
        ("limit=-1", "PGRST103"),
        ("limit=x", "PGRST100"),
        ("columns=\"nope\"", "PGRST204"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
}

#[test]
fn conditions_nested_too_deep_are_refused() {
    let deep = |levels: usize| format!("and=({}id.eq.1{})", "or(".repeat(levels), ")".repeat(levels));
    assert_eq!(code(&deep(DEPTH_MAX - 1)), "none");
    assert_eq!(code(&deep(DEPTH_MAX)), "PGRST100");
}
