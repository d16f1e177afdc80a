//! One WebSocket: its channels, its timers, its end.
//!
//! It answers joins, leaves, heartbeats and tokens. It never reconnects, and it sends events only as the hub hands them over, after
//! the `system` message that makes a subscription live.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt as _;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::state::State;

use super::binding::{self, Binding};
use super::frame::{Incoming, Outgoing, Version};
use super::hub::{Connection, Control, Stall, Subscription};

/// Frames written before the socket is flushed.
const FLUSH_FRAMES: usize = 64;
const TOPIC_PREFIX: &str = "realtime:";

/// Why a socket ends. The client sees the connection close in any case.
struct Ended;

/// A joined channel.
struct Channel {
    join_ref: Option<String>,
    bindings: Vec<Map<String, Value>>,
}

/// Something to do later.
enum Due {
    /// Make the subscription of the channel live that was joined with this reference.
    Subscribe {
        topic: String,
        join_ref: Option<String>,
    },
    Send(Utf8Bytes),
}

struct Socket {
    state: State,
    websocket: WebSocket,
    version: Version,
    connection: Connection,
    channels: HashMap<String, Channel>,
    timers: Vec<(Instant, Due)>,
    /// Times of the joins within the last second.
    joins: VecDeque<Instant>,
    last_heard: Instant,
}

/// Serves a socket until the client, a limit, a switch or the stand-in's stop ends it.
pub(super) async fn run(state: State, websocket: WebSocket, version: Version, connection: Connection) {
    let (dropped, stopped) = (connection.dropped.clone(), state.stop_token());
    let mut socket = Socket {
        state,
        websocket,
        version,
        connection,
        channels: HashMap::new(),
        timers: Vec::new(),
        joins: VecDeque::new(),
        last_heard: Instant::now(),
    };
    tokio::select! {
        Ended = socket.serve() => {}
        () = dropped.cancelled() => {}
        () = stopped.cancelled() => {}
    }
}

impl Socket {
    async fn serve(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.step().await {
                return ended;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Ended> {
        if *self.connection.stall.borrow_and_update() != Stall::No {
            // The hub is gone only when the stand-in is.
            return self.connection.stall.changed().await.map_err(|_| Ended);
        }
        let heartbeat = self.last_heard + Duration::from_millis(self.state.options().heartbeat_timeout_ms);
        let wake = self.timers.iter().map(|(at, _)| *at).min().map_or(heartbeat, |at| at.min(heartbeat));
        tokio::select! {
            _ = self.connection.stall.changed() => Ok(()),
            message = self.websocket.recv() => match message {
                Some(Ok(Message::Text(text))) => self.receive(&text).await,
                Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Ended),
                // Binary frames carry broadcasts only.
                Some(Ok(_)) => Ok(()),
            },
            Some(frame) = self.connection.outbox.recv() => self.send_events(frame).await,
            Some(control) = self.connection.control.recv() => self.obey(control).await,
            () = tokio::time::sleep_until(wake) => self.wake_up(heartbeat).await,
        }
    }

    async fn receive(&mut self, text: &str) -> Result<(), Ended> {
        self.last_heard = Instant::now();
        let Some(frame) = self.version.decode(text) else {
            tracing::debug!("frame of another serializer version ignored");
            return Ok(());
        };
        match (frame.topic.as_str(), frame.event.as_str()) {
            ("phoenix", "heartbeat") => self.reply(&frame, "ok", &json!({})).await,
            (_, "phx_join") => self.join(&frame).await,
            (topic, event) if self.channels.contains_key(topic) => match event {
                "phx_leave" => self.leave(&frame).await,
                "access_token" => {
                    self.renew_token(&frame);
                    Ok(())
                }
                _ => Ok(()),
            },
            _ => self.reply(&frame, "error", &json!({"reason": "unmatched topic"})).await,
        }
    }

    async fn join(&mut self, frame: &Incoming) -> Result<(), Ended> {
        let options = self.state.options();
        let now = Instant::now();
        self.joins.push_back(now);
        while self.joins.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            self.joins.pop_front();
        }
        if self.joins.len() > options.joins_per_second_max as usize {
            tracing::debug!("socket closed: too many joins per second");
            return Err(Ended);
        }
        if frame.topic.strip_prefix(TOPIC_PREFIX).is_none_or(str::is_empty) {
            return self.reply(frame, "error", &json!({"reason": "unmatched topic"})).await;
        }
        let rejoin = self.channels.remove(&frame.topic);
        if rejoin.is_none() && self.channels.len() >= options.channels_per_connection_max {
            let refusal = json!({"reason": "ChannelRateLimitReached: Too many channels"});
            let at = now + Duration::from_millis(options.join_error_delay_ms);
            let reply = self.encode_reply(frame, "error", &refusal);
            self.timers.push((at, Due::Send(reply)));
            return Ok(());
        }
        if let Some(old) = rejoin {
            self.connection.unsubscribe(&frame.topic);
            self.push(&frame.topic, old.join_ref.as_deref(), old.join_ref.as_deref(), "phx_close", &json!({})).await?;
        }
        let bindings = bindings(&frame.payload);
        let echoed: Vec<_> = bindings.iter().map(binding::echo).collect();
        self.connection.count_join();
        if !bindings.is_empty() {
            self.subscribe_later(&frame.topic, frame.join_ref.clone());
        }
        self.channels.insert(frame.topic.clone(), Channel { join_ref: frame.join_ref.clone(), bindings });
        self.reply(frame, "ok", &json!({"postgres_changes": echoed})).await
    }

