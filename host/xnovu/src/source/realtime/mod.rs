//! Supabase Realtime: the source that makes us fast.
//!
//! Owns the socket: making it, carrying frames between it and the session, and noticing that it is dead. Promises never to wait for the
//! admission: where it cannot keep up, a hint becomes a request for a sweep. Never reconnects; the supervisor does. Never logs a frame or
//! the URL, which holds the key.

mod pacer;
mod plan;
mod session;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tokio_util::sync::CancellationToken;
use xnovu_domain::EnterpriseId;

use super::phoenix::{self, VERSION};
use super::{Connection, EventSource, Hint, SourceError, StatusSender, SweepRequests};
use crate::config::{PerEnterprise, Sources, Supabase};
use crate::store::http::{CONNECT_TIMEOUT, USER_AGENT, tls};
use plan::Group;
use session::{Effect, Session};

pub use session::Timing;

/// Largest message taken: a row of at most 1 MiB, twice, and its columns.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Longest wait for a frame to leave, and for the socket to close.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// One socket and its channels.
pub struct Realtime {
    name: String,
    supabase: Supabase,
    groups: Vec<Group>,
    enterprises: Vec<EnterpriseId>,
    settings: Arc<PerEnterprise>,
    timing: Timing,
    requests: Arc<SweepRequests>,
}

/// As many sockets as the enterprises need. Each is to be supervised on its own.
#[must_use]
pub fn realtime_sources(
    supabase: &Supabase,
    sources: Sources,
    settings: &Arc<PerEnterprise>,
    enterprises: &[EnterpriseId],
    requests: &Arc<SweepRequests>,
) -> Vec<Arc<dyn EventSource>> {
    let timing = Timing::with_heartbeat(sources.heartbeat);
    let source = |(index, groups)| -> Arc<dyn EventSource> {
        Arc::new(Realtime::new(index + 1, supabase, groups, Arc::clone(settings), timing, Arc::clone(requests)))
    };
    plan::sockets(enterprises).into_iter().enumerate().map(source).collect()
}

/// The one source of few enterprises, with a timing of its own.
#[cfg(test)]
pub(super) fn source_with(
    supabase: &Supabase,
    timing: Timing,
    enterprises: &[EnterpriseId],
    requests: &Arc<SweepRequests>,
) -> Arc<dyn EventSource> {
    let groups = plan::sockets(enterprises).remove(0);
    Arc::new(Realtime::new(1, supabase, groups, Arc::default(), timing, Arc::clone(requests)))
}

fn url(supabase: &Supabase) -> Option<Url> {
    let mut url = Url::parse(&format!("{}/realtime/v1/websocket", supabase.url)).ok()?;
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    url.set_scheme(scheme).ok()?;
    url.query_pairs_mut().append_pair("apikey", &supabase.key.reveal()).append_pair("vsn", VERSION);
    Some(url)
}

#[async_trait]
impl EventSource for Realtime {
    fn name(&self) -> &str {
        &self.name
    }

    fn enterprises(&self) -> &[EnterpriseId] {
        &self.enterprises
    }

    async fn run(
        &self,
        out: &mpsc::Sender<Hint>,
        status: &StatusSender,
        stop: &CancellationToken,
    ) -> Result<(), SourceError> {
        let connected = stop.run_until_cancelled(self.connect()).await;
        let Some(socket) = connected.transpose()? else { return Ok(()) };
        status.set(&self.enterprises, Connection::Connected);
        let session = Session::new(&self.groups, Arc::clone(&self.settings), self.timing, Instant::now());
        let mut link = Link { source: self, socket, session, out, status, bad_frames: 0 };
        match stop.run_until_cancelled(link.carry()).await {
            Some(ended) => ended,
            None => {
                // Whether the other side hears of it makes no difference.
                let _ = timeout(CLOSE_TIMEOUT, link.socket.close(None)).await;
                Ok(())
            }
        }
    }
}

impl Realtime {
    fn new(
        number: usize,
        supabase: &Supabase,
        groups: Vec<Group>,
        settings: Arc<PerEnterprise>,
        timing: Timing,
        requests: Arc<SweepRequests>,
    ) -> Self {
        let (name, enterprises) = (format!("realtime-{number}"), groups.concat());
        Self { name, supabase: supabase.clone(), groups, enterprises, settings, timing, requests }
    }

