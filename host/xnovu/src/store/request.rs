//! One request to PostgREST and its answer.
//!
//! Owns headers, the number of requests under way, the few quick retries of what is safe to repeat, and what an answer says about the
//! database's clock. Everything asked through here is safe to repeat: reads, and writes whose filter allows the same write again. Never
//! logs or keeps a body; what is kept of an error's is [`super::refusal`]'s to say.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use xnovu_domain::{Backoff, ClockOffset, Draft, Micros};

use super::StoreError;
use super::filter::{self, Filter};
use super::http::{BodyError, ClientError, body, client, header, seconds, secret_value};
use super::refusal::refusal;
use crate::clock::Clock;
use crate::config::{Secret, Supabase};

/// The schema of the tables.
const SCHEMA: &str = "notify";

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer taken.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How often one request is tried, the first time included.
const TRIES_MAX: u32 = 3;

/// How long a success proves that the database answers.
const ANSWER_PROVES: Duration = Duration::from_secs(1);

/// Waits between tries: short, because whoever asked has slower retries of its own.
const TRY_WAITS: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1) };

/// PostgreSQL's words for "the other transaction won, ask again".
const TRANSACTION_CODES: [&str; 2] = ["40001", "40P01"];

/// The way to PostgREST.
pub(super) struct Api {
    client: Client,
    key: Secret,
    base: String,
    under_way: Semaphore,
    clock: Arc<dyn Clock>,
    offset: Mutex<ClockOffset>,
    /// When the last success came; None once anything else did.
    answered: Mutex<Option<Instant>>,
}

/// What is asked.
pub(super) struct Request<'a> {
    /// For errors and logs.
    pub(super) what: &'static str,
    /// The table.
    pub(super) table: &'static str,
    /// The columns to be returned.
    pub(super) select: &'static str,
    /// The condition.
    pub(super) filter: &'a Filter,
    /// What is done.
    pub(super) verb: Verb<'a>,
}

