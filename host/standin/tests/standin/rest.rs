//! PostgREST.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use xnovu_standin::Options;

use crate::support::{ENTERPRISE, OTHER_ENTERPRISE, SUPABASE_KEY, World, answer};

#[tokio::test]
async fn a_claim_has_one_winner_among_eight() {
    let world = World::start().await;
    let id = world.notification(json!({}));
    let claim = format!(
        "ent_notification?id=eq.{id}&enterprise_id=eq.{ENTERPRISE}&select=id,notification_status,transaction_id&or=(\
         and(notification_status.eq.PENDING,publish_status.eq.PUBLISH,deactivated.is.false,\
         or(scheduled_for.is.null,scheduled_for.lte.\"2026-01-01T00:00:00Z\")),\
         and(notification_status.eq.FAILED,transaction_id.eq.\"job\"))"
    );
    let claims = (0..8).map(|worker| {
        world.patch(&claim, json!({"notification_status": "PROCESSING", "transaction_id": format!("job-{worker}")}))
    });
    let answers = join_all(claims).await;
    let winners: Vec<_> = answers.iter().filter(|answer| answer.body != json!([])).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    assert_eq!(winners[0].header("content-range"), "0-0/*");
    let row = world.state().row("ent_notification", id).unwrap().unwrap();
    assert_eq!(winners[0].body[0]["transaction_id"], row["transaction_id"]);
    let loser = answers.iter().find(|answer| answer.body == json!([])).unwrap();
    assert_eq!((loser.status, loser.header("content-range")), (200, "*/*"));
}

#[tokio::test]
async fn embeds_follow_foreign_keys_under_their_alias() {
    let world = World::start().await;
    let state = world.state();
    let category = state.insert("typ_notification_category", &json!({"code": "ops", "path_text": "a.b"})).unwrap();
    let id = world.notification(json!({"typ_notification_category_id": category["id"]}));
    let select = "id,workflow:ent_notification_workflow(workflow_key,publish_status,deactivated,enterprise_id),\
                  category:typ_notification_category(code,path_text),priority:typ_notification_priority(code),\
                  key:error_details->>missing";
    let answer = world.get(&format!("ent_notification?select={select}&id=eq.{id}")).await;
    let workflow = json!({"workflow_key": "welcome", "publish_status": "PUBLISH", "deactivated": false, "enterprise_id": ENTERPRISE});
    assert_eq!(
        answer.body,
        json!([{"id": id, "workflow": workflow, "category": {"code": "ops", "path_text": "a.b"}, "priority": null, "key": null}])
    );
    let nested = "rule:ent_notification_rule(name,ent_notification_workflow(workflow_key))";
    let answer = world.get(&format!("ent_notification?select={nested}")).await;
    assert_eq!(answer.body, json!([{"rule": null}]));
}

#[tokio::test]
async fn an_inner_embed_narrows_the_outer_rows_and_a_plain_one_only_itself() {
    let world = World::start().await;
    let state = world.state();
    for (key, publish_status) in [("live", "PUBLISH"), ("draft", "DRAFT")] {
        let workflow = json!({"workflow_key": key, "publish_status": publish_status, "enterprise_id": ENTERPRISE});
        let workflow = state.insert("ent_notification_workflow", &workflow).unwrap();
        let rule = json!({"name": key, "notification_workflow_id": workflow["id"]});
        state.insert("ent_notification_rule", &rule).unwrap();
    }
    let rules = |join: &str| {
        format!(
            "ent_notification_rule?select=name,workflow:ent_notification_workflow{join}(workflow_key)\
             &workflow.publish_status=eq.PUBLISH&order=name"
        )
    };
    let live = json!({"name": "live", "workflow": {"workflow_key": "live"}});
    assert_eq!(world.get(&rules("!inner")).await.body, json!([live]));
    assert_eq!(world.get(&rules("")).await.body, json!([{"name": "draft", "workflow": null}, live]));
}

