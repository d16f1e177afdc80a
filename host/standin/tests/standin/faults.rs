//! Fault switches and the admin route.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use xnovu_standin::{Action, Effect, ErrorBody, Face, Faults, HttpFault, NovuFaults, RealtimeFaults, RestFaults};

use crate::support::{ENTERPRISE, World, answer, eventually};

const TOPIC: &str = "realtime:x";
/// Long enough for a frame that is wrongly sent to arrive.
const QUIET: Duration = Duration::from_millis(100);

fn set_http(world: &World, fault: HttpFault) {
    world.state().set_faults(Faults { http: vec![fault], ..Faults::default() });
}

fn set_realtime(world: &World, realtime: RealtimeFaults) {
    world.state().set_faults(Faults { realtime, ..Faults::default() });
}

#[tokio::test]
async fn an_error_status_comes_in_every_form_of_body() {
    let world = World::start().await;
    for (body, content_type) in
        [(ErrorBody::Json, "application/json; charset=utf-8"), (ErrorBody::Html, "text/html"), (ErrorBody::Empty, "")]
    {
        let effect = Effect::Status { status: 503, body, retry_after_s: Some(2), behind_idempotency: false };
        set_http(&world, HttpFault { count: Some(1), ..HttpFault::new(Face::Rest, effect) });
        let hit = world.get("ent_notification").await;
        assert_eq!((hit.status, hit.header("content-type"), hit.header("retry-after")), (503, content_type, "2"));
        assert_eq!(world.get("ent_notification").await.status, 200, "used up");
    }
}

#[tokio::test]
async fn a_timeout_neither_answers_nor_works() {
    let world = World::start().await;
    let id = world.notification(json!({}));
    set_http(&world, HttpFault::new(Face::Rest, Effect::Timeout));
    let request = world.rest(Method::PATCH, &format!("ent_notification?id=eq.{id}")).timeout(QUIET);
    let error = request.json(&json!({"description": "x"})).send().await.expect_err("no answer");
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(world.state().row("ent_notification", id).unwrap().unwrap()["description"], Value::Null);
}

#[tokio::test]
async fn a_cut_works_and_closes_the_connection_in_place_of_an_answer() {
    let world = World::start().await;
    let id = world.notification(json!({}));
    let fault = HttpFault { body_contains: Some("SENT".to_owned()), ..HttpFault::new(Face::Rest, Effect::Cut) };
    set_http(&world, fault);
    let path = format!("ent_notification?id=eq.{id}");
    let claim = world.patch(&path, json!({"notification_status": "PROCESSING"})).await;
    assert_eq!(claim.status, 200, "only the settle is hit");
    let settle = world.rest(Method::PATCH, &path).json(&json!({"notification_status": "SENT"})).send().await;
    let error = settle.expect_err("no answer");
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert_eq!(world.state().row("ent_notification", id).unwrap().unwrap()["notification_status"], "SENT");
}

#[tokio::test]
async fn a_cut_of_novu_delivers_and_a_retry_with_the_key_is_a_replay() {
    let world = World::start().await;
    world.state().insert("ent_notification_workflow", &json!({"workflow_key": "welcome"})).unwrap();
    set_http(&world, HttpFault { count: Some(1), ..HttpFault::new(Face::Novu, Effect::Cut) });
    let body = json!({"name": "welcome", "to": "s1", "transactionId": "a"});
    let trigger = || world.novu("trigger", &body).header("idempotency-key", "k");
    assert!(trigger().send().await.is_err());
    let retried = answer(trigger()).await;
    assert_eq!((retried.status, retried.header("idempotency-replay")), (201, "true"));
    assert_eq!(world.state().deliveries(0).len(), 1);
}

#[tokio::test]
async fn a_client_that_gives_up_on_a_slow_novu_has_been_served_all_the_same() {
    let world = World::start().await;
    world.state().insert("ent_notification_workflow", &json!({"workflow_key": "welcome"})).unwrap();
    set_http(&world, HttpFault { count: Some(1), latency_ms: 60_000, ..HttpFault::new(Face::Novu, Effect::Pass) });
    let body = json!({"name": "welcome", "to": "s1"});
    let trigger = || world.novu("trigger", &body).header("idempotency-key", "k");
    assert!(trigger().timeout(QUIET).send().await.expect_err("slow").is_timeout());
    assert_eq!(world.state().deliveries(0).len(), 1);
    // The stand-in learns of the client's going a moment later.
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    loop {
        let retried = answer(trigger()).await;
        if retried.status == 201 {
            assert_eq!(retried.header("idempotency-replay"), "true");
            break;
        }
        assert_eq!(retried.status, 409);
        assert!(tokio::time::Instant::now() < deadline, "the key is still in progress");
    }
}

