//! What many plugins and many enterprises cost: loading from the cache, memory, and evaluations of a thousand rules in turn.
//!
//! Prints one JSON object a line. Each measurement is a process of its own, as after a restart: this program starts itself again.
//! The components are the same rule, each with a section of its own, so that digests, code and memory are distinct; their code is
//! compiled once and handed to the cache by a compiler that has it ready. `cargo bench -p xnovu-rules --bench many`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be set up has failed")]

mod support;

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use xnovu_rules::{ChildCompiler, Compiler, Limits, Rules, Ruling, Runtime, RuntimeOptions, Trial, Workbench};

use support::{ENTERPRISE, Times, child_compiler, event, settings, spread};

/// Plugins where the figure is about a thousand, and where it is about as many as load at all.
const MANY: usize = 1000;
const MOST: usize = 2000;

/// Enterprises that share one component, and those from which memory is counted.
const SHARING: usize = 11_000;
const SHARING_BASE: usize = 1000;

/// Processes per figure of time.
const RUNS: usize = 7;

/// Turns over all plugins.
const TURNS: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(at) = arguments.iter().position(|argument| argument == "measure") else { return all() };
    let (what, dir, count) = (&arguments[at + 1], Path::new(&arguments[at + 2]), arguments[at + 3].parse().unwrap());
    let figures = match what.as_str() {
        "prepare" => prepare(dir, count),
        "load" => load(dir, count),
        "turns" => turns(dir, count),
        "runtime" => runtime(dir, count),
        "shared" => shared(dir, count),
        other => panic!("{other}"),
    };
    println!("{figures}");
}

fn all() {
    let dir = tempfile::tempdir().unwrap();
    measure("prepare", dir.path(), MOST);
    for count in [MANY, MOST] {
        let runs: Vec<_> = (0..RUNS).map(|_| measure("load", dir.path(), count)).collect();
        tell("loaded from the cache", count, &runs);
    }
    tell("in turn", MANY, &(0..RUNS).map(|_| measure("turns", dir.path(), MANY)).collect::<Vec<_>>());
    lay_out(dir.path(), MANY);
    measure("runtime", dir.path(), MANY);
    tell("started with", MANY, &(0..RUNS).map(|_| measure("runtime", dir.path(), MANY)).collect::<Vec<_>>());
    let anonymous = |count| {
        lay_out_shared(dir.path(), count);
        measure("shared", dir.path(), count)["anonymous_mb"].as_f64().unwrap()
    };
    let each = (anonymous(SHARING) - anonymous(SHARING_BASE)) * 1e3 / (SHARING - SHARING_BASE) as f64;
    println!("{}", json!({"what": "memory of an enterprise that shares its component", "kb": each}));
}

/// Prints each figure of several runs.
fn tell(what: &str, count: usize, runs: &[Value]) {
    let mut line = json!({"what": what, "plugins": count});
    for name in runs[0].as_object().unwrap().keys() {
        line[name] = spread(runs.iter().map(|run| run[name].as_f64().unwrap()).collect());
    }
    println!("{line}");
}

