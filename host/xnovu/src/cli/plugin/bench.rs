//! `xnovu plugin bench`: what an evaluation of a plugin costs, against its limits and against an earlier run.
//!
//! Owns the file `bench.json` beside plugin.toml. Fuel and memory are the same on every machine for the same component, so these are what a
//! run is compared by, strictly; wall time is shown, and compared only where it is asked for, with room for a machine's moods. Every call meets
//! a fresh instance, as in earnest.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use xnovu_domain::Event;
use xnovu_rules::{BrokenKind, Decided, Digest, Limits, Trial, Tried, Workbench};

use super::case::{self, Case};
use super::project::{Project, projects, relative};
use super::{Places, ProjectArgs, usual_limits};
use crate::cli::output::{Output, table};

/// The file of a saved run, beside plugin.toml.
const SAVED_FILE: &str = "bench.json";

/// Least difference of two medians of wall time that counts, in microseconds: below it is the machine, not the rule.
const WALL_US_MIN: f64 = 5.0;

/// What to measure and what to compare with.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    projects: ProjectArgs,

    /// Measured calls of each case
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,

    /// Keep the figures in bench.json beside plugin.toml
    #[arg(long)]
    save: bool,

    /// Fail where a case needs so much more fuel or memory than in bench.json
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_regression: Option<f64>,

    /// Compare the median of wall time as well, where it differs by 5 us or more; it only means something on one quiet machine
    #[arg(long, requires = "max_regression")]
    wall: bool,
}

/// Figures of one plugin.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Figures {
    plugin: String,
    version: String,
    digest: Digest,
    runs: u32,
    /// By the name of the case's file.
    cases: BTreeMap<String, Cost>,
}

/// What one case costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cost {
    name: String,
    /// Fuel of one call.
    fuel: u64,
    /// Linear memory of one call, in bytes.
    memory_bytes: u64,
    /// Wall time of a call, in microseconds.
    p50_us: f64,
    p99_us: f64,
}

