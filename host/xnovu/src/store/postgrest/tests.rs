use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::config::Secret;
use crate::store::stub::{Reply, Stub};

const ROW: &str = r#"{"id":7,"enterprise_id":"ent1","name":"n","notification_status":"PROCESSING","publish_status":"PUBLISH",
    "deactivated":false,"payload":{"a":1},"recipients":["u1"],"created_at":"2026-01-01T00:00:00+00:00",
    "updated_at":"2026-01-01T00:00:01+00:00","workflow":{"workflow_key":"w"}}"#;

fn supabase(stub: &Stub) -> Supabase {
    Supabase { url: stub.url.clone(), key: Secret::new("sb_secret_k"), concurrency: 2 }
}

fn store(stub: &Stub) -> Postgrest {
    Postgrest::new(&supabase(stub), Arc::new(SystemClock)).unwrap()
}

fn job() -> JobId {
    "xn-ent1-7-5".parse().unwrap()
}

fn fence() -> Fence {
    Fence { job: job(), stamp: Micros::parse("2026-01-01T12:00:00.000001Z").unwrap() }
}

fn row() -> Notification {
    serde_json::from_str(ROW).unwrap()
}

fn written(stub: &Stub, index: usize) -> Value {
    serde_json::from_str(&stub.received()[index].body).unwrap()
}

