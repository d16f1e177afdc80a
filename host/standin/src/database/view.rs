//! Reading: the database as it is, or as a lagging replica still shows it.

use std::collections::{BTreeMap, HashMap};

use crate::query::order::compare_rows;
use crate::query::select::{Projected, Selection};
use crate::query::{Query, filter::Filter};
use crate::schema::{ID, TableId};
use crate::value::Row;

use super::Database;
use super::plan::Plan;

/// Versions that differ from the database's own; none for a row that did not exist.
pub(super) type Overlay = HashMap<(TableId, i64), Option<Row>>;

/// A consistent reading of the database.
pub(crate) struct View<'d> {
    database: &'d Database,
    overlay: Overlay,
}

/// The rows of one page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Projected>,
    /// How many rows match in all, if the request asked.
    pub(crate) total: Option<u64>,
}

/// Which part of the matching rows is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) offset: u64,
    pub(crate) limit: u64,
    pub(crate) count: bool,
}

impl<'d> View<'d> {
    pub(super) fn new(database: &'d Database, overlay: Overlay) -> Self {
        Self { database, overlay }
    }

    pub(crate) fn row(&self, table: TableId, id: i64) -> Option<&Row> {
        match self.overlay.get(&(table, id)) {
            Some(version) => version.as_ref(),
            None => self.database.table(table).row(id),
        }
    }

    /// The rows that match a query, in its order, cut to the window.
    pub(crate) fn select(&self, table: TableId, query: &Query, window: Window) -> Page {
        let plan = Plan::of(table.schema(), &query.filter);
        let rows = self.candidates(table, &plan);
        let mut matching =
            rows.filter(|row| query.filter.matches(row)).filter_map(|row| self.project(row, &query.selection));
        let (offset, limit) = (as_usize(window.offset), as_usize(window.limit));
        // Candidates come by ascending id, so that order needs no sorting and the walk can end with the page.
        let in_order = query.order.first().is_none_or(|term| term.ascending_column() == Some(ID));
        if in_order && !window.count {
            return Page { rows: matching.skip(offset).take(limit).collect(), total: None };
        }
        let mut all: Vec<_> = matching.by_ref().collect();
        if !in_order {
            all.sort_by(|left, right| compare_rows(&query.order, &left.row, &right.row));
        }
        let total = window.count.then_some(all.len() as u64);
        Page { rows: all.into_iter().skip(offset).take(limit).collect(), total }
    }

    /// The row with its embeds; none if an inner embed finds nothing.
    pub(crate) fn project(&self, row: &Row, selection: &Selection) -> Option<Projected> {
        let mut embeds = Vec::with_capacity(selection.embeds.len());
        for embed in &selection.embeds {
            let found = row[embed.column].as_int().and_then(|id| self.row(embed.target, id));
            let found = found.filter(|row| embed.filter.matches(row));
            let projected = found.and_then(|row| self.project(row, &embed.selection));
            if embed.inner && projected.is_none() {
                return None;
            }
            embeds.push(projected);
        }
        Some(Projected { row: row.clone(), embeds })
    }

    /// The rows a filter matches, by ascending id.
    pub(crate) fn matching(&self, table: TableId, filter: &Filter) -> Vec<Row> {
        let plan = Plan::of(table.schema(), filter);
        self.candidates(table, &plan).filter(|row| filter.matches(row)).cloned().collect()
    }

    fn candidates<'v>(&'v self, table: TableId, plan: &'v Plan) -> Box<dyn Iterator<Item = &'v Row> + 'v> {
        if !self.overlay.keys().any(|(changed, _)| *changed == table) {
            return plan.rows(self.database.table(table));
        }
        let mut rows: BTreeMap<i64, &Row> =
            self.database.table(table).rows.iter().map(|(id, row)| (*id, row)).collect();
        for ((changed, id), version) in &self.overlay {
            if *changed != table {
                continue;
            }
            match version {
                Some(row) => rows.insert(*id, row),
                None => rows.remove(id),
            };
        }
        Box::new(rows.into_values())
    }
}

fn as_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
