//! `xnovu doctor`.

use std::process::ExitCode;

use clap::{Args, ValueHint};
use serde_json::json;

use super::EXIT_SETTINGS;
use super::output::Output;
use crate::config::{self, Layers};
use crate::doctor::{self, Finding, Verdict};

/// Columns of the verdict.
const VERDICT_COLUMNS: usize = 11;

#[derive(Args)]
pub(super) struct DoctorArgs {
    /// Directory of bindings.toml and the plugins [default: plugins]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    plugins: Option<String>,

    /// Enterprises to serve, separated by commas [default: DAEMON_ENTERPRISE_IDS, else those bound by name]
    #[arg(long, value_name = "IDS")]
    enterprises: Option<String>,
}

pub(super) async fn run(args: DoctorArgs, mut layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    layers.set_flag("XNOVU_PLUGINS", args.plugins);
    layers.set_flag("DAEMON_ENTERPRISE_IDS", args.enterprises);
    let (config, mistakes) = config::examine(&layers);
    if output.is_terminal() {
        output.note("looking at settings, machine, plugins, Redis, Supabase, database and Novu …");
    }
    let mut findings = Vec::new();
    let tell = |finding: Finding| {
        if !output.json() {
            show(&finding, output);
        }
        findings.push(finding);
    };
    doctor::examine(&config, &mistakes, tell).await;
    conclude(&findings, !mistakes.0.is_empty(), output)
}

fn show(finding: &Finding, output: Output) {
    let color = match finding.verdict {
        Verdict::Ok => "\x1b[32m",
        Verdict::Warning => "\x1b[33m",
        Verdict::Failed => "\x1b[31m",
        Verdict::NotChecked => "\x1b[2m",
    };
    let padded = format!("{:<VERDICT_COLUMNS$}", finding.verdict.words());
    let verdict = if output.color() { format!("{color}{padded}\x1b[0m") } else { padded };
    output.line(&format!("{verdict}  {}: {}", finding.check, finding.what));
    if let Some(hint) = &finding.hint {
        output.line(&format!("{:<VERDICT_COLUMNS$}  hint: {hint}", ""));
    }
}

/// The sum of it, and the exit code: 64 where settings are missing or wrong, 1 where something else fails.
fn conclude(findings: &[Finding], mistaken: bool, output: Output) -> anyhow::Result<ExitCode> {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (failed, warnings, unchecked) = (count(Verdict::Failed), count(Verdict::Warning), count(Verdict::NotChecked));
    if output.json() {
        output.document(&json!({
            "ok": failed == 0,
            "failed": failed,
            "warnings": warnings,
            "not_checked": unchecked,
            "findings": findings,
        }))?;
    } else {
        output.line(&format!("failed: {failed}, warnings: {warnings}, not checked: {unchecked}"));
    }
    Ok(match (mistaken, failed) {
        (true, _) => ExitCode::from(EXIT_SETTINGS),
        (false, 0) => ExitCode::SUCCESS,
        (false, _) => ExitCode::FAILURE,
    })
}
