//! What both benches need: the rule as it is built, an event, and figures of a set of times.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xnovu_domain::{Event, Micros};
use xnovu_rules::ChildCompiler;

#[allow(dead_code, reason = "shared with tests, which use more of it")]
#[path = "../../tests/rules/support/build.rs"]
pub(crate) mod build;

pub(crate) const ENTERPRISE: &str = "11111111-1111-4111-8111-111111111111";

/// What `xnovu plugin build` tells the linker.
pub(crate) const SMALL_STACK: &str = "-Clink-arg=-zstack-size=65536";

/// The rule as `xnovu plugin build` makes it: the SDK's allocator, a small stack, no WASI.
pub(crate) fn as_built() -> Vec<u8> {
    module("typical-bench", "wasm32-unknown-unknown", &[], SMALL_STACK)
}

pub(crate) fn module(name: &str, target: &str, arguments: &[&str], flags: &str) -> Vec<u8> {
    build::component(&build::build_as(name, "typical", target, arguments, flags))
}

/// The compiler of this crate's own tests and benches.
pub(crate) fn child_compiler() -> ChildCompiler {
    ChildCompiler::new(env!("CARGO_BIN_EXE_xnovu-rules-compiler"), [""; 0])
}

/// Times, and what is said of them.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Times `once`, that often, having made its argument before the clock starts.
    pub(crate) fn of<T>(often: usize, mut prepare: impl FnMut() -> T, mut once: impl FnMut(T)) -> Self {
        let mut times: Vec<_> = (0..often)
            .map(|_| {
                let argument = prepare();
                let started = Instant::now();
                once(argument);
                started.elapsed()
            })
            .collect();
        times.sort_unstable();
        Self(times)
    }

    /// The time within which that share of them lies, in microseconds.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let nanos = self.0[((self.0.len() - 1) as f64 * share) as usize].as_nanos();
        nanos as f64 / 1000.0
    }
}

/// The middle, the least and the most of several runs.
pub(crate) fn spread(mut runs: Vec<f64>) -> Value {
    runs.sort_by(f64::total_cmp);
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    json!({"median": round(runs[runs.len() / 2]), "least": round(runs[0]), "most": round(runs[runs.len() - 1])})
}

pub(crate) fn settings() -> Value {
    json!({"threshold": 100, "tiers": ["silver", "gold"]})
}

pub(crate) fn payload() -> Value {
    let line = |sku: u32| json!({"sku": format!("SKU-{sku:06}"), "title": "A thing of the usual kind", "amount": 12.5, "quantity": sku % 7 + 1});
    json!({
        "order": {"id": "ord_01HZX3T9", "placed": "2026-01-01T08:15:00+08:00", "note": "Leave it with the neighbour."},
        "customer": {"id": "cus_7", "name": "Zhang Wei", "tier": "gold", "country": "CN", "locale": "zh-CN"},
        "lines": (0..6).map(line).collect::<Vec<_>>(),
        "severity": "high",
    })
}

/// An event of about a kilobyte.
pub(crate) fn event(enterprise: &str) -> Event {
    let row = json!({
        "id": 7, "enterprise_id": enterprise, "name": "order 7", "notification_status": "PENDING", "publish_status": "PUBLISH",
        "deactivated": false, "payload": payload(), "recipients": ["sub-1", "sub-2"], "channels": ["EMAIL"],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "workflow": {"workflow_key": "order"}, "category": {"code": "order", "path_text": "shop.order"},
    });
    Event::new(serde_json::from_value(row).unwrap(), Micros::from_millis(1_767_225_600_000))
}
