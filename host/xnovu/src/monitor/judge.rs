//! What we would do with a row.
//!
//! Owns the way from a row to a decision as the daemon and the worker would make it together, without a claim and without a call.

use xnovu_domain::{DEFERRALS_MAX, Details, Event, Message, Micros, Notification, Verdict};
use xnovu_rules::{BrokenKind, FailurePolicy, Grants, Rules, Ruling};

use super::comparison::Ours;
use crate::worker::compose::{compose, unmapped};
use crate::workflows::Workflows;

/// What would become of the row at `now`.
pub(super) async fn judge(rules: &dyn Rules, workflows: &Workflows, row: &Notification, now: Micros) -> Ours {
    match rules.decide(Event::new(row.clone(), now), None).await {
        Ruling::Unbound => as_it_is(workflows, row).await,
        Ruling::Ruled(ruled) => match ruled.answer.verdict {
            Verdict::Drop { .. } => Ours::Drop,
            Verdict::Defer { .. } if Details::of(row).deferrals >= DEFERRALS_MAX => Ours::Fail,
            Verdict::Defer { .. } => Ours::Defer,
            Verdict::Deliver { .. } => {
                let messages = ruled.answer.messages.unwrap_or_default();
                let grants = rules.binding(&row.enterprise_id).map(|binding| binding.grants).unwrap_or_default();
                if messages.is_empty() { Ours::Drop } else { sent(workflows, row, &messages, &grants).await }
            }
        },
        Ruling::Broken(broken) => match (broken.kind, broken.applied_policy()) {
            (BrokenKind::InputTooLarge { .. }, _) => Ours::Fail,
            (_, FailurePolicy::Hold) => Ours::Hold,
            (_, FailurePolicy::Deliver) => as_it_is(workflows, row).await,
            (_, FailurePolicy::Drop) => Ours::Drop,
        },
    }
}

async fn as_it_is(workflows: &Workflows, row: &Notification) -> Ours {
    match unmapped(row) {
        Ok(messages) => sent(workflows, row, &messages, &Grants::default()).await,
        Err(_) => Ours::Fail,
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
