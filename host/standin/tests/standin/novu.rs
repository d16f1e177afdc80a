//! Novu.

use futures_util::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use xnovu_standin::{Effect, Face, Faults, HttpFault, Options, Outcome, WorkflowState};

use crate::support::{ENTERPRISE, NOVU_KEY, World, answer};

async fn world_with(options: Options) -> World {
    let world = World::with(options).await;
    world
        .state()
        .insert("ent_notification_workflow", &json!({"workflow_key": "welcome", "enterprise_id": ENTERPRISE}))
        .expect("a workflow with a key of its own");
    world
}

async fn world() -> World {
    world_with(Options::default()).await
}

fn event(transaction_id: &str) -> Value {
    json!({
        "name": "welcome",
        "to": [{"subscriberId": "s1"}, "s2", {"type": "Topic", "topicKey": "t"}],
        "payload": {"a": 1},
        "transactionId": transaction_id
    })
}

#[tokio::test]
async fn an_accepted_trigger_is_recorded_as_it_came() {
    let world = world().await;
    let request = world.novu("trigger", &event("tx-1")).header("idempotency-key", "key-1");
    let accepted = answer(request).await;
    assert_eq!(accepted.status, 201);
    assert_eq!(accepted.body, json!({"data": {"acknowledged": true, "status": "processed", "transactionId": "tx-1"}}));
    let [delivery] = &world.state().deliveries(0)[..] else { panic!("one delivery") };
    assert_eq!(delivery.recipients, ["s1", "s2", "topic:t"]);
    assert_eq!((delivery.transaction_id.as_str(), delivery.idempotency_key.as_deref()), ("tx-1", Some("key-1")));
    assert_eq!((delivery.workflow.as_str(), delivery.payload.clone()), ("welcome", json!({"a": 1})));
    assert_eq!(delivery.enterprise_id.map(|id| id.to_string()).as_deref(), Some(ENTERPRISE));
    assert_eq!(serde_json::from_str::<Value>(&delivery.body).unwrap(), event("tx-1"));
    assert_eq!(world.state().deliveries(delivery.seq), []);
}

#[tokio::test]
async fn a_transaction_id_used_before_is_accepted_and_not_delivered() {
    let world = world().await;
    for _ in 0..2 {
        assert_eq!(answer(world.novu("trigger", &event("tx-1"))).await.body["data"]["status"], "processed");
    }
    let outcomes: Vec<_> = world.state().deliveries(0).iter().map(|delivery| delivery.outcome).collect();
    assert_eq!(outcomes, [Outcome::Delivered, Outcome::RefusedDuplicate]);
    let stats = world.state().stats().novu;
    assert_eq!((stats.delivered, stats.refused_duplicates, stats.recipients), (1, 1, 3));
}

#[tokio::test]
async fn the_workflow_decides_the_word_in_the_body() {
    let world = world().await;
    let insert = |key: &str, more: Value| {
        let mut row = json!({"workflow_key": key});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.state().insert("ent_notification_workflow", &row).unwrap();
    };
    insert("off", json!({"deactivated": true}));
    insert("draft", json!({"publish_status": "DRAFT"}));
    world.state().set_workflow("stepless", WorkflowState::NoSteps);
    let trigger = |name: &str| answer(world.novu("trigger", &json!({"name": name, "to": "s1"})));
    assert_eq!(trigger("off").await.body["data"]["status"], "trigger_not_active");
    assert_eq!(trigger("stepless").await.body["data"]["status"], "no_workflow_steps_defined");
    for unknown in ["draft", "nowhere"] {
        let refused = trigger(unknown).await;
        assert_eq!((refused.status, &refused.body["message"]), (422, &json!("workflow_not_found")), "{unknown}");
    }
    world.state().set_workflow("welcome", WorkflowState::Unknown);
    assert_eq!(trigger("welcome").await.status, 422);
    assert_eq!(world.state().deliveries(0), []);
}

#[tokio::test]
async fn malformed_triggers_are_refused_with_typed_errors() {
    let world = world().await;
    let many: Vec<_> = (0..101).map(|id| id.to_string()).collect();
    for (body, status) in [
        (json!({"to": "s1"}), 422),
        (json!({"name": "welcome"}), 422),
        (json!({"name": "welcome", "to": "s1", "payload": "text"}), 422),
        (json!({"name": "welcome", "to": many}), 400),
    ] {
        let refused = answer(world.novu("trigger", &body)).await;
        assert_eq!(refused.status, status, "{body}");
        assert_eq!(refused.body["statusCode"], status);
        assert_eq!(refused.body["path"], "/v1/events/trigger");
        assert!(refused.body["errors"].is_object() || refused.body["type"].is_string(), "{refused:?}");
    }
    let hundred = json!({"name": "welcome", "to": many[..100]});
    assert_eq!(answer(world.novu("trigger", &hundred)).await.body["data"]["status"], "processed");
    let nobody = json!({"name": "welcome", "to": []});
    assert_eq!(answer(world.novu("trigger", &nobody)).await.body["data"]["status"], "invalid_recipients");
}

