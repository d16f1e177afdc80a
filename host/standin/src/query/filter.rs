//! Filters: PostgREST's conditions on a row, with SQL's three-valued logic.

use crate::error::ApiError;
use crate::literal;
use crate::schema::{Kind, TableSchema};
use crate::timestamp::Timestamp;
use crate::value::{Value, compare};

use super::grammar::Scan;
use super::like::Pattern;
use super::operand::Operand;

/// How deep conditions may nest.
const DEPTH_MAX: usize = 32;

/// A condition on a row.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Test(Operand, Check),
}

/// What is asked of one value.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    Compare(Comparison, Value),
    In(Vec<Value>),
    Is(Is),
    Like(Pattern),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
}

/// What `is` can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    Null,
    NotNull,
    True,
    False,
    Unknown,
}

impl Filter {
    pub(crate) fn everything() -> Self {
        Self::All(Vec::new())
    }

    pub(crate) fn is_everything(&self) -> bool {
        matches!(self, Self::All(conditions) if conditions.is_empty())
    }

    /// Adds a condition that has to hold as well.
    pub(crate) fn and(&mut self, condition: Filter) {
        match self {
            Self::All(conditions) => conditions.push(condition),
            other => {
                let first = std::mem::replace(other, Self::everything());
                *other = Self::All(vec![first, condition]);
            }
        }
    }

    /// Whether the condition is true of the row; unknown is not true.
    pub(crate) fn matches(&self, row: &[Value]) -> bool {
        self.evaluate(row) == Some(true)
    }

    /// Reads one parameter: `id=eq.1`, `id=not.in.(1,2)`, `or=(a.eq.1,b.is.null)`, `not.and=(…)`.
    pub(crate) fn parse(schema: &'static TableSchema, key: &str, text: &str, now: Timestamp) -> Result<Self, ApiError> {
        let (negated, name) = key.strip_prefix("not.").map_or((false, key), |rest| (true, rest));
        let parser = Parser { schema, now };
        let filter = match name {
            "and" | "or" => {
                let mut scan = Scan::new("logic tree", text);
                let filter = parser.group(&mut scan, name, DEPTH_MAX)?;
                if !scan.is_done() {
                    return Err(scan.error("end of input"));
                }
                filter
            }
            _ => {
                let mut scan = Scan::new("filter", text);
                parser.condition(&mut scan, Operand::parse(schema, name)?, Place::Parameter)?
            }
        };
        Ok(negate_if(negated, filter))
    }

    fn evaluate(&self, row: &[Value]) -> Option<bool> {
        match self {
            Self::All(conditions) => conditions
                .iter()
                .try_fold(Some(true), |all, condition| {
                    // An error stands for false here: it ends the walk.
                    match condition.evaluate(row) {
                        Some(false) => Err(()),
                        Some(true) => Ok(all),
                        None => Ok(None),
                    }
                })
                .unwrap_or(Some(false)),
            Self::Any(conditions) => conditions
                .iter()
                .try_fold(Some(false), |any, condition| match condition.evaluate(row) {
                    Some(true) => Err(()),
                    Some(false) => Ok(any),
                    None => Ok(None),
                })
                .unwrap_or(Some(true)),
            Self::Not(condition) => condition.evaluate(row).map(|truth| !truth),
            Self::Test(operand, check) => check.evaluate(&operand.value(row)),
        }
    }
}

impl Check {
    /// The answer for one value; none where SQL says NULL.
    pub(crate) fn evaluate(&self, value: &Value) -> Option<bool> {
        if let Self::Is(is) = self {
            return Some(match is {
                Is::Null | Is::Unknown => value.is_null(),
                Is::NotNull => !value.is_null(),
                Is::True => *value == Value::Bool(true),
                Is::False => *value == Value::Bool(false),
            });
        }
        if value.is_null() {
            return None;
        }
        match self {
            Self::Compare(comparison, literal) => Some(comparison.holds(value, literal)),
            Self::In(literals) => Some(literals.iter().any(|literal| compare(value, literal).is_eq())),
            Self::Like(pattern) => value.as_text().map(|text| pattern.matches(text)),
            Self::Is(_) => None,
        }
    }
}

impl Comparison {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "eq" => Self::Eq,
            "neq" => Self::Neq,
            "gt" => Self::Gt,
            "gte" => Self::Gte,
            "lt" => Self::Lt,
            "lte" => Self::Lte,
            _ => return None,
        })
    }

    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = compare(left, right);
        match self {
            Self::Eq => order.is_eq(),
            Self::Neq => order.is_ne(),
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
        }
    }
}

