use super::*;
use crate::config::Secret;
use crate::gateway::Pause;
use crate::store::stub::{Reply, Stub};
use xnovu_domain::{Disposition, disposition};

fn gateway_at(url: &str) -> NovuGateway {
    let novu = Novu { url: url.to_owned(), key: Secret::new("k"), timeout: Duration::from_millis(500) };
    NovuGateway::new(&novu).unwrap()
}

fn call() -> TriggerCall {
    TriggerCall {
        body: r#"{"name":"w","transactionId":"xn-e-7-5-m0-c0"}"#.to_owned(),
        transaction_id: "xn-e-7-5-m0-c0".to_owned(),
        idempotency_key: "xn-e-7-5-m0-c0-g0".to_owned(),
    }
}

async fn answered(reply: Reply) -> (TriggerResult, NovuGateway, Stub) {
    let stub = Stub::start([reply]).await;
    let gateway = gateway_at(&stub.url);
    (gateway.trigger(&call()).await, gateway, stub)
}

fn http(status: u16, word: Option<&str>) -> Answer {
    Answer::Http { status, word: word.map(str::to_owned), replayed: false }
}

#[tokio::test]
async fn a_trigger_is_one_post_with_key_idempotency_key_and_the_very_bytes() {
    let body = r#"{"data":{"acknowledged":true,"status":"processed","transactionId":"t"}}"#;
    let (result, _, stub) = answered(Reply::http(201, body)).await;
    let want = TriggerResult {
        answer: http(201, Some("processed")),
        retry_after: None,
        detail: None,
        transaction_id: Some("t".to_owned()),
    };
    assert_eq!(result, want);
    let received = stub.received().remove(0);
    assert_eq!((received.line.as_str(), received.body.as_str()), ("POST /v1/events/trigger", call().body.as_str()));
    for line in ["authorization: apikey k", "idempotency-key: xn-e-7-5-m0-c0-g0", "content-type: application/json"] {
        assert!(received.headers.iter().any(|header| header == line), "{line}: {:?}", received.headers);
    }
}