#[tokio::test]
async fn a_bulk_call_answers_each_event_in_order() {
    let world = world().await;
    let events = json!({"events": [event("a"), {"name": "nowhere", "to": "s1"}, event("a"), event("b")]});
    let bulk = answer(world.novu("trigger/bulk", &events)).await;
    assert_eq!(bulk.status, 201);
    let statuses: Vec<_> = bulk.body["data"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect();
    assert_eq!(statuses, ["processed", "error", "processed", "processed"]);
    assert_eq!(world.state().stats().novu.delivered, 2);
    let too_many = json!({"events": vec![event("x"); 101]});
    assert_eq!(answer(world.novu("trigger/bulk", &too_many)).await.status, 400);
}

#[tokio::test]
async fn a_cancel_answers_whether_something_was_pending() {
    let world = world().await;
    answer(world.novu("trigger", &event("tx-1"))).await;
    let cancel = || {
        let url = format!("{}/v1/events/trigger/tx-1", world.standin.url());
        answer(world.http.request(Method::DELETE, url).header("authorization", format!("ApiKey {NOVU_KEY}")))
    };
    let first = cancel().await;
    assert_eq!((first.status, first.body), (200, json!({"data": true})));
    assert_eq!(cancel().await.body, json!({"data": false}));
    assert!(world.state().deliveries(0)[0].cancelled);
}

#[tokio::test]
async fn an_idempotency_key_replays_successes_and_refuses_other_bodies() {
    let world = world().await;
    let trigger = |body: Value| answer(world.novu("trigger", &body).header("idempotency-key", "k"));
    let first = trigger(event("a")).await;
    let again = trigger(event("a")).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!((first.header("idempotency-replay"), again.header("idempotency-replay")), ("", "true"));
    let other = trigger(event("b")).await;
    assert_eq!(other.status, 422);
    assert_eq!(world.state().deliveries(0).len(), 1);
}

#[tokio::test]
async fn an_idempotency_key_replays_errors_too() {
    let world = world().await;
    let unknown = json!({"name": "later", "to": "s1"});
    let trigger = || answer(world.novu("trigger", &unknown).header("idempotency-key", "k"));
    assert_eq!(trigger().await.status, 422);
    world.state().insert("ent_notification_workflow", &json!({"workflow_key": "later"})).unwrap();
    let replayed = trigger().await;
    assert_eq!((replayed.status, replayed.header("idempotency-replay")), (422, "true"));
}

#[tokio::test]
async fn a_server_error_behind_the_key_is_replayed_as_500() {
    let world = world().await;
    let effect =
        Effect::Status { status: 503, body: Default::default(), retry_after_s: Some(7), behind_idempotency: true };
    let fault = HttpFault { count: Some(1), ..HttpFault::new(Face::Novu, effect) };
    world.state().set_faults(Faults { http: vec![fault], ..Faults::default() });
    let trigger = |key: &'static str| answer(world.novu("trigger", &event("a")).header("idempotency-key", key));
    let first = trigger("k").await;
    assert_eq!((first.status, first.header("retry-after")), (503, "7"));
    assert_eq!(trigger("k").await.status, 500);
    assert_eq!(trigger("k-g1").await.status, 201, "a new generation gets through");
}

#[tokio::test]
async fn a_key_whose_request_is_under_way_is_answered_409_with_retry_after() {
    let world = world().await;
    let fault = HttpFault { count: Some(1), latency_ms: 500, ..HttpFault::new(Face::Novu, Effect::Pass) };
    world.state().set_faults(Faults { http: vec![fault], ..Faults::default() });
    let trigger = || answer(world.novu("trigger", &event("a")).header("idempotency-key", "k"));
    let second = async {
        // The first request has begun once its work is done.
        crate::support::eventually(|| world.state().deliveries(0).len(), |deliveries| *deliveries == 1).await;
        trigger().await
    };
    let (first, second) = join(trigger(), second).await;
    assert_eq!((first.status, second.status, second.header("retry-after")), (201, 409, "1"));
    assert_eq!(trigger().await.status, 201);
}

#[tokio::test]
async fn without_idempotency_a_key_means_nothing() {
    let world = world_with(Options { novu_idempotency: false, ..Options::default() }).await;
    for transaction in ["a", "b"] {
        let request = world.novu("trigger", &event(transaction)).header("idempotency-key", "k");
        assert_eq!(answer(request).await.status, 201);
    }
    assert_eq!(world.state().stats().novu.delivered, 2);
}

#[tokio::test]
async fn the_rate_limit_is_told_in_headers_and_enforced_with_429() {
    let world = world_with(Options { novu_requests_per_second: Some(20), ..Options::default() }).await;
    let first = answer(world.novu("trigger", &event("a"))).await;
    assert_eq!((first.header("ratelimit-limit"), first.header("ratelimit-remaining")), ("100", "109"));
    assert!(first.header("ratelimit-policy").starts_with("100;w=5;burst=110;"), "{first:?}");
    let bulk = json!({"events": [event("b")]});
    assert_eq!(answer(world.novu("trigger/bulk", &bulk)).await.status, 201, "costs 100");
    let refused = answer(world.novu("trigger/bulk", &bulk)).await;
    assert_eq!((refused.status, &refused.body["message"]), (429, &json!("API rate limit exceeded")));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let world = world().await;
    let url = format!("{}/v1/events/trigger", world.standin.url());
    for authorization in [Some("ApiKey wrong"), Some("Bearer novu-test"), None] {
        let mut request = world.http.post(&url).json(&event("a"));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let refused = answer(request).await;
        assert_eq!((refused.status, &refused.body["statusCode"]), (401, &json!(401)));
    }
}