    async fn connect(&self) -> Result<Socket, SourceError> {
        let bad_url = || SourceError::Settings("the base URL of the project makes no WebSocket URL".to_owned());
        let url = url(&self.supabase).ok_or_else(bad_url)?;
        let connector = Connector::Rustls(Arc::new(tls().map_err(|error| SourceError::Settings(error.to_string()))?));
        let mut request = url.as_str().into_client_request().map_err(could_not_connect)?;
        request.headers_mut().insert("user-agent", HeaderValue::from_static(USER_AGENT));
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let connecting = connect_async_tls_with_config(request, Some(config), true, Some(connector));
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map(|(socket, _)| socket).map_err(could_not_connect),
            Err(_) => Err(SourceError::Silent("no connection within 10 s")),
        }
    }
}

/// An error that quotes a URL would show the key.
fn could_not_connect(error: tungstenite::Error) -> SourceError {
    match error {
        tungstenite::Error::Url(_) => SourceError::Settings("the server cannot be reached by its URL".to_owned()),
        error => SourceError::Connect(Box::new(error)),
    }
}

/// A socket under way.
struct Link<'a> {
    source: &'a Realtime,
    socket: Socket,
    session: Session,
    out: &'a mpsc::Sender<Hint>,
    status: &'a StatusSender,
    bad_frames: u64,
}

impl Link<'_> {
    /// Carries frames until the socket ends.
    async fn carry(&mut self) -> Result<(), SourceError> {
        loop {
            let effects = self.session.tick(Instant::now())?;
            self.perform(effects).await?;
            tokio::select! {
                () = sleep_until(self.session.next_tick()) => {}
                message = self.socket.next() => {
                    let message = message.ok_or(SourceError::Closed { reason: None })?;
                    self.receive(message.map_err(|error| SourceError::Broken(Box::new(error)))?).await?;
                }
            }
        }
    }

    async fn receive(&mut self, message: Message) -> Result<(), SourceError> {
        match message {
            Message::Text(text) => match phoenix::decode(&text) {
                Ok(frame) => {
                    let effects = self.session.receive(frame, Instant::now());
                    self.perform(effects).await
                }
                Err(_) => {
                    self.bad_frames += 1;
                    if self.bad_frames.is_power_of_two() {
                        let (name, bytes, so_far) = (&self.source.name, text.len(), self.bad_frames);
                        tracing::warn!(source = name, bytes, so_far, "a frame cannot be read and is ignored");
                    }
                    Ok(())
                }
            },
            Message::Close(frame) => {
                let reason = frame.map(|frame| format!("{} {}", frame.code, frame.reason.as_str()));
                Err(SourceError::Closed { reason })
            }
            // Binary frames carry broadcasts only, which we never join; pings are answered by the library.
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn perform(&mut self, effects: Vec<Effect>) -> Result<(), SourceError> {
        for effect in effects {
            match effect {
                Effect::Send(text) => self.send(text).await?,
                Effect::Hint(hint) => self.pass_on(hint),
                Effect::Sweep(enterprises) => self.source.requests.ask(&enterprises),
                Effect::Stand(enterprises, connection, None) => self.stands(&enterprises, connection),
                Effect::Stand(enterprises, connection, Some(why)) => self.refused(&enterprises, connection, &why),
            }
        }
        Ok(())
    }

    async fn send(&mut self, text: String) -> Result<(), SourceError> {
        match timeout(SEND_TIMEOUT, self.socket.send(Message::text(text))).await {
            Ok(sent) => sent.map_err(|error| SourceError::Broken(Box::new(error))),
            Err(_) => Err(SourceError::Silent("a frame did not leave within 10 s")),
        }
    }

    /// Never waits: a full channel would silence the heartbeats.
    fn pass_on(&self, hint: Hint) {
        if let Err(mpsc::error::TrySendError::Full(Hint::Id { enterprise, .. })) = self.out.try_send(hint) {
            self.source.requests.ask(&[enterprise]);
        }
    }

    fn stands(&self, enterprises: &[EnterpriseId], connection: Connection) {
        if connection == Connection::Subscribed {
            let enterprises = enterprises.len();
            tracing::info!(event = "subscribed", source = self.source.name, enterprises, "changes arrive");
        }
        self.status.set(enterprises, connection);
    }

    fn refused(&self, enterprises: &[EnterpriseId], connection: Connection, why: &str) {
        let ids: Vec<&str> = enterprises.iter().map(EnterpriseId::as_str).collect();
        tracing::warn!(source = self.source.name, enterprises = ?ids, error = why, "a channel is joined again");
        self.status.set_error(enterprises, connection, why);
    }
}

#[cfg(test)]
mod tests;
