//! From prepared calls to Novu's answers.
//!
//! Owns the order that makes a retry safe: what is sent is fixed in the ledger before the first call, a call is marked before it is made,
//! and a body that changed after one call was accepted or may have been is not sent. No record, no call.

use std::time::Duration;

use tokio::time::Instant;
use xnovu_domain::{Answer, Backoff, Details, Disposition, Micros, disposition};
use xnovu_queue::{Call, CallState, Outcome, SendRecord};
use xnovu_rules::Stamp;

use super::Worker;
use super::compose::PreparedCall;
use super::settle::{Claimed, Why};
use crate::gateway::{Permit, TriggerCall, TriggerResult};
use crate::store::Settlement;
use crate::traces::SpanKind;
use crate::trail::What;

/// Lease that must be left beside the longest wait for an answer.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// Wait before a ledger that did not answer is asked again.
const LEDGER_WAIT: Duration = Duration::from_secs(5);

/// Wait after Novu has refused the key: the time between two probes.
const LOCKED_WAIT: Duration = Duration::from_secs(30);

/// Waits while Novu does not judge: outages, rate limits, timeouts.
const POSTPONE: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(60) };

/// A sending under way.
struct Sending<'a> {
    claimed: Claimed<'a>,
    plugin: Option<String>,
    calls: Vec<PreparedCall>,
    record: SendRecord,
    permit: Permit,
    leased_at: Instant,
    /// Transaction ids an earlier attempt may have sent: they may reach their recipients twice.
    doubtful: Vec<String>,
}

/// Why the calls ended before the last.
enum Stop {
    Refused(Why),
    Retry(Why),
    Postpone(Duration, Why),
    LeaseLost,
    Ledger(String),
    Store(crate::store::StoreError),
}

impl Worker {
    /// Sends the calls and settles the row.
    pub(super) async fn send(
        &self,
        claimed: Claimed<'_>,
        stamp: Option<Stamp>,
        calls: Vec<PreparedCall>,
        fixed: Option<SendRecord>,
        permit: Permit,
    ) -> Outcome {
        let leased_at = Instant::now();
        let record = match self.fix(&claimed, stamp.as_ref(), &calls, fixed).await {
            Ok(Some(record)) => record,
            Ok(None) => {
                let stands = self.ledger.get(&claimed.job.id).await.ok().flatten();
                return self.changed_after_partial_send(claimed, stands).await;
            }
            Err(reason) => return self.give_back(&claimed, LEDGER_WAIT, reason).await,
        };
        let plugin = stamp.map(|stamp| format!("{}@{}", stamp.plugin, stamp.version));
        let doubtful = doubtful(&record);
        let mut sending = Sending { claimed, plugin, calls, record, permit, leased_at, doubtful };
        match self.make_calls(&mut sending).await {
            Ok(()) => self.settle_sent(sending).await,
            Err(stop) => self.stopped(sending, stop).await,
        }
    }

    /// Fixes what is sent. None: another body was sent, or may have been, under this job.
    async fn fix(
        &self,
        claimed: &Claimed<'_>,
        stamp: Option<&Stamp>,
        calls: &[PreparedCall],
        fixed: Option<SendRecord>,
    ) -> Result<Option<SendRecord>, String> {
        let fresh = self.fresh_record(claimed, stamp, calls, fixed.as_ref());
        let job = &claimed.job.id;
        let stands = match fixed {
            Some(fixed) => fixed,
            None => self.ledger.open(job, &fresh).await.map_err(|error| format!("ledger: {error}"))?,
        };
        if stands.same_bodies(&fresh) {
            return Ok(Some(stands));
        }
        if stands.is_touched() {
            return Ok(None);
        }
        let stands = self.ledger.replace(job, &stands, &fresh).await.map_err(|error| format!("ledger: {error}"))?;
        Ok(stands.same_bodies(&fresh).then_some(stands))
    }

