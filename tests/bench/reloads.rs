//! Rules exchanged under load, end to end: a daemon and two workers take up one version after another while notifications pass through.
//!
//! A version is a component with a mark of its own that stands in each message, so each delivery tells which component decided. Every
//! notification must be sent as exactly two messages of one version, or this ends with a panic. A reload is over when all three processes
//! say that what lies in the directory decides.

#[path = "../../host/rules/tests/rules/support/build.rs"]
#[allow(dead_code, reason = "shared with tests, which use more of it")]
mod build;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::figures::Figures;
use crate::house::{ENTERPRISES, House, delay_ms, row};

/// Rounds, each with a slice without reloads and a slice with them.
const ROUNDS: usize = 5;

/// Notifications a second.
const RATE: u32 = 500;

/// Time from the begin of one reload to that of the next.
const EVERY: Duration = Duration::from_millis(200);

/// Every so many reloads the version is one nobody has compiled yet; the others take turns, and come from the cache.
const FRESH_EVERY: usize = 10;

/// Versions that take turns: more than a process holds ready, and with a fresh one no more than are kept compiled.
const TURNS: usize = 3;

/// The mark in the component as it is built.
const MARK: &[u8; 16] = b"good-mark-000000";

/// The directory that all processes read.
struct Plugins {
    dir: tempfile::TempDir,
    wasm: Vec<u8>,
}

/// What one slice was.
struct Slice {
    delays_ms: Vec<f64>,
    /// Notifications by the mark of the version that decided.
    by_mark: BTreeMap<String, u64>,
    calls: [Calls; 2],
}

/// Evaluations by how long they took at most, in seconds, as a process counts them.
#[derive(Clone, Default)]
struct Calls(BTreeMap<u64, u64>);

/// Measures that many reloads a round.
pub(crate) async fn under_load(reloads: usize) {
    let plugins = Plugins::new();
    let house = House::open(plugins.dir.path(), 2).await;
    house.until("every process is ready", async |house| all_ready(house).await).await;
    let (mut figures, mut by_mark, mut put) = (Figures::default(), BTreeMap::<String, u64>::new(), 0);
    let lasting = EVERY * u32::try_from(reloads).unwrap();
    // The first reloads fill the cache, and the first notifications open the connections.
    for number in 0..TURNS {
        plugins.exchange(&house, number).await;
    }
    slice(&house, Duration::from_secs(2), "warm").await;
    for round in 0..ROUNDS {
        let alone = slice(&house, lasting / 2, &format!("alone {round}")).await;
        alone.tell("without reloads", &mut figures);
        let name = format!("reloads {round}");
        let (during, ()) =
            tokio::join!(slice(&house, lasting, &name), plugins.reload(&house, reloads, &mut put, &mut figures));
        during.tell("during reloads", &mut figures);
        during.by_mark.into_iter().for_each(|(mark, count)| *by_mark.entry(mark).or_default() += count);
    }
    let decided: u64 = by_mark.values().sum();
    println!(
        "{put} reloads in each of three processes during {decided} notifications at {RATE}/s ({} versions compiled anew, {TURNS} in turn from the cache): \
         0 lost, 0 mixed; {} versions decided, {} to {} notifications each",
        put / FRESH_EVERY,
        by_mark.len(),
        by_mark.values().min().unwrap(),
        by_mark.values().max().unwrap(),
    );
    figures.print();
}

impl Plugins {
    fn new() -> Self {
        let plugins = Self { dir: tempfile::tempdir().unwrap(), wasm: build::plain("marked") };
        let bind = |(id, _): (&str, &str)| {
            format!("[enterprises.\"{id}\"]\nplugin = \"p\"\nlimits = {{ wall_ms = 10_000 }}\n")
        };
        fs::create_dir(plugins.dir.path().join("p")).unwrap();
        fs::write(plugins.dir.path().join("bindings.toml"), ENTERPRISES.map(bind).concat()).unwrap();
        let manifest = "name = \"p\"\nversion = \"1.0.0\"\ndescription = \"A bench.\"\n";
        fs::write(plugins.dir.path().join("p/plugin.toml"), manifest).unwrap();
        plugins.put(0);
        plugins
    }

    fn component(&self) -> PathBuf {
        self.dir.path().join("p/p.wasm")
    }

    /// Puts a version in its place by rename.
    fn put(&self, number: usize) {
        let mark = format!("good-mark-{number:06}");
        let mut wasm = self.wasm.clone();
        let at = wasm.windows(MARK.len()).position(|bytes| bytes == MARK).unwrap();
        wasm[at..at + MARK.len()].copy_from_slice(mark.as_bytes());
        replace(&self.component(), &wasm);
    }

    /// Puts a version and waits until it decides everywhere.
    async fn exchange(&self, house: &House, number: usize) {
        self.put(number);
        let reloads = house.xnovus().map(|process| house.tell(process, "/admin/plugins/reload"));
        for reloaded in futures_util::future::join_all(reloads).await {
            assert_eq!(reloaded["clean"], true, "{reloaded}");
        }
    }

