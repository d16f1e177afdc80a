//! What one `admit` costs: the same rule native, in a fresh instance, and through the rule threads.
//!
//! Prints one JSON object a line, times in microseconds. `cargo bench -p xnovu-rules --bench admit`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be set up has failed")]

#[path = "../tests/rules/support/build.rs"]
mod build;
#[path = "../../../tests/guests/typical/src/rule.rs"]
mod rule;

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xnovu_domain::{Event, Micros};
use xnovu_rules::{ChildCompiler, Compiler, Limits, Rules, Ruling, Runtime, RuntimeOptions, Workbench};

/// Evaluations before anything is measured.
const WARM_UP: usize = 2_000;

/// Evaluations measured.
const MEASURED: usize = 20_000;

const ENTERPRISE: &str = "11111111-1111-4111-8111-111111111111";

fn main() {
    let wasm = build::plain("typical");
    let dir = tempfile::tempdir().unwrap();
    report("native", native());
    report("fresh", fresh(&wasm, &dir.path().join("bench/compiled")));
    report("through the rule threads", threaded(&wasm, dir.path()));
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1000.0;
    println!("{}", json!({"what": what, "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999)}));
}

/// Times what `once` does, having made its argument before the clock starts.
fn measure<T>(mut prepare: impl FnMut() -> T, mut once: impl FnMut(T)) -> Vec<Duration> {
    let mut time = || {
        let argument = prepare();
        let started = Instant::now();
        once(argument);
        started.elapsed()
    };
    for _ in 0..WARM_UP {
        time();
    }
    (0..MEASURED).map(|_| time()).collect()
}

fn native() -> Vec<Duration> {
    let (payload, settings) = (payload().to_string(), settings().to_string());
    measure(
        || (),
        |()| {
            let settings: rule::Settings = serde_json::from_str(black_box(&settings)).unwrap();
            let payload: rule::Payload = serde_json::from_str(black_box(&payload)).unwrap();
            black_box(rule::priority(&payload, &settings));
        },
    )
}

fn fresh(wasm: &[u8], cache: &std::path::Path) -> Vec<Duration> {
    let trial = Workbench::open(cache, compiler()).unwrap().trial(wasm, &settings(), Limits::default()).unwrap();
    let event = event();
    let first = trial.admit(event.clone());
    assert!(first.answer.is_ok(), "{:?}", first.answer);
    measure(|| event.clone(), |event| drop(black_box(trial.admit(event))))
}

fn threaded(wasm: &[u8], dir: &std::path::Path) -> Vec<Duration> {
    let plugin = dir.join("plugins/typical");
    fs::create_dir_all(&plugin).unwrap();
    fs::write(plugin.join("plugin.toml"), "name = \"typical\"\nversion = \"0.1.0\"\ndescription = \"A bench.\"\n")
        .unwrap();
    fs::write(plugin.join("typical.wasm"), wasm).unwrap();
    let binding =
        "[enterprises.\"*\"]\nplugin = \"typical\"\nconfig = { threshold = 100, tiers = [\"silver\", \"gold\"] }\n";
    fs::write(dir.join("plugins/bindings.toml"), binding).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (runtime, report) = tokio
        .block_on(Runtime::open(RuntimeOptions::new(dir.join("plugins"), dir.join("state/compiled"), compiler())))
        .unwrap();
    assert!(report.is_clean(), "{report}");
    let event = event();
    measure(
        || event.clone(),
        |event| {
            let ruling = tokio.block_on(runtime.admit(event));
            assert!(matches!(ruling, Ruling::Ruled(_)), "{ruling:?}");
        },
    )
}

fn compiler() -> Compiler {
    Compiler::Child(ChildCompiler::new(env!("CARGO_BIN_EXE_xnovu-rules-compiler"), [""; 0]))
}

fn settings() -> Value {
    json!({"threshold": 100, "tiers": ["silver", "gold"]})
}

fn payload() -> Value {
    let line = |sku: u32| json!({"sku": format!("SKU-{sku:06}"), "title": "A thing of the usual kind", "amount": 12.5, "quantity": sku % 7 + 1});
    json!({
        "order": {"id": "ord_01HZX3T9", "placed": "2026-01-01T08:15:00+08:00", "note": "Leave it with the neighbour."},
        "customer": {"id": "cus_7", "name": "Zhang Wei", "tier": "gold", "country": "CN", "locale": "zh-CN"},
        "lines": (0..6).map(line).collect::<Vec<_>>(),
        "severity": "high",
    })
}

fn event() -> Event {
    let row = json!({
        "id": 7, "enterprise_id": ENTERPRISE, "name": "order 7", "notification_status": "PENDING", "publish_status": "PUBLISH",
        "deactivated": false, "payload": payload(), "recipients": ["sub-1", "sub-2"], "channels": ["EMAIL"],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "workflow": {"workflow_key": "order"}, "category": {"code": "order", "path_text": "shop.order"},
    });
    Event::new(serde_json::from_value(row).unwrap(), Micros::from_millis(1_767_225_600_000))
}
