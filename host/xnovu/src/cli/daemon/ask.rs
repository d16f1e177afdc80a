//! `xnovu daemon status` and `xnovu daemon health`.
//!
//! Owns how a running daemon is told to a person. Both ask the daemon itself, over its admin socket, so that no port and no token is needed.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::super::output::Output;
use crate::config::{Layers, state_dir};
use crate::control::routes::Status;
use crate::control::{Client, ControlError, Role, StateDir};

#[derive(Args)]
pub(super) struct StatusArgs {
    /// Ask only whether it lives, as a container's health check should: an outage of Redis or Supabase, which a restart does not mend, is
    /// no failure
    #[arg(long)]
    live: bool,
}

pub(super) async fn status(args: &StatusArgs, layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let state = StateDir::at(&state_dir(layers)?)?;
    if args.live {
        return live(&state, output).await;
    }
    let asked = async {
        let client = Client::of(&state, &Role::Daemon)?.to_look();
        Ok::<_, ControlError>((client.get::<Status>("/admin/status").await?, client.look("/health/detailed").await?))
    };
    let (process, (well, health)) = match asked.await {
        Ok(answers) => answers,
        Err(error) if output.json() => return Ok(told_unreachable(&error, output)),
        Err(error) => return Err(error.into()),
    };
    if output.json() {
        output.line(&format!("{:#}", json!({"running": true, "process": process, "health": health})));
    } else {
        tell_status(&process, &health, output);
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn live(state: &StateDir, output: Output) -> anyhow::Result<ExitCode> {
    let asked = async { Client::of(state, &Role::Daemon)?.text("/livez").await };
    let (alive, words) = match asked.await {
        Err(error) if output.json() => return Ok(told_unreachable(&error, output)),
        asked => asked?,
    };
    if output.json() {
        output.line(&format!("{:#}", json!({"running": true, "alive": alive, "reason": reason(alive, &words)})));
    } else {
        output.line(&told_alive(alive, &words));
    }
    Ok(if alive { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why a process does not live; null where it does.
fn reason(alive: bool, words: &str) -> Value {
    if alive { Value::Null } else { words.trim().into() }
}

/// What `/livez` says, for a person.
fn told_alive(alive: bool, words: &str) -> String {
    if alive { "alive".to_owned() } else { format!("not alive, only a restart mends it: {}", words.trim()) }
}

pub(super) async fn health(layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let state = StateDir::at(&state_dir(layers)?)?;
    let asked = async { Client::of(&state, &Role::Daemon)?.to_look().look("/health/detailed").await };
    let (well, health) = match asked.await {
        Ok(answer) => answer,
        Err(error) if output.json() => return Ok(told_unreachable(&error, output)),
        Err(error) => return Err(error.into()),
    };
    if output.json() {
        output.line(&format!("{health:#}"));
    } else {
        output.line(tree(&health).trim_end());
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A script reads one document, whatever the daemon does.
fn told_unreachable(error: &ControlError, output: Output) -> ExitCode {
    let pid = if let ControlError::Silent { pid, .. } = error { Some(*pid) } else { None };
    output.line(&format!("{:#}", json!({"running": pid.is_some(), "pid": pid, "error": error.to_string()})));
    ExitCode::FAILURE
}

fn tell_status(process: &Status, health: &Value, output: Output) {
    let started = &process.started;
    let word = health["status"].as_str().unwrap_or("unknown");
    output.line(&format!("status         {word}"));
    output.line(&format!(
        "process        {} {}, pid {}, since {}",
        process.role, started.version, started.pid, started.since
    ));
    if let Some(address) = started.health {
        output.line(&format!("health         http://{address}/health"));
    }
    for trouble in health["troubles"].as_array().into_iter().flatten() {
        let word = |name: &str| trouble[name].as_str().unwrap_or_default();
        output.line(&format!("trouble        {}: {}", word("component"), word("reason")));
    }
    let subscriptions = &health["components"]["subscriptions"];
    if subscriptions.is_object() {
        output.line(&format!("subscriptions  {} of {} active", subscriptions["active"], subscriptions["total"]));
    }
    let queue = &health["queue_stats"]["notification"];
    if queue.is_object() {
        let counts = ["waiting", "active", "delayed", "failed"].map(|name| format!("{} {name}", queue[name]));
        let paused = if queue["paused"] == true { ", paused" } else { "" };
        output.line(&format!("queue          {}{paused}", counts.join(", ")));
    }
}

/// A document as an indented list.
fn tree(document: &Value) -> String {
    let mut text = String::new();
    write_tree(document, 0, &mut text);
    text
}

fn write_tree(value: &Value, depth: usize, text: &mut String) {
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (format!("{name}:"), value)).collect(),
        Value::Array(items) => items.iter().map(|item| ("-".to_owned(), item)).collect(),
        _ => Vec::new(),
    };
    for (head, value) in entries {
        let plain = match value {
            Value::Object(fields) if !fields.is_empty() => None,
            Value::Array(items) if !items.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let indent = "  ".repeat(depth);
        let plain = plain.map(|plain| format!(" {plain}"));
        writeln!(text, "{indent}{head}{}", plain.as_deref().unwrap_or_default()).expect("a string takes everything");
        if plain.is_none() {
            write_tree(value, depth + 1, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_told_as_an_indented_list() {
        let document = json!({"status": "healthy", "components": {"queue": "healthy", "subscriptions": {"total": 2}},
            "plugins": [{"plugin": "a", "reason": null}], "none": []});
        let want = "components:\n  queue: healthy\n  subscriptions:\n    total: 2\nnone: []\nplugins:\n  -\n    plugin: a\n    \
                    reason: null\nstatus: healthy\n";
        assert_eq!(tree(&document), want);
    }
}
