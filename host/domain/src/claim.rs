//! Whose turn it is.
//!
//! Owns the two decisions around a claim: what a claim that returned nothing means, and what becomes of a row whose job is gone. Both are
//! made from the row as it was read back, never from memory.

use std::time::Duration;

use crate::{Details, JobId, Micros, Notification, Standing, Status};

/// How long a claim holds without being renewed.
pub const LEASE: Duration = Duration::from_secs(120);

/// How often the reaper offers one row again before it gives the row up.
const REAPS_MAX: u32 = 3;

/// Why a claim returned nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyClaim {
    /// Leased by another attempt, or not yet due: come back then, without spending an attempt.
    Later(Micros),
    /// The row can be claimed after all: somebody was quicker and let go, or the key may read but not write.
    Again,
    /// The row cannot be seen: deleted, or hidden from the key.
    Invisible,
    /// The notification has moved on. Nothing is left to do.
    Over,
}

/// Reads the row after a claim by `job` at `now` (the database's clock) has returned nothing.
#[must_use]
pub fn after_empty_claim(row: Option<&Notification>, job: &JobId, now: Micros) -> EmptyClaim {
    let Some(row) = row else { return EmptyClaim::Invisible };
    let mine = row.transaction_id.as_deref() == Some(job.as_str());
    match (row.standing(now), row.notification_status) {
        (Standing::Owed, _) => EmptyClaim::Again,
        (Standing::Due(at), _) => EmptyClaim::Later(at),
        (_, Status::Processing) if mine => match row.processed_at.map(|stamp| stamp.plus(LEASE)) {
            Some(free) if free >= now => EmptyClaim::Later(free.plus(Duration::from_millis(1))),
            _ => EmptyClaim::Again,
        },
        (_, Status::Failed) if mine => EmptyClaim::Again,
        _ => EmptyClaim::Over,
    }
}

/// What the reaper does with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reap {
    /// Leased, or the work of another sender: untouched.
    Leave,
    /// Offer this job again.
    Offer(JobId),
    /// It has been offered often enough: settle it FAILED.
    GiveUp(JobId),
}

/// Reads a PROCESSING row at `now` (the database's clock) whose job is missing or finished.
#[must_use]
pub fn reap(row: &Notification, now: Micros) -> Reap {
    let expired = row.processed_at.is_none_or(|stamp| stamp.plus(LEASE) < now);
    match row.claimed_by() {
        Some(job) if row.notification_status == Status::Processing && expired => {
            if Details::of(row).reaped >= REAPS_MAX - 1 { Reap::GiveUp(job) } else { Reap::Offer(job) }
        }
        _ => Reap::Leave,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const JOB: &str = "xn-e-7-5";

    fn row(changes: Value) -> Notification {
        let mut row = json!({"id": 7, "enterprise_id": "e", "name": "n", "notification_status": "PENDING", "publish_status": "PUBLISH",
            "deactivated": false, "payload": {}, "recipients": [], "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z"});
        for (key, value) in changes.as_object().unwrap() {
            row[key] = value.clone();
        }
        serde_json::from_str(&row.to_string()).unwrap()
    }

    fn now() -> Micros {
        Micros::parse("2026-01-01T12:00:00Z").unwrap()
    }

    #[test]
    fn an_empty_claim_is_read_from_the_row() {
        let leased_until = Micros::parse("2026-01-01T12:01:00.001Z").unwrap();
        let due = Micros::parse("2026-01-01T12:00:00.050Z").unwrap();
        let cases = [
            (json!({}), EmptyClaim::Again),
            (json!({"scheduled_for": due.to_string()}), EmptyClaim::Later(due)),
            (json!({"deactivated": true}), EmptyClaim::Over),
            (json!({"publish_status": "DRAFT"}), EmptyClaim::Over),
            (json!({"notification_status": "RETRACTED"}), EmptyClaim::Over),
            (json!({"notification_status": "SENT", "transaction_id": JOB}), EmptyClaim::Over),
            (json!({"notification_status": "FAILED", "transaction_id": JOB}), EmptyClaim::Again),
            (json!({"notification_status": "FAILED", "transaction_id": "xn-e-7-6"}), EmptyClaim::Over),
            (
                json!({"notification_status": "PROCESSING", "transaction_id": JOB, "processed_at": "2026-01-01T11:59:00Z"}),
                EmptyClaim::Later(leased_until),
            ),
            (
                json!({"notification_status": "PROCESSING", "transaction_id": JOB, "processed_at": "2026-01-01T11:57:59Z"}),
                EmptyClaim::Again,
            ),
            (
                json!({"notification_status": "PROCESSING", "transaction_id": JOB, "processed_at": null}),
                EmptyClaim::Again,
            ),
            (
                json!({"notification_status": "PROCESSING", "transaction_id": "txn_theirs", "processed_at": "2026-01-01T11:59:00Z"}),
                EmptyClaim::Over,
            ),
        ];
        for (changes, want) in cases {
            assert_eq!(after_empty_claim(Some(&row(changes.clone())), &JOB.parse().unwrap(), now()), want, "{changes}");
        }
        assert_eq!(after_empty_claim(None, &JOB.parse().unwrap(), now()), EmptyClaim::Invisible);
    }

    #[test]
    fn the_reaper_offers_twice_and_then_gives_up() {
        let job: JobId = JOB.parse().unwrap();
        let stuck =
            json!({"notification_status": "PROCESSING", "transaction_id": JOB, "processed_at": "2026-01-01T11:57:00Z"});
        let with = |key: &str, value: Value| {
            let mut changes = stuck.clone();
            changes[key] = value;
            row(changes)
        };
        assert_eq!(reap(&row(stuck.clone()), now()), Reap::Offer(job.clone()));
        assert_eq!(reap(&with("error_details", json!({"reaped": 1})), now()), Reap::Offer(job.clone()));
        assert_eq!(reap(&with("error_details", json!({"reaped": 2})), now()), Reap::GiveUp(job.clone()));
        assert_eq!(reap(&with("processed_at", Value::Null), now()), Reap::Offer(job));
        assert_eq!(reap(&with("processed_at", json!("2026-01-01T11:58:30Z")), now()), Reap::Leave);
        assert_eq!(reap(&with("transaction_id", json!("txn_theirs")), now()), Reap::Leave);
        assert_eq!(reap(&with("notification_status", json!("SENT")), now()), Reap::Leave);
    }
}