#[tokio::test]
async fn pages_are_cut_by_limit_range_and_silently_by_max_rows() {
    let world = World::with(Options { max_rows: 5, ..Options::default() }).await;
    world.state().insert_copies("ent_notification", &json!({"enterprise_id": ENTERPRISE}), 12).unwrap();
    let ids =
        |answer: &crate::support::Answer| answer.column("id").iter().map(|id| id.as_i64().unwrap()).collect::<Vec<_>>();
    let cut = world.get("ent_notification?select=id&order=id.asc&limit=10").await;
    assert_eq!((cut.status, ids(&cut), cut.header("content-range")), (200, vec![1, 2, 3, 4, 5], "0-4/*"));
    let keyset = format!("ent_notification?select=id&enterprise_id=eq.{ENTERPRISE}&id=gt.5&order=id.asc&limit=3");
    assert_eq!(ids(&world.get(&keyset).await), [6, 7, 8]);
    let counted = world.rest(Method::GET, "ent_notification?select=id&order=id.desc&offset=2&limit=3");
    let counted = answer(counted.header("prefer", "count=exact")).await;
    assert_eq!((counted.status, ids(&counted), counted.header("content-range")), (206, vec![10, 9, 8], "2-4/12"));
    let ranged = answer(world.rest(Method::GET, "ent_notification?select=id&order=id").header("range", "10-20")).await;
    assert_eq!((ids(&ranged), ranged.header("content-range")), (vec![11, 12], "10-11/*"));
    let empty = world.get("ent_notification?select=id&id=gt.12").await;
    assert_eq!((empty.status, &empty.body, empty.header("content-range")), (200, &json!([]), "*/*"));
    let past = world.rest(Method::GET, "ent_notification?select=id&offset=13").header("prefer", "count=exact");
    let past = answer(past).await;
    assert_eq!((past.status, past.code()), (416, "PGRST103"));
    let head = answer(world.rest(Method::HEAD, "ent_notification?select=id").header("prefer", "count=exact")).await;
    assert_eq!((head.status, head.header("content-range"), &head.body), (206, "0-4/12", &Value::Null));
}

#[tokio::test]
async fn values_come_back_as_postgresql_prints_them() {
    let world = World::start().await;
    let body = r#"{"name":"exact","publish_status":"PUBLISH","enterprise_id":"00000000-0000-0000-0000-0000000000E1",
        "id":9007199254740993,"payload":{"zz":1.50,"a":[1,{"b":null}]},"recipients":"{00000000000040008000000000000001}",
        "channels":["EMAIL","SMS"],"tags":["a,b","c"],"scheduled_for":"2026-01-02T08:34:05.120000+05:30"}"#;
    let inserted = world.rest(Method::POST, "ent_notification").header("prefer", "return=representation");
    let response = inserted.body(body).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let text = response.text().await.unwrap();
    for expected in [
        r#""id":9007199254740993"#,
        r#""payload":{"a": [1, {"b": null}], "zz": 1.50}"#,
        r#""recipients":["00000000-0000-4000-8000-000000000001"]"#,
        r#""enterprise_id":"00000000-0000-0000-0000-0000000000e1""#,
        r#""channels":["EMAIL","SMS"]"#,
        r#""tags":["a,b","c"]"#,
        r#""scheduled_for":"2026-01-02T03:04:05.12+00:00""#,
        r#""notification_status":"PENDING""#,
        r#""workflow_version":1"#,
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[tokio::test]
async fn refusals_carry_the_status_and_code_of_the_real_server() {
    let world = World::start().await;
    world.notification(json!({"name": "taken"}));
    let row = json!({"name": "taken", "enterprise_id": ENTERPRISE, "payload": {}, "recipients": []});
    let with = |column: &str, value: Value| {
        let mut row = row.clone();
        row["name"] = json!("free");
        row[column] = value;
        row
    };
    for (body, status, code) in [
        (row.clone(), 409, "23505"),
        (with("payload", Value::Null), 400, "23502"),
        (with("notification_workflow_id", json!(99)), 409, "23503"),
        (with("notification_status", json!("DONE")), 400, "22P02"),
        (with("enterprise_id", json!("e1")), 400, "22P02"),
        (with("recipients", json!(["user-1"])), 400, "22P02"),
        (with("workflow_version", json!(3_000_000_000_i64)), 400, "22003"),
        (with("scheduled_for", json!("soon")), 400, "22007"),
        (with("nope", json!(1)), 400, "PGRST204"),
        (with("repr", json!("x")), 400, "428C9"),
        (json!([{"name": "a"}, {"nom": "b"}]), 400, "PGRST102"),
    ] {
        let answer = world.post("ent_notification", "return=minimal", body.clone()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body} {answer:?}");
    }
    for (path, status, code) in [
        ("ent_notification?nope=eq.1", 400, "42703"),
        ("ent_notification?id=eq.x", 400, "22P02"),
        ("ent_notification?select=nope(id)", 400, "PGRST200"),
        ("nope", 404, "PGRST205"),
        ("ent_notification?id=oops.1", 400, "PGRST100"),
        ("rpc/claim_batch", 404, "PGRST202"),
        ("", 404, "PGRST125"),
    ] {
        let answer = world.get(path).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path} {answer:?}");
        assert!(answer.body.as_object().unwrap().keys().eq(["code", "details", "hint", "message"]), "{answer:?}");
    }
    assert_eq!(world.state().stats().tables["ent_notification"].rows, 1);
}

