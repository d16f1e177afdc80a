//! The plugins and their bindings, as a daemon would load them, and whom they serve.
//!
//! Owns what is said of each. Never takes a component into service.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::process::geteuid;
use tokio::sync::watch;
use xnovu_domain::EnterpriseId;
use xnovu_rules::{BindingOutcome, PluginOutcome, Report, Runtime, RuntimeOptions};

use super::{Finding, Findings, chain};
use crate::config::Config;

const CHECK: &str = "plugins";

/// The findings. Tells whom a daemon with these settings would serve, before those that are switched off are left out.
pub(super) async fn examine(config: &Config, known: watch::Sender<Option<Vec<EnterpriseId>>>) -> Findings {
    let cache = match Cache::of(config) {
        Ok(cache) => cache,
        Err(error) => {
            return vec![Finding::not_checked(
                CHECK,
                format!("no directory for compiled components can be made: {error}"),
            )];
        }
    };
    let options = RuntimeOptions::new(&config.plugins, cache.path(), crate::parts::compiler());
    let opened = Runtime::open(options).await;
    let mut findings = match &opened {
        Ok((_, report)) => plugins(report),
        Err(error) => {
            vec![Finding::failed(CHECK, chain(error), "check XNOVU_PLUGINS, and that XNOVU_STATE_DIR can be written")]
        }
    };
    let bound = opened.ok().map(|(rules, _)| rules.snapshot().enterprises().cloned().collect());
    let named = if config.enterprises.is_empty() { bound } else { Some(config.enterprises.clone()) };
    findings.push(served(named.as_deref(), config));
    // Nobody may want to know any more.
    let _ = known.send(named);
    findings
}

/// Where components are compiled to: the daemon's own cache, but never one that would then belong to somebody else than its owner.
enum Cache {
    Daemons(PathBuf),
    Own(tempfile::TempDir),
}

impl Cache {
    fn of(config: &Config) -> std::io::Result<Self> {
        let daemons = config.state.join("compiled");
        let ours = daemons.metadata().is_ok_and(|metadata| metadata.uid() == geteuid().as_raw());
        if ours { Ok(Self::Daemons(daemons)) } else { tempfile::tempdir().map(Self::Own) }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Daemons(path) => path.clone(),
            Self::Own(dir) => dir.path().join("compiled"),
        }
    }
}

/// Of those that are named by the settings, else by the bindings. None: the bindings cannot be read.
fn served(named: Option<&[EnterpriseId]>, config: &Config) -> Finding {
    let check = "enterprises";
    let Some(named) = named else {
        return Finding::not_checked(check, "the bindings, which name them, cannot be read");
    };
    let enabled = named.iter().filter(|enterprise| config.of(enterprise).enabled).count();
    match (named.len(), enabled) {
        (0, _) => Finding::failed(
            check,
            "there is none to serve",
            "set DAEMON_ENTERPRISE_IDS, or bind one by name in bindings.toml",
        ),
        (named, 0) => Finding::failed(
            check,
            format!("{named} are named, and all are switched off"),
            "set ENT_<id>_SUBSCRIPTION_ENABLED=true for one of them",
        ),
        (_, enabled) => Finding::ok(check, format!("{enabled} would be served")),
    }
}

fn plugins(report: &Report) -> Findings {
    let mut findings = Vec::new();
    for note in &report.notes {
        findings.push(Finding::warning(
            CHECK,
            note.reason.clone(),
            note.hint.clone().unwrap_or_else(|| "see docs/rules.md".to_owned()),
        ));
    }
    for (name, outcome) in &report.plugins {
        if let PluginOutcome::Refused { why, .. } = outcome {
            let hint = why.hint.clone().unwrap_or_else(|| format!("see `xnovu plugin inspect {name}`"));
            findings.push(Finding::failed(CHECK, format!("{name}: {}", why.reason), hint));
        }
    }
    for (subject, outcome) in &report.bindings {
        let (what, why) = match outcome {
            BindingOutcome::Ready(_) => continue,
            BindingOutcome::RolledBack(..) => {
                let what = format!("enterprise {subject} runs on the version an operator rolled back to");
                let hint =
                    "it ends by itself when another component lies there; `xnovu plugin rollback --undo` ends it now";
                findings.push(Finding::warning(CHECK, what, hint));
                continue;
            }
            BindingOutcome::LastGood(_, why) => ("stays on its last good rules", why),
            BindingOutcome::NotLoaded(why) => ("is held", why),
        };
        let hint = why.hint.clone().unwrap_or_else(|| "see bindings.toml".to_owned());
        findings.push(Finding::failed(CHECK, format!("enterprise {subject} {what}: {}", why.reason), hint));
    }
    let unbound = report.plugins.iter().filter(|(_, outcome)| matches!(outcome, PluginOutcome::Unbound)).count();
    let (loaded, bound) = (report.plugins.len() - unbound, report.bindings.len());
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            format!("plugins loaded: {loaded}, bound to nobody: {unbound}; bindings ready: {bound}"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layer, Layers};
    use crate::doctor::Verdict;

    #[test]
    fn nobody_to_serve_is_a_failure_and_bindings_that_cannot_be_read_are_none() {
        let mut layers = Layers::default();
        layers.set("ENT_off_ENABLED", "false", Layer::Environment);
        let (config, _) = crate::config::examine(&layers);
        let verdict = |ids: Option<&[&str]>| {
            let ids = ids.map(|ids| ids.iter().map(|id| id.parse().unwrap()).collect::<Vec<EnterpriseId>>());
            served(ids.as_deref(), &config).verdict
        };
        assert_eq!(verdict(None), Verdict::NotChecked);
        assert_eq!(verdict(Some(&[])), Verdict::Failed);
        assert_eq!(verdict(Some(&["off"])), Verdict::Failed);
        assert_eq!(verdict(Some(&["off", "on"])), Verdict::Ok);
    }
}
