//! What those see and mend who look at the jobs.
//!
//! Owns the pages of failed jobs, their retry, and how long the oldest has waited.

use std::collections::HashMap;

use serde::Deserialize;
use xnovu_domain::{EnterpriseId, Micros};

use super::desk::Desk;
use super::refused;
use crate::{FailedJob, QueueError};

/// Failed jobs of one page.
const PAGE: isize = 250;

/// Priorities that are looked at for the oldest job.
const PRIORITIES_MAX: usize = 64;

/// What is read of a failed job.
const FIELDS: [&str; 5] = ["data", "opts", "failedReason", "finishedOn", "atm"];

/// What every kind of job tells.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owned {
    enterprise_id: EnterpriseId,
}

#[derive(Deserialize, Default)]
struct Tried {
    attempts: Option<u32>,
}

impl Desk {
    pub(super) async fn failed(&self, skip: usize) -> Result<Vec<FailedJob>, QueueError> {
        let from = isize::try_from(skip).unwrap_or(isize::MAX - PAGE);
        let mut connection = self.connection.clone();
        let mut page = ::redis::cmd("ZREVRANGE");
        page.arg(self.key("failed")).arg(from).arg(from + PAGE - 1);
        let what = "list failed jobs";
        let ids: Vec<String> = page.query_async(&mut connection).await.map_err(refused(what))?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = ::redis::pipe();
        for id in &ids {
            pipeline.cmd("HMGET").arg(self.key(id)).arg(&FIELDS);
        }
        let jobs: Vec<Vec<Option<String>>> = pipeline.query_async(&mut connection).await.map_err(refused(what))?;
        Ok(ids.into_iter().zip(jobs).map(|(id, fields)| failed_job(id, fields)).collect())
    }

    pub(super) async fn retry(&self, jobs: &[String]) -> Result<Vec<String>, QueueError> {
        let mut again = Vec::new();
        for some in jobs.chunks(PAGE.unsigned_abs()) {
            let mut call = self.scripts.retry.prepare_invoke();
            call.arg(self.key("")).arg(some);
            again.extend(self.invoke::<Vec<String>>("queue failed jobs again", &call).await?);
        }
        Ok(again)
    }

    pub(super) async fn oldest_waiting(&self) -> Result<Option<Micros>, QueueError> {
        let mut call = self.scripts.oldest.prepare_invoke();
        call.arg(self.key("")).arg(PRIORITIES_MAX);
        let since: Option<i64> = self.invoke("look for the oldest job", &call).await?;
        Ok(since.map(Micros::from_millis))
    }
}

fn failed_job(id: String, fields: Vec<Option<String>>) -> FailedJob {
    let mut read: HashMap<&str, String> =
        FIELDS.into_iter().zip(fields).filter_map(|(name, value)| Some((name, value?))).collect();
    let owned: Option<Owned> = read.get("data").and_then(|data| serde_json::from_str(data).ok());
    let tried: Tried = read.get("opts").and_then(|opts| serde_json::from_str(opts).ok()).unwrap_or_default();
    let number = |name: &str| read.get(name).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    FailedJob {
        id,
        enterprise: owned.map(|owned| owned.enterprise_id),
        at: Micros::from_millis(number("finishedOn")),
        attempts: u32::try_from(number("atm")).unwrap_or_default(),
        attempts_max: tried.attempts.unwrap_or(1).max(1),
        reason: read.remove("failedReason").unwrap_or_default(),
    }
}
