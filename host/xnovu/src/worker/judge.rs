//! What the rules make of a claimed row.
//!
//! Owns the step from a ruling to what is to be done, the failure policies among it. Nothing is written here.

use std::time::Duration;

use xnovu_domain::{DEFERRALS_MAX, Details, Event, HOLD, Message, Micros, Notification, Reason, Verdict};
use xnovu_queue::SendRecord;
use xnovu_rules::{Broken, BrokenKind, Decided, Digest, FailurePolicy, Grants, Pin, Ruling, Stamp};

use super::Worker;
use super::compose::unmapped;
use crate::metrics::Stage;

/// What is to be done with the row, and by whose word.
pub(crate) struct Judgement {
    /// Who decided; None where no rules did.
    pub(crate) stamp: Option<Stamp>,
    /// What is to be done.
    pub(crate) course: Course,
}

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

impl Worker {
    /// Asks the rules, with what an earlier attempt has fixed if there was one.
    pub(crate) async fn judge(&self, row: &Notification, fixed: Option<&SendRecord>, now: Micros) -> Judgement {
        let now = fixed.map_or(now, |record| Micros::from_millis(record.now_ms));
        let event = Event::new(row.clone(), now);
        let pin = fixed.and_then(pin);
        let grants = || self.rules.binding(&row.enterprise_id).map(|binding| binding.grants).unwrap_or_default();
        match self.rules.decide(event, pin.as_ref()).await {
            Ruling::Unbound => {
                self.metrics.unbound(&row.enterprise_id, Stage::Transform);
                Judgement { stamp: None, course: as_it_is(row) }
            }
            Ruling::Ruled(ruled) => {
                self.trail.tell_guest(row, &ruled.stamp.plugin, &ruled.log);
                self.metrics.ruled(
                    &row.enterprise_id,
                    Stage::Transform,
                    ruled.answer.verdict.word(),
                    ruled.duration,
                    ruled.fuel,
                );
                Judgement { stamp: Some(ruled.stamp), course: course(row, ruled.answer, grants()) }
            }
            Ruling::Broken(broken) => {
                self.metrics.broken(&row.enterprise_id, Stage::Transform, &broken);
                Judgement { course: despite(row, &broken), stamp: broken.stamp }
            }
        }
    }
}

fn pin(record: &SendRecord) -> Option<Pin> {
    let digest: Digest = record.plugin_digest.as_ref()?.parse().ok()?;
    let config_hash: Digest = record.config_hash.as_ref()?.parse().ok()?;
    Some(Pin { digest, config_hash })
}

fn course(row: &Notification, decided: Decided, grants: Grants) -> Course {
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
fn as_it_is(row: &Notification) -> Course {
    match unmapped(row) {
        Ok(messages) => Course::Send { messages, grants: Grants::default() },
        Err(refusal) => Course::Fail(refusal.to_string()),
    }
}

/// What the failure policy says. An event that is too large will be too large the next time.
fn despite(row: &Notification, broken: &Broken) -> Course {
    if let BrokenKind::InputTooLarge { bytes, limit } = broken.kind {
        return Course::Fail(format!("the event is {bytes} bytes, the limit of the rules' input is {limit}"));
    }
    match broken.applied_policy() {
        FailurePolicy::Hold => Course::Hold(broken.reason.clone()),
        FailurePolicy::Deliver => as_it_is(row),
        FailurePolicy::Drop => Course::Drop(Reason::from(format!("rules failed: {}", broken.reason))),
    }
}

/// How long a row that has been held since `since` waits before its rules are asked again: as long as it has been held, within bounds,
/// so that waits double.
pub(crate) fn hold_wait(since: Micros, now: Micros) -> Duration {
    now.since(since).clamp(HOLD.base, HOLD.cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(kind: BrokenKind, policy: FailurePolicy) -> Broken {
        Broken { kind, reason: "r".to_owned(), policy, stamp: None }
    }

    #[test]
    fn running_out_of_time_holds_whatever_the_policy() {
        for policy in [FailurePolicy::Hold, FailurePolicy::Deliver, FailurePolicy::Drop] {
            assert_eq!(broken(BrokenKind::TimedOut, policy).applied_policy(), FailurePolicy::Hold);
            assert_eq!(broken(BrokenKind::Trap, policy).applied_policy(), policy);
        }
    }

    #[test]
    fn a_hold_waits_as_long_as_it_has_lasted() {
        let at = |seconds: i64| Micros::new(seconds * 1_000_000);
        assert_eq!(hold_wait(at(0), at(0)), HOLD.base);
        assert_eq!(hold_wait(at(0), at(40)), Duration::from_secs(40));
        assert_eq!(hold_wait(at(0), at(86_400)), HOLD.cap);
    }
}