/// Where a condition stands: a parameter's value runs to its end, a member of a group to a comma or a parenthesis.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Parameter,
    Group,
}

struct Parser {
    schema: &'static TableSchema,
    now: Timestamp,
}

impl Parser {
    /// Reads the members of `and(…)` or `or(…)`, from the opening parenthesis on.
    fn group(&self, scan: &mut Scan<'_>, name: &str, depth: usize) -> Result<Filter, ApiError> {
        if depth == 0 {
            return Err(scan.error("fewer nested conditions"));
        }
        scan.expect("(")?;
        let mut members = Vec::new();
        loop {
            scan.skip_blanks();
            members.push(self.member(scan, depth)?);
            scan.skip_blanks();
            if scan.eat(")") {
                break;
            }
            scan.expect(",")?;
        }
        Ok(if name == "and" { Filter::All(members) } else { Filter::Any(members) })
    }

    fn member(&self, scan: &mut Scan<'_>, depth: usize) -> Result<Filter, ApiError> {
        let negated = scan.eat("not.");
        for name in ["and", "or"] {
            // A column may start with these letters too; a group's name is followed by its parenthesis.
            if scan.sees(&format!("{name}(")) {
                scan.expect(name)?;
                return Ok(negate_if(negated, self.group(scan, name, depth - 1)?));
            }
        }
        let name = scan.quoted_or_until(&['.', ',', ')'])?;
        let operand = Operand::parse(self.schema, &name)?;
        scan.expect(".")?;
        let condition = self.condition(scan, operand, Place::Group)?;
        Ok(negate_if(negated, condition))
    }

    /// Reads `[not.]op.value`.
    fn condition(&self, scan: &mut Scan<'_>, operand: Operand, place: Place) -> Result<Filter, ApiError> {
        let negated = scan.eat("not.");
        let kind = operand.kind(self.schema);
        let name = scan.until(&['.', '(']).to_owned();
        scan.expect(".").map_err(|_| scan.error("operator (eq, gt, ...)"))?;
        let check = match name.as_str() {
            "in" => {
                let items = scan.list()?;
                let values = items.iter().map(|item| literal::from_text(kind, item, self.now));
                Check::In(values.collect::<Result<_, _>>()?)
            }
            "is" => Check::Is(self.is(scan, kind, place)?),
            "like" | "ilike" => {
                if !matches!(kind, Kind::Text | Kind::Ltree) {
                    let operator = if name == "like" { "~~" } else { "~~*" };
                    return Err(ApiError::no_such_operator(&kind.sql_name(), operator));
                }
                Check::Like(Pattern::parse(&self.operand_text(scan, place)?, name == "ilike"))
            }
            _ => {
                let comparison = Comparison::by_name(&name).ok_or_else(|| scan.error("operator (eq, gt, ...)"))?;
                let text = self.operand_text(scan, place)?;
                Check::Compare(comparison, literal::from_text(kind, &text, self.now)?)
            }
        };
        if place == Place::Parameter && !scan.is_done() {
            return Err(scan.error("end of input"));
        }
        Ok(negate_if(negated, Filter::Test(operand, check)))
    }

    fn is(&self, scan: &mut Scan<'_>, kind: Kind, place: Place) -> Result<Is, ApiError> {
        let text = self.operand_text(scan, place)?;
        let is = match text.to_ascii_lowercase().as_str() {
            "null" => Is::Null,
            "not_null" => Is::NotNull,
            "true" => Is::True,
            "false" => Is::False,
            "unknown" => Is::Unknown,
            _ => return Err(scan.error("null, not_null, true, false or unknown")),
        };
        if !matches!(is, Is::Null | Is::NotNull) && kind != Kind::Bool {
            let message =
                format!("argument of IS {} must be type boolean, not type {}", text.to_uppercase(), kind.sql_name());
            return Err(ApiError::new(400, "42804", message));
        }
        Ok(is)
    }

    fn operand_text(&self, scan: &mut Scan<'_>, place: Place) -> Result<String, ApiError> {
        match place {
            // Quotes are part of the value here, as in PostgREST.
            Place::Parameter => Ok(scan.remainder().to_owned()),
            Place::Group => scan.quoted_or_until(&[',', ')']),
        }
    }
}

fn negate_if(negated: bool, filter: Filter) -> Filter {
    if negated { Filter::Not(Box::new(filter)) } else { filter }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
