//! Realtime.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use xnovu_standin::Options;

use crate::support::{ENTERPRISE, OTHER_ENTERPRISE, PATIENCE, SUPABASE_KEY, World, answer, eventually};

const TOPIC: &str = "realtime:x";

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_session_has_the_recorded_shape_in_both_versions() {
    for vsn in ["1.0.0", "2.0.0"] {
        let world = World::start().await;
        let mut socket = world.socket(vsn).await;
        let binding = |event: &str| json!({"event": event, "schema": "notify", "table": "ent_notification", "filter": format!("enterprise_id=eq.{ENTERPRISE}")});
        let reply = socket.join(TOPIC, json!([binding("INSERT"), binding("UPDATE")])).await;
        assert_eq!((reply.event.as_str(), &reply.reference, &reply.join_ref), ("phx_reply", &json!("1"), &json!("1")));
        let echoed = reply.payload["response"]["postgres_changes"].as_array().unwrap().clone();
        for (echo, event) in echoed.iter().zip(["INSERT", "UPDATE"]) {
            let mut expected = binding(event);
            expected["id"] = echo["id"].clone();
            assert_eq!(*echo, expected);
            assert!(echo["id"].is_u64());
        }
        let system = socket.next().await;
        assert_eq!(system.event, "system");
        assert_eq!(
            system.payload,
            json!({"message": "Subscribed to PostgreSQL", "status": "ok", "extension": "postgres_changes", "channel": "x"})
        );

        let id = world.notification(json!({"payload": {"k": 1}}));
        let insert = socket.next().await;
        assert_eq!(
            (insert.event.as_str(), &insert.reference, &insert.join_ref),
            ("postgres_changes", &Value::Null, &Value::Null)
        );
        assert_eq!(insert.payload["ids"], json!([echoed[0]["id"]]));
        let data = &insert.payload["data"];
        assert_eq!(keys(data), ["columns", "commit_timestamp", "errors", "record", "schema", "table", "type"]);
        assert_eq!(
            (&data["type"], &data["errors"], &data["record"]["id"]),
            (&json!("INSERT"), &Value::Null, &json!(id))
        );
        let stamp = data["commit_timestamp"].as_str().unwrap();
        assert!(stamp.len() == 24 && stamp.ends_with('Z'), "milliseconds: {stamp}");
        let columns = data["columns"].as_array().unwrap();
        for (name, kind) in
            [("id", "int8"), ("recipients", "_uuid"), ("channels", "_notification_channel_type"), ("payload", "jsonb")]
        {
            assert!(columns.contains(&json!({"name": name, "type": kind})), "{name} {kind}");
        }

        world.state().update("ent_notification", id, &json!({"notification_status": "SENT"})).unwrap();
        let update = socket.next().await;
        assert_eq!(update.payload["ids"], json!([echoed[1]["id"]]));
        let data = &update.payload["data"];
        assert_eq!(data["old_record"], json!({"id": id}));
        assert_eq!((&data["type"], &data["record"]["notification_status"]), (&json!("UPDATE"), &json!("SENT")));

        let reference = socket.send("phoenix", "heartbeat", json!({}), Value::Null).await;
        let beat = socket.next().await;
        assert_eq!((beat.reference, beat.payload), (json!(reference), json!({"status": "ok", "response": {}})));

        let reference = socket.send(TOPIC, "phx_leave", json!({}), json!("1")).await;
        assert_eq!(socket.next().await.reference, json!(reference));
        let close = socket.next().await;
        assert_eq!((close.event.as_str(), &close.reference), ("phx_close", &json!("1")));
    }
}

#[tokio::test]
async fn what_is_committed_before_the_subscription_is_live_is_lost() {
    let world = World::with_delay(1_000).await;
    let mut socket = world.socket("2.0.0").await;
    let binding = json!([{"event": "*", "schema": "notify", "table": "ent_notification"}]);
    assert_eq!(socket.join(TOPIC, binding).await.payload["status"], "ok");
    world.notification(json!({"name": "early"}));
    assert_eq!(socket.next().await.event, "system");
    world.notification(json!({"name": "late"}));
    assert_eq!(socket.next_change().await["record"]["name"], "late");
}

#[tokio::test]
async fn an_update_out_of_the_filter_and_other_enterprises_rows_are_not_told() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    let id = world.notification(json!({"name": "mover"}));
    socket.subscribe(TOPIC, "*", &format!("enterprise_id=in.({ENTERPRISE})")).await;
    world.state().update("ent_notification", id, &json!({"enterprise_id": OTHER_ENTERPRISE})).unwrap();
    world.notification(json!({"enterprise_id": OTHER_ENTERPRISE}));
    world.notification(json!({"name": "mine"}));
    assert_eq!(socket.next_change().await["record"]["name"], "mine");
}

