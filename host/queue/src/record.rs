//! What is remembered of a sending.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How one call to Novu stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallState {
    /// Not made, or judged and to be made anew under the next generation.
    Fresh,
    /// Being made. Whoever reads this after its attempt has ended must assume that it may have been carried out.
    Sending,
    /// Made without an answer.
    Uncertain,
    /// Novu has it.
    Accepted,
    /// Novu refused it.
    Refused,
}

impl CallState {
    /// The word in Redis.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Sending => "sending",
            Self::Uncertain => "uncertain",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Fresh, Self::Sending, Self::Uncertain, Self::Accepted, Self::Refused]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

/// One call to Novu: a hash and ids, never the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// SHA-256 of the body without its transaction id, lower-case hex.
    pub hash: String,
    /// Novu's `transactionId`.
    pub transaction_id: String,
    /// Part of the idempotency key; raised after an answer that Novu would replay.
    pub generation: u32,
    /// How it stands.
    pub state: CallState,
}

/// What was fixed before the first call of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendRecord {
    /// The component that decided, lower-case hex; None where no rules did.
    pub plugin_digest: Option<String>,
    /// The config it decided with, lower-case hex.
    pub config_hash: Option<String>,
    /// The event's `now`, milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// When the first call was fixed, milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// The calls, in order.
    pub calls: Vec<Call>,
}

impl SendRecord {
    /// Whether Novu has, or may have, one of the calls of this job. A call an earlier episode had accepted counts too.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        let touched =
            |call: &Call| matches!(call.state, CallState::Sending | CallState::Uncertain | CallState::Accepted);
        self.calls.iter().any(touched)
    }

    /// Whether both fix the same bodies in the same order.
    #[must_use]
    pub fn same_bodies(&self, other: &Self) -> bool {
        self.calls.len() == other.calls.len() && self.calls.iter().zip(&other.calls).all(|(a, b)| a.hash == b.hash)
    }
}

/// Why the ledger did not do as asked. No record, no call.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Redis did not do as asked.
    #[error("{what}: Redis did not do as asked")]
    Redis {
        /// What was tried.
        what: &'static str,
        /// Its word.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record that is not of the shape it must have.
    #[error("the record of a sending cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// A mark that is not of the shape it must have.
    #[error("the mark {0:?} of a call cannot be read")]
    Mark(String),
    /// No record stands: it expired, or Redis was emptied.
    #[error("no record of the sending stands")]
    Gone,
}