#[tokio::test]
async fn a_lagging_replica_shows_rows_as_they_were() {
    let world = World::start().await;
    let id = world.notification(json!({}));
    let rest = RestFaults { stale_reads_ms: 60_000, ..RestFaults::default() };
    world.state().set_faults(Faults { rest, ..Faults::default() });
    let path = format!("ent_notification?select=id,notification_status&id=gte.{id}&order=id");
    let written = world.patch(&format!("ent_notification?id=eq.{id}"), json!({"notification_status": "SENT"})).await;
    assert_eq!(written.body[0]["notification_status"], "SENT", "writes see the primary");
    world.notification(json!({}));
    assert_eq!(world.get(&path).await.body, json!([{"id": id, "notification_status": "PENDING"}]));
    let claim = format!("ent_notification?id=eq.{id}&notification_status=eq.PENDING");
    assert_eq!(world.patch(&claim, json!({"notification_status": "PROCESSING"})).await.body, json!([]));
    world.state().set_faults(Faults::default());
    assert_eq!(world.get(&path).await.column("notification_status"), [json!("SENT"), json!("PENDING")]);
}

#[tokio::test]
async fn writes_can_be_filtered_away_or_denied() {
    let world = World::start().await;
    let id = world.notification(json!({}));
    let path = format!("ent_notification?id=eq.{id}");
    let patch = || world.patch(&path, json!({"description": "x"}));
    let set = |rest: RestFaults| world.state().set_faults(Faults { rest, ..Faults::default() });
    set(RestFaults { filter_updates: true, ..RestFaults::default() });
    let filtered = patch().await;
    assert_eq!((filtered.status, filtered.body), (200, json!([])));
    set(RestFaults { deny_writes: true, ..RestFaults::default() });
    let denied = patch().await;
    assert_eq!((denied.status, denied.code()), (403, "42501"));
    assert_eq!(world.state().row("ent_notification", id).unwrap().unwrap()["description"], Value::Null);
}

#[tokio::test]
async fn novus_own_switches_change_word_duplicates_and_idempotency() {
    let world = World::start().await;
    world.state().insert("ent_notification_workflow", &json!({"workflow_key": "welcome"})).unwrap();
    let body = json!({"name": "welcome", "to": "s1", "transactionId": "a"});
    let trigger = || answer(world.novu("trigger", &body).header("idempotency-key", "k"));
    let set = |novu: NovuFaults| world.state().set_faults(Faults { novu, ..Faults::default() });
    set(NovuFaults { status_word: Some("no_tenant_found".to_owned()), idempotency_off: true, ..NovuFaults::default() });
    assert_eq!(trigger().await.body["data"]["status"], "no_tenant_found");
    assert_eq!(world.state().stats().novu.delivered, 0);
    set(NovuFaults { accept_duplicates: true, idempotency_off: true, ..NovuFaults::default() });
    trigger().await;
    trigger().await;
    assert_eq!(world.state().stats().novu.delivered, 2);
}

#[tokio::test]
async fn dropped_sockets_end_and_stalled_ones_fall_silent() {
    let world = World::start().await;
    let mut dropped = world.socket("2.0.0").await;
    dropped.subscribe(TOPIC, "INSERT", "").await;
    world.state().act(Action::DropSockets);
    assert!(dropped.try_next().await.is_none());

    let mut stalled = world.socket("2.0.0").await;
    stalled.subscribe(TOPIC, "INSERT", "").await;
    world.state().act(Action::StallSockets);
    let mut fresh = world.socket("2.0.0").await;
    fresh.subscribe(TOPIC, "INSERT", "").await;
    stalled.send("phoenix", "heartbeat", json!({}), Value::Null).await;
    world.notification(json!({}));
    assert_eq!(fresh.next().await.event, "postgres_changes");
    assert!(stalled.is_silent_for(QUIET).await, "no event, no reply, no end");
}

#[tokio::test]
async fn a_stall_switched_off_lets_sockets_talk_again() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    socket.subscribe(TOPIC, "INSERT", "").await;
    set_realtime(&world, RealtimeFaults { stall: true, ..RealtimeFaults::default() });
    let reference = socket.send("phoenix", "heartbeat", json!({}), Value::Null).await;
    assert!(socket.is_silent_for(QUIET).await);
    world.state().set_faults(Faults::default());
    assert_eq!(socket.next().await.reference, json!(reference));
}

