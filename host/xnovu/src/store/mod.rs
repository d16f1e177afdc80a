//! The rows, as the rest of the house sees them.
//!
//! Owns the seam to the database: what is read and which conditional writes exist. Promises that no row is read or written without its
//! enterprise in the filter, and that every write is conditional, so that repeating one whose answer was lost is safe. Never decides
//! what becomes of a notification.

mod filter;
pub mod http;
pub mod postgrest;
mod refusal;
mod request;
#[cfg(test)]
pub(crate) mod stub;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use thiserror::Error;
use xnovu_domain::{
    Draft, EnterpriseId, JobId, Micros, Misfit, Notification, NotificationId, NotificationRule, Reason, RowError,
    RuleId, WorkflowKey,
};

/// Most ids one [`NotificationStore::read`] may ask for.
pub const READ_IDS_MAX: usize = 100;

/// Most enterprises one request names.
pub const ENTERPRISES_TOGETHER_MAX: usize = 20;

/// Most rules asked for at a time with what they send.
pub const WHOLE_RULES_MAX: usize = 50;

/// What a read returned. A row that has not the shape of a notification spoils no other.
#[derive(Debug, Default)]
pub struct ReadRows {
    /// The rows that could be read, in the order of the answer.
    pub rows: Vec<Notification>,
    /// The rows that could not.
    pub bad: Vec<RowError>,
    /// How long the answer took, without earlier tries and without waiting for a turn; None where the store does not say.
    pub took: Option<Duration>,
}

impl ReadRows {
    /// Whether the answer held no row at all. Only such a page ends a sweep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.bad.is_empty()
    }

    /// The highest id in the answer, which is where the next page starts. None also where no row had a readable id.
    #[must_use]
    pub fn last_id(&self) -> Option<NotificationId> {
        let good = self.rows.iter().map(|row| row.id);
        let bad = self.bad.iter().filter_map(|row| row.id.as_deref()?.parse().ok());
        good.chain(bad).max()
    }
}

/// What a read of rules returned.
#[derive(Debug, Default)]
pub struct ReadRules {
    /// The rules that could be read, by id.
    pub rules: Vec<NotificationRule>,
    /// The rows that could not.
    pub bad: Vec<RowError>,
}

impl ReadRules {
    /// The highest id in the answer, which is where the next page starts. None where the answer is empty or no row had a readable id.
    #[must_use]
    pub fn last_id(&self) -> Option<RuleId> {
        let bad = self.bad.iter().filter_map(|row| row.id.as_deref()?.parse().ok());
        self.rules.iter().map(|rule| rule.id).chain(bad).max()
    }
}

/// Who may write to a claimed row: the job that claimed it, under the stamp it last wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The job, which is the row's `transaction_id`.
    pub job: JobId,
    /// The row's `processed_at`.
    pub stamp: Micros,
}

/// How a claimed row ends. Each carries the whole new `error_details`.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// Accepted by Novu.
    Sent {
        /// New `error_details`.
        details: Value,
    },
    /// Given up.
    Failed {
        /// New `error_details`.
        details: Value,
    },
    /// Refused by a rule; written as `rule: <reason>`.
    Retracted {
        /// Why.
        reason: Reason,
        /// New `error_details`.
        details: Value,
    },
    /// Put off by a rule: PENDING again, with a time.
    Deferred {
        /// When it is due.
        until: Micros,
        /// New `error_details`.
        details: Value,
    },
}

/// Why the database did not do as asked. No text in it comes from a row: [`refusal`] and [`Misfit`] see to that.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No connection, or no answer in time.
    #[error("{what}: no answer from the database's API")]
    NoAnswer {
        /// What was tried.
        what: &'static str,
        /// The network's word.
        #[source]
        source: reqwest::Error,
    },
    /// An answer other than success.
    #[error("{what}: HTTP {status}{}: {message}", code_suffix(.code.as_deref()))]
    Refused {
        /// What was tried.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// PostgreSQL's or PostgREST's code, where the body had one.
        code: Option<String>,
        /// Why, at most 200 bytes, one line: words that name tables and columns, never a value.
        message: String,
    },
    /// The answer is larger than the limit.
    #[error("{what}: the answer is larger than {limit_bytes} bytes")]
    TooLarge {
        /// What was tried.
        what: &'static str,
        /// The limit.
        limit_bytes: usize,
    },
    /// A success whose body is not what was asked for.
    #[error("{what}: the answer is not the JSON that was asked for")]
    Malformed {
        /// What was tried.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: Misfit,
    },
    /// The one row that was asked for cannot be read. Where a claim says so, the row *is* claimed.
    #[error("{what}: the row has an unexpected shape")]
    Row {
        /// What was tried.
        what: &'static str,
        /// The row and what is wrong with it.
        #[source]
        source: Box<RowError>,
    },
}

fn code_suffix(code: Option<&str>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}

impl StoreError {
    /// PostgreSQL's or PostgREST's code, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// The HTTP status, where there was an answer other than success.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The key is refused or may not do this: waiting will not help, an operator must.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.status(), Some(401 | 403))
    }

    /// A value in the filter is not of the column's type (22P02): an enterprise id that is no UUID.
    #[must_use]
    pub fn is_bad_value(&self) -> bool {
        self.code() == Some("22P02")
    }

    /// The database cannot be reached or is not able to answer anybody now.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, code, .. } => {
                matches!(status, 408 | 425 | 429 | 502..=504) || (*status == 500 && code.is_none())
            }
            _ => false,
        }
    }
}

