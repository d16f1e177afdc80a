//! Novu over HTTP.
//!
//! Owns the wire: two calls, how their answers are read, and what each answer says about Novu as a whole (the breaker's business).
//! Promises exactly one HTTP request a call. Never keeps or logs a body; of an answer only status words and Novu's message are kept.

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use xnovu_domain::Answer;

use super::breaker::{Breaker, Sign};
use super::{
    Cancelled, DETAIL_BYTES_MAX, GatewayError, NotNow, NotificationGateway, Pause, Permit, TriggerCall, TriggerResult,
};
use crate::config::{Novu, Secret};
use crate::store::http::{ClientError, body, client, header, one_line, seconds, secret_value};

/// Largest answer taken.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How long a 429 without a `Retry-After` is obeyed.
const BUSY_DEFAULT: Duration = Duration::from_secs(1);

/// Settings that make no gateway.
#[derive(Debug, Error)]
pub enum NovuError {
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The base URL.
    #[error("{url:?} is no base URL for Novu")]
    Url {
        /// What was set.
        url: String,
    },
}

/// Novu over HTTP.
pub struct NovuGateway {
    client: Client,
    events: Url,
    breaker: Breaker,
    key: Secret,
    /// Of the key the breaker knows about.
    key_version: AtomicU64,
}

impl NovuGateway {
    /// A gateway that has not called yet.
    ///
    /// # Errors
    /// The settings make no client.
    pub fn new(novu: &Novu) -> Result<Self, NovuError> {
        // A key that cannot be sent is better told at the start than at every call.
        authorization(&novu.key)?;
        let headers = HeaderMap::from_iter([(reqwest::header::ACCEPT, HeaderValue::from_static("application/json"))]);
        let events = Url::parse(&format!("{}/v1/events/trigger", novu.url)).ok().filter(Url::has_host);
        let events = events.ok_or_else(|| NovuError::Url { url: novu.url.clone() })?;
        Ok(Self {
            client: client(novu.timeout, headers)?,
            events,
            breaker: Breaker::default(),
            key: novu.key.clone(),
            key_version: AtomicU64::new(novu.key.version()),
        })
    }

    /// Sends one request and reads its answer, which the breaker learns from.
    async fn call(&self, request: RequestBuilder) -> Result<Heard, reqwest::Error> {
        let version = self.key.version();
        // The key may have been rotated; one that cannot be sent is not taken from its file.
        let request = match authorization(&self.key) {
            Ok(value) => request.header(reqwest::header::AUTHORIZATION, value),
            Err(_) => request,
        };
        let heard = match request.send().await {
            Ok(response) => Heard::of(response).await,
            Err(error) => {
                self.breaker.learn(Sign::Failing);
                return Err(error.without_url());
            }
        };
        // A refusal of a key that has been replaced meanwhile says nothing about the new one.
        let stale = |sign: &Sign| matches!(sign, Sign::KeyRefused) && self.key.version() != version;
        heard.signs().into_iter().flatten().filter(|sign| !stale(sign)).for_each(|sign| self.breaker.learn(sign));
        Ok(heard)
    }
}

#[async_trait]
impl NotificationGateway for NovuGateway {
    fn permit(&self) -> Result<Permit, NotNow> {
        let version = self.key.version();
        if self.key_version.swap(version, Ordering::AcqRel) != version {
            self.breaker.key_replaced();
        }
        self.breaker.permit()
    }

    fn outage(&self) -> bool {
        self.breaker.is_open()
    }

    fn pause(&self) -> Option<Pause> {
        self.breaker.why_not()
    }

    async fn trigger(&self, call: &TriggerCall) -> TriggerResult {
        let request = self
            .client
            .post(self.events.clone())
            .header("idempotency-key", &call.idempotency_key)
            .header("content-type", "application/json")
            .body(call.body.clone());
        match self.call(request).await {
            Ok(heard) => heard.into_result(),
            Err(error) => {
                let unsent = error.is_connect() || error.is_builder();
                let answer = if unsent { Answer::Unsent } else { Answer::Lost };
                let detail = Some(one_line(&format!("{:#}", anyhow::Error::from(error)), DETAIL_BYTES_MAX));
                TriggerResult { answer, retry_after: None, detail, transaction_id: None }
            }
        }
    }

