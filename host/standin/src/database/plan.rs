//! Which rows a filter can match at all, read off its shape, so that a query walks an index and not the table.
//!
//! A plan only narrows: every row it yields is still put to the filter.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use uuid::Uuid;

use crate::query::filter::{Check, Comparison, Filter};
use crate::query::operand::Operand;
use crate::schema::{ID, TableSchema};
use crate::value::{Row, Value};

use super::table::{Scope, Table};

/// Set of statuses, a bit for each position.
type Statuses = u8;
const ALL_STATUSES: Statuses = Statuses::MAX;

/// What a filter says about the indexed columns.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    ids: Option<BTreeSet<i64>>,
    id_range: RangeInclusive<i64>,
    enterprises: Option<Vec<Uuid>>,
    statuses: Statuses,
}

impl Plan {
    pub(super) fn of(schema: &TableSchema, filter: &Filter) -> Self {
        let mut plan = Self { ids: None, id_range: i64::MIN..=i64::MAX, enterprises: None, statuses: ALL_STATUSES };
        plan.narrow(schema, filter);
        if let Some(column) = schema.known.notification_status {
            plan.statuses = possible_statuses(column, filter);
        }
        plan
    }

    /// The rows to look at, by ascending id.
    pub(super) fn rows<'t>(&'t self, table: &'t Table) -> Box<dyn Iterator<Item = &'t Row> + 't> {
        if let Some(ids) = &self.ids {
            let ids = ids.iter().filter(|id| self.id_range.contains(id));
            return Box::new(ids.filter_map(|id| table.row(*id)));
        }
        if self.id_range.is_empty() {
            return Box::new(std::iter::empty());
        }
        let scopes: Vec<&BTreeSet<i64>> = match &self.enterprises {
            Some(enterprises) => enterprises.iter().flat_map(|one| self.scopes_of(table, *one)).collect(),
            None if self.statuses == ALL_STATUSES => {
                return Box::new(table.rows.range(self.id_range.clone()).map(|(_, row)| row));
            }
            None => {
                let wanted = |scope: &Scope| self.statuses & bit(scope.status) != 0;
                table.scopes.iter().filter(|(scope, _)| wanted(scope)).map(|(_, ids)| ids).collect()
            }
        };
        let mut cursors: Vec<_> = scopes.into_iter().map(|ids| ids.range(self.id_range.clone()).peekable()).collect();
        // The scopes are disjoint, so the smallest head is the next id.
        let ids = std::iter::from_fn(move || {
            let heads = cursors.iter_mut().enumerate().filter_map(|(at, cursor)| cursor.peek().map(|id| (**id, at)));
            let (_, at) = heads.min()?;
            cursors[at].next()
        });
        Box::new(ids.filter_map(|id| table.row(*id)))
    }

    fn scopes_of<'t>(&'t self, table: &'t Table, enterprise: Uuid) -> impl Iterator<Item = &'t BTreeSet<i64>> + 't {
        let statuses = (0..Statuses::BITS as u8).filter(|status| self.statuses & bit(*status) != 0);
        statuses.filter_map(move |status| table.scopes.get(&Scope { enterprise: Some(enterprise), status }))
    }

    fn narrow(&mut self, schema: &TableSchema, filter: &Filter) {
        match filter {
            Filter::All(conditions) => conditions.iter().for_each(|condition| self.narrow(schema, condition)),
            Filter::Test(Operand::Column(ID), check) => self.narrow_id(check),
            Filter::Test(Operand::Column(column), check) if *column == schema.known.enterprise_id => {
                if let Some(values) = allowed_values(check) {
                    let mut enterprises: Vec<_> = values.iter().filter_map(Value::as_uuid).collect();
                    enterprises.sort_unstable();
                    enterprises.dedup();
                    self.enterprises = Some(enterprises);
                }
            }
            _ => {}
        }
    }

    fn narrow_id(&mut self, check: &Check) {
        if let Some(values) = allowed_values(check) {
            self.ids = Some(values.iter().filter_map(Value::as_int).collect());
            return;
        }
        let Check::Compare(comparison, Value::Int(id)) = check else { return };
        let (from, to) = (*self.id_range.start(), *self.id_range.end());
        self.id_range = match comparison {
            Comparison::Gt => from.max(id.saturating_add(1))..=to,
            Comparison::Gte => from.max(*id)..=to,
            Comparison::Lt => from..=to.min(id.saturating_sub(1)),
            Comparison::Lte => from..=to.min(*id),
            Comparison::Eq | Comparison::Neq => from..=to,
        };
    }
}

/// The values a check lets through, if it lists them.
fn allowed_values(check: &Check) -> Option<&[Value]> {
    match check {
        Check::Compare(Comparison::Eq, value) => Some(std::slice::from_ref(value)),
        Check::In(values) => Some(values),
        _ => None,
    }
}

fn possible_statuses(column: usize, filter: &Filter) -> Statuses {
    match filter {
        Filter::All(conditions) => {
            conditions.iter().fold(ALL_STATUSES, |all, condition| all & possible_statuses(column, condition))
        }
        Filter::Any(conditions) => {
            conditions.iter().fold(0, |any, condition| any | possible_statuses(column, condition))
        }
        Filter::Test(Operand::Column(at), check) if *at == column => match allowed_values(check) {
            Some(values) => values.iter().filter_map(Value::as_label).fold(0, |set, status| set | bit(status)),
            None => ALL_STATUSES,
        },
        // Nothing is known of a negation's inside without more thought than it is worth.
        _ => ALL_STATUSES,
    }
}

fn bit(status: u8) -> Statuses {
    1 << status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use crate::schema::TableId;
    use crate::timestamp::Timestamp;

    fn plan(query: &str) -> Plan {
        let schema = TableId::Notification.schema();
        let query = Query::parse(schema, query, Timestamp::from_micros(0)).expect("a well-formed query");
        Plan::of(schema, &query.filter)
    }

    #[test]
    fn the_sweep_walks_one_enterprises_owed_and_retracted_rows_from_the_last_id_on() {
        let plan = plan(
            "enterprise_id=eq.00000000-0000-0000-0000-0000000000e1&id=gt.40\
             &or=(and(notification_status.eq.PENDING,publish_status.eq.PUBLISH),notification_status.in.(RETRACTED))",
        );
        assert_eq!(plan.id_range, 41..=i64::MAX);
        assert_eq!(plan.enterprises.as_deref().map(<[Uuid]>::len), Some(1));
        assert_eq!(plan.statuses, bit(0) | bit(4));
        assert_eq!(plan.ids, None);
    }

    #[test]
    fn a_branch_that_does_not_name_the_status_allows_all() {
        assert_eq!(plan("or=(notification_status.eq.PENDING,id.eq.1)").statuses, ALL_STATUSES);
        assert_eq!(plan("notification_status=not.eq.PENDING").statuses, ALL_STATUSES);
    }
}
