//! Frames of the Phoenix protocol: version 1.0.0 writes objects, 2.0.0 arrays.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Serializer a client asked for with `vsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A frame from a client.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Incoming {
    #[serde(default)]
    pub(super) join_ref: Option<String>,
    #[serde(default, rename = "ref")]
    pub(super) reference: Option<String>,
    pub(super) topic: String,
    pub(super) event: String,
    #[serde(default)]
    pub(super) payload: Map<String, Value>,
}

/// A frame to a client.
#[derive(Debug)]
pub(super) struct Outgoing<'f> {
    pub(super) join_ref: Option<&'f str>,
    pub(super) reference: Option<&'f str>,
    pub(super) topic: &'f str,
    pub(super) event: &'f str,
    /// JSON text.
    pub(super) payload: &'f str,
}

impl Version {
    /// Reads `vsn`; without one it is 1.0.0. None: no such version.
    pub(super) fn parse(vsn: Option<&str>) -> Option<Self> {
        match vsn {
            None | Some("1.0.0") => Some(Self::V1),
            Some("2.0.0") => Some(Self::V2),
            Some(_) => None,
        }
    }

    /// Reads a text frame. None: not a frame of this version.
    pub(super) fn decode(self, text: &str) -> Option<Incoming> {
        match self {
            // A derived reader would take an array for the object.
            Self::V1 => text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten(),
            Self::V2 => {
                let (join_ref, reference, topic, event, payload) = serde_json::from_str(text).ok()?;
                Some(Incoming { join_ref, reference, topic, event, payload })
            }
        }
    }

    pub(super) fn encode(self, frame: &Outgoing<'_>) -> String {
        let Outgoing { join_ref, reference, topic, event, payload } = frame;
        let (join_ref, reference, topic, event) = (json!(join_ref), json!(reference), json!(topic), json!(event));
        match self {
            Self::V1 => format!(
                r#"{{"topic":{topic},"event":{event},"payload":{payload},"ref":{reference},"join_ref":{join_ref}}}"#
            ),
            Self::V2 => format!("[{join_ref},{reference},{topic},{event},{payload}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_carry_the_same_frame() {
        let one = r#"{"topic":"realtime:x","event":"phx_join","payload":{"config":{}},"ref":"6","join_ref":"6"}"#;
        let two = r#"["6","6","realtime:x","phx_join",{"config":{}}]"#;
        assert_eq!(Version::V1.decode(one), Version::V2.decode(two));
        assert!(Version::V1.decode(two).is_none());
        assert!(Version::V2.decode(one).is_none());
    }

    #[test]
    fn a_heartbeat_has_no_join_ref() {
        let frame = Version::V1.decode(r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"8"}"#);
        assert_eq!(frame.map(|frame| (frame.join_ref, frame.reference)), Some((None, Some("8".to_owned()))));
    }

    #[test]
    fn absent_references_are_null() {
        let frame = Outgoing { join_ref: None, reference: None, topic: "realtime:x", event: "system", payload: "{}" };
        assert_eq!(Version::V2.encode(&frame), r#"[null,null,"realtime:x","system",{}]"#);
    }
}
