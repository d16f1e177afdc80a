//! What a channel subscribes to: bindings of event, table and filter.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value as Json, json};

use crate::database::Change;
use crate::literal;
use crate::query::filter::{Check, Comparison};
use crate::schema::{ID, TableId};
use crate::timestamp::Timestamp;
use crate::value::Value;

/// Values of an `in` filter up to which it works. Above, the real server falls silent without an error.
const IN_VALUES_WORKING: usize = 25;
/// Values of an `in` filter up to which the server accepts it.
const IN_VALUES_MAX: usize = 100;
/// Ids of bindings stay below this, as those of the real server do.
const BINDING_IDS: u64 = 1 << 27;

/// One live binding.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) id: u64,
    event: Option<EventKind>,
    table: Option<TableId>,
    /// Conditions that all have to hold.
    conditions: Vec<(usize, Check)>,
    /// Accepted and never matching.
    silent: bool,
}

/// Kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    Insert,
    Update,
    Delete,
}

impl EventKind {
    pub(super) fn of(change: &Change) -> Self {
        match (&change.old, &change.new) {
            (None, _) => Self::Insert,
            (Some(_), Some(_)) => Self::Update,
            (Some(_), None) => Self::Delete,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// The parameters of a binding as the reply to a join echoes them: unchanged, with the id they will be known by.
pub(super) fn echo(parameters: &Map<String, Json>) -> Json {
    let mut echoed = parameters.clone();
    echoed.insert("id".to_owned(), json!(id(parameters)));
    Json::Object(echoed)
}

impl Binding {
    /// Checks a binding's parameters against the schema.
    ///
    /// # Errors
    ///
    /// The message of the `system` frame that says so.
    pub(super) fn parse(parameters: &Map<String, Json>, now: Timestamp) -> Result<Self, String> {
        let text = |name: &str| parameters.get(name).and_then(Json::as_str);
        let unable = |exception: String| {
            format!(
                "Unable to subscribe to changes with given parameters. An exception happened so please check your connect \
                 parameters: {}. Exception: {exception}",
                Json::Object(parameters.clone())
            )
        };
        let event = match text("event").map(str::to_ascii_uppercase).as_deref() {
            Some("*") => None,
            Some("INSERT") => Some(EventKind::Insert),
            Some("UPDATE") => Some(EventKind::Update),
            Some("DELETE") => Some(EventKind::Delete),
            _ => return Err(unable("no such event".to_owned())),
        };
        let table = match (text("schema"), text("table")) {
            (Some("notify" | "*"), Some("*") | None) => None,
            (Some("notify" | "*"), Some(name)) => match TableId::by_name(name) {
                Some(table) => Some(table),
                None => return Err(unable(format!("table {name} is not in publication supabase_realtime"))),
            },
            _ => return Err(unable("no table of this schema is in publication supabase_realtime".to_owned())),
        };
        let mut binding = Self { id: id(parameters), event, table, conditions: Vec::new(), silent: false };
        if let Some(filter) = text("filter") {
            let table = table.ok_or_else(|| unable("a filter needs a table".to_owned()))?;
            binding.add_filter(table, filter, now).map_err(unable)?;
        }
        Ok(binding)
    }

    /// Whether a change is to be told. An UPDATE is judged by its new row alone, a DELETE by what the replica identity keeps.
    pub(super) fn wants(&self, change: &Change, identity_full: bool) -> bool {
        let kind = EventKind::of(change);
        if self.silent
            || self.event.is_some_and(|event| event != kind)
            || self.table.is_some_and(|table| table != change.table)
        {
            return false;
        }
        let Some(row) = change.new.as_ref().or(change.old.as_ref()) else { return false };
        let known = |column: usize| kind != EventKind::Delete || identity_full || column == ID;
        self.conditions.iter().all(|(column, check)| known(*column) && check.evaluate(&row[*column]) == Some(true))
    }

    fn add_filter(&mut self, table: TableId, filter: &str, now: Timestamp) -> Result<(), String> {
        let schema = table.schema();
        let (name, condition) =
            filter.split_once('=').ok_or_else(|| format!("Error parsing `filter` params: {filter}"))?;
        let (operator, value) =
            condition.split_once('.').ok_or_else(|| format!("Error parsing `filter` params: {filter}"))?;
        let column = schema.column(name).ok_or_else(|| format!("invalid column for filter {name}"))?;
        let read =
            |text: &str| literal::from_text(schema.columns[column].kind, text, now).map_err(|error| error.message);
        let check = if operator == "in" {
            let list = value.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let list = list.ok_or_else(|| format!("Error parsing `filter` params: {filter}"))?;
            let values: Vec<Value> =
                list.split(',').map(|item| read(item.trim().trim_matches('"'))).collect::<Result<_, _>>()?;
            if values.len() > IN_VALUES_MAX {
                return Err(format!("too many values for `in` filter. Maximum {IN_VALUES_MAX}"));
            }
            self.silent = values.len() > IN_VALUES_WORKING;
            Check::In(values)
        } else {
            let comparison =
                Comparison::by_name(operator).ok_or_else(|| format!("Error parsing `filter` params: {filter}"))?;
            Check::Compare(comparison, read(value)?)
        };
        self.conditions.push((column, check));
        Ok(())
    }
}

/// Equal parameters have equal ids, on whatever channel.
fn id(parameters: &Map<String, Json>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut members: Vec<_> = parameters.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in members {
        name.hash(&mut hasher);
        value.to_string().hash(&mut hasher);
    }
    hasher.finish() % BINDING_IDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(parameters: Json) -> Result<Binding, String> {
        let Json::Object(parameters) = parameters else { panic!("parameters are an object") };
        Binding::parse(&parameters, Timestamp::from_micros(0))
    }

    fn with_filter(filter: &str) -> Result<Binding, String> {
        parse(json!({"event": "INSERT", "schema": "notify", "table": "ent_notification", "filter": filter}))
    }

    #[test]
    fn a_filter_the_server_cannot_use_is_named_in_the_error() {
        for (filter, expected) in [
            ("nope=eq.1", "invalid column for filter nope"),
            ("id=eq.abc", "invalid input syntax for type bigint: \"abc\""),
            ("id=contains.1", "Error parsing `filter` params"),
            ("id", "Error parsing `filter` params"),
        ] {
            let error = with_filter(filter).expect_err(filter);
            assert!(error.contains(expected), "{filter}: {error}");
        }
    }

    #[test]
    fn an_in_filter_works_up_to_25_values_then_falls_silent_and_is_refused_above_100() {
        let list = |count: usize| {
            let ids: Vec<_> = (0..count).map(|id| id.to_string()).collect();
            with_filter(&format!("id=in.({})", ids.join(",")))
        };
        assert!(!list(25).expect("accepted").silent);
        assert!(list(26).expect("accepted").silent);
        assert!(list(100).expect("accepted").silent);
        assert!(list(101).expect_err("refused").contains("too many values"));
    }

    #[test]
    fn equal_parameters_have_equal_ids_whatever_their_order() {
        let one = parse(json!({"event": "*", "schema": "notify", "table": "ent_notification"})).expect("valid");
        let two = parse(json!({"table": "ent_notification", "schema": "notify", "event": "*"})).expect("valid");
        let three = parse(json!({"event": "UPDATE", "schema": "notify", "table": "ent_notification"})).expect("valid");
        assert_eq!(one.id, two.id);
        assert_ne!(one.id, three.id);
    }

    #[test]
    fn a_table_outside_the_publication_is_refused() {
        assert!(parse(json!({"event": "*", "schema": "notify", "table": "nope"})).is_err());
        assert!(parse(json!({"event": "*", "schema": "public", "table": "ent_notification"})).is_err());
        assert!(parse(json!({"event": "*", "schema": "*"})).is_ok());
    }
}
