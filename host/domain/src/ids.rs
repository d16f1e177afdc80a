//! Identifiers as types, so that an enterprise can never stand where a notification was meant.
//!
//! Owns how each is written and read back. Never accepts what could change the meaning of a filter or a key it is put into.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Micros;

/// Longest enterprise id accepted, in bytes.
const ENTERPRISE_ID_BYTES_MAX: usize = 64;

/// What our job ids begin with, so that a transaction id of another sender is told from ours.
const JOB_PREFIX: &str = "xn-";

/// An identifier that is not of the form it must have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// Not 1 to 64 letters, digits, `-` or `_`.
    #[error("enterprise id {0:?} is not 1 to 64 letters, digits, '-' or '_'")]
    Enterprise(String),
    /// Not a positive 64-bit integer.
    #[error("notification id {0:?} is not a positive 64-bit integer")]
    Notification(String),
    /// Not a positive 64-bit integer.
    #[error("rule id {0:?} is not a positive 64-bit integer")]
    Rule(String),
    /// Not the name of a slot of ours.
    #[error("{0:?} is not rule-<id>-<slot> with a slot such as 20260102T030405Z")]
    Slot(String),
    /// Not a job id of ours.
    #[error("{0:?} is not a job id of xnovu")]
    Job(String),
}

/// One enterprise (tenant). On the platform a UUID; kept as text, lower case where it is a UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnterpriseId(Box<str>);

impl EnterpriseId {
    /// The id as it is written in filters and keys.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the id has the form of a UUID, which is what the platform's column holds.
    #[must_use]
    pub fn is_uuid(&self) -> bool {
        is_uuid(&self.0)
    }

    /// These in groups of at most `max`, for filters that name many. Ids that are no UUIDs never share a group with ids that are: where the
    /// column is a UUID, the whole filter is refused because of one of them.
    #[must_use]
    pub fn groups(ids: &[Self], max: usize) -> Vec<Vec<Self>> {
        let (uuids, others): (Vec<Self>, Vec<Self>) = ids.iter().cloned().partition(Self::is_uuid);
        [uuids, others].iter().flat_map(|ids| ids.chunks(max.max(1))).map(<[_]>::to_vec).collect()
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

impl FromStr for EnterpriseId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fits = !text.is_empty()
            && text.len() <= ENTERPRISE_ID_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !fits {
            return Err(IdError::Enterprise(text.to_owned()));
        }
        Ok(Self(if is_uuid(text) { text.to_ascii_lowercase().into() } else { text.into() }))
    }
}

impl TryFrom<String> for EnterpriseId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<EnterpriseId> for String {
    fn from(id: EnterpriseId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for EnterpriseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A primary key: a positive 64-bit integer. JSON of ours writes it as text, because 2^53 is not the end of `int8`.
macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident, $error:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(into = "String")]
        pub struct $name(i64);

        impl $name {
            /// The id of a positive number.
            ///
            /// # Errors
            /// Zero and negative numbers are no identity values.
            pub fn new(number: i64) -> Result<Self, IdError> {
                if number > 0 { Ok(Self(number)) } else { Err(IdError::$error(number.to_string())) }
            }

