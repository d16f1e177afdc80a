//! Rules of `notify.ent_notification_rule`.
pub mod expression;
pub mod timetable;
