use xnovu_sdk::testing;

use super::*;

fn settings(config: Value) -> Settings {
    testing::config(&config).unwrap()
}

#[test]
fn an_emergency_is_mapped_with_its_channels_and_keeps_what_it_brought() {
    let sms = json!({"sms": {"content": "Leave the building now."}});
    let event = Event::builder()
        .payload(json!({"kind": "emergency", "building": "Tower A", "floor": 3, "alarm": "A-17"}))
        .overrides(json!({"email": {"replyTo": "desk@example.com"}}))
        .build();
    let messages = FireSafety.transform(&event, &settings(json!({"channels": {"emergency": sms}}))).unwrap();
    let want = Message::from(&event)
        .workflow("fire-emergency")
        .put("title", "FIRE in Tower A, floor 3")
        .put_override("channels", &sms)
        .put_override("severity", "high");
    assert_eq!(messages, [want]);
}

#[test]
fn a_malformed_incident_is_refused_with_the_field() {
    let refusal = |payload: Value| {
        let event = Event::builder().payload(payload).build();
        FireSafety.admit(&event, &settings(json!({}))).unwrap_err().to_string()
    };
    let table = [
        (json!({"building": "A"}), "payload: missing field `kind`"),
        (json!({"kind": "flood", "building": "A"}), "payload.kind: unknown variant `flood`"),
        (json!({"kind": "emergency"}), "payload: missing field `building`"),
        (json!({"kind": "emergency", "building": "A"}), "payload.floor: missing"),
        (json!({"kind": "emergency", "building": "A", "floor": "3rd"}), "payload.floor: invalid type"),
        (json!({"kind": "drill", "building": "A"}), "payload.startsAt: missing"),
        (
            json!({"kind": "assessment", "building": "A", "dueBy": "soon"}),
            "payload.dueBy: \"soon\" is no RFC 3339 timestamp",
        ),
    ];
    for (payload, want) in table {
        let words = refusal(payload);
        assert!(words.starts_with(want), "{words}, not {want}");
    }
}

#[test]
fn a_channel_table_for_an_unknown_kind_is_refused() {
    let words = testing::config::<Settings>(&json!({"channels": {"flood": {}}})).err().map(|error| error.to_string());
    assert!(words.as_ref().is_some_and(|words| words.contains("unknown variant `flood`")), "{words:?}");
}
