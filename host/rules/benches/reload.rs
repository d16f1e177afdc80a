//! What exchanging rules costs: from a closed file to the first decision of the new version, calls under way during five hundred reloads,
//! and the way back.
//!
//! Prints one JSON object a line. Loses or mixes nothing, or ends with a panic. `cargo bench -p xnovu-rules --bench reload`; with
//! `-- --quick` it does a tenth.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be set up has failed")]
#![allow(clippy::disallowed_methods, reason = "a bench reads its own arguments and spawns its own load")]

#[allow(dead_code, reason = "shared with benches that use more of it")]
mod support;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use xnovu_domain::{Event, Micros};
use xnovu_rules::{ChildCompiler, Compiler, Digest, Rules, Ruling, Runtime, RuntimeOptions, Subject, Watch};

const ENTERPRISE: &str = "11111111-1111-4111-8111-111111111111";

/// The mark in the component as it is built.
const MARK: &[u8; 16] = b"good-mark-000000";

/// Versions that take turns where each is to come from the cache: more than a process holds ready, and with a fresh one no more than are
/// kept compiled.
const TURNS: usize = 3;

/// Calls a second during the reloads.
const RATE: u32 = 2_000;

/// Rounds, each with a slice of calls without reloads and a slice with them.
const ROUNDS: usize = 5;

/// Time from the begin of one reload to that of the next.
const EVERY: Duration = Duration::from_millis(40);

/// Every so many reloads the version is one nobody has compiled yet; the others take turns and come from the cache.
const FRESH_EVERY: usize = 10;

struct Bench {
    dir: tempfile::TempDir,
    wasm: Vec<u8>,
    runtime: Arc<Runtime>,
    /// Which mark belongs to which component.
    marks: HashMap<Digest, String>,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let share = if quick { 10 } else { 1 };
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        let mut bench = Bench::open().await;
        bench.first_decisions("with the compile", 50 / share, |turn| 1_000 + turn).await;
        bench.first_decisions("from the cache", 100 / share, |turn| turn % TURNS).await;
        bench.reloads_under_load(500 / share).await;
        bench.rollbacks(200 / share).await;
    });
}

impl Bench {
    async fn open() -> Self {
        let (dir, wasm) = (tempfile::tempdir().unwrap(), support::build::plain("marked"));
        let plugins = dir.path().join("plugins");
        fs::create_dir_all(plugins.join("p")).unwrap();
        let bindings = format!("[enterprises.\"{ENTERPRISE}\"]\nplugin = \"p\"\nlimits = {{ wall_ms = 10_000 }}\n");
        fs::write(plugins.join("bindings.toml"), bindings).unwrap();
        fs::write(plugins.join("p/plugin.toml"), "name = \"p\"\nversion = \"1.0.0\"\ndescription = \"A.\"\n").unwrap();
        fs::write(plugins.join("p/p.wasm"), &wasm).unwrap();
        let options = RuntimeOptions::new(&plugins, dir.path().join("state/compiled"), compiler());
        let (runtime, report) = Runtime::open(options).await.unwrap();
        assert!(report.is_clean(), "{report}");
        let marks = HashMap::from([(Digest::of(&wasm), String::from_utf8_lossy(MARK).into_owned())]);
        Self { dir, wasm, runtime: Arc::new(runtime), marks }
    }

    fn plugins(&self) -> PathBuf {
        self.dir.path().join("plugins")
    }

    /// Puts a version in its place by rename, as the last step before the clock starts.
    fn put(&mut self, number: usize) -> Digest {
        let mark = format!("good-mark-{number:06}");
        let mut wasm = self.wasm.clone();
        let at = wasm.windows(MARK.len()).position(|bytes| bytes == MARK).unwrap();
        wasm[at..at + MARK.len()].copy_from_slice(mark.as_bytes());
        let digest = Digest::of(&wasm);
        self.marks.insert(digest, mark);
        replace(&self.plugins().join("p/p.wasm"), &wasm);
        digest
    }