    async fn leave(&mut self, frame: &Incoming) -> Result<(), Ended> {
        self.connection.unsubscribe(&frame.topic);
        self.reply(frame, "ok", &json!({})).await?;
        let join_ref = self.channels.remove(&frame.topic).and_then(|channel| channel.join_ref);
        self.push(&frame.topic, join_ref.as_deref(), join_ref.as_deref(), "phx_close", &json!({})).await
    }

    /// A new token subscribes anew, which the client hears of by another `system` message. Keys are no tokens.
    fn renew_token(&mut self, frame: &Incoming) {
        let token = frame.payload.get("access_token").and_then(Value::as_str);
        let Some(channel) = self.channels.get(&frame.topic) else { return };
        if token.is_some_and(|token| !token.starts_with("sb_")) && !channel.bindings.is_empty() {
            let join_ref = channel.join_ref.clone();
            self.subscribe_later(&frame.topic, join_ref);
        }
    }

    fn subscribe_later(&mut self, topic: &str, join_ref: Option<String>) {
        let switched = self.state.with_faults(|faults| faults.realtime.system_delay_ms);
        let delay_ms = switched.unwrap_or(self.state.options().system_delay_ms);
        let due = Due::Subscribe { topic: topic.to_owned(), join_ref };
        self.timers.push((Instant::now() + Duration::from_millis(delay_ms), due));
    }

    async fn wake_up(&mut self, heartbeat: Instant) -> Result<(), Ended> {
        let now = Instant::now();
        if now >= heartbeat {
            tracing::debug!("socket closed: no heartbeat");
            return Err(Ended);
        }
        let (due, later) = std::mem::take(&mut self.timers).into_iter().partition(|(at, _)| *at <= now);
        self.timers = later;
        let due: Vec<(Instant, Due)> = due;
        for (_, due) in due {
            match due {
                Due::Send(frame) => self.send(frame).await?,
                Due::Subscribe { topic, join_ref } => self.subscribe(&topic, join_ref.as_deref()).await?,
            }
        }
        Ok(())
    }

