use super::*;
use crate::config::Secret;

#[test]
fn the_socket_is_where_the_project_is() {
    let at = |url: &str| {
        let supabase = Supabase { url: url.to_owned(), key: Secret::new("a+b"), concurrency: 1 };
        super::url(&supabase).map(|url| url.to_string())
    };
    let want = "wss://acme.supabase.co/realtime/v1/websocket?apikey=a%2Bb&vsn=2.0.0";
    assert_eq!(at("https://acme.supabase.co").as_deref(), Some(want));
    let want = "ws://127.0.0.1:54321/realtime/v1/websocket?apikey=a%2Bb&vsn=2.0.0";
    assert_eq!(at("http://127.0.0.1:54321").as_deref(), Some(want));
    assert_eq!(at("acme"), None);
}

#[test]
fn an_error_never_shows_the_key() {
    let error =
        could_not_connect(tungstenite::error::UrlError::UnableToConnect("ws://x?apikey=secret".to_owned()).into());
    assert!(!format!("{error:?}").contains("secret"));
}
