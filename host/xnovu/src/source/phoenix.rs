//! Frames of Supabase Realtime: the Phoenix channel protocol, version 2.0.0.
//!
//! Owns how frames are written and read, as pure functions. Promises that a frame of an unknown kind is read as such and never as an
//! error. Of a change only what identifies the row is read: its record may be cut, stale or incomplete, so nothing else in it is used.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use xnovu_domain::{EnterpriseId, NotificationId};

/// The version of the protocol.
pub const VERSION: &str = "2.0.0";

/// Where heartbeats go.
pub const HEARTBEAT_TOPIC: &str = "phoenix";

/// Values one `in` filter may name: between 25 and 70 the server goes silent.
pub const FILTER_VALUES_MAX: usize = 20;

/// A frame that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The join it belongs to; changes carry none.
    pub join_ref: Option<String>,
    /// The frame of ours it answers.
    pub reference: Option<String>,
    /// The channel.
    pub topic: String,
    /// What it says.
    pub event: Event,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An answer to a frame of ours. The answer `ok` to a join is not yet a subscription.
    Reply(Result<(), String>),
    /// How a subscription stands: `ok` from `postgres_changes` is what says that changes arrive from now on.
    System {
        /// The part of the server that speaks.
        extension: String,
        /// What it says; the error is its message.
        standing: Result<(), String>,
    },
    /// A row was changed.
    Change(Change),
    /// The server has closed the channel (`phx_close`).
    Closed,
    /// The channel has crashed (`phx_error`).
    Crashed,
    /// Anything else.
    Other,
}

/// What identifies a changed row. Each may be missing: the record is cut when the row is large and absent when the key may not read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Change {
    /// Primary key.
    #[serde(default, deserialize_with = "lenient")]
    pub id: Option<NotificationId>,
    /// The enterprise.
    #[serde(default, rename = "enterprise_id", deserialize_with = "lenient")]
    pub enterprise: Option<EnterpriseId>,
    /// `notification_status` as the change left it.
    #[serde(default, rename = "notification_status", deserialize_with = "lenient")]
    pub status: Option<String>,
    /// Whether it is new or was changed; not of the record but beside it.
    #[serde(skip)]
    pub kind: Option<ChangeKind>,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChangeKind {
    /// It is new.
    Insert,
    /// It was changed.
    Update,
}

impl ChangeKind {
    /// The word for metrics and logs, which is Realtime's.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
        }
    }
}

/// A value of the wanted form, or none.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    Ok(T::deserialize(Value::deserialize(deserializer)?).ok())
}

/// Reads a text frame.
///
/// # Errors
/// The text is no JSON array of five. The error may quote the frame.
pub fn decode(text: &str) -> Result<Frame, serde_json::Error> {
    type Parts<'a> = (Option<String>, Option<String>, String, String, &'a RawValue);
    let (join_ref, reference, topic, event, payload): Parts<'_> = serde_json::from_str(text)?;
    Ok(Frame { join_ref, reference, topic, event: event_of(&event, payload.get()) })
}

fn event_of(name: &str, payload: &str) -> Event {
    let known = match name {
        "phx_reply" => reply(payload),
        "system" => system(payload),
        "postgres_changes" => change(payload),
        "phx_close" => Some(Event::Closed),
        "phx_error" => Some(Event::Crashed),
        _ => None,
    };
    known.unwrap_or(Event::Other)
}

fn reply(payload: &str) -> Option<Event> {
    #[derive(Deserialize)]
    struct Reply {
        status: String,
        #[serde(default)]
        response: Value,
    }
    let reply: Reply = serde_json::from_str(payload).ok()?;
    let reason = || reply.response.get("reason").and_then(Value::as_str).unwrap_or(&reply.status).to_owned();
    Some(Event::Reply(if reply.status == "ok" { Ok(()) } else { Err(reason()) }))
}

