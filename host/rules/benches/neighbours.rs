//! What other enterprises wait while one attacks: the times of an honest enterprise's `admit`, queueing included, alone and beside each attack.
//!
//! Prints one JSON object a line, times in microseconds. `cargo bench -p xnovu-rules --bench neighbours`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be set up has failed")]

#[path = "../tests/rules/support/build.rs"]
mod build;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::MissedTickBehavior;
use xnovu_domain::{Event, Micros};
use xnovu_rules::{BrokenKind, ChildCompiler, Compiler, RetryWaits, Rules, Ruling, Runtime, RuntimeOptions};

const HONEST: &str = "11111111-1111-4111-8111-111111111111";
const ATTACKER: &str = "22222222-2222-4222-8222-222222222222";

/// Events of the honest enterprise that are measured beside each attack, and the time between them: an open load, so that one that waits
/// delays none of those behind it.
const MEASURED: usize = 2_000;
const PAUSE: Duration = Duration::from_millis(1);

/// Events of the attacker's that are under way at any time.
const AT_ONCE: usize = 8;

/// The attacks: a name, the config that tells the component, the limits. Everything is as a binding without limits has it, or allows more.
const ATTACKS: [(&str, &str, &str); 10] = [
    ("nothing", "{}", ""),
    ("loops until its fuel is used up", "{ admit = \"loop\" }", ""),
    ("loops until its wall time is over", "{ admit = \"loop\" }", "fuel = 10_000_000_000"),
    ("loops for 200 ms a time", "{ admit = \"loop\" }", "fuel = 10_000_000_000, wall_ms = 200"),
    ("takes all its memory", "{ admit = \"grow:1000000000\" }", ""),
    ("recurses", "{ admit = \"recurse:1\" }", ""),
    ("panics", "{ admit = \"panic:no\" }", ""),
    ("answers 8 MB", "{ admit = \"big:8000000\" }", ""),
    ("floods the log", "{ admit = \"log:1000000000x100\" }", ""),
    ("answers a thousand messages", "{ transform = \"messages:1000\" }", ""),
];

fn main() {
    let wasm = build::plain("hostile");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for (what, config, limits) in ATTACKS {
            let dir = tempfile::tempdir().unwrap();
            beside(what, &open(dir.path(), &wasm, config, limits).await).await;
        }
    });
}

async fn open(dir: &Path, wasm: &[u8], config: &str, limits: &str) -> Arc<Runtime> {
    let plugin = dir.join("plugins/hostile");
    fs::create_dir_all(&plugin).unwrap();
    fs::write(plugin.join("plugin.toml"), "name = \"hostile\"\nversion = \"0.1.0\"\ndescription = \"A bench.\"\n")
        .unwrap();
    fs::write(plugin.join("hostile.wasm"), wasm).unwrap();
    let entry = |enterprise: &str, limits: &str, config: &str| {
        format!("[enterprises.\"{enterprise}\"]\nplugin = \"hostile\"\nlimits = {{ {limits} }}\nconfig = {config}\n")
    };
    let bindings = entry(HONEST, "wall_ms = 10_000", "{}") + &entry(ATTACKER, limits, config);
    fs::write(dir.join("plugins/bindings.toml"), bindings).unwrap();
    let compiler = Compiler::Child(ChildCompiler::new(env!("CARGO_BIN_EXE_xnovu-rules-compiler"), [""; 0]));
    // The breaker would end the attack; here it is to go on.
    let retry = RetryWaits { first: Duration::ZERO, longest: Duration::ZERO };
    let options =
        RuntimeOptions { retry, ..RuntimeOptions::new(dir.join("plugins"), dir.join("state/compiled"), compiler) };
    let (runtime, report) = Runtime::open(options).await.unwrap();
    assert!(report.is_clean(), "{report}");
    Arc::new(runtime)
}

async fn beside(what: &str, runtime: &Arc<Runtime>) {
    let (stop, attacks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut attackers = Vec::new();
    for _ in 0..if what == "nothing" { 0 } else { AT_ONCE } {
        let (runtime, stop, attacks) = (runtime.clone(), stop.clone(), attacks.clone());
        let attack = async move {
            while !stop.load(Ordering::Relaxed) {
                match runtime.decide(event(ATTACKER), None).await {
                    // Rules that fail rest, and whoever asks does too: the daemon holds what it has for seconds.
                    Ruling::Broken(broken) if broken.kind == BrokenKind::Suspended => tokio::time::sleep(PAUSE).await,
                    _ => drop(attacks.fetch_add(1, Ordering::Relaxed)),
                }
            }
        };
        attackers.push(task(attack));
    }
    let mut times = honest(runtime).await;
    stop.store(true, Ordering::Relaxed);
    for attacker in attackers {
        attacker.await.unwrap();
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1000.0;
    println!(
        "{}",
        json!({"what": format!("a neighbour {what}"), "attacks": attacks.load(Ordering::Relaxed),
            "p50_us": at(0.5), "p99_us": at(0.99), "max_us": at(1.0)})
    );
}

/// The times of the honest enterprise's events, each from when it was put to when it was answered.
async fn honest(runtime: &Arc<Runtime>) -> Vec<Duration> {
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asked = Vec::with_capacity(MEASURED);
    for _ in 0..MEASURED {
        // The time the event was due, not the time a busy machine came to it: what comes late has waited.
        let due = ticks.tick().await.into_std();
        let runtime = runtime.clone();
        asked.push(task(async move {
            let answered = runtime.admit(event(HONEST)).await;
            let took = Instant::now().saturating_duration_since(due);
            assert!(matches!(answered, Ruling::Ruled(_)), "the neighbour was not answered: {answered:?}");
            took
        }));
    }
    let mut times = Vec::with_capacity(MEASURED);
    for one in asked {
        times.push(one.await.unwrap());
    }
    times
}

#[allow(clippy::disallowed_methods, reason = "a bench has no tasks of the product's")]
fn task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}

fn event(enterprise: &str) -> Event {
    let row = json!({
        "id": 7, "enterprise_id": enterprise, "name": "invoice 7", "notification_status": "PENDING",
        "publish_status": "PUBLISH", "deactivated": false, "payload": {"severity": "high"}, "recipients": ["sub-1", "sub-2"],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "workflow": {"workflow_key": "invoice"},
    });
    Event::new(serde_json::from_value(row).unwrap(), Micros::from_millis(1_767_225_600_000))
}