    /// From the rename to the first decision of the new version, through the watch as a daemon has it.
    async fn first_decisions(&mut self, what: &str, count: usize, version: impl Fn(usize) -> usize) {
        let watch = Watch::start(&self.plugins(), Duration::from_secs(2)).unwrap();
        let runtime = self.runtime.clone();
        let reloads = tokio::spawn(async move {
            loop {
                watch.changed().await;
                runtime.reconcile().await;
            }
        });
        let mut times = Vec::new();
        for turn in 0..count + TURNS {
            let digest = self.put(version(turn));
            let started = Instant::now();
            while self.decide().await.0 != digest {
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            times.push(started.elapsed());
        }
        reloads.abort();
        // The first of each version is the one that fills the cache.
        report(&format!("file closed to first decision, {what}"), times.split_off(TURNS));
    }

    /// Reloads under calls at a fixed rate, beside the same calls without reloads, in turn.
    async fn reloads_under_load(&mut self, count: usize) {
        let each = count / ROUNDS;
        let lasts = EVERY * u32::try_from(each).unwrap();
        let (mut alone, mut during) = (Vec::new(), Vec::new());
        let mut by_version: HashMap<Digest, usize> = HashMap::new();
        for round in 0..ROUNDS {
            alone.push(self.load(lasts).await);
            let load = tokio::spawn(load(self.runtime.clone(), lasts));
            let started = Instant::now();
            for turn in 0..each {
                tokio::time::sleep_until((started + EVERY * u32::try_from(turn).unwrap()).into()).await;
                let number = round * each + turn;
                self.put(if number % FRESH_EVERY == FRESH_EVERY - 1 { 10_000 + number } else { number % TURNS });
                let reloaded = self.runtime.reconcile().await;
                assert!(reloaded.is_clean() && reloaded.changed, "{reloaded}");
            }
            let answers = load.await.unwrap();
            answers.iter().for_each(|(digest, ..)| *by_version.entry(*digest).or_default() += 1);
            during.push(self.judge(answers));
        }
        let calls: usize = by_version.values().sum();
        let told = json!({"what": "reloads under 2,000 calls/s", "reloads": each * ROUNDS, "compiled_anew": each * ROUNDS / FRESH_EVERY,
            "calls": calls, "lost": 0, "mixed": 0, "versions": by_version.len()});
        println!("{told}");
        let quantile = |times: &Vec<Duration>, share| {
            let mut times = times.clone();
            times.sort_unstable();
            times[((times.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1e6
        };
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let of = |rounds: &[Vec<Duration>]| rounds.iter().map(|times| quantile(times, share)).collect::<Vec<f64>>();
            let (alone, during) = (of(&alone), of(&during));
            let above: Vec<f64> = during.iter().zip(&alone).map(|(during, alone)| during - alone).collect();
            let [alone, during, above]: [Value; 3] = [alone, during, above].map(support::spread);
            println!(
                "{}",
                json!({"what": format!("one decide at 2,000/s, {name} in ms"), "without": alone, "during": during, "above": above})
            );
        }
    }

    async fn load(&self, lasts: Duration) -> Vec<Duration> {
        self.judge(load(self.runtime.clone(), lasts).await)
    }

    /// Each answer carries the mark of the component that its stamp names, in both messages.
    fn judge(&self, answers: Vec<(Digest, Vec<String>, Duration)>) -> Vec<Duration> {
        let judge = |(digest, payloads, took): (Digest, Vec<String>, Duration)| {
            let mark = &self.marks[&digest];
            assert!(payloads.len() == 2 && payloads.iter().all(|it| it.contains(mark)), "mixed: {mark}: {payloads:?}");
            took
        };
        answers.into_iter().map(judge).collect()
    }

    async fn rollbacks(&mut self, count: usize) {
        let subject: Subject = ENTERPRISE.parse().unwrap();
        let mut times = Vec::new();
        for _ in 0..count {
            let before = self.decide().await.0;
            let started = Instant::now();
            self.runtime.rollback(&subject).await.unwrap();
            assert_ne!(self.decide().await.0, before);
            times.push(started.elapsed());
            self.runtime.undo_rollback(&subject).await.unwrap();
        }
        report("roll-back to first decision of the version before", times);
    }

    async fn decide(&self) -> (Digest, Vec<String>, Duration) {
        decide(&self.runtime).await
    }
}

/// Calls at a fixed rate, whatever becomes of those before.
async fn load(runtime: Arc<Runtime>, lasts: Duration) -> Vec<(Digest, Vec<String>, Duration)> {
    let calls = u32::try_from(lasts.as_millis()).unwrap() * RATE / 1_000;
    let (started, mut under_way) = (Instant::now(), JoinSet::new());
    for call in 0..calls {
        tokio::time::sleep_until((started + Duration::from_secs(1) / RATE * call).into()).await;
        let runtime = runtime.clone();
        under_way.spawn(async move { decide(&runtime).await });
    }
    let answers = under_way.join_all().await;
    assert_eq!(answers.len(), usize::try_from(calls).unwrap(), "lost");
    answers
}

async fn decide(runtime: &Runtime) -> (Digest, Vec<String>, Duration) {
    let row = json!({
        "id": 7, "enterprise_id": ENTERPRISE, "name": "n", "notification_status": "PENDING", "publish_status": "PUBLISH",
        "deactivated": false, "payload": {"n": 1}, "recipients": ["sub-1"], "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z", "workflow": {"workflow_key": "w"},
    });
    let event = Event::new(serde_json::from_value(row).unwrap(), Micros::from_millis(1_767_225_600_000));
    let started = Instant::now();
    match runtime.decide(event, None).await {
        Ruling::Ruled(ruled) => {
            let took = started.elapsed();
            let messages = ruled.answer.messages.unwrap();
            (ruled.stamp.digest, messages.iter().map(|message| message.payload.get().to_owned()).collect(), took)
        }
        other => panic!("no answer: {other:?}"),
    }
}

/// The compiler in a child process, as in earnest.
fn compiler() -> Compiler {
    Compiler::Child(ChildCompiler::new(env!("CARGO_BIN_EXE_xnovu-rules-compiler"), [""; 0]))
}

fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a rank")]
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros() as f64 / 1000.0;
    println!(
        "{}",
        json!({"what": what, "n": times.len(), "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "max_ms": at(1.0)})
    );
}
