//! The rows, through PostgREST.
//!
//! Owns which columns are read and what each conditional write writes. Promises one request a write, answered with the row it changed.
//! Conditions are in `filter`, the wire in `request`. Never writes a column the caller did not mean.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use xnovu_domain::{
    Draft, EnterpriseId, JobId, LEASE, Micros, Misfit, Notification, NotificationId, NotificationRule, Reason,
    RowError, RuleId, WorkflowKey, parse_rows,
};

use super::filter::{self, Filter};
use super::http::ClientError;
use super::request::{Api, Request, Verb};
use super::{Fence, NotificationStore, READ_IDS_MAX, ReadRows, ReadRules, Settlement, StoreError, WHOLE_RULES_MAX};
use crate::clock::{Clock, Stamps};
use crate::config::Supabase;

const NOTIFICATIONS: &str = "ent_notification";
const WORKFLOWS: &str = "ent_notification_workflow";
const RULES: &str = "ent_notification_rule";

/// The columns of a notification, and of what it points to.
const COLUMNS: &str = "id,enterprise_id,name,notification_status,publish_status,deactivated,payload,recipients,channels,overrides,tags,\
    transaction_id,scheduled_for,processed_at,created_at,updated_at,error_details,retraction_reason,notification_rule_id,\
    workflow:ent_notification_workflow(workflow_key),category:typ_notification_category(code,path_text),\
    priority:typ_notification_priority(code)";

/// The columns of a rule that say when it fires.
const RULE_COLUMNS: &str = "id,enterprise_id,publish_status,deactivated,updated_at,notification_workflow_id,trigger_type,trigger_config,\
    workflow:ent_notification_workflow(workflow_key,enterprise_id,publish_status,deactivated,updated_at)";

/// The columns of a rule that is about to fire.
const WHOLE_RULE_COLUMNS: &str = "id,enterprise_id,description,business_id,publish_status,deactivated,updated_at,notification_workflow_id,\
    trigger_type,trigger_config,rule_payload,\
    workflow:ent_notification_workflow(workflow_key,enterprise_id,publish_status,deactivated,updated_at,default_channels)";

/// Workflows read at a time.
const WORKFLOWS_PAGE: usize = 1_000;

/// Rows named in one log line about rows that cannot be read.
const BAD_ROWS_NAMED: usize = 10;

/// The rows, through PostgREST.
pub struct Postgrest {
    api: Api,
    stamps: Stamps,
}

impl Postgrest {
    /// A store that has not asked anything yet.
    ///
    /// # Errors
    /// The settings make no HTTP client.
    pub fn new(supabase: &Supabase, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        Ok(Self { api: Api::new(supabase, clock)?, stamps: Stamps::default() })
    }

    async fn rows(&self, what: &'static str, filter: &Filter) -> Result<ReadRows, StoreError> {
        let request = Request { what, table: NOTIFICATIONS, select: COLUMNS, filter, verb: Verb::Read };
        let (body, took) = self.api.ask_timed(&request).await?;
        let mut read = ReadRows { took: Some(took), ..ReadRows::default() };
        for row in parse_rows(NOTIFICATIONS, &body).map_err(|source| StoreError::Malformed { what, source })? {
            match row {
                Ok(row) => read.rows.push(row),
                Err(error) => read.bad.push(error),
            }
        }
        if !read.bad.is_empty() {
            let ids: Vec<_> = read.bad.iter().take(BAD_ROWS_NAMED).filter_map(|row| row.id.as_deref()).collect();
            let first = read.bad.first().map(|row| row.source.to_string());
            tracing::warn!(
                what,
                rows = read.bad.len(),
                ?ids,
                first_error = first,
                "rows cannot be read and are left out"
            );
        }
        Ok(read)
    }

    async fn read_rules(
        &self,
        what: &'static str,
        select: &'static str,
        filter: &Filter,
    ) -> Result<ReadRules, StoreError> {
        let request = Request { what, table: RULES, select, filter, verb: Verb::Read };
        let body = self.api.ask(&request).await?;
        let mut read = ReadRules::default();
        for row in parse_rows(RULES, &body).map_err(|source| StoreError::Malformed { what, source })? {
            match row {
                Ok(rule) => read.rules.push(rule),
                Err(error) => read.bad.push(error),
            }
        }
        Ok(read)
    }

    /// The newest rows in a state, for whoever looks who works on them.
    ///
    /// # Errors
    /// The API does not answer, or not with rows.
    pub async fn latest(
        &self,
        enterprise: &EnterpriseId,
        status: &'static str,
        limit: usize,
    ) -> Result<ReadRows, StoreError> {
        self.rows("read the newest notifications", &filter::latest(enterprise, status, limit)).await
    }