    /// The record of these calls, with those an earlier episode had accepted already done.
    fn fresh_record(
        &self,
        claimed: &Claimed<'_>,
        stamp: Option<&Stamp>,
        calls: &[PreparedCall],
        fixed: Option<&SendRecord>,
    ) -> SendRecord {
        let accepted = Details::of(&claimed.row).accepted;
        let call = |call: &PreparedCall| {
            let earlier = accepted.iter().find(|chunk| chunk.hash == call.hash);
            // A key that was used for other bytes is not used again: Novu would refuse it or replay what it said of them.
            let used =
                fixed.and_then(|record| record.calls.iter().find(|old| old.transaction_id == call.transaction_id));
            Call {
                hash: call.hash.clone(),
                transaction_id: earlier.map_or(&call.transaction_id, |chunk| &chunk.transaction_id).clone(),
                generation: used.map_or(0, |old| old.generation),
                state: if earlier.is_some() { CallState::Accepted } else { CallState::Fresh },
            }
        };
        let now_ms = self.store.database_now().millis();
        SendRecord {
            plugin_digest: stamp.map(|stamp| stamp.digest.to_string()),
            config_hash: stamp.map(|stamp| stamp.config_hash.to_string()),
            now_ms: fixed.map_or(now_ms, |record| record.now_ms),
            since_ms: fixed.map_or(now_ms, |record| record.since_ms),
            calls: calls.iter().map(call).collect(),
        }
    }

    async fn make_calls(&self, sending: &mut Sending<'_>) -> Result<(), Stop> {
        for index in 0..sending.calls.len() {
            if sending.record.calls[index].state == CallState::Accepted {
                continue;
            }
            self.keep_lease(sending).await?;
            sending
                .permit
                .check()
                .map_err(|not_now| Stop::Postpone(not_now.after, Why::ours(not_now.reason.to_string())))?;
            self.mark(sending, index, CallState::Sending, 0).await?;
            let result = self.call(sending, index).await;
            self.judge_answer(sending, index, result).await?;
        }
        Ok(())
    }

    async fn call(&self, sending: &Sending<'_>, index: usize) -> TriggerResult {
        let prepared = &sending.calls[index];
        let generation = sending.record.calls[index].generation;
        let started = Instant::now();
        let mut span = self.trail.traces().span_of(&sending.claimed.job.id, "trigger", SpanKind::Client);
        let result = self
            .gateway
            .trigger(&TriggerCall {
                body: prepared.body.clone(),
                transaction_id: prepared.transaction_id.clone(),
                idempotency_key: format!("{}-g{generation}", prepared.transaction_id),
            })
            .await;
        match &result.answer {
            Answer::Http { status, .. } => span.set("http.response.status_code", i64::from(*status)),
            Answer::Unsent | Answer::Lost => span.fail("no answer"),
        }
        self.metrics.called(&result.answer, started.elapsed());
        result
    }

    async fn judge_answer(&self, sending: &mut Sending<'_>, index: usize, result: TriggerResult) -> Result<(), Stop> {
        let kept = answer_in_words(&result.answer);
        let why = Why { told: result.detail.clone().unwrap_or_else(|| kept.clone()), kept };
        match disposition(&result.answer, self.gateway.outage()) {
            Disposition::Accepted => {
                // The last acceptance is written onto the row next; until then "sending" says what a reader must assume.
                if index + 1 < sending.calls.len() {
                    self.mark(sending, index, CallState::Accepted, 0).await
                } else {
                    sending.record.calls[index].state = CallState::Accepted;
                    Ok(())
                }
            }
            Disposition::Refused => {
                self.mark(sending, index, CallState::Refused, 0).await?;
                Err(Stop::Refused(why))
            }
            Disposition::Retry => {
                self.mark(sending, index, CallState::Fresh, 1).await?;
                Err(Stop::Retry(why))
            }
            Disposition::Postpone { next_generation, uncertain } => {
                let state = if uncertain { CallState::Uncertain } else { CallState::Fresh };
                self.mark(sending, index, state, u32::from(next_generation)).await?;
                let wait = result.retry_after.unwrap_or_else(|| POSTPONE.equal_jitter(1, fastrand::f64()));
                Err(Stop::Postpone(wait, why))
            }
            Disposition::Locked => {
                self.mark(sending, index, CallState::Fresh, 1).await?;
                Err(Stop::Postpone(LOCKED_WAIT, why.after("Novu refuses the key")))
            }
        }
    }

