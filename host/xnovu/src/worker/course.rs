//! From what the rules answered to what is to be done.
//!
//! Owns the failure policies, the bound on deferrals and what becomes of a row without rules. Decides from its arguments alone, so that the
//! worker, which acts, and the monitor, which only compares, cannot differ.

use xnovu_domain::{DEFERRALS_MAX, Details, Message, Micros, Notification, Reason, Verdict};
use xnovu_rules::{Broken, BrokenKind, Decided, FailurePolicy, Grants};

use super::compose::unmapped;

/// What is to be done with the row.
pub(crate) enum Course {
    /// Send these.
    Send { messages: Vec<Message>, grants: Grants },
    /// Settle it RETRACTED.
    Drop(Reason),
    /// Put it off.
    Defer { until: Micros, reason: Reason },
    /// Keep it and ask again.
    Hold(String),
    /// Settle it FAILED.
    Fail(String),
}

impl Course {
    /// The word for traces.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Send { .. } => "send",
            Self::Drop(_) => "drop",
            Self::Defer { .. } => "defer",
            Self::Hold(_) => "hold",
            Self::Fail(_) => "fail",
        }
    }
}

/// What follows from an answer.
pub(crate) fn course(row: &Notification, decided: Decided, grants: Grants) -> Course {
    match decided.verdict {
        Verdict::Drop { reason } => Course::Drop(reason),
        Verdict::Defer { .. } if Details::of(row).deferrals >= DEFERRALS_MAX => {
            Course::Fail(format!("the rules have put it off {DEFERRALS_MAX} times"))
        }
        Verdict::Defer { until, reason } => Course::Defer { until, reason },
        Verdict::Deliver { .. } => match decided.messages {
            Some(messages) if !messages.is_empty() => Course::Send { messages, grants },
            _ => Course::Drop("the rules made no message of it".into()),
        },
    }
}

/// The row's own workflow, recipients, payload and overrides.
pub(crate) fn as_it_is(row: &Notification) -> Course {
    match unmapped(row) {
        Ok(messages) => Course::Send { messages, grants: Grants::default() },
        Err(refusal) => Course::Fail(refusal.to_string()),
    }
}

/// What the failure policy says. An event that is too large will be too large the next time.
pub(crate) fn despite(row: &Notification, broken: &Broken) -> Course {
    if let BrokenKind::InputTooLarge { bytes, limit } = broken.kind {
        return Course::Fail(format!("the event is {bytes} bytes, the limit of the rules' input is {limit}"));
    }
    match broken.applied_policy() {
        FailurePolicy::Hold => Course::Hold(broken.reason.clone()),
        FailurePolicy::Deliver => as_it_is(row),
        FailurePolicy::Drop => Course::Drop(Reason::from(format!("rules failed: {}", broken.reason))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(kind: BrokenKind, policy: FailurePolicy) -> Broken {
        Broken { kind, reason: "r".to_owned(), policy, stamp: None, cost: None }
    }

    #[test]
    fn running_out_of_time_holds_whatever_the_policy() {
        for policy in [FailurePolicy::Hold, FailurePolicy::Deliver, FailurePolicy::Drop] {
            assert_eq!(broken(BrokenKind::TimedOut, policy).applied_policy(), FailurePolicy::Hold);
            assert_eq!(broken(BrokenKind::Trap, policy).applied_policy(), policy);
        }
    }
}