#[tokio::test]
async fn a_join_can_be_fine_and_never_come_alive() {
    let world = World::start().await;
    let binding = || json!([{"event": "*", "schema": "notify", "table": "ent_notification"}]);
    set_realtime(&world, RealtimeFaults { withhold_system: true, ..RealtimeFaults::default() });
    let mut withheld = world.socket("2.0.0").await;
    assert_eq!(withheld.join(TOPIC, binding()).await.payload["status"], "ok");
    assert!(withheld.is_silent_for(QUIET).await);
    set_realtime(&world, RealtimeFaults { system_error: Some("no".to_owned()), ..RealtimeFaults::default() });
    let mut failed = world.socket("2.0.0").await;
    assert_eq!(failed.join(TOPIC, binding()).await.payload["status"], "ok");
    assert_eq!(failed.next().await.payload["status"], "error");
    world.notification(json!({}));
    assert!(withheld.is_silent_for(QUIET).await && failed.is_silent_for(QUIET).await);
}

#[tokio::test]
async fn channels_can_be_told_that_they_are_over() {
    let world = World::start().await;
    for (action, events) in [
        (Action::ExpireTokens, vec!["system", "phx_close"]),
        (Action::ErrorChannels, vec!["phx_error"]),
        (Action::FailSubscriptions, vec!["system"]),
    ] {
        let mut socket = world.socket("2.0.0").await;
        socket.subscribe(TOPIC, "INSERT", "").await;
        world.state().act(action);
        for event in events {
            assert_eq!(socket.next().await.event, event, "{action:?}");
        }
        world.notification(json!({}));
        assert!(socket.is_silent_for(QUIET).await, "{action:?} ends the subscription");
    }
}

#[tokio::test]
async fn events_are_lost_doubled_and_reversed_on_demand() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    socket.subscribe(TOPIC, "INSERT", "").await;
    let names = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
    set_realtime(&world, RealtimeFaults { discard_events: 2, duplicate_events: 1, ..RealtimeFaults::default() });
    world.state().insert_many("ent_notification", &names(&["a", "b", "c", "d"])).unwrap();
    for expected in ["c", "c", "d"] {
        assert_eq!(socket.next_change().await["record"]["name"], expected);
    }
    let left = world.state().faults().realtime;
    assert_eq!((left.discard_events, left.duplicate_events), (0, 0));
    set_realtime(&world, RealtimeFaults { reorder_events: true, ..RealtimeFaults::default() });
    world.state().insert_many("ent_notification", &names(&["e", "f"])).unwrap();
    for expected in ["f", "e"] {
        assert_eq!(socket.next_change().await["record"]["name"], expected);
    }
}

#[tokio::test]
async fn records_are_cut_and_columns_left_out_on_demand() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    let id = world.notification(json!({"payload": {"k": "v".repeat(70)}}));
    socket.subscribe(TOPIC, "UPDATE", "").await;
    let omit_columns = vec!["recipients".to_owned()];
    set_realtime(&world, RealtimeFaults { omit_columns, ..RealtimeFaults::default() });
    world.state().update("ent_notification", id, &json!({"description": "x"})).unwrap();
    let omitted = socket.next_change().await;
    assert!(omitted["record"].get("recipients").is_none() && omitted["record"].get("payload").is_some());
    set_realtime(&world, RealtimeFaults { truncate_events: true, ..RealtimeFaults::default() });
    world.state().update("ent_notification", id, &json!({"description": "y"})).unwrap();
    let cut = socket.next_change().await;
    assert_eq!(cut["errors"], json!(["Error 413: Payload Too Large"]));
    assert!(cut["record"].get("payload").is_none() && cut["record"]["id"] == id);
}

#[tokio::test]
async fn a_restarted_slot_loses_what_was_not_polled_yet() {
    let world = World::with(xnovu_standin::Options::default()).await;
    let mut socket = world.socket("2.0.0").await;
    socket.subscribe(TOPIC, "INSERT", "").await;
    world.state().insert("ent_notification", &json!({"name": "lost"})).unwrap();
    // Between the commit and the poll there are two milliseconds, and this thread does not let go of its own.
    world.state().act(Action::RestartSlot);
    world.state().insert("ent_notification", &json!({"name": "seen"})).unwrap();
    assert_eq!(socket.next_change().await["record"]["name"], "seen");
}

