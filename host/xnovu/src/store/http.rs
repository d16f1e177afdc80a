//! HTTP and TLS as every edge speaks them.
//!
//! Owns whom we trust, how long we wait to connect and how much of an answer we take. Promises that neither a proxy nor a redirect nor a
//! silent retry comes between a call and its answer: what was sent once was sent once. Never logs a URL, which may hold a key.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Response};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// Longest wait for a connection.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How we name ourselves. Supabase refuses secret keys to what looks like a browser.
pub(crate) const USER_AGENT: &str = concat!("xnovu/", env!("CARGO_PKG_VERSION"));

/// Settings that make no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// A key that cannot stand in a header.
    #[error("the key holds characters that cannot stand in an HTTP header")]
    Key,
    /// The TLS or HTTP library refused.
    #[error("no HTTP client could be made")]
    Build(#[source] reqwest::Error),
    /// The TLS library refused.
    #[error("no TLS client could be made")]
    Tls(#[source] rustls::Error),
}

/// Why a body was not taken whole.
#[derive(Debug)]
pub(crate) enum BodyError {
    Broken(reqwest::Error),
    TooLarge,
}

/// Trusts the machine's certificate authorities and, so that a bare container works, Mozilla's.
pub(crate) fn tls() -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let machine = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(machine.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(versions.map_err(ClientError::Tls)?.with_root_certificates(roots).with_no_client_auth())
}

/// A client that waits `timeout` for a whole answer and sends `headers` with every request.
pub(crate) fn client(timeout: Duration, headers: HeaderMap) -> Result<Client, ClientError> {
    Client::builder()
        .tls_backend_preconfigured(tls()?)
        .user_agent(USER_AGENT)
        .default_headers(headers)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .build()
        .map_err(ClientError::Build)
}

/// A header value that debug prints do not show.
pub(crate) fn secret_value(text: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| ClientError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The whole body, at most `bytes_max`.
pub(crate) async fn body(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > bytes_max {
        return Err(BodyError::TooLarge);
    }
    let mut whole = Vec::with_capacity(announced);
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if whole.len() + chunk.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

/// Text of the other side as one line of at most `bytes_max` bytes.
pub(crate) fn one_line(text: &str, bytes_max: usize) -> String {
    let text = &text[..text.floor_char_boundary(bytes_max)];
    text.replace(|c: char| c.is_control(), " ").trim().to_owned()
}

/// A header's value as text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A header's value as a span of whole or broken seconds; None where it is absent, negative or a date.
pub(crate) fn seconds(headers: &HeaderMap, name: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(header(headers, name)?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::stub::{Reply, Stub};

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_limit_and_not_beyond() {
        let stub = Stub::start([Reply::http(200, "four"), Reply::http(200, "fives")]).await;
        let client = client(Duration::from_secs(5), HeaderMap::new()).unwrap();
        let fits = body(client.get(&stub.url).send().await.unwrap(), 4).await;
        assert!(matches!(fits.as_deref(), Ok(b"four")), "{fits:?}");
        let exceeds = body(client.get(&stub.url).send().await.unwrap(), 4).await;
        assert!(matches!(exceeds, Err(BodyError::TooLarge)), "{exceeds:?}");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let stub = Stub::start([Reply::with(302, "location: /elsewhere\r\n", "")]).await;
        let client = client(Duration::from_secs(5), HeaderMap::new()).unwrap();
        assert_eq!(client.get(&stub.url).send().await.unwrap().status(), 302);
        assert_eq!(stub.received().len(), 1);
    }

    #[test]
    fn text_of_the_other_side_becomes_one_short_line() {
        assert_eq!(one_line("<html>\r\n<b>Bad\u{7}</b>", 200), "<html>  <b>Bad </b>");
        assert_eq!(one_line("ééé", 3), "é");
    }

    #[test]
    fn seconds_are_read_and_dates_are_not() {
        let read = |text: &'static str| {
            seconds(&HeaderMap::from_iter([("retry-after".parse().unwrap(), text.parse().unwrap())]), "Retry-After")
        };
        assert_eq!(read(" 2"), Some(Duration::from_secs(2)));
        assert_eq!(read("0.5"), Some(Duration::from_millis(500)));
        for text in ["-1", "NaN", "1e300", "Wed, 21 Oct 2015 07:28:00 GMT", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_not_shown_and_a_broken_one_is_refused() {
        assert!(!format!("{:?}", secret_value("hunter2").unwrap()).contains("hunter2"));
        assert!(matches!(secret_value("a\nb"), Err(ClientError::Key)));
    }

    #[test]
    fn a_client_is_made_without_the_machines_certificates_too() {
        assert!(client(Duration::from_secs(1), HeaderMap::new()).is_ok());
    }
}