#[tokio::test]
async fn a_duplicate_is_told_with_its_key() {
    let world = World::start().await;
    world.notification(json!({"name": "rule-1 @ 2026"}));
    let row = json!({"name": "rule-1 @ 2026", "enterprise_id": ENTERPRISE, "payload": {}, "recipients": []});
    let answer = world.post("ent_notification", "return=minimal", row).await;
    assert_eq!(
        answer.body,
        json!({
            "code": "23505",
            "details": format!("Key (name, enterprise_id)=(rule-1 @ 2026, {ENTERPRISE}) already exists."),
            "hint": null,
            "message": "duplicate key value violates unique constraint \"ent_notification_name_enterprise_id_key\""
        })
    );
}

#[tokio::test]
async fn rows_without_an_enterprise_never_collide() {
    let world = World::start().await;
    for _ in 0..2 {
        let row = json!({"name": "same", "payload": {}, "recipients": []});
        assert_eq!(world.post("ent_notification", "return=minimal", row).await.status, 201);
    }
}

#[tokio::test]
async fn an_upsert_merges_or_ignores_what_is_there() {
    let world = World::start().await;
    let path = "ent_notification?on_conflict=name,enterprise_id&select=id,description";
    let row = |description: &str| json!({"name": "slot", "enterprise_id": ENTERPRISE, "payload": {}, "recipients": [], "description": description});
    let ignore = "return=representation,resolution=ignore-duplicates";
    let first = world.post(path, ignore, row("one")).await;
    assert_eq!((first.status, &first.body), (201, &json!([{"id": 1, "description": "one"}])));
    let second = world.post(path, ignore, row("two")).await;
    assert_eq!((second.status, &second.body), (201, &json!([])));
    let merged = world.post(path, "return=representation,resolution=merge-duplicates", row("three")).await;
    assert_eq!((merged.status, &merged.body), (200, &json!([{"id": 1, "description": "three"}])));
    let twice = world.post(path, "resolution=merge-duplicates", json!([row("a"), row("b")])).await;
    assert_eq!((twice.status, twice.code()), (500, "21000"));
    let no_constraint = world.post("ent_notification?on_conflict=name", ignore, row("x")).await;
    assert_eq!((no_constraint.status, no_constraint.code()), (400, "42P10"));
}

#[tokio::test]
async fn a_batch_that_fails_half_way_leaves_no_row() {
    let world = World::start().await;
    let row = |name: &str| json!({"name": name, "enterprise_id": ENTERPRISE, "payload": {}, "recipients": []});
    let batch = json!([row("a"), row("b"), row("a")]);
    assert_eq!(world.post("ent_notification", "return=minimal", batch).await.code(), "23505");
    assert_eq!(world.state().stats().tables["ent_notification"].rows, 0);
    let again = world.post("ent_notification?select=id", "return=representation", row("a")).await;
    assert_eq!(again.column("id"), [json!(4)], "a sequence takes nothing back");
}