#[tokio::test]
async fn the_admin_route_offers_the_operations_over_http() {
    let world = World::start().await;
    let row = json!({"enterprise_id": ENTERPRISE, "workflow_key": "welcome", "payload": {"a": 1}});
    let inserted = world.admin(Method::POST, "rows/ent_notification", row).await;
    assert_eq!((inserted.status, &inserted.body["notification_status"]), (201, &json!("PENDING")));
    let id = inserted.body["id"].as_i64().unwrap();
    let patched = world.admin(Method::PATCH, &format!("rows/ent_notification/{id}"), json!({"tags": ["x"]})).await;
    assert_eq!(patched.body["tags"], json!(["x"]));
    let found = world
        .admin(
            Method::GET,
            &format!("rows/ent_notification?enterprise_id={ENTERPRISE}&notification_status=PENDING"),
            Value::Null,
        )
        .await;
    assert_eq!(found.column("id"), [json!(id)]);
    let template =
        json!({"table": "ent_notification", "template": {"enterprise_id": ENTERPRISE, "name": "b"}, "count": 3});
    assert_eq!(
        world.admin(Method::POST, "bulk", template).await.body,
        json!({"inserted": 3, "first_id": 2, "last_id": 4})
    );
    let rows = json!({"rows": [{"name": "c"}]});
    assert_eq!(world.admin(Method::POST, "bulk", rows).await.body["inserted"], 1);
    assert_eq!(world.admin(Method::POST, "workflows", json!({"key": "w", "state": "active"})).await.status, 204);
    assert_eq!(answer(world.novu("trigger", &json!({"name": "w", "to": "s"}))).await.status, 201);
    let deliveries = world.admin(Method::GET, "deliveries?since=0&workflow=w", Value::Null).await;
    assert_eq!(deliveries.body[0]["recipients"], json!(["s"]));
    let stats = world.admin(Method::GET, "stats", Value::Null).await.body;
    assert_eq!(stats["tables"]["ent_notification"], json!({"rows": 5, "by_status": {"PENDING": 5}}));
    assert_eq!(world.admin(Method::DELETE, &format!("rows/ent_notification/{id}"), Value::Null).await.status, 204);
    assert_eq!(world.admin(Method::GET, &format!("rows/ent_notification/{id}"), Value::Null).await.status, 404);
    assert_eq!(world.admin(Method::POST, "flush", Value::Null).await.status, 204);
    assert_eq!(world.state().stats().tables["ent_notification"].rows, 0);
}

#[tokio::test]
async fn switches_and_actions_are_set_over_http() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    socket.subscribe(TOPIC, "INSERT", "").await;
    let patch = json!({
        "http": [{"face": "rest", "method": "GET", "count": 1, "effect": {"kind": "status", "status": 500}}],
        "realtime": {"discard_events": 1},
        "actions": ["drop_sockets"]
    });
    let set = world.admin(Method::POST, "faults", patch).await;
    assert_eq!((set.status, &set.body["realtime"]["discard_events"]), (200, &json!(1)));
    assert!(socket.try_next().await.is_none());
    let hit = world.get("ent_notification").await;
    assert_eq!((hit.status, hit.code()), (500, "57014"));
    assert_eq!(world.admin(Method::POST, "faults", json!({"nope": 1})).await.status, 400);
    assert_eq!(world.admin(Method::DELETE, "faults", Value::Null).await.status, 204);
    assert_eq!(world.state().faults(), Faults::default());
}

#[tokio::test]
async fn the_admin_route_does_not_answer_web_pages() {
    let world = World::start().await;
    let url = format!("{}/admin/flush", world.standin.url());
    let refused = answer(world.http.post(url).header("origin", "https://example.org")).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn a_stopped_standin_frees_its_port_and_its_sockets() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    let url = world.standin.url();
    world.standin.stop().await;
    assert!(socket.try_next().await.is_none());
    assert!(world.http.get(url).send().await.is_err());
}

#[tokio::test]
async fn only_loopback_is_listened_on_unless_asked() {
    let config = xnovu_standin::StandinConfig { listen: ([0, 0, 0, 0], 0).into(), ..Default::default() };
    let error = xnovu_standin::Standin::start(config).await.expect_err("refused");
    assert!(error.to_string().contains("loopback"), "{error}");
}

#[tokio::test]
async fn connections_are_counted() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    socket.subscribe(TOPIC, "INSERT", "").await;
    let stats = world.state().stats().realtime;
    assert_eq!((stats.connections, stats.subscriptions, stats.joins_total), (1, 1, 1));
    drop(socket);
    let gone = eventually(|| world.state().stats().realtime, |stats| stats.connections == 0).await;
    assert_eq!((gone.subscriptions, gone.connections_total), (0, 1));
}
