//! What identifies a job, and what is written beside it.
//!
//! Owns the data of each kind of job: ids, and of a rule's job the settings its slot was found under. Nothing of a row. The kind decides the queue, so a job can neither be put where nobody
//! understands it nor be taken by who does not.

use std::fmt::{Debug, Display};
use std::hash::Hash;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xnovu_domain::{EnterpriseId, JobId, Micros, NotificationId, Origin, RuleId, RuleSlot};

use crate::{Offer, QueueName};

/// The identity of one kind of job.
pub trait Identity: Clone + Debug + Display + Eq + Hash + Ord + Send + Sync + Sized + 'static {
    /// What is written beside the id.
    type Data: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The queue of these jobs.
    const QUEUE: QueueName;

    /// The job's id in the queue.
    fn as_str(&self) -> &str;

    /// Whose job it is.
    fn enterprise(&self) -> &EnterpriseId;

    /// The data of an offer.
    fn data(offer: &Offer<Self>) -> Self::Data;

    /// A job's identity and data, as they were written.
    ///
    /// # Errors
    /// Why they cannot be read, in words for operators.
    fn read(id: &str, data: &Value) -> Result<(Self, Self::Data), String>;
}

/// The data of a `process-notification` job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobData {
    /// Version of this shape.
    pub v: u32,
    /// Whose notification it is.
    pub enterprise_id: EnterpriseId,
    /// Which it is.
    pub notification_id: NotificationId,
    /// Where it came from.
    pub origin: Origin,
    /// Whether the enterprise had rules as the job was queued. Left out where it had none.
    #[serde(default, skip_serializing_if = "is_not")]
    pub ruled: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it may leave out so")]
fn is_not(ruled: &bool) -> bool {
    !ruled
}

impl JobData {
    /// The version written today.
    pub const VERSION: u32 = 1;
}

impl Identity for JobId {
    type Data = JobData;

    const QUEUE: QueueName = QueueName::NotificationProcessing;

    fn as_str(&self) -> &str {
        self.as_str()
    }

    fn enterprise(&self) -> &EnterpriseId {
        self.enterprise()
    }

    fn data(offer: &Offer) -> JobData {
        JobData {
            v: JobData::VERSION,
            enterprise_id: offer.job.enterprise().clone(),
            notification_id: offer.job.notification(),
            origin: offer.origin,
            ruled: offer.ruled,
        }
    }

    fn read(id: &str, data: &Value) -> Result<(Self, JobData), String> {
        let id: Self = id.parse().map_err(said)?;
        let data = JobData::deserialize(data).map_err(said)?;
        known(data.v, JobData::VERSION)?;
        if data.enterprise_id != *id.enterprise() || data.notification_id != id.notification() {
            return Err("its data and its id name different notifications".to_owned());
        }
        Ok((id, data))
    }
}

/// The data of an `execute-rule` job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleJobData {
    /// Version of this shape.
    pub v: u32,
    /// Whose rule it is.
    pub enterprise_id: EnterpriseId,
    /// Which it is.
    pub rule_id: RuleId,
    /// The slot it fires for, a whole second.
    pub slot: Micros,
    /// What the settings said where the rule says nothing. None: the job is older than this member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<RuleDefaults>,
}

/// What a rule leaves to the settings, as they were where its slot was found due. Whoever performs the job goes by these, not by its own:
/// another zone would have no such slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleDefaults {
    /// The zone of a rule that names none, by its IANA name.
    pub timezone: String,
    /// How old a slot may be and still fire, in milliseconds.
    pub misfire_window_ms: u64,
}

impl RuleJobData {
    /// The version written today.
    pub const VERSION: u32 = 1;
}

impl Identity for RuleSlot {
    type Data = RuleJobData;

    const QUEUE: QueueName = QueueName::RuleExecution;

    fn as_str(&self) -> &str {
        self.as_str()
    }

    fn enterprise(&self) -> &EnterpriseId {
        self.enterprise()
    }

    fn data(offer: &Offer<Self>) -> RuleJobData {
        RuleJobData {
            v: RuleJobData::VERSION,
            enterprise_id: offer.job.enterprise().clone(),
            rule_id: offer.job.rule(),
            slot: offer.job.at(),
            defaults: offer.defaults.clone(),
        }
    }

    fn read(id: &str, data: &Value) -> Result<(Self, RuleJobData), String> {
        let data = RuleJobData::deserialize(data).map_err(said)?;
        known(data.v, RuleJobData::VERSION)?;
        let slot = Self::parse(data.enterprise_id.clone(), id).map_err(said)?;
        if data.rule_id != slot.rule() || data.slot != slot.at() {
            return Err("its data and its id name different slots".to_owned());
        }
        Ok((slot, data))
    }
}

fn said(error: impl Display) -> String {
    error.to_string()
}

fn known(version: u32, ours: u32) -> Result<(), String> {
    if version == ours { Ok(()) } else { Err(format!("version {version} of its data is not known")) }
}