    /// Exchanges versions at their times, and takes how long each exchange took.
    async fn reload(&self, house: &House, count: usize, put: &mut usize, figures: &mut Figures) {
        let started = Instant::now();
        let (mut fresh, mut cached) = (Vec::new(), Vec::new());
        for turn in 0..count {
            tokio::time::sleep_until((started + EVERY * u32::try_from(turn).unwrap()).into()).await;
            *put += 1;
            let anew = put.is_multiple_of(FRESH_EVERY);
            let began = Instant::now();
            self.exchange(house, if anew { 1_000 + *put } else { *put % TURNS }).await;
            if anew { &mut fresh } else { &mut cached }.push(began.elapsed().as_secs_f64() * 1e3);
        }
        figures.add_quantiles("file in place to deciding in all three processes, compiled anew, ms", fresh);
        figures.add_quantiles("file in place to deciding in all three processes, from the cache, ms", cached);
    }
}

impl Slice {
    fn tell(&self, when: &str, figures: &mut Figures) {
        figures.add_quantiles(&format!("commit to Novu at {RATE}/s {when}, ms"), self.delays_ms.clone());
        for (calls, stage) in self.calls.iter().zip(["admit in the daemon", "admit and transform in the workers"]) {
            figures.add(format!("{stage} {when}, p99 at most, ms"), calls.within(0.99) * 1e3);
        }
    }
}

/// Puts notifications at the rate and accounts for each.
async fn slice(house: &House, lasting: Duration, name: &str) -> Slice {
    let (before, calls_before) = (house.delivered().await, calls(house).await);
    let row = |n: u64| row(usize::try_from(n % 4).unwrap(), &format!("{name} {n}"));
    let rows = house.put_steadily(RATE, lasting, row).await;
    let wanted = before + 2 * rows.len() as u64;
    house.until("all are delivered", async |house| house.delivered().await >= wanted).await;
    let mut deliveries = house.deliveries(before).await;
    let (mut delays_ms, mut by_mark) = (Vec::new(), BTreeMap::new());
    for (id, committed) in rows {
        let (delay, mark) = account(id, committed, &mut deliveries);
        delays_ms.push(delay);
        *by_mark.entry(mark).or_default() += 1;
    }
    assert!(deliveries.is_empty(), "sent for nobody: {deliveries:?}");
    let (after, [admit, decide]) = (calls(house).await, calls_before);
    Slice { delays_ms, by_mark, calls: [after[0].since(&admit), after[1].since(&decide)] }
}

/// Takes the messages of a notification: exactly two, both of one version. How long they took, and the version's mark.
fn account(id: u64, committed: DateTime<Utc>, deliveries: &mut HashMap<u64, Vec<Value>>) -> (f64, String) {
    let sent = deliveries.remove(&id).unwrap_or_else(|| panic!("{id} is lost"));
    let marks: Vec<&str> = sent.iter().filter_map(|delivery| delivery["payload"]["mark"].as_str()).collect();
    assert!(marks.len() == 2 && marks[0] == marks[1], "{id} is mixed, or not two messages: {sent:?}");
    (delay_ms(committed, &sent), marks[0].to_owned())
}

async fn all_ready(house: &House) -> bool {
    for process in house.xnovus() {
        if house.ask(process, "/readyz").await.is_none() {
            return false;
        }
    }
    true
}

/// Evaluations so far: those of the daemon, and those of both workers.
async fn calls(house: &House) -> [Calls; 2] {
    let mut calls = [Calls::default(), Calls::default()];
    for process in house.xnovus() {
        let metrics = house.ask(process, "/metrics").await.unwrap();
        let stage = usize::from(process.name != "daemon");
        calls[stage].add(&metrics, ["admit", "transform"][stage]);
    }
    calls
}

impl Calls {
    fn add(&mut self, metrics: &str, stage: &str) {
        let prefix = format!("xnovu_rule_duration_seconds_bucket{{stage=\"{stage}\",le=\"");
        for line in metrics.lines().filter_map(|line| line.strip_prefix(&prefix)) {
            let (bound, count) = line.split_once("\"} ").unwrap();
            let nanos = bound.parse::<f64>().unwrap() * 1e9;
            *self.0.entry(nanos as u64).or_default() += count.parse::<u64>().unwrap();
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().map(|(bound, count)| (*bound, count - before.0.get(bound).unwrap_or(&0))).collect())
    }

    /// The least bound, in seconds, within which that share of the evaluations ended.
    fn within(&self, share: f64) -> f64 {
        let all = *self.0.values().next_back().unwrap() as f64;
        let (bound, _) = self.0.iter().find(|(_, count)| **count as f64 >= all * share).unwrap();
        *bound as f64 / 1e9
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}
