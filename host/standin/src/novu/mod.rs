//! Novu at `/v1/events`: trigger, bulk trigger and cancel.
//!
//! The order of the layers is Novu's: key, rate limit, idempotency, the trigger itself. A trigger that is accepted has been enqueued,
//! not delivered; a worker behind it refuses a transaction id it has seen before.

mod answer;
mod idempotency;
mod limit;
mod trigger;
pub(crate) mod worker;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State as Extracted};
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::config::Options;
use crate::state::State;

use answer::Answer;
use idempotency::{Cache, Lookup};
use limit::Bucket;
use worker::Worker;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Characters of an idempotency key.
const IDEMPOTENCY_KEY_MAX: usize = 255;
/// Rate tokens a call costs.
const SINGLE_COST: u32 = 1;
const BULK_COST: u32 = 100;

/// What Novu keeps.
#[derive(Debug)]
pub(crate) struct Novu {
    worker: Mutex<Worker>,
    cache: Mutex<Cache>,
    bucket: Option<Mutex<Bucket>>,
    /// States of workflows that the table does not decide.
    workflows: Mutex<HashMap<String, WorkflowState>>,
}

/// How Novu knows a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowState {
    /// It exists and runs.
    Active,
    /// It exists and is switched off.
    Inactive,
    /// It exists and has no steps.
    NoSteps,
    /// It exists and all its steps are switched off.
    NoActiveSteps,
    /// It does not exist.
    Unknown,
}

/// What a fault does to a request inside the idempotency layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disturbance {
    /// How long the answer takes after the work is done.
    pub(crate) latency: Duration,
    /// Answer in place of working: status and `Retry-After`.
    pub(crate) error: Option<(u16, Option<u64>)>,
}

impl Novu {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            worker: Mutex::new(Worker::new(options.deliveries_max)),
            cache: Mutex::new(Cache::default()),
            bucket: options.novu_requests_per_second.map(|rate| Mutex::new(Bucket::new(rate))),
            workflows: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn worker(&self) -> MutexGuard<'_, Worker> {
        lock(&self.worker)
    }

    pub(crate) fn set_workflow(&self, key: &str, state: WorkflowState) {
        lock(&self.workflows).insert(key.to_owned(), state);
    }

    /// Forgets deliveries, idempotency keys and workflow states.
    pub(crate) fn flush(&self) {
        self.worker().flush();
        lock(&self.cache).flush();
        lock(&self.workflows).clear();
    }

    fn overridden(&self, key: &str) -> Option<WorkflowState> {
        lock(&self.workflows).get(key).copied()
    }
}

/// `POST /v1/events/trigger`.
pub(crate) async fn trigger(
    Extracted(state): Extracted<State>,
    disturbance: Option<Extension<Disturbance>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = Call { state: &state, path: "/v1/events/trigger", headers: &headers, cost: SINGLE_COST };
    call.post(disturbance, &body, |key| trigger::single(&state, &body, key)).await
}

/// `POST /v1/events/trigger/bulk`.
pub(crate) async fn bulk(
    Extracted(state): Extracted<State>,
    disturbance: Option<Extension<Disturbance>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = Call { state: &state, path: "/v1/events/trigger/bulk", headers: &headers, cost: BULK_COST };
    call.post(disturbance, &body, |key| trigger::bulk(&state, &body, key)).await
}

/// `DELETE /v1/events/trigger/{transaction_id}`.
pub(crate) async fn cancel(
    Extracted(state): Extracted<State>,
    uri: Uri,
    Path(transaction_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let call = Call { state: &state, path: uri.path(), headers: &headers, cost: SINGLE_COST };
    let mut response = match call.admit() {
        Err(refusal) => refusal,
        Ok(()) => Answer::data(200, &state.novu().worker().cancel(&transaction_id).to_string()),
    }
    .into_response();
    call.add_rate_headers(&mut response);
    response
}

/// Any other path of Novu.
pub(crate) async fn not_found(Extracted(state): Extracted<State>, uri: Uri) -> Response {
    Answer::error(404, state.now(), uri.path(), &format!("Cannot find {}", uri.path())).into_response()
}

/// One request and what all requests have in common.
struct Call<'c> {
    state: &'c State,
    path: &'c str,
    headers: &'c HeaderMap,
    cost: u32,
}

