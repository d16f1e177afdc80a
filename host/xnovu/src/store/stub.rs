//! An HTTP server for unit tests that answers as it is told, rudely where need be.
//!
//! Owns one listener on a free port. Each connection serves one request. Stops when it is dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::tasks::Tasks;

/// One answer.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status, further header lines and a body.
    Http { status: u16, headers: &'static str, body: String },
    /// The request is read and the connection cut.
    Cut,
    /// The request is read and never answered.
    Silence,
}

impl Reply {
    /// A status and a body.
    pub(crate) fn http(status: u16, body: impl Into<String>) -> Self {
        Self::with(status, "", body)
    }

    /// A status, header lines (each ended by CR LF) and a body.
    pub(crate) fn with(status: u16, headers: &'static str, body: impl Into<String>) -> Self {
        Self::Http { status, headers, body: body.into() }
    }
}

/// One request as it arrived: `METHOD target`, header lines in lower case, body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

/// The server.
pub(crate) struct Stub {
    /// Base URL, without a slash at its end.
    pub(crate) url: String,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
}

impl Stub {
    /// Answers with these, in this order; a request beyond them is cut.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared =
            Arc::new(Shared { replies: Mutex::new(replies.into_iter().collect()), received: Mutex::default() });
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        tasks.spawn("stub", accept(listener, Arc::clone(&shared), tasks.clone()));
        Self { url, shared, _stop: stop.drop_guard() }
    }

    /// What has arrived so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tasks: Tasks) {
    let stop = tasks.root().clone();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        let (stream, _) = accepted.unwrap();
        tasks.spawn("stub connection", async move {
            stop.run_until_cancelled(serve(stream, &shared)).await;
        });
    }
}

async fn serve(stream: TcpStream, shared: &Shared) {
    let mut stream = BufReader::new(stream);
    let Some(received) = receive(&mut stream).await else { return };
    shared.received.lock().unwrap().push(received);
    let reply = shared.replies.lock().unwrap().pop_front().unwrap_or(Reply::Cut);
    match reply {
        Reply::Cut => {}
        Reply::Silence => std::future::pending().await,
        Reply::Http { status, headers, body } => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} S\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
            // The client may have hung up; the test will say so.
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    }
}

async fn receive(stream: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut received = Received::default();
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            first if received.line.is_empty() => first.trim_end_matches(" HTTP/1.1").clone_into(&mut received.line),
            header => received.headers.push(header.to_lowercase()),
        }
    }
    let length = received.headers.iter().find_map(|header| header.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    received.body = String::from_utf8(body).ok()?;
    Some(received)
}
