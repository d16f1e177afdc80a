//! `xnovu doctor`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::output::Output;
use crate::config::{Config, Layers};
use crate::doctor::{self, Finding, Verdict};

#[derive(Args)]
pub(super) struct DoctorArgs {
    /// Directory of bindings.toml and the plugins [default: plugins]
    #[arg(long, value_name = "DIR")]
    plugins: Option<String>,

    /// Enterprises to serve, separated by commas [default: DAEMON_ENTERPRISE_IDS, else those bound by name]
    #[arg(long, value_name = "IDS")]
    enterprises: Option<String>,
}

pub(super) async fn run(args: DoctorArgs, mut layers: Layers, output: Output) -> ExitCode {
    layers.set_flag("XNOVU_PLUGINS", args.plugins);
    layers.set_flag("DAEMON_ENTERPRISE_IDS", args.enterprises);
    let mut findings = Vec::new();
    let mut tell = |finding: Finding| {
        if !output.json() {
            show(&finding, output);
        }
        findings.push(finding);
    };
    match Config::read(&layers) {
        Ok(config) => {
            tell(Finding::ok("settings", "they can be read; `xnovu config show` tells where each comes from"));
            for warning in &config.warnings {
                tell(Finding::warn("settings", format!("{} {}", warning.name, warning.what), warning.hint.clone()));
            }
            let begin = |part: &str| {
                if output.is_terminal() {
                    output.note(&format!("looking at {part} ..."));
                }
            };
            doctor::examine(&config, begin, &mut tell).await;
        }
        Err(mistakes) => {
            for mistake in mistakes.0 {
                tell(Finding::fail("settings", format!("{} {}", mistake.name, mistake.what), mistake.hint));
            }
            tell(Finding::not_checked("everything else", "the settings have to be right first"));
        }
    }
    conclude(&findings, output)
}

fn show(finding: &Finding, output: Output) {
    let word = finding.verdict.word();
    let color = match finding.verdict {
        Verdict::Ok => "\x1b[32m",
        Verdict::Warn => "\x1b[33m",
        Verdict::Fail => "\x1b[31m",
        Verdict::NotChecked => "\x1b[2m",
    };
    let padded = format!("{word:<11}");
    let word = if output.color() { format!("{color}{padded}\x1b[0m") } else { padded };
    output.line(&format!("{word}  {}: {}", finding.check, finding.what));
    if let Some(hint) = &finding.hint {
        output.line(&format!("{:<11}  hint: {hint}", ""));
    }
}

fn conclude(findings: &[Finding], output: Output) -> ExitCode {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (fails, warns, unchecked) = (count(Verdict::Fail), count(Verdict::Warn), count(Verdict::NotChecked));
    if output.json() {
        output.line(&json!({"ok": fails == 0, "findings": findings}).to_string());
    } else {
        output.line(&format!("failed: {fails}, warnings: {warns}, not checked: {unchecked}"));
    }
    if fails == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