    /// Writes what is known of a call before anything else happens. A call that may have been made stays so until Novu says otherwise.
    async fn mark(
        &self,
        sending: &mut Sending<'_>,
        index: usize,
        state: CallState,
        generations: u32,
    ) -> Result<(), Stop> {
        let call = &mut sending.record.calls[index];
        call.generation += generations;
        let was_uncertain = matches!(call.state, CallState::Uncertain);
        call.state = match state {
            CallState::Sending if was_uncertain => CallState::Uncertain,
            state => state,
        };
        let (state, generation) = (call.state, call.generation);
        let job = &sending.claimed.job.id;
        self.ledger.mark(job, index, state, generation).await.map_err(|error| Stop::Ledger(format!("ledger: {error}")))
    }

    /// No call starts without lease left for its timeout.
    async fn keep_lease(&self, sending: &mut Sending<'_>) -> Result<(), Stop> {
        if sending.leased_at.elapsed() + self.call_timeout + LEASE_MARGIN < xnovu_domain::LEASE {
            return Ok(());
        }
        let (stamp, at) = (self.store.stamp(), Instant::now());
        if !self.store.renew(&sending.claimed.fence, stamp).await.map_err(Stop::Store)? {
            return Err(Stop::LeaseLost);
        }
        sending.claimed.fence.stamp = stamp;
        sending.leased_at = at;
        Ok(())
    }

    async fn settle_sent(&self, sending: Sending<'_>) -> Outcome {
        let mut details = Details::of(&sending.claimed.row).without_trouble();
        details.uncertain.extend(sending.doubtful);
        details.novu_transaction_ids = sending.record.calls.iter().map(|call| call.transaction_id.clone()).collect();
        let what = What::Sent {
            plugin: sending.plugin,
            workflows: sending.calls.iter().map(|call| call.workflow_key.clone()).collect(),
            recipients: sending.calls.iter().map(|call| call.recipients).sum(),
            after: self.store.database_now().since(wanted_at(&sending.claimed)),
        };
        self.settle(&sending.claimed, &Settlement::Sent { details: details.to_value() }, what, "sent").await
    }

    async fn stopped(&self, sending: Sending<'_>, stop: Stop) -> Outcome {
        let Sending { claimed, record, .. } = sending;
        match stop {
            Stop::Refused(why) => self.fail(claimed, "trigger", why, Some(&record)).await,
            Stop::Retry(why) if claimed.job.last => self.fail(claimed, "trigger", why, Some(&record)).await,
            Stop::Retry(why) => match self.store.release(&claimed.fence, None).await {
                Ok(_) => Outcome::Retry { error: why.kept },
                Err(error) => self.store_failed("release", &error),
            },
            Stop::Postpone(wait, why) => {
                let waited = self.store.database_now().millis() - record.since_ms;
                if waited >= i64::try_from(self.give_up_after.as_millis()).unwrap_or(i64::MAX) {
                    let why = why.after(&format!("gave up after {} s without a verdict of Novu", waited / 1_000));
                    return self.fail(claimed, "trigger", why, Some(&record)).await;
                }
                self.give_back(&claimed, wait, why.kept).await
            }
            Stop::LeaseLost => Outcome::Done("lease lost".to_owned()),
            Stop::Ledger(why) => self.give_back(&claimed, LEDGER_WAIT, why).await,
            Stop::Store(error) => self.store_failed("renew", &error),
        }
    }
}

/// When the row could have been sent first: at its last change, or at its time where that is later.
fn wanted_at(claimed: &Claimed<'_>) -> Micros {
    let changed = claimed.job.id.episode();
    claimed.row.scheduled_for.map_or(changed, |due| due.max(changed))
}

fn doubtful(record: &SendRecord) -> Vec<String> {
    let perhaps_sent = |call: &&Call| matches!(call.state, CallState::Sending | CallState::Uncertain);
    record.calls.iter().filter(perhaps_sent).map(|call| call.transaction_id.clone()).collect()
}

/// Words of ours and of HTTP, and the status word of a trigger.
fn answer_in_words(answer: &Answer) -> String {
    match answer {
        Answer::Unsent => "no connection to Novu".to_owned(),
        Answer::Lost => "no answer from Novu".to_owned(),
        Answer::Http { status, word, .. } => {
            let name = reqwest::StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
            let words: Vec<&str> = name.into_iter().chain(word.as_deref()).collect();
            format!("Novu answered HTTP {status} {}", words.join(": ")).trim_end().to_owned()
        }
    }
}