#[tokio::test]
async fn a_claim_is_one_patch_that_returns_the_row_with_what_it_points_to() {
    let stub = Stub::start([Reply::http(200, format!("[{ROW}]")), Reply::http(200, "[]")]).await;
    let store = store(&stub);
    let claimed = store.claim(&job(), fence().stamp).await.unwrap().unwrap();
    assert_eq!(claimed.workflow_key().unwrap().as_str(), "w");
    assert_eq!(store.claim(&job(), fence().stamp).await.unwrap(), None);
    let received = stub.received().remove(0);
    assert!(
        received.line.starts_with("PATCH /rest/v1/ent_notification?select=id%2Centerprise_id"),
        "{}",
        received.line
    );
    for header in ["content-profile: notify", "prefer: return=representation", "apikey: sb_secret_k"] {
        assert!(received.headers.iter().any(|line| line == header), "{header}: {:?}", received.headers);
    }
    assert!(received.headers.iter().any(|line| line.starts_with("user-agent: xnovu/")));
    let want = json!({"notification_status": "PROCESSING", "transaction_id": "xn-ent1-7-5",
        "processed_at": "2026-01-01T12:00:00.000001Z"});
    assert_eq!(written(&stub, 0), want);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_repeated_word_for_word() {
    let stub = Stub::start([Reply::Cut, Reply::http(200, r#"[{"id":7}]"#)]).await;
    let settlement = Settlement::Sent { details: json!({"novu_transaction_ids": ["t"]}) };
    assert!(store(&stub).settle(&fence(), &settlement).await.unwrap());
    let received = stub.received();
    assert_eq!((&received[0].line, &received[0].body), (&received[1].line, &received[1].body));
}

#[tokio::test]
async fn a_request_is_given_up_after_three_tries() {
    let stub = Stub::start(std::iter::repeat_n(Reply::http(503, r#"{"code":"PGRST001","message":"m"}"#), 9)).await;
    let error = store(&stub).renew(&fence(), fence().stamp).await.unwrap_err();
    assert!(error.is_outage() && error.code() == Some("PGRST001"), "{error}");
    assert_eq!(stub.received().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_an_html_page_survives_as_text() {
    let stub =
        Stub::start([Reply::http(401, "<html>no</html>"), Reply::http(400, r#"{"code":"22P02","message":"m"}"#)]).await;
    let store = store(&stub);
    let denied = store.owed(&"ent1".parse().unwrap(), None, fence().stamp, 500).await.unwrap_err();
    assert!(denied.is_denied(), "{denied}");
    assert_eq!(denied.to_string(), "read owed notifications: HTTP 401: <html>no</html>");
    assert!(store.read(&"ent1".parse().unwrap(), &[row().id]).await.unwrap_err().is_bad_value());
    assert_eq!(stub.received().len(), 2);
}

#[tokio::test]
async fn no_connection_is_an_outage_that_shows_no_url() {
    let supabase = Supabase { url: "http://127.0.0.1:9".to_owned(), key: Secret::new("k"), concurrency: 1 };
    let store = Postgrest::new(&supabase, Arc::new(SystemClock)).unwrap();
    let error = store.claim(&job(), fence().stamp).await.unwrap_err();
    assert!(error.is_outage());
    assert!(!format!("{:#}", anyhow::Error::from(error)).contains("ent_notification"));
}

#[tokio::test]
async fn a_success_that_is_no_json_is_an_error_and_no_empty_page() {
    let stub = Stub::start([Reply::http(200, "<html>"), Reply::http(204, "")]).await;
    let store = store(&stub);
    let page = store.owed(&"ent1".parse().unwrap(), None, fence().stamp, 500).await;
    assert!(matches!(page, Err(StoreError::Malformed { .. })), "{page:?}");
    let released = store.release(&fence(), None).await;
    assert!(matches!(released, Err(StoreError::Malformed { .. })), "{released:?}");
}

#[tokio::test]
async fn more_ids_than_fit_are_read_in_several_requests() {
    let stub =
        Stub::start([Reply::http(200, format!("[{ROW}]")), Reply::http(200, "[]"), Reply::http(200, "[]")]).await;
    let ids: Vec<NotificationId> = (1..=250).map(|id| NotificationId::new(id).unwrap()).collect();
    assert_eq!(store(&stub).read(&"ent1".parse().unwrap(), &ids).await.unwrap().rows.len(), 1);
    let lines: Vec<String> = stub.received().into_iter().map(|received| received.line).collect();
    assert!(lines.len() == 3 && lines[2].contains("id=in.%28201%2C"), "{lines:?}");
}

/// A row whose every column is what it must not be.
const BAD_ROW: &str = r#"{"id":9,"enterprise_id":"SECRET of","name":["SECRET"],"notification_status":{"SECRET":1},"publish_status":"SECRET",
    "deactivated":"SECRET","payload":{"SECRET":"SECRET"},"recipients":"SECRET","created_at":"SECRET","updated_at":"SECRET"}"#;

#[tokio::test]
async fn no_error_quotes_a_row() {
    let refused = |code: &str, message: &str| Reply::http(400, json!({"code": code, "message": message}).to_string());
    let stub = Stub::start([
        Reply::http(200, format!("[{BAD_ROW}]")),
        Reply::http(200, format!("[{BAD_ROW}]")),
        Reply::http(200, r#"[{"id":"SECRET"}, "SECRET"]"#),
        refused("22P02", "invalid input syntax for type json: \"SECRET\""),
        refused("P0001", "the trigger does not like SECRET"),
    ])
    .await;
    let (store, enterprise) = (store(&stub), "ent1".parse().unwrap());
    let mut said = Vec::new();
    let page = store.owed(&enterprise, None, fence().stamp, 500).await.unwrap();
    said.extend(page.bad.iter().map(|bad| crate::telemetry::Chain(bad).to_string()));
    let claimed = store.claim(&job(), fence().stamp).await.unwrap_err();
    assert!(matches!(claimed, StoreError::Row { .. }), "{claimed}");
    let workflows = store.workflows(&enterprise).await.unwrap_err();
    assert!(matches!(workflows, StoreError::Malformed { .. }), "{workflows}");
    let settlement = Settlement::Sent { details: json!({}) };
    let refused = [
        store.settle(&fence(), &settlement).await.unwrap_err(),
        store.settle(&fence(), &settlement).await.unwrap_err(),
    ];
    said.extend([claimed, workflows].iter().chain(&refused).map(|error| crate::telemetry::Chain(error).to_string()));
    assert_eq!(said.len(), 5);
    for text in said {
        assert!(!text.contains("SECRET"), "{text}");
    }
}

#[tokio::test]
async fn bad_rows_are_returned_beside_the_good_and_move_the_page_on() {
    let stub = Stub::start([Reply::http(200, format!(r#"[{ROW},{{"id":9,"enterprise_id":"ent1"}}]"#))]).await;
    let page = store(&stub).owed(&"ent1".parse().unwrap(), None, fence().stamp, 500).await.unwrap();
    assert_eq!((page.rows.len(), page.bad.len()), (1, 1));
    assert_eq!(page.last_id().unwrap().get(), 9);
    assert!(!page.is_empty());
}

#[tokio::test]
async fn each_write_writes_what_it_promises_and_no_more() {
    let stub = Stub::start(std::iter::repeat_n(Reply::http(200, "[]"), 9)).await;
    let clock = Arc::new(ManualClock::new(Micros::parse("2026-01-01T12:00:00Z").unwrap()));
    let store = Postgrest::new(&supabase(&stub), clock).unwrap();
    let (fence, until, details) = (fence(), Micros::parse("2026-01-02T00:00:00Z").unwrap(), json!({"hold": "h"}));
    let settlements = [
        Settlement::Failed { details: details.clone() },
        Settlement::Retracted { reason: "r".into(), details: Value::Null },
        Settlement::Deferred { until, details: details.clone() },
    ];
    for settlement in &settlements {
        assert!(!store.settle(&fence, settlement).await.unwrap());
    }
    assert!(!store.release(&fence, Some(details.clone())).await.unwrap());
    assert!(!store.renew(&fence, until).await.unwrap());
    assert!(!store.drop_seen(&row(), &"r".into()).await.unwrap());
    assert!(!store.defer_seen(&row(), until, details.clone()).await.unwrap());
    assert!(!store.note_reaped(&row(), details.clone()).await.unwrap());
    assert!(!store.mark_cancelled(&row(), details.clone()).await.unwrap());
    let (now, until) = ("2026-01-01T12:00:00.000000Z", "2026-01-02T00:00:00.000000Z");
    let want = [
        json!({"notification_status": "FAILED", "error_details": details}),
        json!({"notification_status": "RETRACTED", "retraction_reason": "rule: r", "retracted_at": now, "error_details": null}),
        json!({"notification_status": "PENDING", "scheduled_for": until, "error_details": details}),
        json!({"processed_at": "2026-01-01T11:58:00.000001Z", "error_details": details}),
        json!({"processed_at": until}),
        json!({"notification_status": "RETRACTED", "retraction_reason": "rule: r", "retracted_at": now, "transaction_id": null}),
        json!({"scheduled_for": until, "error_details": details}),
        json!({"error_details": details}),
        json!({"error_details": details}),
    ];
    for (index, want) in want.iter().enumerate() {
        assert_eq!(&written(&stub, index), want, "{index}");
    }
}

#[tokio::test]
async fn workflows_are_read_until_a_page_is_empty() {
    let page = r#"[{"id":1,"workflow_key":"a"},{"id":4,"workflow_key":"b"}]"#;
    let stub = Stub::start([Reply::http(200, page), Reply::http(200, "[]")]).await;
    let keys = store(&stub).workflows(&"ent1".parse().unwrap()).await.unwrap();
    assert_eq!(keys, BTreeSet::from(["a".into(), "b".into()]));
    assert!(stub.received()[1].line.contains("id=gt.4"), "{}", stub.received()[1].line);
}

#[tokio::test]
async fn the_databases_clock_is_learned_from_its_answers_and_not_from_cached_ones() {
    const DATE: &str = "date: Thu, 01 Jan 2026 12:01:00 GMT\r\n";
    const CACHED: &str = "date: Thu, 01 Jan 2026 13:00:00 GMT\r\nage: 5\r\n";
    let stub = Stub::start([Reply::with(200, CACHED, "[]"), Reply::with(200, DATE, "[]")]).await;
    let clock = Arc::new(ManualClock::new(Micros::parse("2026-01-01T12:00:00Z").unwrap()));
    let store = Postgrest::new(&supabase(&stub), clock.clone()).unwrap();
    store.workflows(&"ent1".parse().unwrap()).await.unwrap();
    assert_eq!(store.database_now(), clock.now());
    store.workflows(&"ent1".parse().unwrap()).await.unwrap();
    assert_eq!(store.database_now(), Micros::parse("2026-01-01T12:01:00.5Z").unwrap());
    assert!(store.stamp() < store.stamp());
}