pub(super) fn run(args: &BenchArgs, places: &Places, output: Output) -> anyhow::Result<ExitCode> {
    let bench = places.sandbox()?;
    let (mut told, mut regressed) = (Vec::new(), false);
    for project in projects(&args.projects, places)? {
        let saved = args.max_regression.map(|_| saved(&project)).transpose()?;
        let figures =
            measure(&bench, &project, args.runs).with_context(|| format!("measuring the plugin {}", project.name()))?;
        let against = saved.zip(args.max_regression);
        let regressions = against.map_or_else(Vec::new, |(saved, most)| regressions(&saved, &figures, most, args.wall));
        regressed |= !regressions.is_empty();
        if !output.json() {
            tell(&figures, &regressions, output);
        }
        if args.save {
            save(&project, &figures, output)?;
        }
        told.push(json!({"figures": figures, "regressions": regressions}));
    }
    if output.json() {
        output.line(&format!("{:#}", json!({"limits": Limits::default(), "plugins": told})));
    }
    Ok(if regressed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(bench: &Workbench, project: &Project, runs: u32) -> anyhow::Result<Figures> {
    let wasm = fs::read(project.built()?).context("reading the component")?;
    let mut cases = BTreeMap::new();
    for file in case::read_all(&project.dir)? {
        let key = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (name, event, case) = file.sound()?;
        // Rules with a refused config are asked nothing.
        if case.expect.config.is_none() {
            let cost = cost(bench, &wasm, name, &event, &case, runs).with_context(|| format!("the case {key}"))?;
            cases.insert(key, cost);
        }
    }
    ensure!(!cases.is_empty(), "every case is about a config that is refused\nhint: add a case that asks `admit`");
    Ok(Figures {
        plugin: project.name().to_owned(),
        version: project.manifest.version.to_string(),
        digest: Digest::of(&wasm),
        runs,
        cases,
    })
}

fn cost(bench: &Workbench, wasm: &[u8], name: String, event: &Event, case: &Case, runs: u32) -> anyhow::Result<Cost> {
    let trial = bench.trial(wasm, &case.config, usual_limits()).context("loading the component")?;
    if let Ok(Err(words)) = trial.validate_config().answer {
        bail!("its config is refused: {words}\nhint: mend `config` of the case, or expect the refusal");
    }
    let first = trial.decide(event.clone());
    if let Some(words) = failure(&first) {
        bail!("nothing can be measured, because the rule does not answer: {words}\nhint: xnovu plugin test tells more");
    }
    // The first calls of all warm caches up.
    for _ in 0..runs / 10 {
        drop(trial.decide(event.clone()));
    }
    let mut times = measured(&trial, event, runs, first.fuel)?;
    times.sort_unstable();
    let (p50_us, p99_us) = (quantile_us(&times, 0.5), quantile_us(&times, 0.99));
    Ok(Cost { name, fuel: first.fuel, memory_bytes: first.memory_bytes, p50_us, p99_us })
}

/// Wall time of each call.
fn measured(trial: &Trial, event: &Event, runs: u32, fuel: u64) -> anyhow::Result<Vec<Duration>> {
    let call = |_| {
        let tried = trial.decide(event.clone());
        ensure!(
            tried.fuel == fuel,
            "one call used {fuel} fuel and another {}: the rule decides by something it was not given",
            tried.fuel
        );
        Ok(tried.duration)
    };
    (0..runs).map(call).collect()
}

/// In which way the rules did not answer. An error they return themselves is an answer like others, and costs what it costs.
fn failure(tried: &Tried<Decided>) -> Option<String> {
    match &tried.answer {
        Ok(_) | Err((BrokenKind::RuleError, _)) => None,
        Err((kind, reason)) => Some(format!("{}: {reason}", kind.word())),
    }
}

/// What is above the saved run by more than so many percent, a line each.
fn regressions(saved: &Figures, now: &Figures, most: f64, wall: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (file, cost) in &now.cases {
        let Some(before) = saved.cases.get(file) else { continue };
        let mut compare = |what: &str, before: f64, now: f64, least: f64| {
            if now > before * (1.0 + most / 100.0) && now - before >= least {
                let more = (now / before - 1.0) * 100.0;
                lines.push(format!("{file}: {what} rose by {more:.1} %, from {before} to {now}; {most} % is allowed"));
            }
        };
        compare("fuel", cost_of(before.fuel), cost_of(cost.fuel), 0.0);
        compare("memory_bytes", cost_of(before.memory_bytes), cost_of(cost.memory_bytes), 0.0);
        if wall {
            compare("p50_us", before.p50_us, cost.p50_us, WALL_US_MIN);
        }
    }
    // A case that was taken away can hide what it cost.
    let gone = saved.cases.keys().filter(|file| !now.cases.contains_key(*file));
    lines.extend(
        gone.map(|file| format!("{file}: it was measured before and is gone; save a new run if that is meant")),
    );
    lines
}

fn tell(figures: &Figures, regressions: &[String], output: Output) {
    let Figures { plugin, version, digest, runs, cases } = figures;
    output.line(&format!(
        "{plugin} {version} ({}), {runs} calls a case, and what part of the limit each is",
        digest.short()
    ));
    let limits = Limits::default();
    let rows: Vec<_> = cases
        .values()
        .map(|cost| {
            vec![
                format!("{:.1} us", cost.p50_us),
                format!("{:.1} us ({:.1} %)", cost.p99_us, cost.p99_us / (cost_of(limits.wall_ms) * 10.0)),
                format!("{} ({:.1} %)", cost.fuel, share(cost.fuel, limits.fuel)),
                format!("{} KiB ({:.1} %)", cost.memory_bytes / 1024, share(cost.memory_bytes, limits.memory_bytes)),
                cost.name.clone(),
            ]
        })
        .collect();
    output.lines(&table(&["P50", "P99", "FUEL", "MEMORY", "CASE"], &rows));
    for line in regressions {
        output.line(&format!("FAIL  {line}"));
    }
}

fn saved(project: &Project) -> anyhow::Result<Figures> {
    let path = saved_path(project);
    let (shown, dir) = (relative(&path), relative(&project.dir));
    let (shown, dir) = (shown.display(), dir.display());
    ensure!(
        path.exists(),
        "{shown} is not there, so there is nothing to compare with\nhint: save a run first: xnovu plugin bench --save {dir}"
    );
    let text = fs::read_to_string(&path).with_context(|| format!("reading {shown}"))?;
    let saved = serde_json::from_str(&text);
    saved.with_context(|| format!("reading {shown}, which is no saved run (xnovu plugin bench --save {dir} makes one)"))
}

fn save(project: &Project, figures: &Figures, output: Output) -> anyhow::Result<()> {
    let path = saved_path(project);
    let text = serde_json::to_string_pretty(figures).context("writing the figures")? + "\n";
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    output.note(&format!("saved in {}", relative(&path).display()));
    Ok(())
}

fn saved_path(project: &Project) -> PathBuf {
    project.dir.join(SAVED_FILE)
}

fn quantile_us(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len().saturating_sub(1)) as f64 * share) as usize;
    let time = sorted.get(at).copied().unwrap_or_default();
    (time.as_nanos() as f64 / 100.0).round() / 10.0
}