            /// The number.
            #[must_use]
            pub fn get(self) -> i64 {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let number = text.parse().map_err(|_| IdError::$error(text.to_owned()))?;
                Self::new(number)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match NumberOrText::deserialize(deserializer)? {
                    NumberOrText::Number(number) => Self::new(number),
                    NumberOrText::Text(text) => text.parse(),
                }
                .map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The two forms in which an `int8` arrives.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

row_id! {
    /// Primary key of a row of `notify.ent_notification`. JSON of ours writes it as text, because 2^53 is not the end of `int8`.
    NotificationId, Notification
}

row_id! {
    /// Primary key of a row of `notify.ent_notification_rule`. Written as [`NotificationId`] is.
    RuleId, Rule
}

/// Key of a Novu workflow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkflowKey(String);

impl WorkflowKey {
    /// The key as Novu knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for WorkflowKey {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl From<&str> for WorkflowKey {
    fn from(key: &str) -> Self {
        Self(key.to_owned())
    }
}

impl fmt::Display for WorkflowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identity of a queue job and, on the row, its `transaction_id`: enterprise, notification and episode, as
/// `xn-<enterprise>-<notification>-<episode in µs>`. At most 110 bytes; holds no character that BullMQ (`:`) or a PostgREST
/// filter reserves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId {
    text: Box<str>,
    enterprise: EnterpriseId,
    notification: NotificationId,
    episode: Micros,
}

impl JobId {
    /// The job of one episode of a notification.
    #[must_use]
    pub fn new(enterprise: EnterpriseId, notification: NotificationId, episode: Micros) -> Self {
        let text = format!("{JOB_PREFIX}{enterprise}-{notification}-{}", episode.get()).into();
        Self { text, enterprise, notification, episode }
    }

    /// The id as it stands in Redis, on the row and in Novu's transaction ids.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The enterprise the job belongs to.
    #[must_use]
    pub fn enterprise(&self) -> &EnterpriseId {
        &self.enterprise
    }

    /// The notification the job sends.
    #[must_use]
    pub fn notification(&self) -> NotificationId {
        self.notification
    }

    /// The episode of the notification the job was made for.
    #[must_use]
    pub fn episode(&self) -> Micros {
        self.episode
    }
}

impl FromStr for JobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let mut parts = text.strip_prefix(JOB_PREFIX)?.rsplitn(3, '-');
            let episode = parts.next()?.parse().ok().filter(|episode| *episode >= 0)?;
            let notification = parts.next()?.parse().ok()?;
            let enterprise = parts.next()?.parse().ok()?;
            let job = Self::new(enterprise, notification, Micros::new(episode));
            (&*job.text == text).then_some(job)
        };
        parse().ok_or_else(|| IdError::Job(text.to_owned()))
    }
}

impl TryFrom<String> for JobId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(job: JobId) -> Self {
        job.text.into()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_is_read_back_as_it_was_written() {
        for enterprise in ["ent1", "enterprise-1", "11111111-1111-4111-8111-111111111111", "a_b-9-9"] {
            let job = JobId::new(
                enterprise.parse().unwrap(),
                NotificationId::new(i64::MAX).unwrap(),
                Micros::new(1_767_323_045_123_456),
            );
            assert_eq!(job.as_str().parse::<JobId>().unwrap(), job);
        }
    }

    #[test]
    fn a_transaction_id_of_another_sender_is_no_job_id() {
        for text in ["", "xn-", "xn-e-1", "xn-e-0-1", "xn-e-1-x", "xn-e-01-5", "txn_abc", "xn-e:f-1-5", "xn--1-5"] {
            assert_eq!(text.parse::<JobId>(), Err(IdError::Job(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn an_enterprise_id_cannot_leave_its_place_in_a_filter() {
        for text in ["", "a,b", "a)b", "a.b", "a b", "a:b", "é", &"x".repeat(65)] {
            assert!(text.parse::<EnterpriseId>().is_err(), "{text}");
        }
    }

    #[test]
    fn two_spellings_of_a_uuid_are_one_enterprise() {
        let upper: EnterpriseId = "AAAAAAAA-1111-4111-8111-111111111111".parse().unwrap();
        assert_eq!(upper.as_str(), "aaaaaaaa-1111-4111-8111-111111111111");
    }

    #[test]
    fn a_notification_id_is_exact_as_number_and_as_text() {
        let number: NotificationId = serde_json::from_str("9007199254740993").unwrap();
        let text: NotificationId = serde_json::from_str("\"9007199254740993\"").unwrap();
        assert_eq!(number, text);
        assert_eq!(serde_json::to_string(&number).unwrap(), "\"9007199254740993\"");
        assert!(serde_json::from_str::<NotificationId>("0").is_err());
    }
}