    async fn subscribe(&mut self, topic: &str, join_ref: Option<&str>) -> Result<(), Ended> {
        let Some(channel) = self.channels.get(topic) else { return Ok(()) };
        let (withheld, error) =
            self.state.with_faults(|faults| (faults.realtime.withhold_system, faults.realtime.system_error.clone()));
        if withheld || channel.join_ref.as_deref() != join_ref {
            return Ok(());
        }
        let now = self.state.now();
        let parsed: Result<Vec<_>, String> = match error {
            Some(message) => Err(message),
            None => channel.bindings.iter().map(|parameters| Binding::parse(parameters, now)).collect(),
        };
        match parsed {
            Ok(bindings) => {
                self.connection.subscribe(topic, Subscription { version: self.version, bindings });
                self.system(topic, "postgres_changes", "ok", "Subscribed to PostgreSQL").await
            }
            Err(message) => self.system(topic, "postgres_changes", "error", &message).await,
        }
    }

    async fn obey(&mut self, control: Control) -> Result<(), Ended> {
        let topics: Vec<String> = self.channels.keys().cloned().collect();
        for topic in topics {
            self.connection.unsubscribe(&topic);
            if let Control::FailSubscriptions = control {
                self.system(
                    &topic,
                    "postgres_changes",
                    "error",
                    "Realtime was unable to connect to the project database",
                )
                .await?;
                continue;
            }
            let join_ref = self.channels.remove(&topic).and_then(|channel| channel.join_ref);
            let join_ref = join_ref.as_deref();
            if let Control::ExpireTokens = control {
                self.system(&topic, "system", "error", "Token has expired 1 seconds ago").await?;
                self.push(&topic, join_ref, join_ref, "phx_close", &json!({})).await?;
            } else {
                self.push(&topic, join_ref, join_ref, "phx_error", &json!({})).await?;
            }
        }
        Ok(())
    }

    async fn system(&mut self, topic: &str, extension: &str, status: &str, message: &str) -> Result<(), Ended> {
        let channel = topic.strip_prefix(TOPIC_PREFIX).unwrap_or(topic);
        let payload = json!({"message": message, "status": status, "extension": extension, "channel": channel});
        self.push(topic, None, None, "system", &payload).await
    }

    async fn reply(&mut self, frame: &Incoming, status: &str, response: &Value) -> Result<(), Ended> {
        let reply = self.encode_reply(frame, status, response);
        self.send(reply).await
    }

    fn encode_reply(&self, frame: &Incoming, status: &str, response: &Value) -> Utf8Bytes {
        let reply = Outgoing {
            join_ref: frame.join_ref.as_deref(),
            reference: frame.reference.as_deref(),
            topic: &frame.topic,
            event: "phx_reply",
            payload: &json!({"status": status, "response": response}).to_string(),
        };
        self.version.encode(&reply).into()
    }

    async fn push(
        &mut self,
        topic: &str,
        join_ref: Option<&str>,
        reference: Option<&str>,
        event: &str,
        payload: &Value,
    ) -> Result<(), Ended> {
        let frame = Outgoing { join_ref, reference, topic, event, payload: &payload.to_string() };
        let frame = self.version.encode(&frame);
        self.send(frame.into()).await
    }

    async fn send(&mut self, frame: Utf8Bytes) -> Result<(), Ended> {
        self.websocket.send(Message::Text(frame)).await.map_err(|_| Ended)
    }

    /// Writes what waits and flushes once.
    async fn send_events(&mut self, first: Utf8Bytes) -> Result<(), Ended> {
        self.websocket.feed(Message::Text(first)).await.map_err(|_| Ended)?;
        for _ in 1..FLUSH_FRAMES {
            let Ok(frame) = self.connection.outbox.try_recv() else { break };
            self.websocket.feed(Message::Text(frame)).await.map_err(|_| Ended)?;
        }
        self.websocket.flush().await.map_err(|_| Ended)
    }
}

/// The bindings a join asks for.
fn bindings(payload: &Map<String, Value>) -> Vec<Map<String, Value>> {
    let changes = payload.get("config").and_then(|config| config.get("postgres_changes")).and_then(Value::as_array);
    changes.into_iter().flatten().filter_map(Value::as_object).cloned().collect()
}
