//! What one `admit` costs: the same rule native, in a fresh instance, and through the rule threads; on one thread and on two.
//!
//! Prints one JSON object a line, times in microseconds, each the median of several runs with the least and the most beside it. All
//! builds take turns, so that what else the machine does meets them alike. `cargo bench -p xnovu-rules --bench admit`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be set up has failed")]

#[path = "../../../tests/guests/typical/src/rule.rs"]
mod rule;
mod support;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use xnovu_rules::{Compiler, Limits, Rules, Ruling, Runtime, RuntimeOptions, Trial, Workbench};

use support::{ENTERPRISE, Times, event, settings, spread};

/// Rounds of all builds in turn.
const ROUNDS: usize = 15;

/// Evaluations a round, after a tenth as many to warm up.
const EVALUATIONS: usize = 4_000;

/// How long two threads are measured, a round.
const SLICE: Duration = Duration::from_millis(150);

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Workbench::open(&dir.path().join("bench/compiled"), compiler()).unwrap();
    let builds: Vec<(&str, Trial)> = [
        ("fresh", support::as_built()),
        ("fresh, wasip2", with_wasi()),
        ("fresh, SDK's allocator, stack of 1 MiB", with_large_stack()),
        ("fresh, std's allocator, stack of 1 MiB", with_standard_allocator()),
    ]
    .map(|(name, wasm)| (name, trial(&bench, &wasm)))
    .into();
    single(&builds);
    double(&builds[0].1);
    through_the_threads(dir.path());
}

fn trial(bench: &Workbench, wasm: &[u8]) -> Trial {
    let trial = bench.trial(wasm, &settings(), Limits::default()).unwrap();
    let first = trial.admit(event(ENTERPRISE));
    assert!(first.answer.is_ok(), "{:?}", first.answer);
    trial
}

/// Latency of each build on one thread, the builds in turn.
fn single(builds: &[(&str, Trial)]) {
    let (native, event) = (Native::new(), event(ENTERPRISE));
    let mut rounds: Vec<Vec<Times>> = (0..=builds.len()).map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        rounds[0].push(warm(|often| Times::of(often, || (), |()| native.decide())));
        for (build, (_, trial)) in builds.iter().enumerate() {
            let times = |often| Times::of(often, || event.clone(), |event| drop(black_box(trial.admit(event))));
            rounds[build + 1].push(warm(times));
        }
    }
    let names = ["native"].into_iter().chain(builds.iter().map(|(name, _)| *name));
    for (name, times) in names.zip(&rounds) {
        let at = |share| spread(times.iter().map(|times| times.at(share)).collect());
        let above = times.iter().zip(&rounds[0]).map(|(it, native)| it.at(0.5) - native.at(0.5));
        let above = spread(above.collect());
        println!("{}", json!({"what": name, "p50_us": at(0.5), "p50_above_native_us": above, "p99_us": at(0.99)}));
    }
}

fn warm(mut times: impl FnMut(usize) -> Times) -> Times {
    drop(times(EVALUATIONS / 10));
    times(EVALUATIONS)
}

/// How throughput grows from one thread to two, native and fresh, in turn.
fn double(trial: &Trial) {
    let (native, event) = (Native::new(), event(ENTERPRISE));
    let (mut natives, mut fresh, mut relative) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let growth = |work: &(dyn Fn() + Sync)| rate(2, work) / rate(1, work);
        let (of_native, of_fresh) =
            (growth(&|| native.decide()), growth(&|| drop(black_box(trial.admit(event.clone())))));
        natives.push(of_native);
        fresh.push(of_fresh);
        relative.push(of_fresh / of_native);
    }
    println!(
        "{}",
        json!({"what": "two threads over one", "native": spread(natives), "fresh": spread(fresh), "fresh_over_native": spread(relative)})
    );
}

/// Evaluations a second of that many threads together.
fn rate(threads: usize, work: &(dyn Fn() + Sync)) -> f64 {
    let (start, stop) = (Barrier::new(threads + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let count = || {
            start.wait();
            let mut done = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                work();
                done += 1;
            }
            done
        };
        let counting: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        start.wait();
        let started = Instant::now();
        thread::sleep(SLICE);
        stop.store(true, Ordering::Relaxed);
        let elapsed = started.elapsed().as_secs_f64();
        let done: u64 = counting.into_iter().map(|thread| thread.join().unwrap()).sum();
        done as f64 / elapsed
    })
}

/// As daemon and worker ask: through the rule threads, one event at a time.
fn through_the_threads(dir: &Path) {
    let plugin = dir.join("plugins/typical");
    fs::create_dir_all(&plugin).unwrap();
    let manifest = "name = \"typical\"\nversion = \"0.1.0\"\ndescription = \"A bench.\"\n";
    fs::write(plugin.join("plugin.toml"), manifest).unwrap();
    fs::write(plugin.join("typical.wasm"), support::as_built()).unwrap();
    let binding =
        "[enterprises.\"*\"]\nplugin = \"typical\"\nconfig = { threshold = 100, tiers = [\"silver\", \"gold\"] }\n";
    fs::write(dir.join("plugins/bindings.toml"), binding).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let options = RuntimeOptions::new(dir.join("plugins"), dir.join("state/compiled"), compiler());
    let (runtime, report) = tokio.block_on(Runtime::open(options)).unwrap();
    assert!(report.is_clean(), "{report}");
    let event = event(ENTERPRISE);
    let rounds = (0..ROUNDS).map(|_| {
        warm(|often| {
            let ask = |event| {
                let ruling = tokio.block_on(runtime.admit(event));
                assert!(matches!(ruling, Ruling::Ruled(_)), "{ruling:?}");
            };
            Times::of(often, || event.clone(), ask)
        })
    });
    let rounds: Vec<Times> = rounds.collect();
    let at = |share| spread(rounds.iter().map(|times| times.at(share)).collect());
    println!("{}", json!({"what": "through the rule threads", "p50_us": at(0.5), "p99_us": at(0.99)}));
}

/// The rule as `xnovu plugin build` makes it for a target with WASI.
fn with_wasi() -> Vec<u8> {
    support::build::build_as("typical-bench-wasi", "typical", "wasm32-wasip2", &[], support::SMALL_STACK)
}

/// With the linker's own stack of a megabyte.
fn with_large_stack() -> Vec<u8> {
    support::module("typical-bench-stack", "wasm32-unknown-unknown", &[], "")
}

/// With the standard library's allocator, and the linker's own stack.
fn with_standard_allocator() -> Vec<u8> {
    support::module("typical-bench-std", "wasm32-unknown-unknown", &["--no-default-features"], "")
}

fn compiler() -> Compiler {
    Compiler::Child(support::child_compiler())
}

/// The rule without any sandbox: both texts are read and a priority is computed, as in the component.
struct Native {
    payload: String,
    settings: String,
}

impl Native {
    fn new() -> Self {
        Self { payload: support::payload().to_string(), settings: settings().to_string() }
    }

    fn decide(&self) {
        let settings: rule::Settings = serde_json::from_str(black_box(&self.settings)).unwrap();
        let payload: rule::Payload = serde_json::from_str(black_box(&self.payload)).unwrap();
        black_box(rule::priority(&payload, &settings));
    }
}
