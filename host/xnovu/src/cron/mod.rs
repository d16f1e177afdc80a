//! The rules of `notify.ent_notification_rule`, which make notifications by the clock.
//!
//! Owns when each rule fires. The slot names the work, not the tick that saw to it: its job is `rule-<id>-<slot>` and its row
//! `rule-<id> @ <slot>`, so that two daemons, a restart or a clock that was set fire a slot once. [`catalog`] keeps the rules as they are in
//! the database, [`book`] knows what is due, [`tick`] queues it; the worker makes the row. Never sends anything: the row takes the way of
//! every other.

pub mod book;
pub mod catalog;
pub mod expression;
pub mod misfire;
pub mod plan;
pub mod tick;
pub mod timetable;

pub use book::{Book, BookReport};
pub use plan::{Defaults, Plan};

#[cfg(test)]
mod tests;