#[tokio::test]
async fn missing_members_of_a_batch_are_null_or_the_default_as_preferred() {
    let world = World::start().await;
    let rows = json!([{"name": "a", "payload": {}, "recipients": []}, {"name": "b", "payload": {}, "recipients": [], "workflow_version": 7}]);
    let path =
        "ent_notification?columns=\"name\",\"payload\",\"recipients\",\"workflow_version\"&select=workflow_version";
    let null = world.post(path, "return=representation", rows.clone()).await;
    assert_eq!(null.column("workflow_version"), [Value::Null, json!(7)]);
    let default = world.post(path, "return=representation,missing=default", rows).await;
    assert_eq!(default.column("workflow_version"), [json!(1), json!(7)]);
}

#[tokio::test]
async fn more_rows_than_max_affected_are_not_touched() {
    let world = World::start().await;
    world.state().insert_copies("ent_notification", &json!({"enterprise_id": ENTERPRISE}), 3).unwrap();
    let path = format!("ent_notification?enterprise_id=eq.{ENTERPRISE}");
    let patch = |prefer: &'static str| {
        world.rest(Method::PATCH, &path).header("prefer", prefer).json(&json!({"description": "touched"}))
    };
    let refused = answer(patch("handling=strict, max-affected=2")).await;
    assert_eq!((refused.status, refused.code()), (400, "PGRST124"));
    assert_eq!(world.state().rows("ent_notification", &[("description", "touched")]).unwrap(), Vec::<Value>::new());
    let unknown = answer(patch("handling=strict, nonsense=1")).await;
    assert_eq!((unknown.status, unknown.code()), (400, "PGRST122"));
    let allowed = answer(patch("handling=strict, max-affected=3")).await;
    assert_eq!((allowed.status, allowed.header("content-range")), (204, "0-2/*"));
}

#[tokio::test]
async fn a_single_object_is_given_or_nothing_is_done() {
    let world = World::start().await;
    let id = world.notification(json!({}));
    let object =
        |method: Method, path: String| world.rest(method, &path).header("accept", "application/vnd.pgrst.object+json");
    let one = answer(object(Method::GET, format!("ent_notification?select=id&id=eq.{id}"))).await;
    assert_eq!((one.status, one.body), (200, json!({"id": id})));
    let none = answer(object(Method::GET, "ent_notification?id=eq.99".to_owned())).await;
    assert_eq!((none.status, none.code()), (406, "PGRST116"));
    world.notification(json!({}));
    let patch = object(Method::PATCH, "ent_notification?id=gt.0".to_owned()).header("prefer", "return=representation");
    let refused = answer(patch.json(&json!({"description": "touched"}))).await;
    assert_eq!((refused.status, refused.code()), (406, "PGRST116"));
    assert_eq!(world.state().row("ent_notification", id).unwrap().unwrap()["description"], Value::Null);
}

#[tokio::test]
async fn an_update_moves_updated_at_only_where_the_trigger_is() {
    let stamp = "2020-01-01T00:00:00+00:00";
    for touch_updated_at in [true, false] {
        let world = World::with(Options { touch_updated_at, ..Options::default() }).await;
        let id = world.notification(json!({"updated_at": stamp}));
        let answer = world.patch(&format!("ent_notification?id=eq.{id}"), json!({"description": "x"})).await;
        assert_eq!(answer.body[0]["updated_at"] != stamp, touch_updated_at, "{answer:?}");
    }
}

#[tokio::test]
async fn now_is_one_instant_within_a_write() {
    let world = World::start().await;
    let id = world.notification(json!({}));
    let answer = world.patch(&format!("ent_notification?id=eq.{id}"), json!({"processed_at": "now"})).await;
    assert_eq!(answer.body[0]["processed_at"], answer.body[0]["updated_at"]);
}

