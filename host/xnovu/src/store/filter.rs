//! The conditions under which rows are read and written, in PostgREST's words.
//!
//! Owns every filter, as pure functions. Promises that each names the enterprise or finds no row, and that repeating a write under the
//! same filter after its answer was lost changes nothing more. Values put into `or` and `in` are quoted; ids hold no character that would
//! need it.

use std::fmt::Display;

use xnovu_domain::{EnterpriseId, JobId, LEASE, Micros, Notification, NotificationId, RuleId};

use super::Fence;

/// Query parameters: a column or a logical operator, and its condition.
pub(crate) type Filter = Vec<(&'static str, String)>;

fn of(enterprise: &EnterpriseId) -> Filter {
    vec![("enterprise_id", format!("eq.{enterprise}"))]
}

/// Of any of these.
fn of_any(enterprises: &[EnterpriseId]) -> Filter {
    let ids: Vec<&str> = enterprises.iter().map(EnterpriseId::as_str).collect();
    vec![("enterprise_id", format!("in.({})", ids.join(",")))]
}

fn one(enterprise: &EnterpriseId, id: NotificationId) -> Filter {
    let mut filter = of(enterprise);
    filter.push(("id", format!("eq.{id}")));
    filter
}

/// What may be used at all, of tables that people publish.
fn published(mut filter: Filter) -> Filter {
    filter.push(("publish_status", "eq.PUBLISH".to_owned()));
    filter.push(("deactivated", "is.false".to_owned()));
    filter
}

fn page(filter: &mut Filter, after: Option<impl Display>, limit: usize) {
    if let Some(after) = after {
        filter.push(("id", format!("gt.{after}")));
    }
    filter.push(("order", "id.asc".to_owned()));
    filter.push(("limit", limit.to_string()));
}

/// No row at all, of anybody: to see whether the table can be asked.
pub(crate) fn no_rows() -> Filter {
    vec![("limit", "0".to_owned())]
}

/// These ids.
pub(crate) fn by_ids(enterprise: &EnterpriseId, ids: &[NotificationId]) -> Filter {
    let ids: Vec<String> = ids.iter().map(NotificationId::to_string).collect();
    let mut filter = of(enterprise);
    filter.push(("id", format!("in.({})", ids.join(","))));
    filter
}

/// Owed before `horizon`.
pub(crate) fn owed(enterprise: &EnterpriseId, after: Option<NotificationId>, horizon: Micros, limit: usize) -> Filter {
    let mut filter = of(enterprise);
    filter.push(("notification_status", "eq.PENDING".to_owned()));
    filter.push(("publish_status", "eq.PUBLISH".to_owned()));
    filter.push(("deactivated", "is.false".to_owned()));
    filter.push(("or", format!("(scheduled_for.is.null,scheduled_for.lte.\"{horizon}\")")));
    page(&mut filter, after, limit);
    filter
}

/// Ours, taken back since `since`, not yet carried to Novu. A person who retracts by hand may leave `retracted_at` empty.
pub(crate) fn retracted(
    enterprise: &EnterpriseId,
    after: Option<NotificationId>,
    since: Micros,
    limit: usize,
) -> Filter {
    let mut filter = of(enterprise);
    filter.push(("notification_status", "eq.RETRACTED".to_owned()));
    filter.push(("transaction_id", "like.xn-*".to_owned()));
    filter.push(("error_details->>cancelled", "is.null".to_owned()));
    let recent = format!("retracted_at.gte.\"{since}\",and(retracted_at.is.null,updated_at.gte.\"{since}\")");
    filter.push(("or", format!("({recent})")));
    page(&mut filter, after, limit);
    filter
}

/// PROCESSING under a stamp older than `stamp_before`, or under none.
pub(crate) fn expired(
    enterprise: &EnterpriseId,
    stamp_before: Micros,
    after: Option<NotificationId>,
    limit: usize,
) -> Filter {
    let mut filter = of(enterprise);
    filter.push(("notification_status", "eq.PROCESSING".to_owned()));
    filter.push(("or", format!("(processed_at.is.null,processed_at.lt.\"{stamp_before}\")")));
    page(&mut filter, after, limit);
    filter
}

/// In one state, the newest first.
pub(crate) fn latest(enterprise: &EnterpriseId, status: &'static str, limit: usize) -> Filter {
    let mut filter = of(enterprise);
    filter.push(("notification_status", format!("eq.{status}")));
    filter.push(("order", "id.desc".to_owned()));
    filter.push(("limit", limit.to_string()));
    filter
}

/// Claimable by `job` at `stamp`: owed; or claimed by this job before, under this very stamp (a repeated claim), none, or one whose
/// lease is over; or failed by this job, which is how a retry by hand arrives.
pub(crate) fn claimable(job: &JobId, stamp: Micros) -> Filter {
    let lease_over = stamp.minus(LEASE);
    let pending = format!(
        "and(notification_status.eq.PENDING,publish_status.eq.PUBLISH,deactivated.is.false,\
         or(scheduled_for.is.null,scheduled_for.lte.\"{stamp}\"))"
    );
    let processing = format!(
        "and(notification_status.eq.PROCESSING,transaction_id.eq.{job},\
         or(processed_at.is.null,processed_at.eq.\"{stamp}\",processed_at.lt.\"{lease_over}\"))"
    );
    let failed = format!("and(notification_status.eq.FAILED,transaction_id.eq.{job})");
    let mut filter = one(job.enterprise(), job.notification());
    filter.push(("or", format!("({pending},{processing},{failed})")));
    filter
}

/// Still claimed by the fence's job, under one of these stamps.
pub(crate) fn fenced(fence: &Fence, stamps: &[Micros]) -> Filter {
    let stamps: Vec<String> = stamps.iter().map(|stamp| format!("\"{stamp}\"")).collect();
    let mut filter = one(fence.job.enterprise(), fence.job.notification());
    filter.push(("notification_status", "eq.PROCESSING".to_owned()));
    filter.push(("transaction_id", format!("eq.{}", fence.job)));
    filter.push(("processed_at", format!("in.({})", stamps.join(","))));
    filter
}

/// Still in `status`, and still the version that was read.
pub(crate) fn seen(row: &Notification, status: &'static str) -> Filter {
    let mut filter = one(&row.enterprise_id, row.id);
    filter.push(("notification_status", format!("eq.{status}")));
    filter.push(("updated_at", format!("eq.{}", row.updated_at)));
    filter
}

/// Still PROCESSING under the claim that was read, whoever made it.
pub(crate) fn claimed_as_seen(row: &Notification) -> Filter {
    let condition = |value: Option<String>| value.map_or("is.null".to_owned(), |value| format!("eq.{value}"));
    let mut filter = one(&row.enterprise_id, row.id);
    filter.push(("notification_status", "eq.PROCESSING".to_owned()));
    filter.push(("transaction_id", condition(row.transaction_id.clone())));
    filter.push(("processed_at", condition(row.processed_at.map(|stamp| stamp.to_string()))));
    filter
}

/// Published workflows, by id.
pub(crate) fn workflows(enterprise: &EnterpriseId, after: Option<i64>, limit: usize) -> Filter {
    let mut filter = published(of(enterprise));
    page(&mut filter, after, limit);
    filter
}

/// Made since an instant, by id.
pub(crate) fn made_since(
    enterprise: &EnterpriseId,
    since: Micros,
    after: Option<NotificationId>,
    limit: usize,
) -> Filter {
    let mut filter = of(enterprise);
    filter.push(("created_at", format!("gte.{since}")));
    page(&mut filter, after, limit);
    filter
}

/// Rules that may fire, by id.
pub(crate) fn rules(enterprises: &[EnterpriseId], after: Option<RuleId>, limit: usize) -> Filter {
    let mut filter = published(of_any(enterprises));
    filter.push(("trigger_type", "in.(CRON,SCHEDULE)".to_owned()));
    page(&mut filter, after, limit);
    filter
}

/// One rule.
pub(crate) fn rule(enterprise: &EnterpriseId, id: RuleId) -> Filter {
    let mut filter = of(enterprise);
    filter.push(("id", format!("eq.{id}")));
    filter
}

/// These rules, by id.
pub(crate) fn rules_by_ids(enterprises: &[EnterpriseId], ids: &[RuleId]) -> Filter {
    let ids: Vec<String> = ids.iter().map(RuleId::to_string).collect();
    let mut filter = of_any(enterprises);
    filter.push(("id", format!("in.({})", ids.join(","))));
    filter.push(("order", "id.asc".to_owned()));
    filter
}

/// The constraint that makes a row of a slot unique.
pub(crate) fn unique_name() -> Filter {
    vec![("on_conflict", "name,enterprise_id".to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = "2026-01-01T12:00:00.000001Z";

    fn stamp() -> Micros {
        Micros::parse(STAMP).unwrap()
    }

    fn row(changes: serde_json::Value) -> Notification {
        let mut row = serde_json::json!({"id": 7, "enterprise_id": "ent1", "name": "n", "notification_status": "PROCESSING",
            "publish_status": "PUBLISH", "deactivated": false, "payload": {}, "recipients": [],
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00.5+00:00"});
        row.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_str(&row.to_string()).unwrap()
    }

    fn text(filter: &Filter) -> String {
        filter.iter().map(|(key, condition)| format!("{key}={condition}")).collect::<Vec<_>>().join("&")
    }

    #[test]
    fn the_claim_is_the_one_the_design_names() {
        let want = "enterprise_id=eq.ent1&id=eq.7&or=(\
            and(notification_status.eq.PENDING,publish_status.eq.PUBLISH,deactivated.is.false,\
            or(scheduled_for.is.null,scheduled_for.lte.\"2026-01-01T12:00:00.000001Z\")),\
            and(notification_status.eq.PROCESSING,transaction_id.eq.xn-ent1-7-5,\
            or(processed_at.is.null,processed_at.eq.\"2026-01-01T12:00:00.000001Z\",processed_at.lt.\"2026-01-01T11:58:00.000001Z\")),\
            and(notification_status.eq.FAILED,transaction_id.eq.xn-ent1-7-5))";
        assert_eq!(text(&claimable(&"xn-ent1-7-5".parse().unwrap(), stamp())), want);
    }

    #[test]
    fn a_fenced_write_names_enterprise_job_and_stamp() {
        let fence = Fence { job: "xn-ent1-7-5".parse().unwrap(), stamp: stamp() };
        let want = "enterprise_id=eq.ent1&id=eq.7&notification_status=eq.PROCESSING&transaction_id=eq.xn-ent1-7-5\
            &processed_at=in.(\"2026-01-01T12:00:00.000001Z\")";
        assert_eq!(text(&fenced(&fence, &[fence.stamp])), want);
    }

    #[test]
    fn a_page_starts_after_the_last_id_and_is_bounded() {
        let first = text(&owed(&"ent1".parse().unwrap(), None, stamp(), 500));
        assert!(first.ends_with("&order=id.asc&limit=500") && !first.contains("id=gt."), "{first}");
        let next = text(&owed(&"ent1".parse().unwrap(), Some("9".parse().unwrap()), stamp(), 500));
        assert!(next.contains("&id=gt.9&order="), "{next}");
    }

    #[test]
    fn what_was_seen_is_compared_as_an_instant() {
        let want =
            "enterprise_id=eq.ent1&id=eq.7&notification_status=eq.PENDING&updated_at=eq.2026-01-01T00:00:00.500000Z";
        assert_eq!(text(&seen(&row(serde_json::json!({})), "PENDING")), want);
    }

    #[test]
    fn a_claim_without_a_stamp_is_compared_with_null() {
        let bare = text(&claimed_as_seen(&row(serde_json::json!({"transaction_id": "xn-ent1-7-5"}))));
        assert!(bare.ends_with("&transaction_id=eq.xn-ent1-7-5&processed_at=is.null"), "{bare}");
        let stamped = text(&claimed_as_seen(&row(serde_json::json!({"processed_at": STAMP}))));
        assert!(stamped.ends_with("&transaction_id=is.null&processed_at=eq.2026-01-01T12:00:00.000001Z"), "{stamped}");
    }

    #[test]
    fn every_filter_names_the_enterprise() {
        let (enterprise, job) = ("ent1".parse().unwrap(), "xn-ent1-7-5".parse::<JobId>().unwrap());
        let fence = Fence { job: job.clone(), stamp: stamp() };
        let row = row(serde_json::json!({}));
        let filters = [
            by_ids(&enterprise, &[row.id]),
            owed(&enterprise, None, stamp(), 1),
            retracted(&enterprise, None, stamp(), 1),
            expired(&enterprise, stamp(), None, 1),
            claimable(&job, stamp()),
            fenced(&fence, &[]),
            seen(&row, "PENDING"),
            claimed_as_seen(&row),
            workflows(&enterprise, Some(1), 1),
            made_since(&enterprise, stamp(), None, 1),
            latest(&enterprise, "SENT", 1),
            rule(&enterprise, RuleId::new(1).unwrap()),
        ];
        for filter in filters {
            assert!(filter.contains(&("enterprise_id", "eq.ent1".to_owned())), "{}", text(&filter));
        }
        let both = [enterprise, "ent2".parse().unwrap()];
        for filter in [rules(&both, None, 1), rules_by_ids(&both, &[RuleId::new(1).unwrap()])] {
            assert!(filter.contains(&("enterprise_id", "in.(ent1,ent2)".to_owned())), "{}", text(&filter));
        }
    }
}
