//! `xnovu plugin reload`.

use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::{name, running};
use crate::cli::output::Output;
use crate::config::Layers;
use crate::control::plugins::Reloaded;
use crate::control::{Client, ControlError};

/// Longest wait for a process. Components that compile long and in vain do so one after the other, each once.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) async fn reload(layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let processes = running(layers)?;
    let answers = reload_all(&processes).await;
    let clean = answers.iter().all(|answer| answer.as_ref().is_ok_and(|reloaded| reloaded.clean));
    if output.json() {
        let told = processes.iter().zip(&answers).map(|(process, answer)| {
            let found = process.found();
            let error = answer.as_ref().err().map(ToString::to_string);
            json!({"process": found.role.to_string(), "pid": found.pid, "reloaded": answer.as_ref().ok(), "error": error})
        });
        output.line(&format!("{:#}", json!({"clean": clean, "processes": told.collect::<Vec<_>>()})));
    } else {
        for (process, answer) in processes.iter().zip(&answers) {
            tell(process, answer, output);
        }
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells every process to reload, and waits for all of them.
pub(super) async fn reload_all(processes: &[Client]) -> Vec<Result<Reloaded, ControlError>> {
    let nothing = json!({});
    join_all(processes.iter().map(|process| process.post_within("/admin/plugins/reload", &nothing, PATIENCE))).await
}

fn tell(process: &Client, answer: &Result<Reloaded, ControlError>, output: Output) {
    let reloaded = match answer {
        Ok(reloaded) => reloaded,
        Err(error) => return output.note(&format!("error: {}: {error}", name(process))),
    };
    let changed = if reloaded.changed { "reloaded" } else { "nothing changed" };
    output.line(&format!("{}: {changed}", name(process)));
    for outcome in &reloaded.outcomes {
        let mark = if outcome.good { " " } else { "!" };
        output.line(&format!("{mark} {}: {}", outcome.what, outcome.outcome));
        if let Some(hint) = &outcome.hint {
            output.line(&format!("    hint: {hint}"));
        }
    }
}
