//! What happens behind an accepted trigger: the worker delivers it, or refuses a transaction id it has seen.
//!
//! It owns the record of deliveries that tests and `xnovu dev` read. Bodies are kept as they came.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// An accepted trigger, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Delivery {
    /// Position in the record, from 1.
    pub seq: u64,
    /// When it was accepted, milliseconds since the Unix epoch by the stand-in's clock.
    pub at_ms: i64,
    /// What the worker did.
    pub outcome: Outcome,
    /// Whether it was cancelled after that.
    pub cancelled: bool,
    /// Transaction id, the caller's or one made up.
    pub transaction_id: String,
    /// `Idempotency-Key` of the call.
    pub idempotency_key: Option<String>,
    /// Key of the workflow.
    pub workflow: String,
    /// Enterprise of the workflow's row, if the table has one.
    pub enterprise_id: Option<Uuid>,
    /// Subscriber ids, and topics as `topic:<key>`.
    pub recipients: Vec<String>,
    /// Member `payload` of the body.
    pub payload: Value,
    /// The whole body of the trigger, as it came.
    pub body: String,
}

/// What the worker did with an accepted trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It went out.
    Delivered,
    /// Its transaction id had been used; nobody got anything.
    RefusedDuplicate,
}

/// Numbers about Novu since the start or the last flush.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NovuStats {
    /// Triggers delivered.
    pub delivered: u64,
    /// Recipients of those.
    pub recipients: u64,
    /// Triggers accepted and refused by the worker, for a transaction id used before.
    pub refused_duplicates: u64,
    /// Deliveries cancelled.
    pub cancelled: u64,
    /// Triggers answered, by the word in `status` or by the error.
    pub answers: BTreeMap<String, u64>,
}

/// An accepted trigger on its way to the worker.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) at_ms: i64,
    pub(super) transaction_id: String,
    pub(super) idempotency_key: Option<String>,
    pub(super) workflow: String,
    pub(super) enterprise_id: Option<Uuid>,
    pub(super) recipients: usize,
    pub(super) body: String,
}

/// Which deliveries are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeliveryFilter {
    /// Only those after this position.
    pub(crate) since: u64,
    pub(crate) enterprise_id: Option<Uuid>,
    pub(crate) workflow: Option<String>,
    /// Only transaction ids that start like this.
    pub(crate) transaction_prefix: Option<String>,
    pub(crate) limit: Option<usize>,
}

/// The worker and its record.
#[derive(Debug)]
pub(crate) struct Worker {
    kept_max: usize,
    kept: VecDeque<Kept>,
    next_seq: u64,
    /// Position of the first trigger with each transaction id.
    transactions: HashMap<String, u64>,
    stats: NovuStats,
}

#[derive(Debug)]
struct Kept {
    seq: u64,
    accepted: Accepted,
    outcome: Outcome,
    cancelled: bool,
}

impl Worker {
    pub(super) fn new(kept_max: usize) -> Self {
        Self { kept_max, kept: VecDeque::new(), next_seq: 1, transactions: HashMap::new(), stats: NovuStats::default() }
    }

    /// Works on a trigger. With `again`, a transaction id used before is no obstacle.
    pub(super) fn work(&mut self, accepted: Accepted, again: bool) {
        let seq = self.next_seq;
        self.next_seq += 1;
        let used = self.transactions.contains_key(&accepted.transaction_id);
        let outcome = if used && !again {
            self.stats.refused_duplicates += 1;
            Outcome::RefusedDuplicate
        } else {
            self.transactions.entry(accepted.transaction_id.clone()).or_insert(seq);
            self.stats.delivered += 1;
            self.stats.recipients += accepted.recipients as u64;
            Outcome::Delivered
        };
        self.kept.push_back(Kept { seq, accepted, outcome, cancelled: false });
        let excess = self.kept.len().saturating_sub(self.kept_max);
        self.kept.drain(..excess);
    }

    /// Cancels what a transaction id still has pending. False: nothing.
    pub(super) fn cancel(&mut self, transaction_id: &str) -> bool {
        let pending = self.kept.iter_mut().filter(|kept| {
            kept.accepted.transaction_id == transaction_id && kept.outcome == Outcome::Delivered && !kept.cancelled
        });
        let cancelled = pending.map(|kept| kept.cancelled = true).count();
        self.stats.cancelled += cancelled as u64;
        cancelled > 0
    }

    pub(super) fn count_answer(&mut self, word: &str) {
        *self.stats.answers.entry(word.to_owned()).or_default() += 1;
    }

    pub(crate) fn stats(&self) -> NovuStats {
        self.stats.clone()
    }

    /// The deliveries that fit, oldest first.
    pub(crate) fn deliveries(&self, filter: &DeliveryFilter) -> Vec<Delivery> {
        let start = self.kept.partition_point(|kept| kept.seq <= filter.since);
        let fits = |kept: &&Kept| {
            let accepted = &kept.accepted;
            filter.enterprise_id.is_none_or(|enterprise| accepted.enterprise_id == Some(enterprise))
                && filter.workflow.as_ref().is_none_or(|workflow| accepted.workflow == *workflow)
                && filter.transaction_prefix.as_ref().is_none_or(|prefix| accepted.transaction_id.starts_with(prefix))
        };
        let found = self.kept.range(start..).filter(fits).take(filter.limit.unwrap_or(usize::MAX));
        found.map(Kept::shown).collect()
    }

    pub(super) fn flush(&mut self) {
        *self = Self { next_seq: self.next_seq, ..Self::new(self.kept_max) };
    }
}

impl Kept {
    fn shown(&self) -> Delivery {
        let accepted = &self.accepted;
        let mut body: Value = serde_json::from_str(&accepted.body).unwrap_or_default();
        Delivery {
            seq: self.seq,
            at_ms: accepted.at_ms,
            outcome: self.outcome,
            cancelled: self.cancelled,
            transaction_id: accepted.transaction_id.clone(),
            idempotency_key: accepted.idempotency_key.clone(),
            workflow: accepted.workflow.clone(),
            enterprise_id: accepted.enterprise_id,
            recipients: super::trigger::recipients(&body["to"]).unwrap_or_default(),
            payload: body["payload"].take(),
            body: accepted.body.clone(),
        }
    }
}
