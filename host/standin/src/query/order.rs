//! `order`: several terms, each with its direction and the place of NULLs.

use std::cmp::Ordering;

use crate::error::ApiError;
use crate::schema::TableSchema;
use crate::value::{Value, compare};

use super::operand::Operand;

/// One term of an order.
#[derive(Debug)]
pub(crate) struct OrderTerm {
    operand: Operand,
    descending: bool,
    nulls_first: bool,
}

impl OrderTerm {
    /// The column the term sorts by upwards, if it is that simple.
    pub(crate) fn ascending_column(&self) -> Option<usize> {
        match self.operand {
            Operand::Column(column) if !self.descending => Some(column),
            _ => None,
        }
    }
}

/// Reads `a.desc.nullslast,b`.
pub(super) fn parse(schema: &TableSchema, text: &str) -> Result<Vec<OrderTerm>, ApiError> {
    text.split(',').filter(|term| !term.trim().is_empty()).map(|term| parse_term(schema, term.trim())).collect()
}

/// Compares two rows by an order; rows that tie keep the order they have.
pub(crate) fn compare_rows(order: &[OrderTerm], left: &[Value], right: &[Value]) -> Ordering {
    let terms = order.iter().map(|term| {
        let (left, right) = (term.operand.value(left), term.operand.value(right));
        match (left.is_null(), right.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if term.nulls_first => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, true) if term.nulls_first => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if term.descending => compare(&right, &left),
            (false, false) => compare(&left, &right),
        }
    });
    terms.into_iter().find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

fn parse_term(schema: &TableSchema, text: &str) -> Result<OrderTerm, ApiError> {
    let mut words = text.split('.');
    let operand = Operand::parse(schema, words.next().unwrap_or_default())?;
    let mut next = words.next();
    let descending = next == Some("desc");
    if matches!(next, Some("asc" | "desc")) {
        next = words.next();
    }
    // PostgreSQL sorts NULLs as if larger than everything.
    let nulls_first = match next {
        None => descending,
        Some("nullsfirst") => true,
        Some("nullslast") => false,
        Some(_) => return Err(ApiError::unreadable("order", text, "asc, desc, nullsfirst or nullslast")),
    };
    match words.next() {
        None => Ok(OrderTerm { operand, descending, nulls_first }),
        Some(_) => Err(ApiError::unreadable("order", text, "\",\" or end of input")),
    }
}
