//! What lies on this machine: plugins, bindings, and whom they serve.

use xnovu_domain::EnterpriseId;
use xnovu_rules::{BindingOutcome, PluginOutcome, Report, Runtime, RuntimeOptions};

use super::{Finding, chain};
use crate::config::Config;

const CHECK: &str = "plugins";

/// The findings, and the enterprises a daemon with these settings would serve.
pub(super) async fn examine(config: &Config) -> (Vec<Finding>, Vec<EnterpriseId>) {
    let options = RuntimeOptions::new(&config.plugins, config.state.join("compiled"), crate::parts::compiler());
    match Runtime::open(options).await {
        Ok((rules, report)) => {
            let mut enterprises = config.enterprises.clone();
            if enterprises.is_empty() {
                enterprises = rules.snapshot().enterprises().cloned().collect();
            }
            enterprises.retain(|enterprise| config.of(enterprise).enabled);
            let mut findings = plugins(&report);
            findings.push(served(&enterprises));
            (findings, enterprises)
        }
        Err(error) => {
            let hint = "check XNOVU_PLUGINS, and that XNOVU_STATE_DIR can be written";
            (vec![Finding::fail(CHECK, chain(&error), hint)], config.enterprises.clone())
        }
    }
}

fn served(enterprises: &[EnterpriseId]) -> Finding {
    let check = "enterprises";
    match enterprises.len() {
        0 => Finding::fail(
            check,
            "there is none to serve",
            "set DAEMON_ENTERPRISE_IDS, or bind one by name in bindings.toml",
        ),
        1 => Finding::ok(check, "1 is served"),
        number => Finding::ok(check, format!("{number} are served")),
    }
}

fn plugins(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    for note in &report.notes {
        findings.push(Finding::warn(CHECK, note.reason.clone(), note.hint.clone().unwrap_or_default()));
    }
    for (name, outcome) in &report.plugins {
        if let PluginOutcome::Refused { why, .. } = outcome {
            let hint = why.hint.clone().unwrap_or_else(|| "see `xnovu plugin inspect`".to_owned());
            findings.push(Finding::fail(CHECK, format!("{name}: {}", why.reason), hint));
        }
    }
    for (subject, outcome) in &report.bindings {
        let (what, why) = match outcome {
            BindingOutcome::Ready(_) => continue,
            BindingOutcome::LastGood(_, why) => ("stays on its last good rules", why),
            BindingOutcome::NotLoaded(why) => ("is held", why),
        };
        let hint = why.hint.clone().unwrap_or_else(|| "see bindings.toml".to_owned());
        findings.push(Finding::fail(CHECK, format!("enterprise {subject} {what}: {}", why.reason), hint));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            format!("{} loaded, {} bindings ready", report.plugins.len(), report.bindings.len()),
        ));
    }
    findings
}