/// The seam. Reads see what the API's database sees, which may be a replica that lags; writes are judged by the database itself.
#[async_trait]
pub trait NotificationStore: Send + Sync {
    /// The rows of these ids that exist and belong to the enterprise. Any number of ids; asks for [`READ_IDS_MAX`] at a time.
    async fn read(&self, enterprise: &EnterpriseId, ids: &[NotificationId]) -> Result<ReadRows, StoreError>;

    /// A page of the rows that are owed now or fall due before `horizon`, by id.
    async fn owed(
        &self,
        enterprise: &EnterpriseId,
        after: Option<NotificationId>,
        horizon: Micros,
        limit: usize,
    ) -> Result<ReadRows, StoreError>;

    /// A page of the rows of ours that were taken back since `since` and whose retraction nobody has carried to Novu yet, by id.
    async fn retracted(
        &self,
        enterprise: &EnterpriseId,
        after: Option<NotificationId>,
        since: Micros,
        limit: usize,
    ) -> Result<ReadRows, StoreError>;

    /// A page of the PROCESSING rows, ours and foreign, whose stamp is older than `stamp_before` or missing, by id.
    async fn expired(
        &self,
        enterprise: &EnterpriseId,
        stamp_before: Micros,
        after: Option<NotificationId>,
        limit: usize,
    ) -> Result<ReadRows, StoreError>;

    /// A page of the enterprise's rows made since an instant, whatever their state, by id.
    async fn made_since(
        &self,
        enterprise: &EnterpriseId,
        since: Micros,
        after: Option<NotificationId>,
        limit: usize,
    ) -> Result<ReadRows, StoreError>;

    /// Claims the row of a job under `stamp` and returns it as it is now, or None where it cannot be claimed. Repeating a claim under
    /// the same stamp returns the row again.
    async fn claim(&self, job: &JobId, stamp: Micros) -> Result<Option<Notification>, StoreError>;

    /// Replaces the stamp of a claim by a newer one. False: the claim is lost.
    async fn renew(&self, fence: &Fence, stamp: Micros) -> Result<bool, StoreError>;

    /// Ends a claim without settling: the row stays PROCESSING and its lease is over. `details` replaces `error_details`. False: the
    /// claim was lost before.
    async fn release(&self, fence: &Fence, details: Option<Value>) -> Result<bool, StoreError>;

    /// Settles a claimed row. False: the claim is lost, or an earlier settlement whose answer was lost has done it; read the row to
    /// know.
    async fn settle(&self, fence: &Fence, settlement: &Settlement) -> Result<bool, StoreError>;

    /// Retracts a pending row by a rule's word, if it is still the version that was read. Its `transaction_id` is cleared, so that
    /// nobody takes the retraction for one of an earlier episode. False: it has changed.
    async fn drop_seen(&self, row: &Notification, reason: &Reason) -> Result<bool, StoreError>;

    /// Puts a pending row off by a rule's word, if it is still the version that was read. False: it has changed.
    async fn defer_seen(&self, row: &Notification, until: Micros, details: Value) -> Result<bool, StoreError>;

    /// Writes `error_details` of a PROCESSING row, if it is still claimed as it was when it was read. False: it has changed.
    async fn note_reaped(&self, row: &Notification, details: Value) -> Result<bool, StoreError>;

    /// Writes `error_details` of a retracted row, if it is still the version that was read. False: it has changed.
    async fn mark_cancelled(&self, row: &Notification, details: Value) -> Result<bool, StoreError>;

    /// The enterprise's published workflows that are not deactivated.
    async fn workflows(&self, enterprise: &EnterpriseId) -> Result<BTreeSet<WorkflowKey>, StoreError>;

    /// Whether the database answers this key now, which any answer of the last second proves.
    async fn reach(&self) -> Result<(), StoreError>;

    /// A page of the published CRON and SCHEDULE rules of at most [`ENTERPRISES_TOGETHER_MAX`] enterprises, by id, without what they send.
    /// Only an empty page is the last.
    async fn rules(
        &self,
        enterprises: &[EnterpriseId],
        after: Option<RuleId>,
        limit: usize,
    ) -> Result<ReadRules, StoreError>;

    /// Those of these rules that exist and belong to one of the enterprises, with what they send, whatever their state. Any number of ids;
    /// asks for [`WHOLE_RULES_MAX`] at a time.
    async fn whole_rules(&self, enterprises: &[EnterpriseId], ids: &[RuleId]) -> Result<ReadRules, StoreError>;

    /// One rule with what it sends, whatever its state. None: there is none, or it is another enterprise's.
    async fn rule(&self, enterprise: &EnterpriseId, id: RuleId) -> Result<Option<NotificationRule>, StoreError>;

    /// Makes a notification, unless its enterprise has one of that name. False: it has.
    async fn make(&self, draft: &Draft) -> Result<bool, StoreError>;

    /// A stamp for a claim: unique in this process, strictly increasing, by the database's clock.
    fn stamp(&self) -> Micros;

    /// The time by the database's clock, as well as it is known.
    fn database_now(&self) -> Micros;
}
