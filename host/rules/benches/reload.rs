//! What exchanging rules costs: from a closed file to the first decision of the new version, calls under way during five hundred reloads,
//! and the way back.
//!
//! Prints one JSON object a line. Loses or mixes nothing, or ends with a panic. `cargo bench -p xnovu-rules --bench reload`; with
//! `-- --quick` it does a tenth.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be set up has failed")]
#![allow(clippy::disallowed_methods, reason = "a bench reads its own arguments and spawns its own load")]

#[path = "../tests/rules/support/build.rs"]
mod build;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use xnovu_domain::{Event, Micros};
use xnovu_rules::{ChildCompiler, Compiler, Digest, Rules, Ruling, Runtime, RuntimeOptions, Subject, Watch};

const ENTERPRISE: &str = "11111111-1111-4111-8111-111111111111";

/// The mark in the component as it is built.
const MARK: &[u8; 16] = b"good-mark-000000";

/// Versions that take turns where each is to come from the cache: more than a process holds ready, no more than are kept compiled.
const TURNS: usize = 4;

/// Calls a second during the reloads.
const RATE: u32 = 2_000;

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
        let (dir, wasm) = (tempfile::tempdir().unwrap(), build::plain("marked"));
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

    async fn reloads_under_load(&mut self, count: usize) {
        let alone = self.load(Duration::from_secs(3)).await;
        let seconds = Duration::from_millis(40) * u32::try_from(count).unwrap();
        let load = tokio::spawn(load(self.runtime.clone(), seconds));
        let started = Instant::now();
        let mut turn = 0;
        while turn < count {
            self.put(turn % TURNS);
            let reloaded = self.runtime.reconcile().await;
            assert!(reloaded.is_clean() && reloaded.changed, "{reloaded}");
            turn += 1;
            tokio::time::sleep_until(
                (started + seconds / u32::try_from(count).unwrap() * u32::try_from(turn).unwrap()).into(),
            )
            .await;
        }
        let answers = load.await.unwrap();
        let versions: std::collections::HashSet<Digest> = answers.iter().map(|answer| answer.0).collect();
        let during = self.judge(answers);
        println!(
            "{}",
            json!({"what": "reloads under load", "reloads": count, "calls": during.len(), "lost": 0, "mixed": 0, "versions": versions.len()})
        );
        report("one decide at 2,000/s without reloads", alone);
        report("one decide at 2,000/s during them", during);
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
