//! The way to a collector: OTLP over HTTP, in protobuf.
//!
//! Owns the HTTP client, which is made like every other one of the program: no proxy, no redirect, no silent retry. Says once that the
//! collector does not answer, and once that it does again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;

use crate::config::Tracing;
use crate::store::http::{body, client};

/// Longest wait for the collector's answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer taken.
const ANSWER_BYTES_MAX: usize = 64 << 10;

pub(super) fn exporter(settings: &Tracing) -> anyhow::Result<SpanExporter> {
    let client = client(TIMEOUT, reqwest::header::HeaderMap::new())?;
    let collector = Collector { client, runtime: Handle::current(), silent: AtomicBool::new(false) };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(collector)
        .with_endpoint(format!("{}/v1/traces", settings.endpoint.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .with_headers(headers(settings));
    Ok(exporter.build()?)
}

/// `name=value` pairs, separated by commas.
fn headers(settings: &Tracing) -> HashMap<String, String> {
    let text = settings.headers.as_ref().map(|headers| headers.reveal()).unwrap_or_default();
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// Sends requests from the exporter's thread, which is none of tokio's.
struct Collector {
    client: reqwest::Client,
    runtime: Handle,
    silent: AtomicBool,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Collector")
    }
}

impl Collector {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let answer = self.client.execute(request).await.map_err(reqwest::Error::without_url)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = body(answer, ANSWER_BYTES_MAX).await.map_err(|error| format!("{error:?}"))?;
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn note(&self, trouble: Option<String>) {
        let was_silent = self.silent.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(error) if !was_silent => tracing::warn!(error, "the collector of traces does not take spans"),
            None if was_silent => tracing::info!("the collector of traces takes spans again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = TokioContext::new(self.exchange(request), self.runtime.clone()).await;
        self.note(match &answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("HTTP {}", response.status().as_u16())),
            Err(error) => Some(error.to_string()),
        });
        answer
    }
}
