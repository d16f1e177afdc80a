//! What we would do with a row.
//!
//! Owns the way from a row to a decision as the daemon and the worker would make it together, without a claim and without a call.

use xnovu_domain::{Event, Message, Micros, Notification};
use xnovu_rules::{Grants, Rules, Ruling};

use super::comparison::Ours;
use crate::worker::compose::compose;
use crate::worker::course::{Course, as_it_is, course, despite};
use crate::workflows::Workflows;

/// What would become of the row at `now`.
pub(super) async fn judge(rules: &dyn Rules, workflows: &Workflows, row: &Notification, now: Micros) -> Ours {
    let course = match rules.decide(Event::new(row.clone(), now), None).await {
        Ruling::Unbound => as_it_is(row),
        Ruling::Ruled(ruled) => course(row, ruled.answer, ruled.grants),
        Ruling::Broken(broken) => despite(row, &broken),
    };
    match course {
        Course::Send { messages, grants } => sent(workflows, row, &messages, &grants).await,
        Course::Drop(_) => Ours::Drop,
        Course::Defer { .. } => Ours::Defer,
        Course::Hold(_) => Ours::Hold,
        Course::Fail(_) => Ours::Fail,
    }
}

/// Whether the calls could be made. A database that does not answer puts nothing in doubt but the workflows; the line would wait for it.
async fn sent(workflows: &Workflows, row: &Notification, messages: &[Message], grants: &Grants) -> Ours {
    let wanted: Vec<_> = messages.iter().map(|message| message.workflow_key.clone()).collect();
    match workflows.of(&row.enterprise_id, &wanted).await {
        Ok(own) if compose(&row.job(), row, messages, &own, grants).is_err() => Ours::Fail,
        Ok(_) => Ours::Send,
        Err(_) => Ours::Hold,
    }
}