#[tokio::test]
async fn a_delete_matches_no_filter_unless_the_identity_is_full() {
    for replica_identity_full in [false, true] {
        let world = World::with(Options { replica_identity_full, ..Options::default() }).await;
        let mut socket = world.socket("2.0.0").await;
        let id = world.notification(json!({}));
        socket.subscribe(TOPIC, "*", &format!("enterprise_id=eq.{ENTERPRISE}")).await;
        world.state().update("ent_notification", id, &json!({"description": "x"})).unwrap();
        let update = socket.next_change().await;
        assert_eq!(update["old_record"].as_object().unwrap().len() > 1, replica_identity_full);
        assert!(world.state().delete("ent_notification", id).unwrap());
        world.notification(json!({"name": "after"}));
        let next = socket.next_change().await;
        assert_eq!(next["type"], if replica_identity_full { "DELETE" } else { "INSERT" });
    }
}

#[tokio::test]
async fn rows_of_one_transaction_come_one_by_one_in_commit_order() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    socket.subscribe(TOPIC, "INSERT", "").await;
    world.state().insert_copies("ent_notification", &json!({"enterprise_id": ENTERPRISE}), 250).unwrap();
    let mut stamps = Vec::new();
    for id in 1..=250 {
        let data = socket.next_change().await;
        assert_eq!(data["record"]["id"], id);
        stamps.push(data["commit_timestamp"].clone());
    }
    stamps.dedup();
    assert_eq!(stamps.len(), 1, "one transaction has one commit time");
}

#[tokio::test]
async fn a_subscription_that_cannot_be_leaves_the_channel_joined_and_says_why() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    let binding = json!([{"event": "*", "schema": "notify", "table": "ent_notification", "filter": "nope=eq.1"}]);
    assert_eq!(socket.join(TOPIC, binding).await.payload["status"], "ok");
    let system = socket.next().await;
    assert_eq!((system.event.as_str(), &system.payload["status"]), ("system", &json!("error")));
    assert!(system.payload["message"].as_str().unwrap().contains("invalid column for filter nope"), "{system:?}");
    let reference = socket.send(TOPIC, "phx_leave", json!({}), json!("1")).await;
    assert_eq!(socket.next().await.reference, json!(reference), "the channel was still joined");
}

#[tokio::test]
async fn an_in_filter_above_25_values_is_live_and_silent() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    let ids = |count: usize| (1..=count).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    socket.subscribe("realtime:many", "INSERT", &format!("id=in.({})", ids(26))).await;
    socket.subscribe("realtime:few", "INSERT", &format!("id=in.({})", ids(25))).await;
    world.notification(json!({}));
    world.notification(json!({}));
    assert_eq!(socket.next().await.topic, "realtime:few");
    assert_eq!(socket.next().await.topic, "realtime:few");
}

#[tokio::test]
async fn a_new_token_brings_another_system_message_and_a_key_does_not() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    socket.subscribe(TOPIC, "INSERT", "").await;
    socket.send(TOPIC, "access_token", json!({"access_token": "sb_secret_x"}), json!("1")).await;
    socket.send(TOPIC, "access_token", json!({"access_token": "user.jwt"}), json!("1")).await;
    let again = socket.next().await;
    assert_eq!((again.event.as_str(), &again.payload["status"]), ("system", &json!("ok")));
    world.notification(json!({}));
    assert_eq!(socket.next().await.event, "postgres_changes", "one message for the token, none for the key");
}

#[tokio::test]
async fn a_second_join_of_a_topic_closes_the_first() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    socket.subscribe(TOPIC, "INSERT", "").await;
    let binding = json!([{"event": "UPDATE", "schema": "notify", "table": "ent_notification"}]);
    let close = socket.join(TOPIC, binding).await;
    assert_eq!((close.event.as_str(), &close.join_ref), ("phx_close", &json!("1")));
    assert_eq!(socket.next().await.event, "phx_reply");
    assert_eq!(socket.next().await.event, "system");
    let id = world.notification(json!({}));
    world.state().update("ent_notification", id, &json!({"description": "x"})).unwrap();
    assert_eq!(socket.next_change().await["type"], "UPDATE", "the first join's INSERT is gone");
}

