//! A stand-in of the test's own, and clients that speak to it plainly.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use xnovu_standin::{Options, Standin, StandinConfig, State};

pub(crate) const ENTERPRISE: &str = "00000000-0000-0000-0000-0000000000e1";
pub(crate) const OTHER_ENTERPRISE: &str = "00000000-0000-0000-0000-0000000000e2";
pub(crate) const SUPABASE_KEY: &str = "sb_secret_test";
pub(crate) const NOVU_KEY: &str = "novu-test";
/// How long anything that must happen may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// A stand-in and an HTTP client.
pub(crate) struct World {
    pub(crate) standin: Standin,
    pub(crate) http: reqwest::Client,
}

/// What an answer holds.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = StandinConfig {
            supabase_key: SUPABASE_KEY.to_owned(),
            novu_key: NOVU_KEY.to_owned(),
            options: Options { system_delay_ms: 5, poll_interval_ms: 2, join_error_delay_ms: 5, ..options },
            ..StandinConfig::default()
        };
        let standin = Standin::start(config).await.expect("a free loopback port");
        Self { standin, http: reqwest::Client::new() }
    }

    /// With the default delays, so that what happens in between can be seen.
    pub(crate) async fn with_delay(system_delay_ms: u64) -> Self {
        let world = Self::start().await;
        let mut faults = world.state().faults();
        faults.realtime.system_delay_ms = Some(system_delay_ms);
        world.state().set_faults(faults);
        world
    }

    pub(crate) fn state(&self) -> &State {
        self.standin.state()
    }

    /// Inserts a notification of `ENTERPRISE` with these columns besides. Answers its id.
    pub(crate) fn notification(&self, columns: Value) -> i64 {
        let mut row = json!({"enterprise_id": ENTERPRISE, "workflow_key": "welcome"});
        for (name, value) in columns.as_object().expect("columns by name") {
            row[name] = value.clone();
        }
        let stored = self.state().insert("ent_notification", &row).expect("a valid notification");
        stored["id"].as_i64().expect("an id")
    }

    /// A request to PostgREST as the host makes it.
    pub(crate) fn rest(&self, method: Method, path: &str) -> RequestBuilder {
        let profile = if matches!(method, Method::GET | Method::HEAD) { "accept-profile" } else { "content-profile" };
        let url = format!("{}/rest/v1/{path}", self.standin.url());
        self.http.request(method, url).header("apikey", SUPABASE_KEY).header(profile, "notify")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.rest(Method::GET, path)).await
    }

    /// A PATCH that wants the rows back.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        answer(self.rest(Method::PATCH, path).header("prefer", "return=representation").json(&body)).await
    }

    pub(crate) async fn post(&self, path: &str, prefer: &str, body: Value) -> Answer {
        answer(self.rest(Method::POST, path).header("prefer", prefer).json(&body)).await
    }

    /// A POST to Novu.
    pub(crate) fn novu(&self, path: &str, body: &Value) -> RequestBuilder {
        let url = format!("{}/v1/events/{path}", self.standin.url());
        self.http.post(url).header("authorization", format!("ApiKey {NOVU_KEY}")).json(body)
    }

    pub(crate) async fn admin(&self, method: Method, path: &str, body: Value) -> Answer {
        answer(self.http.request(method, format!("{}/admin/{path}", self.standin.url())).json(&body)).await
    }

    pub(crate) async fn socket(&self, vsn: &str) -> Socket {
        let url = format!(
            "{}/realtime/v1/websocket?apikey={SUPABASE_KEY}&vsn={vsn}",
            self.standin.url().replace("http", "ws")
        );
        let (stream, _) = tokio_tungstenite::connect_async(url).await.expect("a handshake");
        Socket { stream, vsn: vsn.to_owned(), references: 0 }
    }
}