#[tokio::test]
async fn deleting_a_workflow_frees_its_notifications_and_takes_its_rules() {
    let world = World::start().await;
    let id = world.notification(json!({}));
    let workflow = world.state().row("ent_notification", id).unwrap().unwrap()["notification_workflow_id"].clone();
    let rule = json!({"notification_workflow_id": workflow});
    world.state().insert("ent_notification_rule", &rule).unwrap();
    let deleted = answer(world.rest(Method::DELETE, &format!("ent_notification_workflow?id=eq.{workflow}"))).await;
    assert_eq!((deleted.status, deleted.header("content-range")), (204, "*/*"));
    assert_eq!(world.state().row("ent_notification", id).unwrap().unwrap()["notification_workflow_id"], Value::Null);
    assert_eq!(world.state().stats().tables["ent_notification_rule"].rows, 0);
}

#[tokio::test]
async fn a_write_of_a_whole_table_has_to_be_meant() {
    let world = World::start().await;
    let id = world.notification(json!({}));
    for method in [Method::PATCH, Method::DELETE] {
        let answer = answer(world.rest(method, "ent_notification").json(&json!({"description": "x"}))).await;
        assert_eq!((answer.status, answer.code()), (400, "21000"));
    }
    let same_size = world.patch(&format!("ent_notification?id=eq.{id}"), json!({})).await;
    assert_eq!((same_size.status, same_size.body), (200, json!([])), "an empty body changes nothing");
}

#[tokio::test]
async fn the_gateway_and_the_profile_decide_who_gets_in() {
    let world = World::start().await;
    let url = format!("{}/rest/v1/ent_notification", world.standin.url());
    let no_key = answer(world.http.get(&url)).await;
    assert_eq!((no_key.status, &no_key.body["message"]), (401, &json!("No API key found in request")));
    let wrong = answer(world.http.get(&url).header("apikey", "sb_secret_other")).await;
    assert_eq!((wrong.status, &wrong.body["message"]), (401, &json!("Invalid API key")));
    let browser = answer(world.http.get(&url).header("apikey", SUPABASE_KEY).header("user-agent", "Mozilla/5.0")).await;
    assert_eq!(browser.status, 401);
    let with_profile = |profile: &'static str| {
        answer(world.http.get(&url).header("apikey", SUPABASE_KEY).header("accept-profile", profile))
    };
    let hidden = with_profile("secret").await;
    assert_eq!((hidden.status, hidden.code()), (406, "PGRST106"));
    let public = with_profile("public").await;
    assert_eq!((public.status, public.code()), (404, "PGRST205"));
    assert_eq!(with_profile("notify").await.status, 200);
}

#[tokio::test]
async fn the_date_header_and_the_database_share_one_clock() {
    let world = World::with(Options { clock_offset_ms: 3_600_000, ..Options::default() }).await;
    let answer = world
        .post(
            "ent_notification?select=created_at",
            "return=representation",
            json!({"name": "a", "payload": {}, "recipients": []}),
        )
        .await;
    let created = answer.body[0]["created_at"].as_str().unwrap()[..13].to_owned();
    let date = chrono::NaiveDateTime::parse_from_str(answer.header("date"), "%a, %d %b %Y %H:%M:%S GMT").unwrap();
    assert_eq!(date.format("%Y-%m-%dT%H").to_string(), created);
    let plain = World::start().await;
    let id = plain.notification(json!({}));
    let local = plain.state().row("ent_notification", id).unwrap().unwrap()["created_at"].as_str().unwrap().to_owned();
    assert!(created.as_str() > &local[..13], "{created} is an hour after {local}");
}

#[tokio::test]
async fn one_enterprises_page_does_not_show_anothers_rows() {
    let world = World::start().await;
    world.notification(json!({"name": "mine"}));
    world.notification(json!({"name": "theirs", "enterprise_id": OTHER_ENTERPRISE}));
    world.notification(json!({"name": "sent", "notification_status": "SENT"}));
    let owed =
        format!("ent_notification?select=name&enterprise_id=eq.{ENTERPRISE}&notification_status=eq.PENDING&order=id");
    assert_eq!(world.get(&owed).await.column("name"), [json!("mine")]);
    let both = "ent_notification?select=name&notification_status=in.(PENDING,SENT)&order=name.desc";
    assert_eq!(world.get(both).await.column("name"), [json!("theirs"), json!("sent"), json!("mine")]);
}