#[tokio::test]
async fn limits_of_a_socket_are_obeyed_and_enforced() {
    let options = Options { channels_per_connection_max: 2, joins_per_second_max: 4, ..Options::default() };
    let world = World::with(options).await;
    let mut socket = world.socket("2.0.0").await;
    for topic in ["realtime:a", "realtime:b"] {
        assert_eq!(socket.join(topic, json!([])).await.payload["status"], "ok");
    }
    let refused = socket.join("realtime:c", json!([])).await;
    assert_eq!(
        refused.payload,
        json!({"status": "error", "response": {"reason": "ChannelRateLimitReached: Too many channels"}})
    );
    assert_eq!(socket.join("nonsense", json!([])).await.payload["response"]["reason"], "unmatched topic");
    // Should this machine be so slow that a second has passed, the joins that follow make up for it.
    for _ in 0..5 {
        socket.ask_to_join("realtime:a", json!([])).await;
    }
    while socket.try_next().await.is_some() {}
}

#[tokio::test]
async fn a_socket_without_heartbeats_is_closed() {
    let world = World::with(Options { heartbeat_timeout_ms: 100, ..Options::default() }).await;
    let mut socket = world.socket("2.0.0").await;
    assert!(socket.try_next().await.is_none());
}

#[tokio::test]
async fn handshakes_are_refused_without_a_key_or_above_the_connection_limit() {
    let world = World::with(Options { connections_max: 1, ..Options::default() }).await;
    let socket = world.socket("2.0.0").await;
    let handshake = |query: String| {
        let url = format!("{}/realtime/v1/websocket?{query}", world.standin.url());
        answer(
            world
                .http
                .request(Method::GET, url)
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        )
    };
    assert_eq!(handshake("vsn=2.0.0".to_owned()).await.status, 401);
    assert_eq!(handshake(format!("apikey={SUPABASE_KEY}&vsn=9")).await.status, 400);
    assert_eq!(handshake(format!("apikey={SUPABASE_KEY}&vsn=2.0.0")).await.status, 429);
    drop(socket);
    eventually(|| world.state().stats().realtime.connections, |connections| *connections == 0).await;
    assert_eq!(handshake(format!("apikey={SUPABASE_KEY}&vsn=2.0.0")).await.status, 101);
}

#[tokio::test]
async fn a_record_above_one_mebibyte_keeps_only_short_values() {
    let world = World::start().await;
    let mut socket = world.socket("2.0.0").await;
    socket.subscribe(TOPIC, "INSERT", "").await;
    world.notification(json!({"name": "big", "payload": {"x": "y".repeat(1_048_576)}}));
    let data = socket.next_change().await;
    assert_eq!(data["errors"], json!(["Error 413: Payload Too Large"]));
    assert_eq!(data["record"]["name"], "big");
    assert!(data["record"].get("payload").is_none() && data["record"].get("description").is_none(), "{data}");
}

#[tokio::test]
async fn a_long_value_is_missing_from_an_update_that_leaves_it_alone() {
    let world = World::start().await;
    let id = world.notification(json!({"payload": {"x": "y".repeat(4_000)}}));
    let mut socket = world.socket("2.0.0").await;
    socket.subscribe(TOPIC, "UPDATE", "").await;
    world.state().update("ent_notification", id, &json!({"description": "x"})).unwrap();
    let unchanged = socket.next_change().await;
    assert!(unchanged["record"].get("payload").is_none(), "{unchanged}");
    world.state().update("ent_notification", id, &json!({"payload": {"x": "z".repeat(4_000)}})).unwrap();
    assert!(socket.next_change().await["record"].get("payload").is_some());
}

#[tokio::test]
async fn a_hundred_channels_and_thousands_of_events_get_through() {
    let world = World::with(Options { joins_per_second_max: 1_000, ..Options::default() }).await;
    let mut socket = world.socket("2.0.0").await;
    for channel in 0..100 {
        socket.subscribe(&format!("realtime:{channel}"), "INSERT", &format!("workflow_version=eq.{channel}")).await;
    }
    for channel in 0..100 {
        let template = json!({"enterprise_id": ENTERPRISE, "workflow_version": channel});
        world.state().insert_copies("ent_notification", &template, 20).unwrap();
    }
    let mut received = 0;
    let all = async {
        while received < 2_000 {
            let data = socket.next_change().await;
            assert_eq!(data["record"]["id"], received + 1);
            received += 1;
        }
    };
    tokio::time::timeout(PATIENCE + Duration::from_secs(20), all).await.expect("2,000 events in time");
}