/// Sends a request and reads its answer; a body that is no JSON is null.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.expect("a body");
    Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or_default() }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("printable"))
    }

    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// One column of all rows.
    pub(crate) fn column(&self, name: &str) -> Vec<Value> {
        self.body.as_array().expect("rows").iter().map(|row| row[name].clone()).collect()
    }
}

/// A client of Realtime that hides nothing.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    vsn: String,
    references: u64,
}

/// A frame in the members of version 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) topic: String,
    pub(crate) event: String,
    pub(crate) payload: Value,
    pub(crate) reference: Value,
    pub(crate) join_ref: Value,
}

impl Socket {
    /// Sends a frame. Answers its reference.
    pub(crate) async fn send(&mut self, topic: &str, event: &str, payload: Value, join_ref: Value) -> String {
        self.references += 1;
        let reference = self.references.to_string();
        let frame = if self.vsn == "1.0.0" {
            json!({"topic": topic, "event": event, "payload": payload, "ref": reference, "join_ref": join_ref})
        } else {
            json!([join_ref, reference, topic, event, payload])
        };
        self.stream.send(Message::text(frame.to_string())).await.expect("an open socket");
        reference
    }

    /// Joins a channel with these bindings and reads the reply.
    pub(crate) async fn join(&mut self, topic: &str, bindings: Value) -> Frame {
        self.ask_to_join(topic, bindings).await;
        self.next().await
    }

    pub(crate) async fn ask_to_join(&mut self, topic: &str, bindings: Value) {
        let payload = json!({"config": {"postgres_changes": bindings, "private": false}});
        let join_ref = (self.references + 1).to_string();
        self.send(topic, "phx_join", payload, json!(join_ref)).await;
    }

    /// Joins a channel for one event of notifications, and waits until it is live.
    pub(crate) async fn subscribe(&mut self, topic: &str, event: &str, filter: &str) {
        let mut binding = json!({"event": event, "schema": "notify", "table": "ent_notification"});
        if !filter.is_empty() {
            binding["filter"] = json!(filter);
        }
        assert_eq!(self.join(topic, json!([binding])).await.payload["status"], "ok");
        let system = self.next().await;
        assert_eq!((system.event.as_str(), &system.payload["status"]), ("system", &json!("ok")), "{system:?}");
    }

    /// The next frame; none if the socket closed.
    pub(crate) async fn try_next(&mut self) -> Option<Frame> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("a frame or the end in time");
            match message {
                Some(Ok(Message::Text(text))) => return Some(self.decode(&text)),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Frame {
        self.try_next().await.expect("an open socket")
    }

    /// Nothing comes while `quiet` lasts, which it does at least.
    pub(crate) async fn is_silent_for(&mut self, quiet: Duration) -> bool {
        tokio::time::timeout(quiet, self.stream.next()).await.is_err()
    }

    /// The next event's `data`.
    pub(crate) async fn next_change(&mut self) -> Value {
        let frame = self.next().await;
        assert_eq!(frame.event, "postgres_changes", "{frame:?}");
        frame.payload["data"].clone()
    }

    fn decode(&self, text: &str) -> Frame {
        let frame: Value = serde_json::from_str(text).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        if self.vsn == "1.0.0" {
            return Frame {
                topic: text(&frame["topic"]),
                event: text(&frame["event"]),
                payload: frame["payload"].clone(),
                reference: frame["ref"].clone(),
                join_ref: frame["join_ref"].clone(),
            };
        }
        Frame {
            topic: text(&frame[2]),
            event: text(&frame[3]),
            payload: frame[4].clone(),
            reference: frame[1].clone(),
            join_ref: frame[0].clone(),
        }
    }
}

/// Waits until `look` answers something that `done` accepts, and panics with the last answer otherwise.
pub(crate) async fn eventually<T: Debug>(mut look: impl FnMut() -> T, done: impl Fn(&T) -> bool) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if done(&seen) {
            return seen;
        }
        assert!(tokio::time::Instant::now() < deadline, "still {seen:?}");
        tokio::time::sleep(POLL).await;
    }
}