/// Measures in a process of its own.
fn measure(what: &str, dir: &Path, count: usize) -> Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["measure", what]).arg(dir).arg(count.to_string()).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{what} {count}: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Fills the cache with that many components.
fn prepare(dir: &Path, count: usize) -> Value {
    let base = support::as_built();
    let (wasm, code, script) = (dir.join("base.wasm"), dir.join("base.code"), dir.join("ready.sh"));
    fs::write(&wasm, &base).unwrap();
    let ChildCompiler { program, limits, .. } = child_compiler();
    let mut compiler = Command::new(program);
    compiler.args([limits.memory_bytes.to_string(), limits.cpu_s.to_string()]);
    let compiled = compiler.stdin(File::open(&wasm).unwrap()).output().unwrap();
    assert!(compiled.status.success());
    fs::write(&code, compiled.stdout).unwrap();
    fs::write(&script, format!("#!/bin/sh\nexec cat {}\n", code.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let ready = Compiler::Child(ChildCompiler { program: script, arguments: Vec::new(), limits });
    fs::create_dir(dir.join("wasm")).unwrap();
    let bench = Workbench::open(&cache(dir), ready).unwrap();
    for number in 0..count {
        let wasm = distinct(&base, number);
        fs::write(component(dir, number), &wasm).unwrap();
        bench.trial(&wasm, &settings(), Limits::default()).unwrap();
    }
    json!({})
}

/// The component with a custom section that holds the number.
fn distinct(base: &[u8], number: usize) -> Vec<u8> {
    const CUSTOM_SECTION: u8 = 0;
    let text = format!("\u{3}num{number:08}");
    let mut wasm = base.to_vec();
    wasm.extend([CUSTOM_SECTION, u8::try_from(text.len()).unwrap()]);
    wasm.extend(text.bytes());
    wasm
}

fn cache(dir: &Path) -> PathBuf {
    dir.join("state/compiled")
}

fn component(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("wasm/{number}.wasm"))
}

/// A compiler that must not be needed.
fn no_compiler() -> Compiler {
    Compiler::Child(ChildCompiler::new("/nowhere", [""; 0]))
}

/// Loads the components with as many threads as there are cores, as a runtime does when it starts.
fn trials(bench: &Workbench, dir: &Path, count: usize) -> Vec<Trial> {
    let trial = |number| {
        let wasm = fs::read(component(dir, number)).unwrap();
        bench.trial(&wasm, &settings(), Limits::default()).unwrap()
    };
    let threads = thread::available_parallelism().unwrap().get();
    thread::scope(|scope| {
        let share = |first: usize| scope.spawn(move || (first..count).step_by(threads).map(trial).collect::<Vec<_>>());
        let shares: Vec<_> = (0..threads).map(share).collect();
        shares.into_iter().flat_map(|share| share.join().unwrap()).collect()
    })
}

fn load(dir: &Path, count: usize) -> Value {
    let before = anonymous_mb();
    let started = Instant::now();
    let bench = Workbench::open(&cache(dir), no_compiler()).unwrap();
    let trials = trials(&bench, dir, count);
    let elapsed = started.elapsed();
    let (maps, files) = (
        fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
        fs::read_dir("/proc/self/fd").unwrap().count(),
    );
    let figures = json!({"ms": elapsed.as_secs_f64() * 1e3, "anonymous_mb": anonymous_mb() - before, "maps": maps, "files": files});
    assert!(trials.last().unwrap().admit(event(ENTERPRISE)).answer.is_ok());
    figures
}

fn turns(dir: &Path, count: usize) -> Value {
    let bench = Workbench::open(&cache(dir), no_compiler()).unwrap();
    let trials = trials(&bench, dir, count);
    let event = event(ENTERPRISE);
    let mut next = trials.iter().cycle();
    let mut turn = |often| {
        let prepare = || (next.next().unwrap(), event.clone());
        Times::of(often, prepare, |(trial, event)| assert!(black_box(trial.admit(event)).answer.is_ok()))
    };
    drop(turn(2 * count));
    let times = turn(TURNS * count);
    json!({"p50_us": times.at(0.5), "p99_us": times.at(0.99), "anonymous_mb": anonymous_mb()})
}

/// A directory of that many plugins, each bound to an enterprise.
fn lay_out(dir: &Path, count: usize) {
    let plugins = dir.join("plugins");
    let mut bindings = String::new();
    for number in 0..count {
        let name = format!("rule-{number}");
        put(&plugins, &name, &component(dir, number));
        bindings += &entry(number, &name);
    }
    fs::write(plugins.join("bindings.toml"), bindings).unwrap();
}

fn lay_out_shared(dir: &Path, count: usize) {
    let plugins = dir.join("shared");
    put(&plugins, "rule", &component(dir, 0));
    fs::write(plugins.join("bindings.toml"), (0..count).map(|number| entry(number, "rule")).collect::<String>())
        .unwrap();
}

fn put(plugins: &Path, name: &str, wasm: &Path) {
    let plugin = plugins.join(name);
    fs::create_dir_all(&plugin).unwrap();
    let manifest = format!("name = \"{name}\"\nversion = \"0.1.0\"\ndescription = \"A bench.\"\n");
    fs::write(plugin.join("plugin.toml"), manifest).unwrap();
    fs::copy(wasm, plugin.join(format!("{name}.wasm"))).unwrap();
}

fn entry(number: usize, plugin: &str) -> String {
    let id = enterprise(number);
    format!(
        "[enterprises.\"{id}\"]\nplugin = \"{plugin}\"\nconfig = {{ threshold = 100, tiers = [\"silver\", \"gold\"] }}\n"
    )
}

fn enterprise(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn runtime(dir: &Path, count: usize) -> Value {
    open(dir, "plugins", count)
}

fn shared(dir: &Path, count: usize) -> Value {
    open(dir, "shared", count)
}

fn open(dir: &Path, plugins: &str, count: usize) -> Value {
    let before = anonymous_mb();
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let started = Instant::now();
    let options = RuntimeOptions::new(dir.join(plugins), cache(dir), no_compiler());
    let (runtime, report) = tokio.block_on(Runtime::open(options)).unwrap();
    let elapsed = started.elapsed();
    assert!(report.is_clean(), "{report}");
    // What a report says is told and forgotten.
    drop(report);
    let figures = json!({"ms": elapsed.as_secs_f64() * 1e3, "anonymous_mb": anonymous_mb() - before});
    let ruling = tokio.block_on(runtime.admit(event(&enterprise(count - 1))));
    assert!(matches!(ruling, Ruling::Ruled(_)), "{ruling:?}");
    figures
}

/// Anonymous memory of this process, in megabytes.
fn anonymous_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / 1e6
}
