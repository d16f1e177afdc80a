//! What the rules make of a claimed row.
//!
//! Owns the question to the rules, with what an earlier attempt has fixed, and what is counted of the answer. What follows from the answer is
//! [`super::course`]'s to say. Nothing is written here.

use std::time::Duration;

use xnovu_domain::{Event, HOLD, Micros, Notification};
use xnovu_queue::SendRecord;
use xnovu_rules::{Digest, Pin, Ruling, Stamp};

use super::Worker;
use super::course::{Course, as_it_is, course, despite};
use crate::metrics::Stage;

/// What is to be done with the row, and by whose word.
pub(crate) struct Judgement {
    /// Who decided; None where no rules did.
    pub(crate) stamp: Option<Stamp>,
    /// What is to be done.
    pub(crate) course: Course,
}

impl Worker {
    /// Asks the rules, with what an earlier attempt has fixed if there was one. `ruled`: whoever queued the job knew of some.
    pub(crate) async fn judge(
        &self,
        row: &Notification,
        ruled: bool,
        fixed: Option<&SendRecord>,
        now: Micros,
    ) -> Judgement {
        // Part of it went out as the row stands, by no rules: rules that were bound or answer again since must not change the rest.
        if fixed.is_some_and(|record| record.is_touched() && record.plugin_digest.is_none()) {
            return Judgement { stamp: None, course: as_it_is(row) };
        }
        let now = fixed.map_or(now, |record| Micros::from_millis(record.now_ms));
        let event = Event::new(row.clone(), now);
        let pin = fixed.and_then(pin);
        match self.rules.decide(event, pin.as_ref()).await {
            // Another directory, or one that is not mounted.
            Ruling::Unbound if ruled && !self.rules.knows_who_has_some() => {
                let reason = "it has rules where it was queued, and none here: give this worker the daemon's plugins (XNOVU_PLUGINS)";
                tracing::error!(enterprise_id = %row.enterprise_id, notification_id = %row.id, "{reason}");
                Judgement { stamp: None, course: Course::Hold(reason.to_owned()) }
            }
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
                Judgement { stamp: Some(ruled.stamp), course: course(row, ruled.answer, ruled.grants) }
            }
            Ruling::Broken(broken) => {
                self.metrics.broken(&row.enterprise_id, Stage::Transform, &broken);
                let course = despite(row, &broken);
                // What is sent as it stands was mapped by nobody, and a retry must know that.
                let stamp = broken.stamp.filter(|_| !matches!(course, Course::Send { .. }));
                Judgement { stamp, course }
            }
        }
    }
}

fn pin(record: &SendRecord) -> Option<Pin> {
    let digest: Digest = record.plugin_digest.as_ref()?.parse().ok()?;
    let config_hash: Digest = record.config_hash.as_ref()?.parse().ok()?;
    Some(Pin { digest, config_hash })
}

/// How long a row that has been held since `since` waits before its rules are asked again: as long as it has been held, within bounds,
/// so that waits double.
pub(crate) fn hold_wait(since: Micros, now: Micros) -> Duration {
    now.since(since).clamp(HOLD.base, HOLD.cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_waits_as_long_as_it_has_lasted() {
        let at = |seconds: i64| Micros::new(seconds * 1_000_000);
        assert_eq!(hold_wait(at(0), at(0)), HOLD.base);
        assert_eq!(hold_wait(at(0), at(40)), Duration::from_secs(40));
        assert_eq!(hold_wait(at(0), at(86_400)), HOLD.cap);
    }
}