fn system(payload: &str) -> Option<Event> {
    #[derive(Deserialize)]
    struct System {
        #[serde(default)]
        extension: String,
        status: String,
        #[serde(default)]
        message: Value,
    }
    let system: System = serde_json::from_str(payload).ok()?;
    let message = || system.message.as_str().map_or_else(|| system.message.to_string(), str::to_owned);
    let standing = if system.status == "ok" { Ok(()) } else { Err(message()) };
    Some(Event::System { extension: system.extension, standing })
}

fn change(payload: &str) -> Option<Event> {
    #[derive(Deserialize)]
    struct Body {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        #[serde(default)]
        record: Option<Change>,
        #[serde(default, rename = "type", deserialize_with = "lenient")]
        kind: Option<ChangeKind>,
    }
    let Body { data } = serde_json::from_str(payload).ok()?;
    Some(Event::Change(Change { kind: data.kind, ..data.record.unwrap_or_default() }))
}

/// Joins a channel that tells of notifications that are new in some enterprises and changed in some, each at most [`FILTER_VALUES_MAX`].
#[must_use]
pub fn join(reference: u64, topic: &str, inserted: &[EnterpriseId], updated: &[EnterpriseId]) -> String {
    let told =
        [("INSERT", inserted), ("UPDATE", updated)].into_iter().filter(|(_, enterprises)| !enterprises.is_empty());
    let binding = |(event, enterprises)| json!({"event": event, "schema": "notify", "table": "ent_notification", "filter": filter(enterprises)});
    let bindings: Vec<Value> = told.map(binding).collect();
    let config = json!({
        "broadcast": {"ack": false, "self": false},
        "presence": {"key": "", "enabled": false},
        "postgres_changes": bindings,
        "private": false,
    });
    let reference = reference.to_string();
    json!([reference, reference, topic, "phx_join", {"config": config}]).to_string()
}

/// Only `eq` and `in` are known to servers of every age. Ids hold no character that a filter reserves.
fn filter(enterprises: &[EnterpriseId]) -> String {
    match enterprises {
        [one] => format!("enterprise_id=eq.{one}"),
        several => {
            let ids: Vec<&str> = several.iter().map(EnterpriseId::as_str).collect();
            format!("enterprise_id=in.({})", ids.join(","))
        }
    }
}

/// Leaves a channel that was joined under `join_ref`.
#[must_use]
pub fn leave(reference: u64, join_ref: u64, topic: &str) -> String {
    json!([join_ref.to_string(), reference.to_string(), topic, "phx_leave", {}]).to_string()
}