    /// Writes `columns` where the filter holds and says whether it held.
    async fn write(&self, what: &'static str, filter: &Filter, columns: &Value) -> Result<bool, StoreError> {
        #[derive(Deserialize)]
        struct Written {}
        let request = Request { what, table: NOTIFICATIONS, select: "id", filter, verb: Verb::Update(columns) };
        let written: Vec<Written> = parse(what, &self.api.ask(&request).await?)?;
        Ok(!written.is_empty())
    }

    /// The columns of a settlement.
    fn settled(&self, settlement: &Settlement) -> Value {
        match settlement {
            Settlement::Sent { details } => json!({"notification_status": "SENT", "error_details": details}),
            Settlement::Failed { details } => json!({"notification_status": "FAILED", "error_details": details}),
            Settlement::Retracted { reason, details } => {
                let mut columns = self.retracted_by_rule(reason);
                columns["error_details"] = details.clone();
                columns
            }
            Settlement::Deferred { until, details } => {
                json!({"notification_status": "PENDING", "scheduled_for": until, "error_details": details})
            }
        }
    }

    fn retracted_by_rule(&self, reason: &Reason) -> Value {
        json!({
            "notification_status": "RETRACTED",
            "retraction_reason": format!("rule: {reason}"),
            "retracted_at": self.database_now(),
        })
    }
}

#[async_trait]
impl NotificationStore for Postgrest {
    async fn read(&self, enterprise: &EnterpriseId, ids: &[NotificationId]) -> Result<ReadRows, StoreError> {
        let mut all = ReadRows::default();
        for some in ids.chunks(READ_IDS_MAX) {
            let read = self.rows("read notifications", &filter::by_ids(enterprise, some)).await?;
            all.rows.extend(read.rows);
            all.bad.extend(read.bad);
        }
        Ok(all)
    }

    async fn owed(
        &self,
        enterprise: &EnterpriseId,
        after: Option<NotificationId>,
        horizon: Micros,
        limit: usize,
    ) -> Result<ReadRows, StoreError> {
        self.rows("read owed notifications", &filter::owed(enterprise, after, horizon, limit)).await
    }

    async fn retracted(
        &self,
        enterprise: &EnterpriseId,
        after: Option<NotificationId>,
        since: Micros,
        limit: usize,
    ) -> Result<ReadRows, StoreError> {
        self.rows("read retracted notifications", &filter::retracted(enterprise, after, since, limit)).await
    }

    async fn expired(
        &self,
        enterprise: &EnterpriseId,
        stamp_before: Micros,
        after: Option<NotificationId>,
        limit: usize,
    ) -> Result<ReadRows, StoreError> {
        self.rows("read expired claims", &filter::expired(enterprise, stamp_before, after, limit)).await
    }

    async fn made_since(
        &self,
        enterprise: &EnterpriseId,
        since: Micros,
        after: Option<NotificationId>,
        limit: usize,
    ) -> Result<ReadRows, StoreError> {
        self.rows("read new notifications", &filter::made_since(enterprise, since, after, limit)).await
    }

    async fn claim(&self, job: &JobId, stamp: Micros) -> Result<Option<Notification>, StoreError> {
        let what = "claim a notification";
        let columns = json!({"notification_status": "PROCESSING", "transaction_id": job, "processed_at": stamp});
        let filter = filter::claimable(job, stamp);
        let request =
            Request { what, table: NOTIFICATIONS, select: COLUMNS, filter: &filter, verb: Verb::Update(&columns) };
        let body = self.api.ask(&request).await?;
        let rows = parse_rows(NOTIFICATIONS, &body).map_err(|source| StoreError::Malformed { what, source })?;
        rows.into_iter().next().transpose().map_err(|source| StoreError::Row { what, source: Box::new(source) })
    }

    async fn renew(&self, fence: &Fence, stamp: Micros) -> Result<bool, StoreError> {
        // The new stamp is allowed too: an earlier try may have written it and lost its answer.
        let filter = filter::fenced(fence, &[fence.stamp, stamp]);
        self.write("renew a claim", &filter, &json!({"processed_at": stamp})).await
    }

    async fn release(&self, fence: &Fence, details: Option<Value>) -> Result<bool, StoreError> {
        let over = fence.stamp.minus(LEASE);
        let mut columns = json!({"processed_at": over});
        if let Some(details) = details {
            columns["error_details"] = details;
        }
        self.write("release a claim", &filter::fenced(fence, &[fence.stamp, over]), &columns).await
    }

    async fn settle(&self, fence: &Fence, settlement: &Settlement) -> Result<bool, StoreError> {
        let filter = filter::fenced(fence, &[fence.stamp]);
        self.write("settle a notification", &filter, &self.settled(settlement)).await
    }

