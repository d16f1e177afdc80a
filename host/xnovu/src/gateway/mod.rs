//! Novu, as the worker sees it.
//!
//! Owns the seam: what is asked and what can come back. Promises that every answer, and every lack of one, arrives as a value that
//! `xnovu_domain::disposition` can judge. Never decides whether something is tried again.

pub mod breaker;
pub mod novu;

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use xnovu_domain::Answer;

pub use breaker::{NotNow, Pause, Permit};

/// Longest text of Novu's that is kept for operators, in bytes.
pub const DETAIL_BYTES_MAX: usize = 200;

/// One `POST /v1/events/trigger`.
#[derive(Clone, PartialEq, Eq)]
pub struct TriggerCall {
    /// The body, JSON, byte for byte what was decided.
    pub body: String,
    /// The `transactionId` that stands in the body, for logs.
    pub transaction_id: String,
    /// `Idempotency-Key`, at most 255 bytes.
    pub idempotency_key: String,
}

/// Shows the size of the body only.
impl std::fmt::Debug for TriggerCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TriggerCall")
            .field("body_bytes", &self.body.len())
            .field("transaction_id", &self.transaction_id)
            .field("idempotency_key", &self.idempotency_key)
            .finish()
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerResult {
    /// For `disposition`.
    pub answer: Answer,
    /// How long Novu wants to be left alone, where it said so.
    pub retry_after: Option<Duration>,
    /// Why, in Novu's words or the network's; at most [`DETAIL_BYTES_MAX`] bytes, one line, no payload.
    pub detail: Option<String>,
    /// The transaction id Novu answered.
    pub transaction_id: Option<String>,
}

/// What came of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Novu cancelled what was pending.
    Yes,
    /// Nothing was pending: all was delivered, or Novu never knew the id.
    NothingPending,
}

/// Why a cancellation was not carried out. Cancelling again is always safe.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The gateway is closed for now.
    #[error("Novu is not called for {:?}: {}", .0.after, .0.reason)]
    NotNow(NotNow),
    /// No connection, or no answer.
    #[error("no answer from Novu")]
    NoAnswer(#[source] reqwest::Error),
    /// Novu answered otherwise.
    #[error("Novu answered HTTP {status}{}", detail_suffix(.detail.as_deref()))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why, in Novu's words.
        detail: Option<String>,
    },
}

fn detail_suffix(detail: Option<&str>) -> String {
    detail.map(|detail| format!(": {detail}")).unwrap_or_default()
}

/// The seam.
#[async_trait]
pub trait NotificationGateway: Send + Sync {
    /// Leave to call now. Ask before a claim, keep the permit while the job runs, and ask it again ([`Permit::check`]) before each
    /// call: while Novu is thought to be down one permit at a time is given, as a probe.
    ///
    /// # Errors
    /// How long to wait, and why.
    fn permit(&self) -> Result<Permit, NotNow>;

    /// Whether Novu is failing for others too, so that a 5xx does not judge this notification. Ask after the call.
    fn outage(&self) -> bool;

    /// Why Novu is not called at the moment; None while it is. Takes no permit.
    fn pause(&self) -> Option<Pause>;

    /// Calls Novu once, whether or not a permit was asked for. Dropping the future may leave a call that Novu carries out.
    async fn trigger(&self, call: &TriggerCall) -> TriggerResult;

    /// Cancels what a transaction id has pending (delays, digests). Safe to repeat and to drop.
    ///
    /// # Errors
    /// The gateway is closed, or Novu did not answer with a yes or no.
    async fn cancel(&self, transaction_id: &str) -> Result<Cancelled, GatewayError>;
}
