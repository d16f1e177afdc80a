//! What a notification is and what may happen to it.
//!
//! Owns the types every room of the house shares and the decisions that need nothing but their arguments. Promises to be pure: no
//! I/O, no clock, no randomness, no async. Whoever needs the time passes it in.

mod backoff;
mod chunk;
mod claim;
mod clock_offset;
mod details;
mod disposition;
mod event;
mod ids;
mod json;
mod misfit;
mod notification;
mod priority;
mod rule;
mod rule_slot;
mod time;
mod verdict;

pub use backoff::{Backoff, HOLD};
pub use chunk::{CHUNK_RECIPIENTS_MAX, Chunk, chunks};
pub use claim::{EmptyClaim, LEASE, Reap, after_empty_claim, reap};
pub use clock_offset::ClockOffset;
pub use details::{AcceptedChunk, DEFERRALS_MAX, Details};
pub use disposition::{Answer, Disposition, disposition};
pub use event::{Event, Origin};
pub use ids::{EnterpriseId, IdError, JobId, NotificationId, RuleId, WorkflowKey};
pub use json::{Json, JsonError};
pub use misfit::Misfit;
pub use notification::{
    CategoryRef, Notification, PriorityRef, PublishStatus, RowError, Standing, Status, WorkflowRef, parse_rows,
};
pub use priority::{Priorities, Priority, PriorityError};
pub use rule::{Asleep, Draft, NotificationRule, RuleError, RuleWorkflow};
pub use rule_slot::RuleSlot;
pub use time::{Micros, TimeError};
pub use verdict::{Message, REASON_BYTES_MAX, Reason, Verdict};
