//! `xnovu plugin list`.
//!
//! Owns the table. The running processes are asked, and what each of them has counted is added up; where none runs, the plugins are loaded
//! as a start would load them, and that is said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use serde_json::{Value, json};
use xnovu_rules::{Runtime, RuntimeOptions, Standing};

use super::{name, processes};
use crate::cli::output::Output;
use crate::config::{Layers, state_dir};
use crate::control::{Client, ControlError};
use crate::parts::compiler;

const HEADS: [&str; 11] =
    ["ENTERPRISE", "PLUGIN", "VERSION", "DIGEST", "STATE", "SINCE", "DECISIONS", "ERRORS", "P50", "P99", "FUEL"];

/// Columns that are numbers, from here on.
const NUMBERS_FROM: usize = 6;

pub(super) async fn list(plugins: PathBuf, layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let processes = processes(layers)?;
    let asked = ask(&processes, output).await?;
    let rows = if processes.is_empty() {
        output.note("note: no daemon or worker runs with this state directory; this is what a start would load");
        let options = RuntimeOptions::new(plugins, state_dir(layers)?.join("compiled"), compiler());
        let options = RuntimeOptions { remembers: false, ..options };
        let (runtime, report) = Runtime::open(options).await.context("loading the plugins")?;
        report.notes.iter().for_each(|note| output.note(&format!("note: {note}")));
        rows([("a start".to_owned(), runtime.standings())])
    } else {
        rows(asked)
    };
    if output.json() {
        let running = !processes.is_empty();
        let plugins: Vec<Value> = rows.values().map(Row::document).collect();
        output.line(&format!("{:#}", json!({"running": running, "plugins": plugins})));
    } else {
        table(&rows).iter().for_each(|line| output.line(line));
        rows.values().flat_map(Row::remarks).for_each(|remark| output.note(&remark));
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks all of them. One that does not answer, as while it starts, is named and left out, if another one does.
async fn ask(processes: &[Client], output: Output) -> Result<Vec<(String, Vec<Standing>)>, ControlError> {
    let answers = join_all(processes.iter().map(|process| process.get("/admin/plugins"))).await;
    let mut told = Vec::new();
    let mut silent = None;
    for (process, answer) in processes.iter().zip(answers) {
        match answer {
            Ok(standings) => told.push((name(process), standings)),
            Err(error) => {
                output.note(&format!("warning: {error}"));
                silent = Some(error);
            }
        }
    }
    match silent {
        Some(error) if told.is_empty() => Err(error),
        _ => Ok(told),
    }
}

/// One enterprise, in all processes.
struct Row {
    standing: Standing,
    /// Processes that run another version than the first one does.
    others: Vec<String>,
}

/// Adds up what the processes say. The first one to name an enterprise, the daemon where there is one, says what runs; the worst state
/// counts.
fn rows(told: impl IntoIterator<Item = (String, Vec<Standing>)>) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for (process, standings) in told {
        for standing in standings {
            let Some(row) = rows.get_mut(&standing.enterprise) else {
                rows.insert(standing.enterprise.clone(), Row { standing, others: Vec::new() });
                continue;
            };
            if standing.digest != row.standing.digest {
                let digest = standing.digest.map(|digest| format!(" ({})", digest.short())).unwrap_or_default();
                let version = standing.version.as_deref().unwrap_or("nothing");
                row.others.push(format!("{process} runs {version}{digest}"));
            }
            row.standing.counted.add(&standing.counted);
            if standing.state > row.standing.state {
                row.standing.state = standing.state;
                row.standing.reason = standing.reason;
            }
            row.standing.failing.extend(standing.failing);
        }
    }
    rows
}

impl Row {
    fn cells(&self) -> [String; 11] {
        let standing = &self.standing;
        let counted = &standing.counted;
        let dash = || "-".to_owned();
        let time = |share| counted.percentile(share).map_or_else(dash, short);
        [
            standing.enterprise.clone(),
            if standing.plugin.is_empty() { dash() } else { standing.plugin.clone() },
            standing.version.clone().unwrap_or_else(dash),
            standing.digest.map_or_else(dash, |digest| digest.short()),
            standing.state.word().to_owned(),
            standing.since_ms.and_then(since).unwrap_or_else(dash),
            counted.decisions.to_string(),
            counted.errors.to_string(),
            time(0.5),
            time(0.99),
            counted.fuel_each().map_or_else(dash, |fuel| fuel.to_string()),
        ]
    }

    /// What the table has no room for.
    fn remarks(&self) -> Vec<String> {
        let Standing { enterprise, state, reason, .. } = &self.standing;
        let reason = reason.iter().map(|reason| format!("{enterprise}: {}: {reason}", state.word()));
        reason.chain(self.others.iter().map(|other| format!("{enterprise}: {other}"))).collect()
    }

    fn document(&self) -> Value {
        let Standing { enterprise, plugin, version, digest, state, reason, since_ms, previous, counted, failing } =
            &self.standing;
        let micros = |share| counted.percentile(share).map(|time| time.as_micros());
        json!({
            "enterprise": enterprise, "plugin": plugin, "version": version, "digest": digest, "state": state,
            "reason": reason, "loaded_since": since_ms.and_then(since), "previous_version": previous,
            "decisions": counted.decisions, "errors": counted.errors, "p50_us": micros(0.5), "p99_us": micros(0.99),
            "fuel": counted.fuel_each(), "failing": failing, "others": self.others,
        })
    }
}

fn since(millis: u64) -> Option<String> {
    let at = chrono::DateTime::from_timestamp_millis(i64::try_from(millis).ok()?)?;
    Some(at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}

/// Two or three digits and a unit.
fn short(time: Duration) -> String {
    match time.as_micros() {
        micros @ ..1_000 => format!("{micros} µs"),
        micros @ 1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        micros => format!("{} s", micros / 1_000_000),
    }
}

fn table(rows: &BTreeMap<String, Row>) -> Vec<String> {
    let cells: Vec<[String; 11]> =
        std::iter::once(HEADS.map(str::to_owned)).chain(rows.values().map(Row::cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let line = |row: &[String; 11]| {
        let cells = row.iter().zip(&widths).enumerate();
        let padded = cells.map(
            |(at, (cell, width))| {
                if at < NUMBERS_FROM { format!("{cell:width$}") } else { format!("{cell:>width$}") }
            },
        );
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xnovu_rules::{Counted, State};

    fn standing(enterprise: &str, version: &str, state: State, decisions: u64) -> Standing {
        Standing {
            enterprise: enterprise.to_owned(),
            plugin: "p".to_owned(),
            version: Some(version.to_owned()),
            digest: Some(xnovu_rules::Digest::of(version.as_bytes())),
            state,
            reason: (state != State::Ready).then(|| "a reason".to_owned()),
            since_ms: Some(1_767_225_600_000),
            previous: None,
            counted: Counted { decisions, errors: 1, fuel: 10 * (decisions + 1), times: vec![(5, decisions + 1)] },
            failing: Vec::new(),
        }
    }

    #[test]
    fn what_the_processes_counted_is_one_row_and_the_worst_state_counts() {
        let daemon = vec![standing("a", "2.0.0", State::Ready, 9), standing("b", "1.0.0", State::Ready, 0)];
        let worker = vec![standing("a", "1.0.0", State::LastGood, 30)];
        let rows = rows([("daemon".to_owned(), daemon), ("worker-1".to_owned(), worker)]);
        let row = &rows["a"];
        assert_eq!((row.standing.counted.decisions, row.standing.counted.errors), (39, 2));
        assert_eq!((row.standing.version.as_deref(), row.standing.state), (Some("2.0.0"), State::LastGood));
        let other = format!("a: worker-1 runs 1.0.0 ({})", xnovu_rules::Digest::of(b"1.0.0").short());
        assert_eq!(row.remarks(), ["a: last-good: a reason".to_owned(), other]);
        assert_eq!(rows["b"].remarks(), Vec::<String>::new());
    }

    #[test]
    fn the_table_is_even() {
        let rows = rows([("daemon".to_owned(), vec![standing("a", "2.0.0", State::Ready, 123_456)])]);
        let lines = table(&rows);
        let digest = xnovu_rules::Digest::of(b"2.0.0").short();
        let row = format!(
            "a           p       2.0.0    {digest}  ready  2026-01-01T00:00:00Z     123456       1  2 µs  2 µs    10"
        );
        assert_eq!(
            lines[0].len(),
            "ENTERPRISE  PLUGIN  VERSION  ".len() + 12 + 2 + 7 + 20 + 2 + 9 + 2 + 6 + 2 + 4 + 2 + 4 + 2 + 4
        );
        assert_eq!(lines[1], row);
    }

    #[test]
    fn times_have_two_or_three_digits_and_a_unit() {
        for (micros, text) in [(12, "12 µs"), (1_234, "1.2 ms"), (45_678, "45.6 ms"), (3_000_000, "3 s")] {
            assert_eq!(short(Duration::from_micros(micros)), text);
        }
    }
}