/// What part of a limit a figure is, in percent.
pub(super) fn share(figure: u64, limit: u64) -> f64 {
    cost_of(figure) / cost_of(limit) * 100.0
}

/// Figures are far below what a double holds exactly.
fn cost_of(figure: u64) -> f64 {
    figure as f64
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if percent.is_finite() && percent >= 0.0 => Ok(percent),
        _ => Err("must be a number of percent, 0 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(cases: &[(&str, u64, u64, f64)]) -> Figures {
        let cost = |&(file, fuel, memory_bytes, p50_us): &(&str, u64, u64, f64)| {
            (file.to_owned(), Cost { name: file.to_owned(), fuel, memory_bytes, p50_us, p99_us: p50_us })
        };
        Figures {
            plugin: "p".to_owned(),
            version: "1.0.0".to_owned(),
            digest: Digest::of(b""),
            runs: 1,
            cases: cases.iter().map(cost).collect(),
        }
    }

    #[test]
    fn what_costs_more_than_allowed_is_told_and_nothing_else() {
        let saved = figures(&[("a.json", 1000, 65_536, 10.0), ("b.json", 1000, 65_536, 10.0)]);
        let now = figures(&[("a.json", 1100, 65_536, 90.0), ("b.json", 1101, 131_072, 10.0), ("new.json", 9, 9, 9.0)]);
        let want = [
            "b.json: fuel rose by 10.1 %, from 1000 to 1101; 10 % is allowed",
            "b.json: memory_bytes rose by 100.0 %, from 65536 to 131072; 10 % is allowed",
        ];
        assert_eq!(regressions(&saved, &now, 10.0, false), want);
        assert!(regressions(&saved, &now, 10.0, true)[0].starts_with("a.json: p50_us rose by 800.0 %"));
        let slower = figures(&[("a.json", 1000, 65_536, 14.9), ("b.json", 1000, 65_536, 10.0)]);
        assert_eq!(
            regressions(&saved, &slower, 10.0, true),
            Vec::<String>::new(),
            "a few microseconds are the machine's"
        );
        assert_eq!(regressions(&saved, &saved, 0.0, true), Vec::<String>::new());
    }

    #[test]
    fn a_case_that_is_gone_is_told() {
        let saved = figures(&[("a.json", 1, 1, 1.0), ("b.json", 1, 1, 1.0)]);
        let told = regressions(&saved, &figures(&[("a.json", 1, 1, 1.0)]), 10.0, false);
        assert_eq!(told, ["b.json: it was measured before and is gone; save a new run if that is meant"]);
    }

    #[test]
    fn a_percentage_is_a_number_of_none_or_more() {
        assert_eq!((percent("10"), percent("2.5%"), percent("0")), (Ok(10.0), Ok(2.5), Ok(0.0)));
        for wrong in ["", "-1", "inf", "ten"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let times: Vec<_> = (1..=100).map(Duration::from_micros).collect();
        assert_eq!((quantile_us(&times, 0.5), quantile_us(&times, 0.99)), (50.0, 99.0));
        assert_eq!(quantile_us(&[Duration::from_nanos(1_250)], 0.99), 1.3);
    }
}
