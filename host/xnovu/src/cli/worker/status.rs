//! `xnovu worker status`.
//!
//! Owns how the workers of this state directory are told. Asks each over its admin socket, so that neither Redis nor a port nor a setting is
//! needed: what the health check of a container wants.

use std::process::ExitCode;

use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;

use super::super::output::{Output, table};
use crate::config::{Layers, state_dir};
use crate::control::routes::Status;
use crate::control::{Client, ControlError, Found, Role, StateDir};

const HEAD: [&str; 5] = ["ID", "PID", "SINCE", "STATUS", "TROUBLES"];

#[derive(Args)]
pub(in crate::cli) struct StatusArgs {
    /// Ask only whether they live, as a container's health check should: an outage of Redis or Supabase, which a restart does not mend, is
    /// no failure
    #[arg(long)]
    live: bool,
}

/// One worker, as it says itself.
#[derive(Serialize)]
struct Told {
    id: String,
    pid: u32,
    /// Whether it takes jobs, if less well than it should; asked for its life alone, whether it lives.
    well: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    alive: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Exit code 1 where none runs, or one is not to be reached, unhealthy or stopping, or does not live where only that is asked.
pub(super) async fn run(args: &StatusArgs, layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let state = StateDir::at(&state_dir(layers)?)?;
    let told = join_all(state.running()?.into_iter().filter_map(|found| look(found, args.live))).await;
    if output.json() {
        output.document(&told)?;
    } else if told.is_empty() {
        return Err(ControlError::NotRunning { role: "worker".to_owned(), dir: state.path().to_owned() }.into());
    } else {
        output.lines(&table(&HEAD, &told.iter().map(row).collect::<Vec<_>>()));
    }
    let well = !told.is_empty() && told.iter().all(|one| one.well);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// None: it is no worker.
fn look(found: Found, live: bool) -> Option<impl Future<Output = Told>> {
    let Role::Worker(id) = found.role.clone() else { return None };
    Some(async move {
        let pid = found.pid;
        let asked = if live { life(&id, found).await } else { health(&id, found).await };
        asked.unwrap_or_else(|error| Told { error: Some(error.to_string()), ..Told::silent(id, pid) })
    })
}

async fn life(id: &str, found: Found) -> Result<Told, ControlError> {
    let told = Told::silent(id.to_owned(), found.pid);
    let (alive, words) = Client::to(found)?.to_look().text("/livez").await?;
    Ok(Told { well: alive, alive: Some(alive), error: (!alive).then(|| words.trim().to_owned()), ..told })
}

async fn health(id: &str, found: Found) -> Result<Told, ControlError> {
    let told = Told::silent(id.to_owned(), found.pid);
    let client = Client::to(found)?.to_look();
    let process = client.get::<Status>("/admin/status").await?;
    let (well, health) = client.look("/health/detailed").await?;
    Ok(Told { well, process: Some(process), health: Some(health), ..told })
}

impl Told {
    fn silent(id: String, pid: u32) -> Self {
        Self { id, pid, well: false, alive: None, process: None, health: None, error: None }
    }
}

fn row(told: &Told) -> Vec<String> {
    let since = told.process.as_ref().map_or("–", |process| &process.started.since);
    let health = told.health.as_ref();
    let status = match told.alive {
        Some(true) => "alive",
        Some(false) => "not alive",
        None => health.and_then(|health| health["status"].as_str()).unwrap_or("not to be reached"),
    };
    let troubles = health.and_then(|health| health["troubles"].as_array()).into_iter().flatten();
    let troubles = troubles.map(|trouble| {
        let word = |name: &str| trouble[name].as_str().unwrap_or_default();
        format!("{}: {}", word("component"), word("reason"))
    });
    let first = told.error.as_deref().and_then(|error| error.lines().next()).map(str::to_owned);
    let troubles: Vec<String> = troubles.chain(first).collect();
    vec![told.id.clone(), told.pid.to_string(), since.to_owned(), status.to_owned(), troubles.join("; ")]
}