#[tokio::test]
async fn every_answer_becomes_what_its_disposition_needs() {
    let postpone = |next_generation, uncertain| Disposition::Postpone { next_generation, uncertain };
    let cases = [
        (Reply::http(201, r#"{"acknowledged":true,"status":"processed"}"#), Disposition::Accepted, None),
        (
            Reply::http(201, r#"{"data":{"acknowledged":true,"status":"trigger_not_active"}}"#),
            Disposition::Refused,
            None,
        ),
        (
            Reply::http(201, r#"{"data":{"acknowledged":true,"status":"error","error":["first","second"]}}"#),
            Disposition::Retry,
            Some("first; second"),
        ),
        (Reply::http(201, "<html>"), postpone(false, true), Some("<html>")),
        (Reply::http(201, ""), postpone(false, true), None),
        (
            Reply::http(422, r#"{"statusCode":422,"message":"workflow_not_found"}"#),
            Disposition::Refused,
            Some("workflow_not_found"),
        ),
        (Reply::http(400, r#"{"message":["a","b"]}"#), Disposition::Refused, Some("a; b")),
        (Reply::http(301, ""), Disposition::Refused, None),
        (Reply::http(409, r#"{"message":"in progress"}"#), postpone(false, true), Some("in progress")),
        (
            Reply::http(429, r#"{"message":"API rate limit exceeded"}"#),
            postpone(true, false),
            Some("API rate limit exceeded"),
        ),
        (Reply::http(401, "{}"), Disposition::Locked, None),
        (Reply::http(500, "<html>bad\n</html>"), Disposition::Retry, Some("<html>bad </html>")),
        (Reply::with(422, "idempotency-replay: true\r\n", r#"{"message":"old"}"#), Disposition::Retry, Some("old")),
        (Reply::Cut, postpone(false, true), None),
        (Reply::Silence, postpone(false, true), None),
    ];
    for (reply, want, detail) in cases {
        let name = format!("{reply:?}");
        let silent = matches!(reply, Reply::Cut | Reply::Silence);
        let (result, gateway, stub) = answered(reply).await;
        assert_eq!(disposition(&result.answer, gateway.outage()), want, "{name}");
        assert!(silent || result.detail.as_deref() == detail, "{name}: {:?}", result.detail);
        assert_eq!(stub.received().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn what_never_left_is_told_from_what_was_lost() {
    let unsent = gateway_at("http://127.0.0.1:9").trigger(&call()).await;
    assert_eq!(unsent.answer, Answer::Unsent);
    assert!(unsent.detail.is_some_and(|detail| detail.len() <= DETAIL_BYTES_MAX && !detail.contains("/v1/")));
    let (lost, _, _stub) = answered(Reply::Cut).await;
    assert_eq!(lost.answer, Answer::Lost);
}

#[tokio::test]
async fn five_failures_in_a_row_are_an_outage_and_the_fifth_already_counts_as_one() {
    let stub = Stub::start(std::iter::repeat_n(Reply::http(500, ""), 5)).await;
    let gateway = gateway_at(&stub.url);
    for _ in 0..4 {
        assert_eq!(disposition(&gateway.trigger(&call()).await.answer, gateway.outage()), Disposition::Retry);
    }
    let fifth = gateway.trigger(&call()).await;
    assert!(matches!(
        disposition(&fifth.answer, gateway.outage()),
        Disposition::Postpone { next_generation: true, .. }
    ));
    assert_eq!(gateway.permit().map(drop).unwrap_err().reason, Pause::Outage);
}

#[tokio::test]
async fn a_replayed_failure_is_no_sign_of_an_outage() {
    let stub = Stub::start(std::iter::repeat_n(Reply::with(500, "idempotency-replay: true\r\n", ""), 6)).await;
    let gateway = gateway_at(&stub.url);
    for _ in 0..6 {
        gateway.trigger(&call()).await;
    }
    assert!(gateway.permit().is_ok());
}

#[tokio::test]
async fn a_rate_limit_closes_the_gateway_for_as_long_as_novu_says() {
    let (result, gateway, _stub) = answered(Reply::with(429, "retry-after: 7\r\n", "{}")).await;
    assert_eq!(result.retry_after, Some(Duration::from_secs(7)));
    let not_now = gateway.permit().map(drop).unwrap_err();
    assert!(not_now.reason == Pause::RateLimited && not_now.after > Duration::from_secs(6), "{not_now:?}");

    let used_up = "ratelimit-remaining: 0\r\nratelimit-reset: 3\r\n";
    let (_, gateway, _stub) = answered(Reply::with(201, used_up, r#"{"status":"processed"}"#)).await;
    let not_now = gateway.permit().map(drop).unwrap_err();
    assert!(not_now.reason == Pause::RateLimited && not_now.after > Duration::from_secs(2), "{not_now:?}");

    let left = "ratelimit-remaining: 1\r\nratelimit-reset: 3\r\n";
    let (_, gateway, _stub) = answered(Reply::with(201, left, r#"{"status":"processed"}"#)).await;
    assert!(gateway.permit().is_ok());
}

#[tokio::test]
async fn a_refused_key_locks_the_gateway() {
    let (_, gateway, _stub) = answered(Reply::http(403, "{}")).await;
    assert_eq!(gateway.permit().map(drop).unwrap_err().reason, Pause::Locked);
}

#[tokio::test]
async fn a_cancellation_is_yes_nothing_pending_or_an_error() {
    let cases = [
        (Reply::http(200, r#"{"data":true}"#), Ok(Cancelled::Yes)),
        (Reply::http(200, "false"), Ok(Cancelled::NothingPending)),
        (Reply::http(204, ""), Ok(Cancelled::Yes)),
        (Reply::http(404, "{}"), Ok(Cancelled::NothingPending)),
        (Reply::http(500, r#"{"message":"boom"}"#), Err("Novu answered HTTP 500: boom")),
        (Reply::Cut, Err("no answer from Novu")),
    ];
    for (reply, want) in cases {
        let stub = Stub::start([reply.clone()]).await;
        let cancelled = gateway_at(&stub.url).cancel("a/b c").await;
        assert_eq!(cancelled.map_err(|error| error.to_string()), want.map_err(str::to_owned), "{reply:?}");
        assert_eq!(stub.received()[0].line, "DELETE /v1/events/trigger/a%2Fb%20c");
    }
}

#[tokio::test]
async fn nothing_is_cancelled_while_the_gateway_is_closed() {
    let (_, gateway, stub) = answered(Reply::http(401, "{}")).await;
    assert!(matches!(gateway.cancel("t").await, Err(GatewayError::NotNow(_))));
    assert_eq!(stub.received().len(), 1);
}
