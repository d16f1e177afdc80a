//! Fault switches: what goes wrong on purpose, and how requests find out.
//!
//! It owns the switches' shape (which is also the admin route's JSON) and which request a fault hits. It never causes a fault
//! itself; each face asks. All switches are off by default, and clearing them restores the faithful behaviour.

use serde::{Deserialize, Serialize};

/// The state of all switches. As JSON, missing members are off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Moves the server's clock, in milliseconds; positive is ahead. Added to the option of the same name.
    pub clock_offset_ms: i64,
    /// Faults of single requests. The first that fits a request hits it.
    pub http: Vec<HttpFault>,
    /// Faults of PostgREST.
    pub rest: RestFaults,
    /// Faults of Novu.
    pub novu: NovuFaults,
    /// Faults of Realtime.
    pub realtime: RealtimeFaults,
}

/// A fault of single requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpFault {
    /// Which of the two services is hit.
    pub face: Face,
    /// Only requests with this method, for example `PATCH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only requests whose path starts like this, for example `/rest/v1/ent_notification`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// Only requests whose body holds this text, for example `SENT` to hit a settle and spare a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// Fitting requests that pass before the first is hit.
    #[serde(default)]
    pub skip: u64,
    /// Requests that are hit before the fault is used up. None: all, until cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Milliseconds the request waits first.
    #[serde(default)]
    pub latency_ms: u64,
    /// What happens then.
    #[serde(default)]
    pub effect: Effect,
}

/// One of the two services that speak plain HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Face {
    /// PostgREST.
    Rest,
    /// Novu.
    Novu,
}

/// What happens to a request that is hit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// It is answered as usual; the fault is its latency alone.
    #[default]
    Pass,
    /// It is not worked on and answered with an error.
    Status {
        /// HTTP status.
        status: u16,
        /// Form of the body.
        #[serde(default)]
        body: ErrorBody,
        /// `Retry-After`, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u64>,
        /// Novu only: the error arises behind the idempotency layer, which keeps it for 24 hours and replays it.
        #[serde(default)]
        behind_idempotency: bool,
    },
    /// It is accepted and never answered, nor worked on.
    Timeout,
    /// It is worked on, and then the connection closes in place of an answer.
    Cut,
}

/// Form of an error's body.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorBody {
    /// JSON in the service's own error shape.
    #[default]
    Json,
    /// A page of a proxy.
    Html,
    /// Nothing.
    Empty,
}

/// Faults of PostgREST beyond single requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestFaults {
    /// GETs answer from a replica this many milliseconds behind. 0: no replica. The replica starts in step when the switch is set.
    pub stale_reads_ms: u64,
    /// UPDATEs and DELETEs find no row, as under a row level policy: 200 `[]`.
    pub filter_updates: bool,
    /// The key's role may read only: writes are refused with 42501.
    pub deny_writes: bool,
}

/// Faults of Novu beyond single requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NovuFaults {
    /// `Idempotency-Key` is ignored.
    pub idempotency_off: bool,
    /// A transaction id seen before is delivered again.
    pub accept_duplicates: bool,
    /// Accepted triggers carry this word as their `status` and are not delivered unless it is `processed`.
    pub status_word: Option<String>,
}

/// Faults of Realtime.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RealtimeFaults {
    /// Sockets, also new ones, fall silent: no frame, no answer to a heartbeat, no FIN.
    pub stall: bool,
    /// Joins are answered `ok`, but their subscription never comes alive.
    pub withhold_system: bool,
    /// Subscriptions fail with this message; their channels stay joined.
    pub system_error: Option<String>,
    /// In place of the option of the same name.
    pub system_delay_ms: Option<u64>,
    /// Events that are lost next.
    pub discard_events: u64,
    /// Events that are sent twice next.
    pub duplicate_events: u64,
    /// Events of one poll come in reverse order.
    pub reorder_events: bool,
    /// Records are cut as if the row were above 1 MiB.
    pub truncate_events: bool,
    /// Columns that updates leave out when unchanged, as if stored out of line.
    pub omit_columns: Vec<String>,
}

/// Something that happens once to what is connected now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// All sockets are closed without a close frame.
    DropSockets,
    /// The sockets there are fall silent for good; new ones work.
    StallSockets,
    /// All channels are told that their token has expired, and closed.
    ExpireTokens,
    /// All channels crash: `phx_error`.
    ErrorChannels,
    /// All channels get a `system` error and stay joined, but deliver nothing any more.
    FailSubscriptions,
    /// The replication slot starts anew at the end of the log: what was committed and not delivered is lost without a word.
    RestartSlot,
}