    async fn cancel(&self, transaction_id: &str) -> Result<Cancelled, GatewayError> {
        let _permit = self.permit().map_err(GatewayError::NotNow)?;
        let mut url = self.events.clone();
        url.path_segments_mut().expect("a URL with a host has a path").push(transaction_id);
        let heard = self.call(self.client.delete(url)).await.map_err(GatewayError::NoAnswer)?;
        match heard.status {
            404 => Ok(Cancelled::NothingPending),
            200..=299 if heard.content() == &Value::Bool(false) => Ok(Cancelled::NothingPending),
            200..=299 => Ok(Cancelled::Yes),
            status => Err(GatewayError::Refused { status, detail: heard.detail() }),
        }
    }
}

fn authorization(key: &Secret) -> Result<HeaderValue, ClientError> {
    secret_value(&format!("ApiKey {}", key.reveal()))
}

/// An answer, read.
struct Heard {
    status: u16,
    replayed: bool,
    retry_after: Option<Duration>,
    /// How long to wait where the rate limit says that nothing is left.
    used_up: Option<Duration>,
    /// Null where the body was cut or is too large.
    body: Value,
}

impl Heard {
    async fn of(response: Response) -> Self {
        let headers = response.headers();
        let status = response.status().as_u16();
        let replayed = header(headers, "idempotency-replay").is_some_and(|word| word.eq_ignore_ascii_case("true"));
        let retry_after = seconds(headers, "retry-after");
        let nothing_left = seconds(headers, "ratelimit-remaining").is_some_and(|left| left.is_zero());
        let used_up = seconds(headers, "ratelimit-reset").filter(|_| nothing_left);
        let body = body(response, ANSWER_BYTES_MAX).await.unwrap_or_default();
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| match String::from_utf8_lossy(&body) {
            text if text.is_empty() => Value::Null,
            text => Value::from(text.into_owned()),
        });
        Self { status, replayed, retry_after, used_up, body }
    }

    /// What the body is about: Novu wraps it in `data`, and some versions do not.
    fn content(&self) -> &Value {
        self.body.get("data").unwrap_or(&self.body)
    }

    fn word(&self, key: &str) -> Option<String> {
        self.content().get(key)?.as_str().map(str::to_owned)
    }

    /// Novu's message: `message` of an error, `error` of a trigger it will not run, or a gateway's page.
    fn detail(&self) -> Option<String> {
        let places =
            [self.body.get("message"), self.content().get("message"), self.content().get("error"), Some(&self.body)];
        let text = places.into_iter().flatten().find_map(|place| match place {
            Value::String(text) => Some(text.clone()),
            Value::Array(texts) => {
                let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
                (!texts.is_empty()).then(|| texts.join("; "))
            }
            _ => None,
        })?;
        Some(one_line(&text, DETAIL_BYTES_MAX)).filter(|text| !text.is_empty())
    }

    /// A replayed error is of another time and says nothing about now.
    fn signs(&self) -> [Option<Sign>; 2] {
        let sign = match self.status {
            401 | 403 => Sign::KeyRefused,
            429 => Sign::Busy(self.retry_after.or(self.used_up).unwrap_or(BUSY_DEFAULT)),
            408 | 500..=599 if !self.replayed => Sign::Failing,
            _ => Sign::Alive,
        };
        [Some(sign), self.used_up.map(Sign::Busy)]
    }

    fn into_result(self) -> TriggerResult {
        let accepted = (200..300).contains(&self.status);
        TriggerResult {
            detail: self.detail().filter(|_| !accepted || self.word("status").as_deref() != Some("processed")),
            transaction_id: self.word("transactionId"),
            answer: Answer::Http { status: self.status, word: self.word("status"), replayed: self.replayed },
            retry_after: self.retry_after,
        }
    }
}

#[cfg(test)]
mod standin_tests;
#[cfg(test)]
mod tests;