impl Call<'_> {
    async fn post(
        &self,
        disturbance: Option<Extension<Disturbance>>,
        body: &[u8],
        work: impl FnOnce(Option<&str>) -> Answer,
    ) -> Response {
        let disturbance = disturbance.map(|Extension(disturbance)| disturbance).unwrap_or_default();
        let mut response = match self.admit() {
            Err(refusal) => refusal.into_response(),
            Ok(()) => self.idempotent(&disturbance, body, work).await,
        };
        self.add_rate_headers(&mut response);
        response
    }

    /// Key and rate limit.
    fn admit(&self) -> Result<(), Answer> {
        let expected = format!("ApiKey {}", self.state.novu_key());
        let given = self.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match given {
            Some(given) if given == expected => {}
            Some(_) => return Err(self.error(401, "API Key not found")),
            None => return Err(self.error(401, "Missing authorization header")),
        }
        if let Some(bucket) = &self.state.novu().bucket
            && let Err(wait_s) = lock(bucket).take(self.cost)
        {
            return Err(self.error(429, "API rate limit exceeded").retry_after(wait_s));
        }
        Ok(())
    }

    /// Does the work once for each idempotency key, and answers again what it answered the first time.
    async fn idempotent(
        &self,
        disturbance: &Disturbance,
        body: &[u8],
        work: impl FnOnce(Option<&str>) -> Answer,
    ) -> Response {
        let key = self.headers.get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok());
        let work = |key| match disturbance.error {
            Some((status, retry_after_s)) => {
                let answer = self.error(status, "Internal server error");
                retry_after_s.into_iter().fold(answer, Answer::retry_after)
            }
            None => work(key),
        };
        let off =
            !self.state.options().novu_idempotency || self.state.with_faults(|faults| faults.novu.idempotency_off);
        let Some(key) = key.filter(|_| !off) else {
            let answer = work(key);
            tokio::time::sleep(disturbance.latency).await;
            return answer.into_response();
        };
        if key.len() > IDEMPOTENCY_KEY_MAX {
            let message = format!("idempotencyKey \"{key}\" has exceeded the maximum allowed length of 255 characters");
            return self.error(400, &message).into_response();
        }
        let lookup = lock(&self.state.novu().cache).begin(key, body, self.state.now());
        let mut response = match lookup {
            Lookup::New => {
                let pending = Pending { state: self.state, key, answer: work(Some(key)) };
                tokio::time::sleep(disturbance.latency).await;
                pending.answer.clone().into_response()
            }
            Lookup::Replay(answer) => answer.replayed(self.state.now(), self.path).into_response(),
            Lookup::InProgress => {
                let message =
                    format!("Request with key \"{key}\" is currently being processed. Please retry after 1 second");
                self.error(409, &message).retry_after(1).into_response()
            }
            Lookup::OtherBody => {
                let message = format!("Request with key \"{key}\" is being reused for a different body");
                self.error(422, &message).into_response()
            }
        };
        if let Ok(value) = key.parse() {
            response.headers_mut().insert(IDEMPOTENCY_KEY, value);
        }
        response
    }

    fn error(&self, status: u16, message: &str) -> Answer {
        Answer::error(status, self.state.now(), self.path, message)
    }

    fn add_rate_headers(&self, response: &mut Response) {
        let Some(bucket) = &self.state.novu().bucket else { return };
        for (name, value) in lock(bucket).headers(self.cost) {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// Work that is done and whose answer is on its way. The answer is kept even if the client no longer waits for it.
struct Pending<'p> {
    state: &'p State,
    key: &'p str,
    answer: Answer,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        lock(&self.state.novu().cache).finish(self.key, self.answer.clone());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