/// A heartbeat.
#[must_use]
pub fn heartbeat(reference: u64) -> String {
    json!([null, reference.to_string(), HEARTBEAT_TOPIC, "heartbeat", {}]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session of the official client against bodies of the real server's SQL.
    fn golden() -> Vec<(String, Value)> {
        let lines = include_str!("../../tests/fixtures/realtime-frames.ndjson").lines();
        let frame = |line| {
            let mut frame: Value = serde_json::from_str(line).unwrap();
            (frame["dir"].as_str().unwrap().to_owned(), frame["frame"].take())
        };
        lines.map(frame).collect()
    }

    fn change(id: i64, kind: ChangeKind) -> Event {
        Event::Change(Change {
            id: NotificationId::new(id).ok(),
            enterprise: "ent1".parse().ok(),
            status: None,
            kind: Some(kind),
        })
    }

    #[test]
    fn what_we_send_is_what_the_official_client_sends() {
        let ent1 = ["ent1".parse().unwrap()];
        let ours = [join(6, "realtime:enterprise:ent1", &ent1, &ent1), heartbeat(7), heartbeat(8)];
        let ours: Vec<Value> = ours.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let theirs: Vec<Value> =
            golden().into_iter().filter(|(direction, _)| direction == "c2s").map(|(_, frame)| frame).collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_recorded_session_is_read() {
        let events: Vec<Event> = golden()
            .into_iter()
            .filter(|(direction, _)| direction == "s2c")
            .map(|(_, frame)| decode(&frame.to_string()).unwrap().event)
            .collect();
        let ready = Event::System { extension: "postgres_changes".to_owned(), standing: Ok(()) };
        let ok = Event::Reply(Ok(()));
        let [new, edited, next] = [(37, ChangeKind::Insert), (37, ChangeKind::Update), (39, ChangeKind::Insert)]
            .map(|(id, kind)| change(id, kind));
        let want = [ok.clone(), ready, new, edited, next, ok.clone(), ok];
        assert_eq!(events, want);
    }

    #[test]
    fn references_and_topics_are_read() {
        let frame = decode(r#"["6","7","realtime:x","phx_reply",{"status":"ok","response":{}}]"#).unwrap();
        let want = Frame {
            join_ref: Some("6".to_owned()),
            reference: Some("7".to_owned()),
            topic: "realtime:x".to_owned(),
            event: Event::Reply(Ok(())),
        };
        assert_eq!(frame, want);
    }

    #[test]
    fn refusals_carry_their_reason() {
        let cases = [
            (
                r#"["1","1","t","phx_reply",{"status":"error","response":{"reason":"Code: text"}}]"#,
                Event::Reply(Err("Code: text".to_owned())),
            ),
            (
                r#"["1","1","t","phx_reply",{"status":"timeout","response":{}}]"#,
                Event::Reply(Err("timeout".to_owned())),
            ),
            (
                r#"["1",null,"t","system",{"message":"Token has expired","status":"error","extension":"system","channel":"x"}]"#,
                Event::System { extension: "system".to_owned(), standing: Err("Token has expired".to_owned()) },
            ),
            (
                r#"["1",null,"t","system",{"message":{"a":1},"status":"error"}]"#,
                Event::System { extension: String::new(), standing: Err(r#"{"a":1}"#.to_owned()) },
            ),
        ];
        for (text, want) in cases {
            assert_eq!(decode(text).unwrap().event, want, "{text}");
        }
    }

    #[test]
    fn a_record_without_what_identifies_it_is_a_change_without_it() {
        let cases = [
            (r#"{"data":{"errors":["Error 401: Unauthorized"]}}"#, Change::default()),
            (r#"{"data":{"record":{},"old_record":{"id":1},"type":"TRUNCATE"}}"#, Change::default()),
            (r#"{"data":{"record":{"id":-1,"enterprise_id":null,"notification_status":3}}}"#, Change::default()),
            (
                r#"{"data":{"record":{"id":9007199254740993,"notification_status":"SENT","payload":{"id":1}}}}"#,
                Change {
                    id: NotificationId::new(9_007_199_254_740_993).ok(),
                    enterprise: None,
                    status: Some("SENT".to_owned()),
                    kind: None,
                },
            ),
        ];
        for (payload, want) in cases {
            let text = format!(r#"[null,null,"t","postgres_changes",{payload}]"#);
            assert_eq!(decode(&text).unwrap().event, Event::Change(want), "{payload}");
        }
    }

    #[test]
    fn frames_of_other_kinds_are_read_as_such_and_other_text_is_no_frame() {
        for text in [
            r#"["1",null,"t","presence_state",{}]"#,
            r#"["1",null,"t","broadcast",{"event":"x"}]"#,
            r#"["1",null,"t","system",[]]"#,
            r#"["1",null,"t","postgres_changes",{}]"#,
        ] {
            assert_eq!(decode(text).unwrap().event, Event::Other, "{text}");
        }
        for text in ["", "{}", "[]", "[1,2,3,4,5]", r#"["1","1","t","phx_reply"]"#] {
            assert!(decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn several_enterprises_share_one_filter() {
        let ids = ["a".parse().unwrap(), "b".parse().unwrap()];
        assert_eq!(filter(&ids), "enterprise_id=in.(a,b)");
    }
}
