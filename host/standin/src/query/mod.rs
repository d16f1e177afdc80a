//! PostgREST's query string: read, checked against the schema, ready to run.
//!
//! It owns the grammar and its errors. Literals are read here, once, as the type of their column; what runs over the rows compares
//! values only.

pub(crate) mod filter;
mod grammar;
mod like;
pub(crate) mod operand;
pub(crate) mod order;
pub(crate) mod select;

use crate::error::ApiError;
use crate::schema::TableSchema;
use crate::timestamp::Timestamp;

use filter::Filter;
use order::OrderTerm;
use select::Selection;

/// A request's query string.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) selection: Selection,
    pub(crate) filter: Filter,
    pub(crate) order: Vec<OrderTerm>,
    pub(crate) limit: Option<u64>,
    pub(crate) offset: u64,
    /// `columns`: the members of a body that count.
    pub(crate) columns: Option<Vec<usize>>,
    /// `on_conflict`: the columns whose constraint an upsert resolves.
    pub(crate) on_conflict: Option<Vec<usize>>,
}

impl Query {
    /// Reads a query string. `now` is the start of the transaction, for literals such as `now`.
    ///
    /// # Errors
    ///
    /// PGRST100 for what is not in the grammar, 42703 for unknown columns, PGRST108 and PGRST200 for embeds, and the codes of
    /// `literal` for values.
    pub(crate) fn parse(schema: &'static TableSchema, query: &str, now: Timestamp) -> Result<Self, ApiError> {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let select = pairs.iter().find(|(key, _)| key == "select").map_or("*", |(_, value)| value);
        let mut parsed = Self {
            selection: Selection::parse(schema, select)?,
            filter: Filter::everything(),
            order: Vec::new(),
            limit: None,
            offset: 0,
            columns: None,
            on_conflict: None,
        };
        for (key, value) in &pairs {
            parsed.parameter(schema, key, value, now)?;
        }
        Ok(parsed)
    }

    /// Whether the request narrows the rows at all.
    pub(crate) fn has_filter(&self) -> bool {
        !self.filter.is_everything()
    }

    fn parameter(
        &mut self,
        schema: &'static TableSchema,
        key: &str,
        value: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        match key {
            // `select` has been read; a gateway reads `apikey`.
            "select" | "apikey" => {}
            "order" => self.order = order::parse(schema, value)?,
            "limit" => self.limit = Some(count(key, value)?),
            "offset" => self.offset = count(key, value)?,
            "columns" => self.columns = Some(column_list(schema, value)?),
            "on_conflict" => self.on_conflict = Some(column_list(schema, value)?),
            _ => match key.split_once('.') {
                Some((embed, rest)) if embed != "not" && !embed.contains("->") => {
                    let embed = self.selection.embed_mut(embed)?;
                    let condition = Filter::parse(embed.target.schema(), rest, value, now)?;
                    embed.filter.and(condition);
                }
                _ => self.filter.and(Filter::parse(schema, key, value, now)?),
            },
        }
        Ok(())
    }
}

fn count(key: &str, value: &str) -> Result<u64, ApiError> {
    match value.parse::<i64>() {
        Ok(number) => u64::try_from(number).map_err(|_| {
            ApiError::new(416, "PGRST103", "Requested range not satisfiable")
                .details(format!("{key} should be greater than or equal to zero."))
        }),
        Err(_) => Err(ApiError::unreadable(key, value, "integer")),
    }
}

/// Reads `a,b` or `"a","b"`, as supabase-js sends it.
fn column_list(schema: &TableSchema, value: &str) -> Result<Vec<usize>, ApiError> {
    let names = value.split(',').map(|name| name.trim().trim_matches('"'));
    names
        .filter(|name| !name.is_empty())
        .map(|name| schema.column(name).ok_or_else(|| ApiError::column_not_in_cache(schema.name, name)))
        .collect()
}
