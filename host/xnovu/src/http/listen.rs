//! The connections of those who ask.
//!
//! Owns how long a caller may take to say what it wants, how many are heard at a time, and how their connections end. Promises that no caller,
//! however slow, delays the end of the process by more than [`ANSWER_PATIENCE`]. All connections are turned by the task that serves.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::serve::Listener;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Longest time between a connection, or the answer before, and the whole head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// Connections at a time; more wait until one of them ends.
const CONNECTIONS_MAX: usize = 64;

/// How long an answer that is being made when the end comes may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(4);

/// How long a caller may take to fetch an answer that is made.
const FETCH_PATIENCE: Duration = Duration::from_millis(500);

/// Serves these routes until `stop` is cancelled, and then the answers under way.
pub async fn serve<L: Listener>(mut listener: L, routes: Router, stop: CancellationToken) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(()) = open.next() => {}
            (stream, _) = listener.accept(), if open.len() < CONNECTIONS_MAX => {
                open.push(guarded(stream, routes.clone(), &stop));
            }
        }
    }
    drop(listener);
    while open.next().await.is_some() {}
}

/// A panic is logged by its hook, and ends its own connection only.
async fn guarded<S>(stream: S, routes: Router, stop: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _ = AssertUnwindSafe(converse(stream, routes, stop)).catch_unwind().await;
}

async fn converse<S>(stream: S, routes: Router, stop: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answering = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        let (answer, answering) = (routes.clone().oneshot(request.map(Body::new)), &answering);
        async move {
            answering.store(true, Ordering::Relaxed);
            let answer = answer.await;
            answering.store(false, Ordering::Relaxed);
            answer
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let ended = stop.run_until_cancelled(connection.as_mut()).await;
    if let Some(ended) = ended {
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
        return;
    }
    connection.as_mut().graceful_shutdown();
    let patience = if answering.load(Ordering::Relaxed) { ANSWER_PATIENCE } else { FETCH_PATIENCE };
    // Whoever has not said all it wants by now is not answered.
    let _ = timeout(patience, connection).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio::time::Instant;

    use super::*;
    use crate::tasks::Tasks;

    struct Scene {
        address: SocketAddr,
        tasks: Tasks,
        begun: Arc<Notify>,
        end: Arc<Notify>,
    }

    impl Scene {
        async fn start() -> Self {
            let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (tell, wait) = (Arc::clone(&begun), Arc::clone(&end));
            let slow = async move || {
                tell.notify_one();
                wait.notified().await;
                "slow"
            };
            let routes = Router::new().route("/", get(async || "here")).route("/slow", get(slow));
            let routes = routes.route("/panic", get(async || -> &str { panic!("on purpose") }));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let tasks = Tasks::new(CancellationToken::new());
            tasks.spawn("http", serve(listener, routes, tasks.root().clone()));
            Self { address, tasks, begun, end }
        }

        async fn say(&self, text: &str) -> TcpStream {
            let mut caller = TcpStream::connect(self.address).await.unwrap();
            caller.write_all(text.as_bytes()).await.unwrap();
            caller
        }

        /// A caller that never ends its head.
        async fn half(&self) -> TcpStream {
            self.say("GET / HTTP/1.1\r\nHost: x\r\n").await
        }

        /// Whether everything has ended within a second.
        async fn ends(&self) -> bool {
            self.tasks.root().cancel();
            self.tasks.wait(Duration::from_secs(1)).await.is_empty()
        }
    }

    /// All that comes until the connection ends.
    async fn heard(mut caller: TcpStream) -> String {
        let mut said = Vec::new();
        let _ = caller.read_to_end(&mut said).await;
        String::from_utf8(said).unwrap()
    }

    fn request(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    }

    #[tokio::test]
    async fn a_request_that_is_half_sent_and_a_connection_that_says_nothing_delay_no_end() {
        let scene = Scene::start().await;
        let _callers = (scene.half().await, scene.say("").await);
        assert!(heard(scene.say(&request("/")).await).await.ends_with("here"));
        assert!(scene.ends().await);
    }

    #[tokio::test]
    async fn an_answer_under_way_is_given_before_the_end() {
        let scene = Scene::start().await;
        let caller = scene.say(&request("/slow")).await;
        scene.begun.notified().await;
        scene.tasks.root().cancel();
        scene.end.notify_one();
        assert!(heard(caller).await.ends_with("slow"));
        assert!(scene.ends().await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_never_comes_is_not_waited_for() {
        let scene = Scene::start().await;
        let _caller = scene.say(&request("/slow")).await;
        scene.begun.notified().await;
        scene.tasks.root().cancel();
        assert_eq!(scene.tasks.wait(ANSWER_PATIENCE * 2).await, Vec::<&str>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_end_its_head_is_hung_up_on_and_makes_room_for_others() {
        let scene = Scene::start().await;
        let began = Instant::now();
        let mut slow = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            slow.push(scene.half().await);
        }
        assert!(heard(scene.say(&request("/")).await).await.ends_with("here"));
        assert!(began.elapsed() >= HEAD_PATIENCE, "one more than may be was heard after {:?}", began.elapsed());
        for caller in slow {
            assert!(!heard(caller).await.contains("here"));
        }
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_connection_only() {
        let scene = Scene::start().await;
        assert_eq!(heard(scene.say(&request("/panic")).await).await, "");
        assert!(heard(scene.say(&request("/")).await).await.ends_with("here"));
        assert_eq!(scene.tasks.panics(), 0);
    }
}