    async fn drop_seen(&self, row: &Notification, reason: &Reason) -> Result<bool, StoreError> {
        let mut columns = self.retracted_by_rule(reason);
        columns["transaction_id"] = Value::Null;
        self.write("drop a notification", &filter::seen(row, "PENDING"), &columns).await
    }

    async fn defer_seen(&self, row: &Notification, until: Micros, details: Value) -> Result<bool, StoreError> {
        let columns = json!({"scheduled_for": until, "error_details": details});
        self.write("defer a notification", &filter::seen(row, "PENDING"), &columns).await
    }

    async fn note_reaped(&self, row: &Notification, details: Value) -> Result<bool, StoreError> {
        let columns = json!({"error_details": details});
        self.write("note a reaped claim", &filter::claimed_as_seen(row), &columns).await
    }

    async fn mark_cancelled(&self, row: &Notification, details: Value) -> Result<bool, StoreError> {
        let columns = json!({"error_details": details});
        self.write("mark a cancelled notification", &filter::seen(row, "RETRACTED"), &columns).await
    }

    async fn workflows(&self, enterprise: &EnterpriseId) -> Result<BTreeSet<WorkflowKey>, StoreError> {
        #[derive(Deserialize)]
        struct Workflow {
            id: i64,
            workflow_key: WorkflowKey,
        }
        let what = "read workflows";
        let (mut keys, mut after) = (BTreeSet::new(), None);
        loop {
            let filter = filter::workflows(enterprise, after, WORKFLOWS_PAGE);
            let request =
                Request { what, table: WORKFLOWS, select: "id,workflow_key", filter: &filter, verb: Verb::Read };
            let page: Vec<Workflow> = parse(what, &self.api.ask(&request).await?)?;
            let Some(last) = page.last() else { return Ok(keys) };
            after = Some(last.id);
            keys.extend(page.into_iter().map(|workflow| workflow.workflow_key));
        }
    }

    async fn reach(&self) -> Result<(), StoreError> {
        self.api.reach(NOTIFICATIONS).await
    }

    async fn rules(
        &self,
        enterprises: &[EnterpriseId],
        after: Option<RuleId>,
        limit: usize,
    ) -> Result<ReadRules, StoreError> {
        self.read_rules("read rules", RULE_COLUMNS, &filter::rules(enterprises, after, limit)).await
    }

    async fn whole_rules(&self, enterprises: &[EnterpriseId], ids: &[RuleId]) -> Result<ReadRules, StoreError> {
        let mut all = ReadRules::default();
        for some in ids.chunks(WHOLE_RULES_MAX) {
            let mut left = some.to_vec();
            while !left.is_empty() {
                let filter = filter::rules_by_ids(enterprises, &left);
                let read = self.read_rules("read what rules send", WHOLE_RULE_COLUMNS, &filter).await?;
                // The API may answer fewer than were asked for. Those after the last are asked for again, unless none of them exists.
                let last = read.last_id();
                left.retain(|id| last.is_some_and(|last| *id > last));
                all.rules.extend(read.rules);
                all.bad.extend(read.bad);
            }
        }
        Ok(all)
    }

    async fn rule(&self, enterprise: &EnterpriseId, id: RuleId) -> Result<Option<NotificationRule>, StoreError> {
        let what = "read a rule";
        let filter = filter::rule(enterprise, id);
        let request = Request { what, table: RULES, select: WHOLE_RULE_COLUMNS, filter: &filter, verb: Verb::Read };
        let body = self.api.ask(&request).await?;
        let rows: Vec<Result<NotificationRule, RowError>> =
            parse_rows(RULES, &body).map_err(|source| StoreError::Malformed { what, source })?;
        rows.into_iter().next().transpose().map_err(|source| StoreError::Row { what, source: Box::new(source) })
    }

    async fn make(&self, draft: &Draft) -> Result<bool, StoreError> {
        #[derive(Deserialize)]
        struct Made {}
        let what = "make a notification";
        let (filter, verb) = (filter::unique_name(), Verb::InsertNew(draft));
        let request = Request { what, table: NOTIFICATIONS, select: "id", filter: &filter, verb };
        let made: Vec<Made> = parse(what, &self.api.ask(&request).await?)?;
        Ok(!made.is_empty())
    }

    fn stamp(&self) -> Micros {
        self.stamps.next(self.database_now())
    }

    fn database_now(&self) -> Micros {
        self.api.database_now()
    }
}

fn parse<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, StoreError> {
    Misfit::parse(body).map_err(|source| StoreError::Malformed { what, source })
}

#[cfg(test)]
mod standin_tests;
#[cfg(test)]
mod tests;
