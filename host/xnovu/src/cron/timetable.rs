//! When a rule fires, in instants.
//!
//! Owns the passage from civil time to instants where a zone changes its offset. Promises: a time of day that a change skips does not
//! fire; one that comes twice fires the first time; an expression that counts time that passes (`*/15 * * * *`) fires through both hours;
//! and the instants of a timetable strictly increase, so that no slot is fired twice or missed between two.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use xnovu_domain::Micros;

use super::expression::Expression;

/// When a rule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timetable {
    /// Again and again.
    Cron {
        /// At these civil times.
        expression: Box<Expression>,
        /// Of this zone.
        zone: Tz,
    },
    /// Once, at this second.
    Once(Micros),
}

impl Timetable {
    /// The first slot after an instant, a whole second.
    #[must_use]
    pub fn after(&self, instant: Micros) -> Option<Micros> {
        match self {
            Self::Cron { expression, zone } => {
                let after = DateTime::from_timestamp_micros(instant.get())?.with_timezone(zone);
                next(expression, after).map(|slot| slot.with_timezone(&Utc).into())
            }
            Self::Once(slot) => (*slot > instant).then_some(*slot),
        }
    }

    /// Whether an instant is one of the slots.
    #[must_use]
    pub fn includes(&self, instant: Micros) -> bool {
        self.after(Micros::new(instant.get().saturating_sub(1))) == Some(instant)
    }
}

fn next(expression: &Expression, after: DateTime<Tz>) -> Option<DateTime<Tz>> {
    let zone = after.timezone();
    let repeats = expression.repeats();
    let instant = |civil: NaiveDateTime| match zone.from_local_datetime(&civil) {
        MappedLocalTime::Single(at) => Some(at).filter(|at| *at > after),
        // The second time is a slot only of what counts time that passes, and only once the first is over.
        MappedLocalTime::Ambiguous(first, second) => {
            Some(first).filter(|at| *at > after).or_else(|| Some(second).filter(|at| repeats && *at > after))
        }
        MappedLocalTime::None => None,
    };
    let found = expression.after(after.naive_local()).find_map(instant);
    // Between this hour's first end and what civil time has next, the hour comes again.
    match second_pass(after).filter(|_| repeats) {
        Some(again) if found.is_none_or(|found| found >= again) => {
            let civil = again.naive_local() - TimeDelta::seconds(1);
            let instant = |civil: NaiveDateTime| zone.from_local_datetime(&civil).latest();
            expression.after(civil).find_map(instant)
        }
        _ => found,
    }
}

/// Where the hour of an instant comes twice and this is the first time: the instant at which it comes again.
fn second_pass(first: DateTime<Tz>) -> Option<DateTime<Tz>> {
    let zone = first.timezone();
    let MappedLocalTime::Ambiguous(earlier, later) = zone.from_local_datetime(&first.naive_local()) else {
        return None;
    };
    if first != earlier {
        return None;
    }
    // The offset changes once between the two. The search is for the first second with the later offset.
    let offset = |at: DateTime<Tz>| at.naive_local() - at.naive_utc();
    let (mut before, mut from) = (earlier, later);
    while from - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((from - before).num_seconds() / 2);
        if offset(middle) == offset(later) {
            from = middle;
        } else {
            before = middle;
        }
    }
    Some(from)
}

#[cfg(test)]
mod tests;