/// What is done with the rows.
#[derive(Clone, Copy)]
pub(super) enum Verb<'a> {
    /// They are read.
    Read,
    /// These columns are written.
    Update(&'a Value),
    /// A row is made, unless there is one with the same values in the columns that `on_conflict` of the filter names.
    InsertNew(&'a Draft),
}

impl Api {
    /// Nothing is connected yet.
    pub(super) fn new(supabase: &Supabase, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        // A key that cannot be sent is better told at the start than at every request.
        headers(&supabase.key.reveal())?;
        Ok(Self {
            client: client(TIMEOUT, HeaderMap::new())?,
            key: supabase.key.clone(),
            base: format!("{}/rest/v1", supabase.url),
            under_way: Semaphore::new(supabase.concurrency.max(1)),
            clock,
            offset: Mutex::default(),
            answered: Mutex::default(),
        })
    }

    /// The time by the database's clock.
    pub(super) fn database_now(&self) -> Micros {
        self.offset.lock().unwrap_or_else(PoisonError::into_inner).apply(self.clock.now())
    }

    /// Asks, again if need be, and returns the body of a success.
    pub(super) async fn ask(&self, request: &Request<'_>) -> Result<Vec<u8>, StoreError> {
        Ok(self.ask_timed(request).await?.0)
    }

    /// The same, with how long the answer took: the try that had it, and not those before it.
    pub(super) async fn ask_timed(&self, request: &Request<'_>) -> Result<(Vec<u8>, Duration), StoreError> {
        let mut tried = 0;
        loop {
            let (error, retry_after) = match self.ask_once(request).await {
                Ok(timed) => return Ok(timed),
                Err(failure) => failure,
            };
            let wait = TRY_WAITS.equal_jitter(tried, fastrand::f64());
            tried += 1;
            if tried >= TRIES_MAX || !may_pass(&error) {
                return Err(error);
            }
            tokio::time::sleep(retry_after.unwrap_or(wait).min(TRY_WAITS.cap)).await;
        }
    }

    /// Asks for no row of a table, once and beside the others under way, unless a success has just come.
    pub(super) async fn reach(&self, table: &'static str) -> Result<(), StoreError> {
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.is_some_and(|at| at.elapsed() < ANSWER_PROVES) {
            return Ok(());
        }
        let filter = filter::no_rows();
        let request = Request { what: "reach the database", table, select: "id", filter: &filter, verb: Verb::Read };
        self.send(&request).await.map(drop).map_err(|(error, _)| error)
    }

    async fn ask_once(&self, request: &Request<'_>) -> Result<(Vec<u8>, Duration), (StoreError, Option<Duration>)> {
        let _permit = self.under_way.acquire().await.expect("the semaphore is never closed");
        let started = Instant::now();
        Ok((self.send(request).await?, started.elapsed()))
    }

    async fn send(&self, request: &Request<'_>) -> Result<Vec<u8>, (StoreError, Option<Duration>)> {
        let answer = self.exchange(request).await;
        let proof = answer.is_ok().then(Instant::now);
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = proof;
        answer
    }

    async fn exchange(&self, request: &Request<'_>) -> Result<Vec<u8>, (StoreError, Option<Duration>)> {
        let no_answer =
            |source: reqwest::Error| StoreError::NoAnswer { what: request.what, source: source.without_url() };
        let left = self.clock.now();
        let response = self.build(request).send().await.map_err(|error| (no_answer(error), None))?;
        self.learn_clock(left, response.headers());
        let status = response.status();
        let retry_after = seconds(response.headers(), "retry-after");
        let body = body(response, ANSWER_BYTES_MAX).await.map_err(|error| match error {
            BodyError::Broken(source) => (no_answer(source), None),
            BodyError::TooLarge => (StoreError::TooLarge { what: request.what, limit_bytes: ANSWER_BYTES_MAX }, None),
        })?;
        if status.is_success() { Ok(body) } else { Err((refusal(request.what, status.as_u16(), &body), retry_after)) }
    }

    fn build(&self, request: &Request<'_>) -> reqwest::RequestBuilder {
        let url = format!("{}/{}", self.base, request.table);
        let (method, profile) = match request.verb {
            Verb::Read => (Method::GET, "accept-profile"),
            Verb::Update(_) => (Method::PATCH, "content-profile"),
            Verb::InsertNew(_) => (Method::POST, "content-profile"),
        };
        // The key may have been rotated; one that cannot be sent is not taken from its file, so these are its headers.
        let headers = headers(&self.key.reveal()).unwrap_or_default();
        let builder = self.client.request(method, url).headers(headers).header(profile, SCHEMA);
        let builder = builder.query(&[("select", request.select)]).query(request.filter);
        match request.verb {
            Verb::Read => builder,
            Verb::Update(columns) => builder.header("prefer", "return=representation").json(columns),
            Verb::InsertNew(row) => {
                builder.header("prefer", "return=representation,resolution=ignore-duplicates").json(row)
            }
        }
    }

    /// A cached answer tells an old time.
    fn learn_clock(&self, left: Micros, headers: &HeaderMap) {
        let date = header(headers, "date").and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        if let (Some(date), false) = (date, headers.contains_key("age")) {
            let came = self.clock.now();
            let second = Micros::from(date.with_timezone(&Utc));
            self.offset.lock().unwrap_or_else(PoisonError::into_inner).learn(left, came, second);
        }
    }
}

/// The new keys (`sb_…`) are no tokens: the gateway refuses them as a bearer.
fn headers(key: &str) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::from_iter([
        (HeaderName::from_static("apikey"), secret_value(key)?),
        (HeaderName::from_static("accept"), HeaderValue::from_static("application/json")),
    ]);
    if !key.starts_with("sb_") {
        headers.insert("authorization", secret_value(&format!("Bearer {key}"))?);
    }
    Ok(headers)
}

/// Whether asking again at once may help. A statement that ran into its time limit would only run into it again.
fn may_pass(error: &StoreError) -> bool {
    error.is_outage() || error.code().is_some_and(|code| TRANSACTION_CODES.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_sent_as_apikey_alone_and_an_old_one_twice() {
        assert!(headers("sb_secret_x").unwrap().get("authorization").is_none());
        let old = headers("a.b.c").unwrap();
        assert_eq!((old["apikey"].as_bytes(), old["authorization"].as_bytes()), (&b"a.b.c"[..], &b"Bearer a.b.c"[..]));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let cases = [
            (500, None, true),
            (500, Some("40001"), true),
            (500, Some("57014"), false),
            (503, Some("PGRST001"), true),
            (504, Some("PGRST003"), true),
            (429, None, true),
            (408, None, true),
            (400, Some("22P02"), false),
            (401, Some("PGRST301"), false),
            (404, Some("PGRST205"), false),
        ];
        for (status, code, want) in cases {
            let body = serde_json::json!({"code": code, "message": "m"}).to_string();
            assert_eq!(may_pass(&refusal("read", status, body.as_bytes())), want, "{status} {code:?}");
        }
    }
}
