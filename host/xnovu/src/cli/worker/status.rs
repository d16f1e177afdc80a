//! `xnovu worker status`.
//!
//! Owns how the workers of this state directory are told. Asks each over its admin socket, so that neither Redis nor a port nor a setting is
//! needed: what the health check of a container wants.

use std::process::ExitCode;

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;

use super::super::output::{Output, table};
use crate::config::{Layers, state_dir};
use crate::control::routes::Status;
use crate::control::{Client, ControlError, Found, Role, StateDir};

const HEAD: [&str; 5] = ["ID", "PID", "SINCE", "STATUS", "TROUBLES"];

/// One worker, as it says itself.
#[derive(Serialize)]
struct Told {
    id: String,
    pid: u32,
    /// Whether it takes jobs, if less well than it should.
    well: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Exit code 1 where none runs, or one is unhealthy, stopping or not to be reached.
pub(super) async fn run(layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let state = StateDir::at(&state_dir(layers))?;
    let told = join_all(state.running()?.into_iter().filter_map(look)).await;
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
fn look(found: Found) -> Option<impl Future<Output = Told>> {
    let Role::Worker(id) = found.role.clone() else { return None };
    Some(async move {
        let pid = found.pid;
        let asked = async {
            let client = Client::to(found)?;
            Ok::<_, ControlError>((
                client.get::<Status>("/admin/status").await?,
                client.look("/health/detailed").await?,
            ))
        };
        match asked.await {
            Ok((process, (well, health))) => {
                Told { id, pid, well, process: Some(process), health: Some(health), error: None }
            }
            Err(error) => Told { id, pid, well: false, process: None, health: None, error: Some(error.to_string()) },
        }
    })
}

fn row(told: &Told) -> Vec<String> {
    let since = told.process.as_ref().map_or("–", |process| &process.started.since);
    let health = told.health.as_ref();
    let status = health.and_then(|health| health["status"].as_str()).unwrap_or("not to be reached");
    let troubles = health.and_then(|health| health["troubles"].as_array()).into_iter().flatten();
    let troubles = troubles.map(|trouble| {
        let word = |name: &str| trouble[name].as_str().unwrap_or_default();
        format!("{}: {}", word("component"), word("reason"))
    });
    let first = told.error.as_deref().and_then(|error| error.lines().next()).map(str::to_owned);
    let troubles: Vec<String> = troubles.chain(first).collect();
    vec![told.id.clone(), told.pid.to_string(), since.to_owned(), status.to_owned(), troubles.join("; ")]
}
