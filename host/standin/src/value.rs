//! A column's value in memory: typed, compact, and cheap to clone, since an UPDATE copies its row.
//!
//! It owns comparison (PostgreSQL's order for the types in use, text by bytes as in the "C" collation) and the JSON form that
//! PostgREST and Realtime share.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::Arc;

use uuid::Uuid;

use crate::schema::{Element, Kind};
use crate::timestamp::Timestamp;

/// One value. Text, JSON and arrays are shared between the versions of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// `text` and `ltree`.
    Text(Arc<str>),
    Uuid(Uuid),
    Time(Timestamp),
    /// Position of an enum's label; the column's kind knows the name.
    Label(u8),
    /// `jsonb`, as the text PostgreSQL prints for it.
    Json(Arc<str>),
    Array(Arc<[Value]>),
}

/// One version of a row, a value for each column. Never changed in place.
pub(crate) type Row = Arc<[Value]>;

impl Value {
    /// A label of the enum that a column is of, or the elements of its arrays are; null where there is none of that name.
    pub(crate) fn label(kind: Kind, label: &str) -> Self {
        match kind {
            Kind::Label(labels) | Kind::Array(Element::Label(labels)) => {
                labels.position(label).map_or(Self::Null, Self::Label)
            }
            _ => Self::Null,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(uuid) = self { Some(*uuid) } else { None }
    }

    pub(crate) fn as_label(&self) -> Option<u8> {
        if let Self::Label(position) = self { Some(*position) } else { None }
    }

    /// Bytes the value's text takes, near enough to tell what PostgreSQL would store out of line.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(number) => number.checked_ilog10().map_or(2, |digits| digits as usize + 1),
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Uuid(_) => 36,
            Self::Time(_) => 29,
            Self::Label(_) => 12,
            Self::Array(elements) => 2 + elements.iter().map(|element| element.text_bytes() + 1).sum::<usize>(),
        }
    }
}

/// Compares two values of one type. NULL is handled by the caller; here it comes last.
pub(crate) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Int(left), Value::Int(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) | (Value::Json(left), Value::Json(right)) => left.cmp(right),
        (Value::Uuid(left), Value::Uuid(right)) => left.cmp(right),
        (Value::Time(left), Value::Time(right)) => left.cmp(right),
        (Value::Label(left), Value::Label(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            let differing = left.iter().zip(right.iter()).map(|(left, right)| compare(left, right));
            differing.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        // A column holds one type, and literals are read as that type.
        _ => Ordering::Equal,
    }
}

impl Kind {
    /// Type name in PostgreSQL's messages.
    pub(crate) fn sql_name(self) -> String {
        match self {
            Self::BigInt => "bigint".into(),
            Self::Int => "integer".into(),
            Self::Text => "text".into(),
            Self::Ltree => "ltree".into(),
            Self::Bool => "boolean".into(),
            Self::Uuid => "uuid".into(),
            Self::Timestamp => "timestamp with time zone".into(),
            Self::Jsonb => "jsonb".into(),
            Self::Label(labels) => format!("shared_types.{}", labels.name),
            Self::Array(element) => format!("{}[]", element.kind().sql_name()),
        }
    }

    /// `pg_type.typname`, which is what Realtime reports.
    pub(crate) fn type_name(self) -> String {
        match self {
            Self::BigInt => "int8".into(),
            Self::Int => "int4".into(),
            Self::Bool => "bool".into(),
            Self::Timestamp => "timestamptz".into(),
            Self::Label(labels) => labels.name.into(),
            Self::Array(element) => format!("_{}", element.kind().type_name()),
            Self::Text | Self::Ltree | Self::Uuid | Self::Jsonb => self.sql_name(),
        }
    }
}

impl Element {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Text => Kind::Text,
            Self::Uuid => Kind::Uuid,
            Self::Label(labels) => Kind::Label(labels),
        }
    }
}

/// Appends the value as JSON.
pub(crate) fn write_json(out: &mut String, kind: Kind, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(number) => write_display(out, number),
        Value::Text(text) => write_string(out, text),
        Value::Uuid(uuid) => write_quoted(out, uuid.hyphenated()),
        Value::Time(at) => write_quoted(out, at),
        Value::Label(position) => write_quoted(out, label(kind, *position)),
        Value::Json(text) => out.push_str(text),
        Value::Array(elements) => {
            let kind = if let Kind::Array(element) = kind { element.kind() } else { kind };
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(out, kind, element);
            }
            out.push(']');
        }
    }
}

/// The value as PostgreSQL's output function prints it, for messages.
pub(crate) fn plain_text(kind: Kind, value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => if *truth { "t" } else { "f" }.to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) | Value::Json(text) => text.to_string(),
        Value::Uuid(uuid) => uuid.to_string(),
        Value::Time(at) => at.to_string(),
        Value::Label(position) => label(kind, *position).to_owned(),
        Value::Array(elements) => {
            let kind = if let Kind::Array(element) = kind { element.kind() } else { kind };
            let elements: Vec<_> = elements.iter().map(|element| plain_text(kind, element)).collect();
            format!("{{{}}}", elements.join(","))
        }
    }
}

/// Appends a JSON string, escaped.
pub(crate) fn write_string(out: &mut String, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        write_quoted(out, text);
    } else {
        let escaped = serde_json::to_string(text).expect("a string always serializes");
        out.push_str(&escaped);
    }
}

/// Name of the label at a position of an enum type.
pub(crate) fn label(kind: Kind, position: u8) -> &'static str {
    match kind {
        Kind::Label(labels) => labels.labels.get(usize::from(position)).copied().unwrap_or_default(),
        _ => "",
    }
}

fn write_quoted(out: &mut String, text: impl std::fmt::Display) {
    out.push('"');
    write_display(out, text);
    out.push('"');
}

fn write_display(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("writing to a String cannot fail");
}
