use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;
use crate::clock::SystemClock;
use crate::config::Secret;

fn supabase(url: &str) -> Supabase {
    Supabase { url: url.to_owned(), key: Secret::new("a+b"), concurrency: 1 }
}

#[test]
fn the_socket_is_where_the_project_is() {
    let at = |base: &str| url(&supabase(base)).map(|url| url.to_string());
    let want = "wss://acme.supabase.co/realtime/v1/websocket?apikey=a%2Bb&vsn=2.0.0";
    assert_eq!(at("https://acme.supabase.co").as_deref(), Some(want));
    let want = "ws://127.0.0.1:54321/realtime/v1/websocket?apikey=a%2Bb&vsn=2.0.0";
    assert_eq!(at("http://127.0.0.1:54321").as_deref(), Some(want));
    assert_eq!(at("acme"), None);
}

#[test]
fn an_error_never_shows_the_key() {
    let quoting = tungstenite::error::UrlError::UnableToConnect("ws://x?apikey=secret".to_owned());
    let error = could_not_connect(quoting.into());
    assert!(!format!("{error:?}").contains("secret"));
}

/// Runs one connection to a server that sends these messages after the join and then reads on; says how the connection ended and whether
/// the subscription was ready.
async fn connection(messages: Vec<Message>) -> (Result<(), SourceError>, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let supabase = supabase(&format!("http://{}", listener.local_addr().unwrap()));
    let enterprises: Vec<EnterpriseId> = vec!["a".parse().unwrap()];
    let timing = Timing::with_heartbeat(Duration::from_secs(25));
    let source = source_with(&supabase, timing, &enterprises, &Arc::default());
    let status = StatusSender::new(&enterprises, Arc::new(SystemClock));
    let (out, _hints) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let server = async {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        socket.next().await.unwrap().unwrap();
        for message in messages {
            socket.send(message).await.unwrap();
        }
        while let Some(Ok(_)) = socket.next().await {}
    };
    let stop_when_ready = async {
        let mut table = status.watch();
        table
            .wait_for(|table| table.values().all(|standing| standing.connection == Connection::Subscribed))
            .await
            .unwrap();
        stop.cancel();
    };
    let ended = async {
        tokio::select! {
            // Never both: the server goes on for as long as the connection.
            ended = source.run(&out, &status, &stop) => ended,
            () = async { tokio::join!(server, stop_when_ready); std::future::pending().await } => unreachable!("it waits for ever"),
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the connection did not end");
    (ended, stop.is_cancelled())
}

#[tokio::test]
async fn frames_that_cannot_be_read_are_ignored() {
    let ready =
        r#"[null,null,"realtime:xnovu-1","system",{"status":"ok","extension":"postgres_changes","message":"m"}]"#;
    let messages = vec![
        Message::binary(vec![4, 1, 2, 3]),
        Message::text("not json"),
        Message::text("{\"half\":"),
        Message::text(r#"["1","1","realtime:xnovu-1","an_event_of_next_year",{}]"#),
        Message::Ping(Vec::new().into()),
        Message::text(ready),
    ];
    let (ended, was_ready) = connection(messages).await;
    assert!(ended.is_ok() && was_ready, "{ended:?}");
}

#[tokio::test]
async fn a_close_ends_the_connection_with_its_reason() {
    let frame = CloseFrame { code: CloseCode::Away, reason: "deploy".into() };
    let (ended, was_ready) = connection(vec![Message::Close(Some(frame))]).await;
    let Err(SourceError::Closed { reason }) = ended else { panic!("{ended:?}") };
    assert_eq!((reason.as_deref(), was_ready), (Some("1001 deploy"), false));
}