/// A request, as far as faults look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'r> {
    pub(crate) face: Face,
    pub(crate) method: &'r str,
    pub(crate) path: &'r str,
    pub(crate) body: &'r [u8],
}

impl Faults {
    /// Whether a fault of this face looks at bodies.
    pub(crate) fn need_body(&self, face: Face) -> bool {
        self.http.iter().any(|fault| fault.face == face && fault.body_contains.is_some())
    }

    /// The fault that hits a request, counted as used.
    pub(crate) fn hit(&mut self, target: Target<'_>) -> Option<HttpFault> {
        for at in 0..self.http.len() {
            let fault = &mut self.http[at];
            if !fault.fits(target) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            let hit = fault.clone();
            if let Some(count) = &mut fault.count {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.http.remove(at);
                }
            }
            return Some(hit);
        }
        None
    }

    /// Sets the switches a JSON object names (RFC 7396: members of objects one by one, lists as a whole, null is off).
    ///
    /// # Errors
    ///
    /// The first member that is unknown or of the wrong type. Nothing is set then.
    pub(crate) fn patched(&self, patch: serde_json::Value) -> Result<Self, serde_json::Error> {
        let mut merged = serde_json::to_value(self)?;
        merge(&mut merged, patch);
        serde_json::from_value(merged)
    }
}

impl HttpFault {
    /// A fault of every request to a face, until cleared.
    pub fn new(face: Face, effect: Effect) -> Self {
        Self { face, method: None, path_prefix: None, body_contains: None, skip: 0, count: None, latency_ms: 0, effect }
    }

    fn fits(&self, target: Target<'_>) -> bool {
        let contains = |text: &str| target.body.windows(text.len().max(1)).any(|window| window == text.as_bytes());
        self.face == target.face
            && self.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(target.method))
            && self.path_prefix.as_deref().is_none_or(|prefix| target.path.starts_with(prefix))
            && self.body_contains.as_deref().is_none_or(contains)
    }
}

fn merge(target: &mut serde_json::Value, patch: serde_json::Value) {
    use serde_json::Value::Object;
    match (target, patch) {
        (Object(target), Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    target.remove(&name);
                } else {
                    merge(target.entry(name).or_insert(serde_json::Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SETTLE: Target<'_> = Target {
        face: Face::Rest,
        method: "PATCH",
        path: "/rest/v1/ent_notification",
        body: br#"{"notification_status":"SENT"}"#,
    };

    #[test]
    fn a_fault_spares_skipped_requests_and_is_used_up_after_its_count() {
        let fault = HttpFault { skip: 1, count: Some(2), ..HttpFault::new(Face::Rest, Effect::Cut) };
        let mut faults = Faults { http: vec![fault], ..Faults::default() };
        let hits: Vec<_> = (0..5).map(|_| faults.hit(SETTLE).is_some()).collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert!(faults.http.is_empty());
    }

    #[test]
    fn a_fault_hits_only_requests_that_fit_all_it_names() {
        let fault = HttpFault {
            method: Some("patch".into()),
            path_prefix: Some("/rest/v1/ent_notification".into()),
            body_contains: Some("SENT".into()),
            ..HttpFault::new(Face::Rest, Effect::Timeout)
        };
        let mut faults = Faults { http: vec![fault], ..Faults::default() };
        assert!(faults.hit(Target { face: Face::Novu, ..SETTLE }).is_none());
        assert!(faults.hit(Target { method: "GET", ..SETTLE }).is_none());
        assert!(faults.hit(Target { path: "/rest/v1/other", ..SETTLE }).is_none());
        assert!(faults.hit(Target { body: b"{}", ..SETTLE }).is_none());
        assert!(faults.hit(SETTLE).is_some());
    }

    #[test]
    fn a_patch_sets_what_it_names_and_null_turns_off() {
        let faults = Faults::default()
            .patched(json!({"realtime": {"stall": true, "discard_events": 3}, "novu": {"status_word": "error"}}))
            .and_then(|faults| faults.patched(json!({"realtime": {"stall": null}, "novu": {"status_word": null}})))
            .expect("known switches");
        assert_eq!(faults.realtime, RealtimeFaults { discard_events: 3, ..RealtimeFaults::default() });
        assert_eq!(faults.novu, NovuFaults::default());
    }

    #[test]
    fn an_unknown_switch_is_refused() {
        let error = Faults::default().patched(json!({"realtime": {"stal": true}})).expect_err("a misspelt switch");
        assert!(error.to_string().contains("stal"), "{error}");
    }
}
