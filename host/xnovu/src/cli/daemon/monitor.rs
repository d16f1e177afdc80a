//! `xnovu daemon --monitor`.
//!
//! Owns what is said of a watch at its end: a summary for people or the report for scripts, and the report in the state directory.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use xnovu_domain::EnterpriseId;

use super::super::notes::Notes;
use super::super::output::Output;
use super::super::place::Place;
use super::super::serve::{Roles, serve};
use super::health_at;
use crate::monitor::{Comparison, Report};
use crate::parts::Parts;

/// The report, in the state directory.
const FILE: &str = "monitor.json";

/// Watches until it is stopped, then reports.
pub(super) async fn watch(
    parts: Parts,
    served: Vec<EnterpriseId>,
    place: Place,
    notes: Notes,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let comparison = Arc::new(Mutex::new(Comparison::new(parts.clock.now())));
    let path = parts.config.state.join(FILE);
    notes.info(&format!("watching {} enterprise(s); nothing is written, queued or sent", served.len()));
    notes.info(&format!("report so far, at .monitor: {}", health_at(&parts.config, "/health/detailed")));
    let monitor = Some(Arc::clone(&comparison));
    let roles = Roles { daemon: Some(served), monitor, workers: 0, health: true, place: Some(place) };
    let code = serve(parts, roles, CancellationToken::new()).await?;
    let report = comparison.lock().unwrap_or_else(PoisonError::into_inner).report();
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(&path, format!("{json}\n")).with_context(|| format!("writing {}", path.display()))?;
    if output.json() {
        output.line(&json);
    } else {
        output.lines(&summary(&report));
        output.line(&format!("report: {}", path.display()));
    }
    Ok(code)
}

fn summary(report: &Report) -> Vec<String> {
    let decisions: Vec<String> = report.decisions.iter().map(|(word, count)| format!("{word} {count}")).collect();
    let mut lines = vec![
        format!("watched from {} to {}", report.since, report.until),
        format!("judged {} notification(s): {}", report.judged, decisions.join(", ")),
        format!("slots of rules: {}", report.slots),
        format!("agreed {}, not decided yet {}", report.agreed, report.waiting),
    ];
    if let Some([most, half]) = report.lead_ms {
        lines.push(format!("decided before they had sent, in 95 % by {most} ms or more, in half by {half} ms or more"));
    }
    if report.differing.is_empty() {
        lines.push("no difference".to_owned());
    }
    for (kind, count) in &report.differing {
        let word = serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(str::to_owned));
        lines.push(format!("difference {}: {count}", word.unwrap_or_default()));
    }
    lines
}
